using System.Data.Common;
using Dapper;
using Microsoft.Data.Sqlite;
using MySqlConnector;
using Npgsql;

namespace FastServe;

/// <summary>The queries, on whichever database <c>DATABASE_URL</c> names. All three understand the same SQL here.</summary>
public sealed class Database : IAsyncDisposable
{
    private const string PostColumns = "id, author_id, title, body, published, created_at, updated_at";

    private readonly DbDataSource? source;

    // Only for SQLite: its provider has no limit to its pool, and where two write at once it sleeps and tries again.
    private readonly SemaphoreSlim? places;
    private readonly SemaphoreSlim? writer;

    static Database() => DefaultTypeMap.MatchNamesWithUnderscores = true;

    public Database(Settings settings)
    {
        if (settings.DatabaseUrl is not { } url)
        {
            return;
        }
        if (url.StartsWith("sqlite://", StringComparison.Ordinal))
        {
            source = Sqlite(url["sqlite://".Length..]);
            places = new SemaphoreSlim(settings.PoolSize);
            writer = new SemaphoreSlim(1);
        }
        else if (url.StartsWith("mysql://", StringComparison.Ordinal))
        {
            source = MariaDb(ServerUrl.Parse(url), settings.PoolSize);
        }
        else
        {
            source = Postgres(ServerUrl.Parse(url), settings.PoolSize);
        }
    }

    public Task<Quote?> FindQuoteAsync(int id, CancellationToken stop) =>
        UseAsync(
            connection => connection.QuerySingleOrDefaultAsync<Quote>(
                new CommandDefinition("select id, words, author from quotes where id = @id", new { id }, cancellationToken: stop)),
            stop);

    public Task<Post?> FindPostAsync(string id, CancellationToken stop) =>
        UseAsync(
            connection => connection.QuerySingleOrDefaultAsync<Post>(
                new CommandDefinition($"select {PostColumns} from posts where id = @id", new { id }, cancellationToken: stop)),
            stop);

    public Task<IEnumerable<Post>> NewestPostsAsync(int limit, CancellationToken stop) =>
        UseAsync(
            connection => connection.QueryAsync<Post>(
                new CommandDefinition(
                    $"select {PostColumns} from posts where published = true order by created_at desc, id desc limit @limit",
                    new { limit },
                    cancellationToken: stop)),
            stop);

    public async Task AddPostAsync(Post post, CancellationToken stop)
    {
        const string sql =
            $"insert into posts ({PostColumns}) values (@Id, @AuthorId, @Title, @Body, @Published, @CreatedAt, @UpdatedAt)";
        if (writer is not null)
        {
            await writer.WaitAsync(stop);
        }
        try
        {
            await UseAsync(
                connection => connection.ExecuteAsync(new CommandDefinition(sql, post, cancellationToken: stop)),
                stop);
        }
        finally
        {
            writer?.Release();
        }
    }

    public ValueTask DisposeAsync() => source?.DisposeAsync() ?? ValueTask.CompletedTask;

    private async Task<T> UseAsync<T>(Func<DbConnection, Task<T>> use, CancellationToken stop)
    {
        if (source is null)
        {
            throw new InvalidOperationException("DATABASE_URL is not set");
        }
        if (places is not null)
        {
            await places.WaitAsync(stop);
        }
        try
        {
            await using var connection = await source.OpenConnectionAsync(stop);
            return await use(connection);
        }
        finally
        {
            places?.Release();
        }
    }

    private static DbDataSource Sqlite(string file)
    {
        // The timeout is how long a command waits for the lock, too.
        var builder = new SqliteConnectionStringBuilder
        {
            DataSource = file,
            Mode = SqliteOpenMode.ReadWrite,
            DefaultTimeout = 5,
        };
        return SqliteFactory.Instance.CreateDataSource(builder.ConnectionString);
    }

    private static DbDataSource Postgres(ServerUrl url, int poolSize)
    {
        // What is run often is prepared by the driver, as its documentation advises where a mapper writes the commands.
        var builder = new NpgsqlConnectionStringBuilder
        {
            Host = url.Host,
            Port = url.Port ?? 5432,
            MaxPoolSize = poolSize,
            MaxAutoPrepare = 20,
        };
        if (url.User is not null)
        {
            builder.Username = url.User;
        }
        if (url.Password is not null)
        {
            builder.Password = url.Password;
        }
        if (url.Name is not null)
        {
            builder.Database = url.Name;
        }
        return new NpgsqlDataSourceBuilder(builder.ConnectionString).Build();
    }

    private static DbDataSource MariaDb(ServerUrl url, int poolSize)
    {
        var builder = new MySqlConnectionStringBuilder
        {
            Server = url.Host,
            Port = (uint)(url.Port ?? 3306),
            UserID = url.User ?? "",
            Password = url.Password ?? "",
            Database = url.Name ?? "",
            MaximumPoolSize = (uint)poolSize,
        };
        return new MySqlDataSource(builder.ConnectionString);
    }
}
