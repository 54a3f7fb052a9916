using System.Globalization;

namespace FastServe;

public sealed class Quote
{
    public required int Id { get; init; }

    public required string Words { get; init; }

    public required string Author { get; init; }
}

public sealed class Post
{
    public required string Id { get; init; }

    public required string AuthorId { get; init; }

    public required string Title { get; init; }

    public required string Body { get; init; }

    public required bool Published { get; init; }

    public required string CreatedAt { get; init; }

    public required string UpdatedAt { get; init; }
}

public sealed record PostPage(IEnumerable<Post> Items);

public sealed record Computed(int N, long Fibonacci);

/// <summary>A post as it is sent.</summary>
public sealed record NewPost(string? Title, string? Body, bool Published = false)
{
    /// <summary>What is wrong with it, by field; nothing if it is good.</summary>
    public Dictionary<string, string[]> Problems()
    {
        var problems = new Dictionary<string, string[]>();
        Check("title", Title, 1, 200);
        Check("body", Body, 0, 10_000);
        return problems;

        void Check(string field, string? text, int least, int most)
        {
            // Characters, not UTF-16 units: the databases count so, too. A NUL is text in none of them.
            var count = text?.EnumerateRunes().Count() ?? -1;
            if (count < least || count > most || text!.Contains('\0'))
            {
                problems[field] = [$"It must be a text of {least} to {most} characters."];
            }
        }
    }
}

public static class Time
{
    /// <summary>Now, in UTC, with six digits of a second: text that sorts as time does.</summary>
    public static string Now() =>
        DateTime.UtcNow.ToString("yyyy-MM-dd'T'HH:mm:ss.ffffff'Z'", CultureInfo.InvariantCulture);
}

public static class Compute
{
    /// <summary>By the naive recursion.</summary>
    public static long Fibonacci(int n) => n < 2 ? n : Fibonacci(n - 1) + Fibonacci(n - 2);
}
