// The gateway of a local mesh as somebody meets it first: by browser, by curl, by a program, by a name that is not there; and what
// `naru logs` says of it afterwards.
using System.Text.Json;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Local;

/// <summary>A mesh of one service and no Gateway.</summary>
public sealed class GatewaylessMesh : IAsyncLifetime
{
    private readonly TempFolder _folder = new();

    internal LocalMesh Mesh { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Mesh = await LocalMesh.UpAsync(_folder.Write("one.yaml", LifeTests.Details));

    public async ValueTask DisposeAsync()
    {
        if (Mesh is not null) await Mesh.DisposeAsync();
        _folder.Dispose();
    }
}

public sealed class FrontPageTests(GatewaylessMesh fixture) : IClassFixture<GatewaylessMesh>
{
    private LocalMesh Mesh => fixture.Mesh;

    private int Port => Mesh.Gateway.Port;

    // The name is curl's to resolve, as a browser does: nothing here says where localhost is.
    private static async Task<ProcessResult> CurlAsync(params string[] arguments) =>
        await ChildProcess.RunAsync(Tools.Path("curl", "curl"), ["-sS", "--noproxy", "*", "--max-time", "60", .. arguments]);

    private async Task<(int Status, string Body)> GetAsync(string url, params string[] arguments)
    {
        ProcessResult result = await CurlAsync([.. arguments, "-w", "\n%{http_code}", url]);
        Assert.True(result.ExitCode == 0, result.All);
        string text = result.Output.TrimEnd('\n');
        int line = text.LastIndexOf('\n');
        return (int.Parse(text[(line + 1)..]), text[..Math.Max(line, 0)]);
    }

    [Fact]
    public async Task Without_a_Gateway_a_service_is_reached_by_its_name()
    {
        Assert.Equal(200, (await GetAsync($"http://details.localhost:{Port}/details/0")).Status);
        Assert.Equal(200, (await GetAsync($"http://details.default.localhost:{Port}/details/0")).Status);
        (int status, string body) = await GetAsync($"http://DETAILS.localhost:{Port}/details/0");
        Assert.True(status == 200, body);
    }

