using System.Text.Json;
using Microsoft.Extensions.Caching.Memory;
using StackExchange.Redis;

namespace FastServe;

public sealed record Report(long Answer, string MadeAt)
{
    public static readonly TimeSpan KeptFor = TimeSpan.FromSeconds(60);

    public static Report Make() => new(Compute.Fibonacci(32), Time.Now());
}

/// <summary>Where the report is kept.</summary>
public interface IReports
{
    Task<Report> GetAsync();
}

public sealed class FreshReports : IReports
{
    public Task<Report> GetAsync() => Task.FromResult(Report.Make());
}

public sealed class MemoryReports(IMemoryCache cache) : IReports
{
    public Task<Report> GetAsync() =>
        Task.FromResult(cache.GetOrCreate("report", entry =>
        {
            entry.AbsoluteExpirationRelativeToNow = Report.KeptFor;
            return Report.Make();
        })!);
}

public sealed class RedisReports(IConnectionMultiplexer redis) : IReports
{
    private const string Key = "fastserve:report";

    public async Task<Report> GetAsync()
    {
        var database = redis.GetDatabase();
        string? kept = await database.StringGetAsync(Key);
        if (kept is not null && JsonSerializer.Deserialize<Report>(kept) is { } report)
        {
            return report;
        }
        var made = Report.Make();
        await database.StringSetAsync(Key, JsonSerializer.Serialize(made), Report.KeptFor);
        return made;
    }
}

public static class ReportServices
{
    public static IServiceCollection AddReports(this IServiceCollection services, Settings settings) =>
        settings.Cache switch
        {
            "none" => services.AddSingleton<IReports, FreshReports>(),
            "memory" => services.AddMemoryCache().AddSingleton<IReports, MemoryReports>(),
            "redis" => services
                .AddSingleton<IConnectionMultiplexer>(_ => ConnectionMultiplexer.Connect(Options(settings.RedisUrl)))
                .AddSingleton<IReports, RedisReports>(),
            var other => throw new InvalidOperationException($"CACHE is {other} instead of none, memory or redis"),
        };

    private static ConfigurationOptions Options(string text)
    {
        var url = ServerUrl.Parse(text);
        return new ConfigurationOptions
        {
            EndPoints = { { url.Host, url.Port ?? 6379 } },
            User = url.User,
            Password = url.Password,
            DefaultDatabase = url.Name is null ? null : int.Parse(url.Name),
            // It goes on trying, and answers an error meanwhile.
            AbortOnConnectFail = false,
        };
    }
}
