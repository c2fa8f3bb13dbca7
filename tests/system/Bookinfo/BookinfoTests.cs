// The sample by itself, over HTTP, without a mesh: what its users and the mesh's tests count on.
using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Bookinfo;

public sealed class BookinfoTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("v1", 0, null)]
    [InlineData("v2", 9, "black")]
    [InlineData("v3", 9, "red")]
    public async Task The_page_tells_the_versions_of_reviews_apart(string version, int stars, string? color)
    {
        await using BookinfoProcess ratings = await BookinfoProcess.StartAsync("ratings");
        await using BookinfoProcess details = await BookinfoProcess.StartAsync("details");
        await using BookinfoProcess reviews = await BookinfoProcess.StartAsync($"reviews --version {version}", ("RATINGS", ratings.Address));
        await using BookinfoProcess page = await BookinfoProcess.StartAsync("productpage",
            ("DETAILS", details.Address), ("REVIEWS", reviews.Address), ("RATINGS", ratings.Address));

        // The page waits three seconds for each: what a first request costs a process is not what is asked here.
        await details.Http.GetStringAsync("/details/0", Token);
        await reviews.Http.GetStringAsync("/reviews/0", Token);
        string html = await page.Http.GetStringAsync("/productpage", Token);

        Assert.Contains("The Comedy of Errors", html);
        Assert.Contains("William Shakespeare", html);
        Assert.Contains($"<u>reviews-{version}</u>", html);
        Assert.Equal(stars, Regex.Count(html, "glyphicon-star\""));
        Assert.Equal(color is not null, html.Contains($"style=\"color:{color}\"", StringComparison.Ordinal));
        Assert.DoesNotContain("Sorry", html);

        using JsonDocument api = JsonDocument.Parse(await page.Http.GetStringAsync("/api/v1/products/0/reviews", Token));
        Assert.Equal("0", api.RootElement.GetProperty("id").GetString());
        Assert.Equal($"reviews-{version}", api.RootElement.GetProperty("podname").GetString());
        Assert.Equal(color is not null, api.RootElement.GetProperty("reviews")[0].TryGetProperty("rating", out JsonElement rating));
        if (color is not null)
            Assert.Equal((5, color), (rating.GetProperty("stars").GetInt32(), rating.GetProperty("color").GetString()!));
    }

    [Fact]
    public async Task A_page_whose_services_are_gone_says_so_and_is_still_a_page()
    {
        var nobody = new Uri("http://127.0.0.1:1");
        await using BookinfoProcess page = await BookinfoProcess.StartAsync("productpage",
            ("DETAILS", nobody), ("REVIEWS", nobody), ("RATINGS", nobody));

        string html = await page.Http.GetStringAsync("/productpage", Token);
        Assert.Contains("Sorry, product reviews are currently unavailable for this book.", html);
        Assert.Contains("Sorry, product details are currently unavailable for this book.", html);

        using HttpResponseMessage api = await page.Http.GetAsync("/api/v1/products/0/ratings", Token);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, api.StatusCode);
        Assert.Contains("product ratings are currently unavailable", await api.Content.ReadAsStringAsync(Token));
    }

    [Fact]
    public async Task Traces_the_browser_and_who_signed_in_travel_along()
    {
        var seen = new ConcurrentQueue<(string Path, Dictionary<string, string> Headers)>();
        await using WebApplication peer = await PeerAsync(context =>
        {
            seen.Enqueue((context.Request.Path, context.Request.Headers.ToDictionary(h => h.Key.ToLowerInvariant(), h => h.Value.ToString())));
            context.Response.StatusCode = 503;
            return Task.CompletedTask;
        });
        Uri address = new(peer.Urls.First());
        await using BookinfoProcess page = await BookinfoProcess.StartAsync("productpage", ("DETAILS", address), ("REVIEWS", address));

        using HttpResponseMessage login = await page.Http.PostAsync("/login",
            new FormUrlEncodedContent([new("username", "jason"), new("passwd", "")]), Token);
        Assert.Equal(HttpStatusCode.Found, login.StatusCode);
        string cookie = login.Headers.GetValues("Set-Cookie").Single().Split(';')[0];

        Dictionary<string, string> sent = new()
        {
            ["x-request-id"] = "r-1",
            ["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ["tracestate"] = "a=b",
            ["b3"] = "0",
            ["x-b3-traceid"] = "463ac35c9f6413ad",
            ["x-b3-spanid"] = "a2fb4a1d1a96d312",
            ["x-b3-sampled"] = "1",
            ["x-ot-span-context"] = "c",
            ["x-datadog-trace-id"] = "7",
            ["user-agent"] = "Mozilla/5.0 (Linux; Android 15)",
            ["cookie"] = cookie,
        };
        using var request = new HttpRequestMessage(HttpMethod.Get, "/productpage");
        foreach ((string name, string value) in sent)
            request.Headers.TryAddWithoutValidation(name, value);
        request.Headers.TryAddWithoutValidation("end-user", "mallory");
        using HttpResponseMessage response = await page.Http.SendAsync(request, Token);
        Assert.Contains("jason", await response.Content.ReadAsStringAsync(Token));

        Assert.Equal(["/details/0", "/reviews/0", "/reviews/0"], seen.Select(s => s.Path).Order());
        foreach ((_, Dictionary<string, string> headers) in seen)
        {
            foreach ((string name, string value) in sent)
                Assert.Equal(value, headers[name]);
            Assert.Equal("jason", headers["end-user"]);
        }
        Assert.Contains(seen, s => s.Headers["host"] == $"details:{address.Port}");
    }

    [Fact]
    public async Task A_request_in_flight_is_finished_before_the_process_ends()
    {
        var arrived = new TaskCompletionSource();
        var release = new TaskCompletionSource();
        await using WebApplication peer = await PeerAsync(async context =>
        {
            arrived.TrySetResult();
            await release.Task;
            await context.Response.WriteAsync("""{"id":0,"ratings":{"Reviewer1":2,"Reviewer2":3}}""");
        });
        await using BookinfoProcess reviews = await BookinfoProcess.StartAsync("reviews --version v2", ("RATINGS", new Uri(peer.Urls.First())));

        Task<string> answer = reviews.Http.GetStringAsync("/reviews/0", Token);
        await arrived.Task.WaitAsync(Token);
        reviews.Process.Terminate();
        // It no longer accepts once it has understood; only then may the answer come.
        await RefusedAsync(reviews.Address);
        release.SetResult();

        Assert.Contains("\"stars\":2", await answer);
        Assert.Equal(0, (await reviews.Process.ExitAsync()).ExitCode);
    }

    [Fact]
    public async Task Ratings_keep_what_is_posted_and_refuse_what_is_not_stars()
    {
        await using BookinfoProcess ratings = await BookinfoProcess.StartAsync("ratings");

        Assert.Equal("""{"id":7,"ratings":{"Reviewer1":5,"Reviewer2":4}}""", await ratings.Http.GetStringAsync("/ratings/7", Token));
        using HttpResponseMessage posted = await ratings.Http.PostAsync("/ratings/7", new StringContent("""{"Reviewer1":1}"""), Token);
        Assert.Equal(HttpStatusCode.OK, posted.StatusCode);
        Assert.Equal("""{"id":7,"ratings":{"Reviewer1":1}}""", await ratings.Http.GetStringAsync("/ratings/7", Token));

        foreach (string body in new[] { "no json", """{"Reviewer1":6}""", "null", """{"Reviewer1":"5"}""" })
        {
            using HttpResponseMessage refused = await ratings.Http.PostAsync("/ratings/7", new StringContent(body), Token);
            Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);
        }
    }

    [Theory]
    [InlineData("productpage", "Product page is healthy")]
    [InlineData("details", """{"status":"Details is healthy"}""")]
    [InlineData("reviews", """{"status":"Reviews is healthy"}""")]
    [InlineData("ratings", """{"status":"Ratings is healthy"}""")]
    public async Task Every_service_says_that_it_is_healthy(string service, string body)
    {
        await using BookinfoProcess process = await BookinfoProcess.StartAsync(service);
        Assert.Equal(body, await process.Http.GetStringAsync("/health", Token));
    }

    [Theory]
    [InlineData("details", "/details/abc")]
    [InlineData("reviews", "/reviews/1;2")]
    [InlineData("ratings", "/ratings/-1")]
    public async Task A_product_that_is_not_a_number_is_refused(string service, string path)
    {
        await using BookinfoProcess process = await BookinfoProcess.StartAsync(service);
        using HttpResponseMessage response = await process.Http.GetAsync(path, Token);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Contains("\"error\"", await response.Content.ReadAsStringAsync(Token));
    }

    [Theory]
    [InlineData("shop", "no service \"shop\"")]
    [InlineData("reviews --version v9", "not \"v9\"")]
    [InlineData("reviews --versoin v2", "no option \"--versoin\"")]
    [InlineData("details --port x", "\"x\" is not a port")]
    public async Task A_wrong_command_line_ends_with_2_and_a_reason(string arguments, string reason)
    {
        ProcessResult result = await BookinfoProcess.RunAsync(arguments);
        Assert.Equal(2, result.ExitCode);
        Assert.Contains(reason, result.Error);
    }

    private static async Task<WebApplication> PeerAsync(RequestDelegate answer)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        WebApplication app = builder.Build();
        app.Run(answer);
        await app.StartAsync(Token);
        return app;
    }

    private static Task RefusedAsync(Uri address) => Waiting.UntilAsync(async () =>
    {
        using var socket = new System.Net.Sockets.TcpClient();
        try
        {
            await socket.ConnectAsync(address.Host, address.Port, Token);
            return false;
        }
        catch (System.Net.Sockets.SocketException)
        {
            return true;
        }
    }, "the port to be closed");
}
