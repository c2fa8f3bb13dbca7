// The service `reviews`: two opinions on a book. v1 says them, v2 adds black stars from `ratings`, v3 red ones.
namespace Bookinfo;

/// <summary><c>GET /reviews/{id}</c>, <c>GET /health</c>.</summary>
public static class Reviews
{
    // Istio's fault stories stand on these: black stars are waited for patiently, others are not.
    private static readonly TimeSpan Patient = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Hasty = TimeSpan.FromSeconds(2.5);

    private static readonly (string Reviewer, string Text)[] Opinions =
    [
        ("Reviewer1", "Two pairs of twins, one town and not a quiet minute: I laughed from the shipwreck to the last embrace."),
        ("Reviewer2", "Quick, loud and very funny. Whoever looks for the depth of the later plays should take one of those."),
    ];

    /// <summary>Adds the routes.</summary>
    public static void Map(WebApplication app, Settings settings)
    {
        Upstream? ratings = settings.StarColor is { } color ? new Upstream(settings.Ratings, color == "black" ? Patient : Hasty) : null;

        app.MapGet("/health", () => TypedResults.Ok(new Health("Reviews is healthy")));
        app.MapGet("/reviews/{id}", async (string id, HttpRequest request) =>
        {
            if (!Ids.TryRead(id, out int number))
                return Ids.Refuse(id);
            BookRatings? stars = ratings is null
                ? null
                : (await ratings.GetAsync($"/ratings/{number}", request, BookinfoJson.Default.BookRatings)).Value;
            Review[] reviews = [.. Opinions.Select(o => new Review(o.Reviewer, o.Text, Rate(settings, stars, o.Reviewer)))];
            return Results.Ok(new BookReviews(number.ToString(), settings.PodName, settings.ClusterName, reviews));
        });
    }

    private static Rating? Rate(Settings settings, BookRatings? stars, string reviewer)
    {
        if (settings.StarColor is null)
            return null;
        return stars is not null && stars.Ratings.TryGetValue(reviewer, out int count)
            ? new Rating(count, settings.StarColor, null)
            : new Rating(null, null, "Ratings service is currently unavailable");
    }
}