    [Fact]
    public async Task A_browser_finds_a_page_with_links_that_work()
    {
        (int status, string page) = await GetAsync($"http://localhost:{Port}/", "-H", "Accept: text/html,application/xhtml+xml,*/*;q=0.8");
        Assert.Equal(200, status);
        Assert.Contains($"<a href=\"http://details.localhost:{Port}\">", page);
        (status, page) = await GetAsync($"http://localhost:{Port}/nothing", "-H", "Accept: text/html");
        Assert.Equal(404, status);
        Assert.Contains("/nothing", page);
        ProcessResult head = await CurlAsync("-I", "-H", "Accept: text/html", $"http://localhost:{Port}/");
        Assert.StartsWith("HTTP/1.1 200", head.Output);
        Assert.Contains("Content-Security-Policy: default-src 'none'", head.Output, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task A_name_that_is_not_there_is_answered_with_what_is_near()
    {
        (int status, string text) = await GetAsync($"http://detials.localhost:{Port}/");
        Assert.Equal(404, status);
        Assert.Contains($"did you mean  http://details.localhost:{Port}", text);
        (status, text) = await GetAsync($"http://detials.localhost:{Port}/", "-H", "Accept: application/json");
        Assert.Equal(404, status);
        Assert.Equal($"http://details.localhost:{Port}", JsonDocument.Parse(text).RootElement.GetProperty("didYouMean")[0].GetString());
    }

    [Fact]
    public async Task The_page_is_for_this_machine_and_nothing_else_is_behind_it()
    {
        foreach (string[] strange in new string[][] { ["-H", "Host: evil.example.com"], ["-H", "Origin: http://evil.example.com"],
            ["-X", "POST"], ["-X", "POST", "-H", "Host: localhost", "--path-as-is"] })
        {
            (int status, string text) = await GetAsync($"http://127.0.0.1:{Port}/", ["-H", "Accept: text/html", .. strange]);
            Assert.Equal(404, status);
            Assert.DoesNotContain("details", text);
        }
        // The client cannot say who it is.
        Assert.Equal(200, (await GetAsync($"http://localhost:{Port}/", "-H", "Accept: text/html", "-H", "x-naru-client: 203.0.113.1")).Status);
        // The runner's own door is another one.
        Assert.Equal(404, (await GetAsync($"http://localhost:{Port}/v1/status", "-H", "Accept: application/json")).Status);
        Assert.Equal(404, (await GetAsync($"http://localhost:{Port}/v1/down", "-X", "POST")).Status);
        Assert.Equal(0, (await Mesh.NaruAsync("status")).ExitCode);
    }

    [Fact]
    public async Task A_process_of_the_user_has_its_name_as_soon_as_it_is_in_the_mesh()
    {
        string bookinfo = Path.Combine(AppContext.BaseDirectory, "bookinfo.dll");
        await using ChildProcess run = Mesh.StartNaru("run", "--name", "orders", "--port",
            $"{Loopback.FreePort()}", "--", "dotnet", bookinfo, "details");
        await run.LineAsync("in the mesh as", LocalMesh.Bound);
        await Waiting.UntilAsync(async () =>
            (await GetAsync($"http://orders.localhost:{Port}/details/0")).Status == 200, "the gateway to know orders", LocalMesh.Bound);
        run.Terminate();
        await run.ExitAsync(LocalMesh.Bound);
        await Waiting.UntilAsync(async () =>
            (await GetAsync($"http://orders.localhost:{Port}/")).Body.Contains("no service of this mesh is called orders"), "orders to be gone", LocalMesh.Bound);
        Assert.Contains("GET orders.localhost", (await Mesh.NaruAsync("logs", "gateway")).Output);
        Assert.Contains("GET /details/0", (await Mesh.NaruAsync("logs", "orders")).Output);
    }

    [Fact]
    public async Task A_service_without_a_pod_is_told_by_name_with_what_to_type()
    {
        string url = $"http://details.localhost:{Port}/details/0?a=1&b='";
        Assert.Equal(0, (await Mesh.NaruAsync("scale", "deployment/details", "--replicas", "0")).ExitCode);
        try
        {
            await Waiting.UntilAsync(async () => (await GetAsync(url, "-H", "Accept: text/html,*/*;q=0.8")) is { Status: 503 } answer
                && answer.Body.Contains("<h1>No pod of details can take requests</h1>", StringComparison.Ordinal), "the page",
                LocalMesh.Bound);
            (int status, string text) = await GetAsync(url);
            string explain = $"  naru explain GET 'http://details.localhost:{Port}/details/0?a=1&b=%27'\n";
            Assert.Equal(503, status);
            Assert.StartsWith("NARU-U503 ", text);
            Assert.EndsWith($"  naru status\n  naru logs details\n{explain}", text);
            (status, text) = await GetAsync(url, "-H", "Accept: application/json");
            Assert.Equal((503, "details"), (status, JsonDocument.Parse(text).RootElement.GetProperty("service").GetString()));
            // What it says to type is there to be typed.
            JsonElement next = JsonDocument.Parse(text).RootElement.GetProperty("next");
            foreach (string command in next.EnumerateArray().Select(c => c.GetString()!))
            {
                ProcessResult typed = await Mesh.NaruAsync([.. command.Split(' ').Skip(1).Select(w => w.Trim('\''))]);
                Assert.True(typed.ExitCode is 0 or 1, $"{command}: {typed.All}");
            }
            string[] strange = ["-H", "Host: details.example.com", "-H", "Accept: text/html"];
            (_, text) = await GetAsync($"http://127.0.0.1:{Port}/details/0", strange);
            Assert.DoesNotContain("details", text);
        }
        finally
        {
            await Mesh.NaruAsync("scale", "deployment/details", "--replicas", "1");
        }
        await Waiting.UntilAsync(async () => (await GetAsync(url)).Status == 200, "details to be back", LocalMesh.Bound);
    }

    [Fact]
    public async Task A_host_that_a_rule_names_is_the_rules()
    {
        using var folder = new TempFolder();
        string rules = folder.Write("mine.yaml", """
            apiVersion: networking.istio.io/v1
            kind: Gateway
            metadata: {name: mine}
            spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["details.localhost"]}]}
            ---
            apiVersion: networking.istio.io/v1
            kind: VirtualService
            metadata: {name: mine}
            spec: {hosts: ["details.localhost"], gateways: [mine], http: [{match: [{uri: {exact: /mine}}], directResponse: {status: 418}}]}
            """);
        ProcessResult applied = await Mesh.NaruAsync("apply", "-f", rules);
        Assert.True(applied.ExitCode == 0, applied.All);
        try
        {
            await Waiting.UntilAsync(async () =>
                (await GetAsync($"http://details.localhost:{Port}/mine")).Status == 418, "the rule", LocalMesh.Bound);
            (int status, string text) = await GetAsync($"http://details.localhost:{Port}/details/0");
            Assert.Equal(404, status);
            Assert.Contains($"http://details.localhost:{Port}/mine", text);
            Assert.Equal(200, (await GetAsync($"http://details.default.localhost:{Port}/details/0")).Status);
        }
        finally
        {
            await Mesh.NaruAsync("delete", "-f", rules);
        }
        await Waiting.UntilAsync(async () =>
            (await GetAsync($"http://details.localhost:{Port}/details/0")).Status == 200, "the name to be the service's again", LocalMesh.Bound);
    }

    [Fact]
    public async Task Logs_show_what_came_to_the_gateway_and_to_the_service()
    {
        string path = $"/details/0?ask={Guid.NewGuid():N}";
        Assert.Equal(200, (await GetAsync($"http://details.localhost:{Port}{path}")).Status);
        Assert.Equal(404, (await GetAsync($"http://127.0.0.1:{Port}{path}", "-H", "Host: nobody.example.com")).Status);
        foreach ((string who, string line) in new[] { ("deploy/details",
            $"200 GET {path}"), ("istio-ingressgateway", $"200 GET details.localhost:{Port}{path}"), ("gateway", $"404 GET nobody.example.com{path}") })
        {
            await Waiting.UntilAsync(async () => (await Mesh.NaruAsync("logs", who)).Output.Contains(line, StringComparison.Ordinal), line,
                LocalMesh.Bound);
        }
        Assert.Contains("NR  NARU-R404 no route", (await Mesh.NaruAsync("logs", "gateway")).Output);
        Assert.DoesNotContain("\u001b", (await Mesh.NaruAsync("logs")).Output);

        string[] json = (await Mesh.NaruAsync("logs", "details", "--requests", "-o", "json", "--tail", "1"))
            .Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        // One of each pod.
        JsonElement[] requests = [.. json.Select(l => JsonDocument.Parse(l).RootElement)];
        Assert.NotEmpty(requests);
        Assert.Equal(requests.Length, requests.Select(r => r.GetProperty("pod").GetString()).Distinct().Count());
        Assert.All(requests, r => Assert.Equal(("inbound", "GET"), (r.GetProperty("kind").GetString(), r.GetProperty("method").GetString())));

        // Who has seen enough ends it.
        ProcessResult first = await ChildProcess.RunAsync("/bin/sh", ["-c", $"'{Programs.Naru()}' logs details -f | head -n 1"],
            environment: new Dictionary<string, string?> { ["NARU_HOME"] = Path.GetFullPath(Path.Combine(Mesh.Folder, "..", "..")), ["NARU_MESH"] = null });
        Assert.Equal((0, 1), (first.ExitCode, first.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length));

        string app = (await Mesh.NaruAsync("logs", "details", "--app")).Output;
        Assert.Contains("listens on", app);
        Assert.DoesNotContain("GET /details", app);
        Assert.Empty((await Mesh.NaruAsync("logs", "details", "--since", "0s")).Output);
        Assert.Equal(2, (await Mesh.NaruAsync("logs", "details", "--since", "soon")).ExitCode);
        Assert.Contains("did you mean \"details\"", (await Mesh.NaruAsync("logs", "detials")).Error);
    }
}
