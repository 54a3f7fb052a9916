namespace FastServe;

/// <summary>The parts of <c>scheme://user:password@host:port/name</c>. What is not there is null.</summary>
public sealed record ServerUrl(string Host, int? Port, string? User, string? Password, string? Name)
{
    public static ServerUrl Parse(string text)
    {
        var uri = new Uri(text);
        var user = uri.UserInfo.Split(':', 2);
        return new ServerUrl(
            uri.Host,
            uri.IsDefaultPort || uri.Port < 0 ? null : uri.Port,
            Present(user[0]),
            user.Length == 2 ? Present(user[1]) : null,
            Present(uri.AbsolutePath.TrimStart('/')));
    }

    private static string? Present(string text) => text.Length == 0 ? null : Uri.UnescapeDataString(text);
}
