using System.Net;

namespace FastServe;

/// <summary>What the environment says.</summary>
public sealed record Settings
{
    public required IPAddress Host { get; init; }

    public required int Port { get; init; }

    /// <summary>Null: there is no database, and what needs one fails.</summary>
    public required string? DatabaseUrl { get; init; }

    public required int PoolSize { get; init; }

    public required string Cache { get; init; }

    public required string RedisUrl { get; init; }

    public required bool Gzip { get; init; }

    public required bool Http2 { get; init; }

    public required string TokenSecret { get; init; }

    public static Settings From(IConfiguration configuration)
    {
        var settings = new Settings
        {
            Host = IPAddress.Parse(configuration["HOST"] ?? "127.0.0.1"),
            Port = configuration.GetValue("PORT", 8080),
            DatabaseUrl = configuration["DATABASE_URL"] is { Length: > 0 } url ? url : null,
            PoolSize = configuration.GetValue("POOL_SIZE", 10),
            Cache = configuration["CACHE"] ?? "none",
            RedisUrl = configuration["REDIS_URL"] ?? "redis://127.0.0.1:6379",
            Gzip = configuration["GZIP"] == "on",
            Http2 = configuration["HTTP"] == "2",
            TokenSecret = configuration["TOKEN_SECRET"] ?? throw new InvalidOperationException("TOKEN_SECRET is not set"),
        };
        if (settings.PoolSize < 1)
        {
            throw new InvalidOperationException("POOL_SIZE must be at least 1");
        }
        return settings;
    }
}
