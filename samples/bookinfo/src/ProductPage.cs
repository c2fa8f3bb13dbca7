// The service `productpage`: the page that people see, and the same as JSON under /api/v1/products.
// It calls `details` and `reviews`; where one fails, the page says so and shows the rest.
using System.Text;
using System.Text.Json.Serialization.Metadata;

namespace Bookinfo;

/// <summary><c>/</c>, <c>/productpage</c>, <c>/login</c>, <c>/logout</c>, <c>/health</c>, <c>/api/v1/products…</c>.</summary>
public sealed class ProductPage
{
    /// <summary>Cookie with the name of who signed in. There is no password, hence nothing that a signature could protect.</summary>
    public const string UserCookie = "user";

    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(3);
    private static readonly Product[] Products =
    [
        new(0, "The Comedy of Errors",
            "<a href=\"https://en.wikipedia.org/wiki/The_Comedy_of_Errors\">The Comedy of Errors</a> is the shortest play of "
            + "<b>William Shakespeare</b> and one of his first: two pairs of identical twins, parted by a shipwreck, "
            + "walk about one town on one day, and everybody takes everybody for somebody else."),
    ];

    private readonly Settings settings;
    private readonly Upstream details;
    private readonly Upstream reviews;
    private readonly Upstream ratings;

    private ProductPage(Settings settings)
    {
        this.settings = settings;
        details = new Upstream(settings.Details, Timeout);
        // Asked twice, three seconds each: the known stories about delays count on it.
        reviews = new Upstream(settings.Reviews, Timeout, attempts: 2);
        ratings = new Upstream(settings.Ratings, Timeout);
    }

    /// <summary>Adds the routes.</summary>
    public static void Map(WebApplication app, Settings settings)
    {
        var page = new ProductPage(settings);
        app.MapGet("/", Index);
        app.MapGet("/index.html", Index);
        app.MapGet("/health", () => Results.Text("Product page is healthy"));
        app.MapGet("/static/favicon.svg", () => Results.Text(Page.Icon, "image/svg+xml"));
        app.MapGet("/productpage", page.FrontAsync);
        app.MapPost("/login", LoginAsync);
        app.MapGet("/logout", Logout);
        app.MapGet("/api/v1/products", () => TypedResults.Ok(Products));
        app.MapGet("/api/v1/products/{id}", (string id, HttpRequest request) =>
            page.RelayAsync(page.details, "details", id, request, BookinfoJson.Default.BookDetails));
        app.MapGet("/api/v1/products/{id}/reviews", (string id, HttpRequest request) =>
            page.RelayAsync(page.reviews, "reviews", id, request, BookinfoJson.Default.BookReviews));
        app.MapGet("/api/v1/products/{id}/ratings", (string id, HttpRequest request) =>
            page.RelayAsync(page.ratings, "ratings", id, request, BookinfoJson.Default.BookRatings));
    }

    private static IResult Index(HttpResponse response) => Html(response, Page.Index());

    private async Task<IResult> FrontAsync(HttpRequest request, HttpResponse response)
    {
        string? user = SignedIn(request);
        Product product = Products[0];
        Task<Reply<BookDetails>> asked = details.GetAsync($"/details/{product.Id}", request, BookinfoJson.Default.BookDetails, user);
        Reply<BookReviews> opinions = await reviews.GetAsync($"/reviews/{product.Id}", request, BookinfoJson.Default.BookReviews, user);
        Reply<BookDetails> facts = await asked;
        return Html(response, Page.Product(settings, product, facts, opinions, user));
    }

    private async Task<IResult> RelayAsync<T>(Upstream upstream, string what, string id, HttpRequest request, JsonTypeInfo<T> type)
        where T : class
    {
        if (!Ids.TryRead(id, out int number))
            return Ids.Refuse(id);
        Reply<T> reply = await upstream.GetAsync($"/{what}/{number}", request, type, SignedIn(request));
        return reply.Value is { } value
            ? Results.Json(value, type)
            : Results.Json(new Failure(Page.Sorry(what)), BookinfoJson.Default.Failure, statusCode: reply.Status);
    }

    private static async Task<IResult> LoginAsync(HttpRequest request, HttpResponse response)
    {
        string? user = request.HasFormContentType ? (await request.ReadFormAsync())["username"] : request.Query["username"];
        if (!IsUser(user))
            return Results.Text("A user's name has 1 to 64 letters, digits or signs of ASCII.\n", statusCode: 400);
        response.Cookies.Append(UserCookie, user!, new CookieOptions { HttpOnly = true, SameSite = SameSiteMode.Lax, Path = "/" });
        // To the page, not to the referrer: a redirect to where a stranger points is not ours to give.
        return Results.Redirect("/productpage");
    }

    private static IResult Logout(HttpResponse response)
    {
        response.Cookies.Delete(UserCookie);
        return Results.Redirect("/productpage");
    }

    private static string? SignedIn(HttpRequest request) => request.Cookies[UserCookie] is { } user && IsUser(user) ? user : null;

    // It becomes the header `end-user`, so it must be what a header can carry.
    private static bool IsUser(string? user) => user is { Length: > 0 and <= 64 } && user.All(c => c is > ' ' and < '\x7f');

    private static IResult Html(HttpResponse response, string html)
    {
        response.Headers.CacheControl = "no-store";
        response.Headers.ContentSecurityPolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; form-action 'self'";
        return Results.Text(html, "text/html", Encoding.UTF8);
    }
}
