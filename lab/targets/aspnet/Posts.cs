using System.Security.Claims;
using Microsoft.AspNetCore.Http.HttpResults;

namespace FastServe;

public static class Posts
{
    public static void MapPosts(this IEndpointRouteBuilder app)
    {
        var posts = app.MapGroup("/api/v1/posts").RequireAuthorization();
        posts.MapPost("/", Create);
        posts.MapGet("/", List);
        posts.MapGet("/{id}", Read);
    }

    private static async Task<Results<Created<Post>, ValidationProblem>> Create(
        NewPost sent, ClaimsPrincipal user, Database database, CancellationToken stop)
    {
        if (sent.Problems() is { Count: > 0 } problems)
        {
            return TypedResults.ValidationProblem(problems);
        }
        var now = Time.Now();
        var post = new Post
        {
            Id = Guid.CreateVersion7().ToString(),
            // There is one: no token is good without it.
            AuthorId = user.FindFirstValue("sub")!,
            Title = sent.Title!,
            Body = sent.Body!,
            Published = sent.Published,
            CreatedAt = now,
            UpdatedAt = now,
        };
        await database.AddPostAsync(post, stop);
        return TypedResults.Created($"/api/v1/posts/{post.Id}", post);
    }

    private static async Task<Results<Ok<Post>, NotFound>> Read(string id, Database database, CancellationToken stop)
    {
        // PostgreSQL answers a NUL with an error, and no id has one.
        var post = id.Contains('\0') ? null : await database.FindPostAsync(id, stop);
        return post is null ? TypedResults.NotFound() : TypedResults.Ok(post);
    }

    private static async Task<Results<Ok<PostPage>, ValidationProblem>> List(
        Database database, CancellationToken stop, int limit = 20)
    {
        if (limit is < 1 or > 100)
        {
            return TypedResults.ValidationProblem(
                new Dictionary<string, string[]> { ["limit"] = ["It must be from 1 to 100."] });
        }
        return TypedResults.Ok(new PostPage(await database.NewestPostsAsync(limit, stop)));
    }
}
