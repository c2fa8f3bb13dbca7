// The service `details`: what is printed on the first pages of a book. It calls nobody.
namespace Bookinfo;

/// <summary><c>GET /details/{id}</c>, <c>GET /health</c>.</summary>
public static class Details
{
    /// <summary>Adds the routes.</summary>
    public static void Map(WebApplication app)
    {
        app.MapGet("/health", () => TypedResults.Ok(new Health("Details is healthy")));
        app.MapGet("/details/{id}", (string id) => Ids.TryRead(id, out int number)
            ? Results.Ok(new BookDetails(number, "William Shakespeare", 1595, "paperback", 200, "PublisherA", "English",
                "1234567890", "123-1234567890"))
            : Ids.Refuse(id));
    }
}
