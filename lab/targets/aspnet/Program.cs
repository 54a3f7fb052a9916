using System.IO.Compression;
using System.Text;
using System.Text.Json;
using FastServe;
using Microsoft.AspNetCore.Authentication.JwtBearer;
using Microsoft.AspNetCore.ResponseCompression;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.IdentityModel.Tokens;
using Prometheus;

var builder = WebApplication.CreateBuilder(args);
var settings = Settings.From(builder.Configuration);

builder.WebHost.ConfigureKestrel(kestrel =>
{
    kestrel.AddServerHeader = false;
    // Without TLS nothing is negotiated, and a port of Kestrel speaks the one protocol or the other.
    kestrel.Listen(settings.Host, settings.Port, listen =>
        listen.Protocols = settings.Http2 ? HttpProtocols.Http2 : HttpProtocols.Http1);
});
builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(8));
builder.Services.ConfigureHttpJsonOptions(json =>
    json.SerializerOptions.PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower);
builder.Services.AddProblemDetails();

builder.Services
    .AddAuthentication(JwtBearerDefaults.AuthenticationScheme)
    .AddJwtBearer(jwt =>
    {
        // "sub" stays "sub".
        jwt.MapInboundClaims = false;
        jwt.TokenValidationParameters = new TokenValidationParameters
        {
            IssuerSigningKey = new SymmetricSecurityKey(Encoding.UTF8.GetBytes(settings.TokenSecret)),
            ValidAlgorithms = [SecurityAlgorithms.HmacSha256],
            ValidateIssuer = false,
            ValidateAudience = false,
            RequireExpirationTime = true,
            ClockSkew = TimeSpan.Zero,
        };
        jwt.Events = new JwtBearerEvents
        {
            OnTokenValidated = context =>
            {
                if (context.Principal?.FindFirst("sub") is null)
                {
                    context.Fail("The token has no subject.");
                }
                return Task.CompletedTask;
            },
        };
    });
builder.Services.AddAuthorization();

builder.Services.AddSingleton(_ => new Database(settings));
builder.Services.AddReports(settings);

if (settings.Gzip)
{
    builder.Services.AddResponseCompression(compression => compression.Providers.Add<GzipCompressionProvider>());
    // Optimal is zlib's level 6.
    builder.Services.Configure<GzipCompressionProviderOptions>(gzip => gzip.Level = CompressionLevel.Optimal);
}

// Of the process and the runtime, but not of each request.
Metrics.SuppressDefaultMetrics(new SuppressDefaultMetricOptions { SuppressMeters = true });

var app = builder.Build();

app.UseExceptionHandler();
app.UseStatusCodePages();
if (settings.Gzip)
{
    app.UseResponseCompression();
}
app.UseAuthentication();
app.UseAuthorization();

app.MapGet("/api/health", () => Results.Text("ok"));
app.MapGet("/api/compute", (int n) =>
    n is < 0 or > 40
        ? Results.Problem("n must be from 0 to 40.", statusCode: StatusCodes.Status400BadRequest)
        : Results.Ok(new Computed(n, Compute.Fibonacci(n))));
app.MapGet("/api/cache", (IReports reports) => reports.GetAsync());
app.MapGet("/api/db", async (Database database, CancellationToken stop) =>
    await database.FindQuoteAsync(Random.Shared.Next(1, 1_001), stop) is { } quote
        ? Results.Ok(quote)
        : Results.NotFound());
app.MapPosts();
app.MapMetrics();

app.Run();
