// The service `ratings`: stars by reviewer. What is posted lives in this process's memory and ends with it.
using System.Collections.Concurrent;
using System.Text.Json;

namespace Bookinfo;

/// <summary><c>GET /ratings/{id}</c>, <c>POST /ratings/{id}</c> with <c>{"Reviewer1": 3}</c>, <c>GET /health</c>.</summary>
public static class Ratings
{
    // A sample that anybody may post to must not grow without end.
    private const int MostProducts = 1000;

    private static readonly Dictionary<string, int> Default = new() { ["Reviewer1"] = 5, ["Reviewer2"] = 4 };
    private static readonly ConcurrentDictionary<int, Dictionary<string, int>> Posted = new();

    /// <summary>Adds the routes.</summary>
    public static void Map(WebApplication app)
    {
        app.MapGet("/health", () => TypedResults.Ok(new Health("Ratings is healthy")));
        app.MapGet("/ratings/{id}", (string id) => Ids.TryRead(id, out int number)
            ? Results.Ok(new BookRatings(number, Posted.GetValueOrDefault(number, Default)))
            : Ids.Refuse(id));
        app.MapPost("/ratings/{id}", PostAsync);
    }

    private static async Task<IResult> PostAsync(string id, HttpRequest request)
    {
        if (!Ids.TryRead(id, out int number))
            return Ids.Refuse(id);
        Dictionary<string, int>? ratings;
        try
        {
            ratings = await JsonSerializer.DeserializeAsync(request.Body, BookinfoJson.Default.DictionaryStringInt32);
        }
        catch (JsonException)
        {
            ratings = null;
        }
        if (ratings is null || ratings.Values.Any(stars => stars is < 0 or > 5))
            return Fail(400, "ratings are a JSON object of reviewers and their stars, 0 to 5");
        if (Posted.Count >= MostProducts && !Posted.ContainsKey(number))
            return Fail(507, $"no more than {MostProducts} products can be rated here");
        Posted[number] = ratings;
        return Results.Ok(new BookRatings(number, ratings));
    }

    private static IResult Fail(int status, string error) =>
        Results.Json(new Failure(error), BookinfoJson.Default.Failure, statusCode: status);
}
