// The control plane's HTTP side: apply, read, delete, diagnostics, who may ask, what is shown.
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Naru.Control.Host;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.ControlPlane;

public sealed class RestTests
{
    [Fact]
    public async Task What_is_applied_is_there_is_listed_survives_a_restart_and_can_be_deleted()
    {
        using var folder = new TempFolder();
        await using (RunningControlPlane control = await RunningControlPlane.StartAsync(folder))
        {
            (HttpStatusCode status, JsonElement created) = await control.ApplyAsync(Manifests.Service("a", 80, 80) + Manifests.Subsets("a"));
            Assert.Equal(HttpStatusCode.OK, status);
            Assert.Equal(["Service/a/created", "DestinationRule/a/created"], Actions(created));
            Assert.Equal(["Service/a/unchanged"], Actions((await control.ApplyAsync(Manifests.Service("a", 80, 80))).Json));
            Assert.Equal(["Service/a/configured"], Actions((await control.ApplyAsync(Manifests.Service("a", 81, 80))).Json));
            (status, JsonElement refused) = await control.ApplyAsync(Manifests.Service("a", 82, 80), "?createOnly=true");
            Assert.Equal(HttpStatusCode.UnprocessableEntity, status);
            Assert.Contains("exists already", refused.GetRawText(), StringComparison.Ordinal);
            (status, JsonElement dry) = await control.ApplyAsync(Manifests.Service("b", 82, 80), "?dryRun=true");
            Assert.Equal(HttpStatusCode.OK, status);
            Assert.Equal(["Service/b/created"], Actions(dry));
            Assert.Equal(["a"], await NamesAsync(control, "kind=service"));
        }
        await using (RunningControlPlane control = await RunningControlPlane.StartAsync(folder))
        {
            Assert.Equal(["a"], await NamesAsync(control, "kind=Service&namespace=default&name=a"));
            Assert.Empty(await NamesAsync(control, "kind=Service&namespace=other"));
            Assert.Equal(HttpStatusCode.OK, (await control.Client.DeleteAsync("api/v1/objects/service/default/a")).StatusCode);
            HttpResponseMessage again = await control.Client.DeleteAsync("api/v1/objects/Service/default/a");
            Assert.Equal(HttpStatusCode.NotFound, again.StatusCode);
            Assert.Empty(await NamesAsync(control, "kind=Service"));
        }
    }

    [Fact]
    public async Task A_document_with_a_fault_is_refused_whole_with_file_and_line()
    {
        using var folder = new TempFolder();
        await using RunningControlPlane control = await RunningControlPlane.StartAsync(folder);
        string good = Manifests.Service("good", 80, 80);
        string bad = Manifests.Split("good", 60, 40).Replace("weight: 60", "wieght: 60", StringComparison.Ordinal);
        (HttpStatusCode status, JsonElement json) = await control.ApplyAsync(good + bad, "?file=rules.yaml");
        Assert.Equal(HttpStatusCode.UnprocessableEntity, status);
        JsonElement fault = json.GetProperty("diagnostics").EnumerateArray().Single(d => d.GetProperty("message").GetString()!.Contains("wieght", StringComparison.Ordinal));
        Assert.Equal("rules.yaml", fault.GetProperty("file").GetString());
        int line = 1 + (good + bad).Split('\n').Index().Single(l => l.Item.Contains("wieght", StringComparison.Ordinal)).Index;
        Assert.Equal(line, fault.GetProperty("line").GetInt32());
        Assert.Equal("error", fault.GetProperty("severity").GetString());
        Assert.Empty(await NamesAsync(control, ""));
    }

    [Theory]
    [InlineData("127.0.0.1:1", 200)]
    [InlineData("localhost", 200)]
    [InlineData("LOCALHOST:80", 200)]
    [InlineData("[::1]:15014", 200)]
    [InlineData("127.9.9.9", 200)]
    [InlineData("evil.com", 403)]
    [InlineData("127.0.0.1.evil.com", 403)]
    [InlineData("localhost.evil.com", 403)]
    [InlineData("169.254.169.254", 403)]
    [InlineData("0.0.0.0", 403)]
    public async Task A_host_that_is_not_ours_is_refused(string host, int status)
    {
        using var folder = new TempFolder();
        await using RunningControlPlane control = await RunningControlPlane.StartAsync(folder);
        using var request = new HttpRequestMessage(HttpMethod.Get, "ready") { Headers = { Host = host } };
        Assert.Equal(status, (int)(await control.Client.SendAsync(request)).StatusCode);
    }

    [Theory]
    [InlineData("GET", "api/v1/objects")]
    [InlineData("GET", "api/v1/diagnostics")]
    [InlineData("GET", "api/v1/proxies")]
    [InlineData("POST", "api/v1/apply")]
    [InlineData("DELETE", "api/v1/objects/Service/default/a")]
    [InlineData("GET", "debug/syncz")]
    [InlineData("GET", "debug/configz")]
    [InlineData("GET", "debug/registryz")]
    [InlineData("GET", "debug/endpointz")]
    [InlineData("GET", "debug/config_dump?proxyID=x")]
    [InlineData("GET", "no/such/page")]
    public async Task Nothing_but_ready_and_metrics_is_shown_without_the_token(string method, string path)
    {
        using var folder = new TempFolder();
        await using RunningControlPlane control = await RunningControlPlane.StartAsync(folder);
        foreach (AuthenticationHeaderValue? value in new[] { null, new("Bearer", "wrong"), new("Bearer", control.Token[..^1]), new("Basic", control.Token), new AuthenticationHeaderValue("Bearer", control.Token + "x") })
        {
            control.Client.DefaultRequestHeaders.Authorization = value;
            using var request = new HttpRequestMessage(new HttpMethod(method), path) { Content = method == "POST" ? new StringContent(Manifests.Service("a", 80, 80)) : null };
            HttpResponseMessage answer = await control.Client.SendAsync(request);
            Assert.Equal(HttpStatusCode.Unauthorized, answer.StatusCode);
            Assert.DoesNotContain(control.Token, await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }
        Assert.Equal(HttpStatusCode.OK, (await control.Client.GetAsync("ready")).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await control.Client.GetAsync("metrics")).StatusCode);
        Assert.DoesNotContain(control.Token, control.Log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_token_is_made_for_its_owner_only_and_kept()
    {
        using var folder = new TempFolder();
        string token;
        await using (RunningControlPlane control = await RunningControlPlane.StartAsync(folder))
        {
            token = control.Token;
            Assert.True(token.Length >= 64);
            if (!OperatingSystem.IsWindows()) Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(control.TokenFile));
        }
        await using RunningControlPlane again = await RunningControlPlane.StartAsync(folder);
        Assert.Equal(token, again.Token);
    }

    [Fact]
    public async Task Bodies_are_bounded_and_must_be_text()
    {
        using var folder = new TempFolder();
        await using RunningControlPlane control = await RunningControlPlane.StartAsync(folder);
        using var request = new HttpRequestMessage(HttpMethod.Post, "api/v1/apply") { Content = new ByteArrayContent(new byte[11 * 1024 * 1024]), Headers = { ExpectContinue = true } };
        HttpResponseMessage large = await control.Client.SendAsync(request);
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, large.StatusCode);
        HttpResponseMessage binary = await control.Client.PostAsync("api/v1/apply", new ByteArrayContent([0xFF, 0xFE, 0x80]));
        Assert.Equal(HttpStatusCode.BadRequest, binary.StatusCode);
        foreach (string text in new[] { "", "---\n", "{", "[]", "42", new string('[', 10_000), new string(' ', 5000) + "a: {", "a: &x [*x, *x]", "kind: Service", "kind: [1]\napiVersion: {}\nmetadata: 3" })
        {
            (HttpStatusCode status, JsonElement json) = await control.ApplyAsync(text);
            Assert.Equal(HttpStatusCode.UnprocessableEntity, status);
            Assert.NotEqual(0, json.GetProperty("diagnostics").GetArrayLength());
        }
        Assert.Equal(HttpStatusCode.BadRequest, (await control.ApplyAsync(Manifests.Service("a", 80, 80), "?dryRun=perhaps")).Status);
        Assert.Equal(HttpStatusCode.MethodNotAllowed, (await control.Client.GetAsync("api/v1/apply")).StatusCode);
    }

    [Fact]
    public async Task A_get_changes_nothing_and_names_are_data_not_markup()
    {
        using var folder = new TempFolder();
        await using RunningControlPlane control = await RunningControlPlane.StartAsync(folder, new() { ["mesh.yaml"] = Manifests.Service("a", 80, 8080) + Manifests.Pod("a", "v1", IPAddress.Parse("127.250.1.1"), 8080) });
        string evil = "<img src=x onerror=alert(1)>";
        using var client = new WireClient(control, WireClient.Grpc(evil));
        await client.AskAsync(WireClient.C, []);
        await client.NextAsync();
        foreach (string page in new[] { "api/v1/proxies", "debug/syncz", "debug/configz", "debug/registryz", "debug/endpointz", "api/v1/diagnostics", "api/v1/objects", $"debug/config_dump?proxyID={Uri.EscapeDataString(evil)}" })
        {
            HttpResponseMessage answer = await control.Client.GetAsync(page);
            Assert.True(answer.IsSuccessStatusCode, $"{page}: {await answer.Content.ReadAsStringAsync()}");
            Assert.Equal("application/json", answer.Content.Headers.ContentType?.MediaType);
            Assert.Equal("nosniff", answer.Headers.GetValues("X-Content-Type-Options").Single());
            Assert.DoesNotContain("<img", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }
        string endpoints = (await control.GetAsync("debug/endpointz")).GetRawText();
        Assert.Contains("127.250.1.1", endpoints, StringComparison.Ordinal);
        Assert.Contains("outbound|80||a.default.svc.cluster.local", (await control.GetAsync($"debug/config_dump?proxyID={Uri.EscapeDataString(evil)}")).GetRawText(), StringComparison.Ordinal);
        string metrics = await control.Client.GetStringAsync("metrics");
        Assert.Contains("pilot_xds 1\n", metrics, StringComparison.Ordinal);
        Assert.DoesNotContain("img", metrics, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Rest_is_not_to_be_had_on_the_xds_port_and_grpc_not_on_the_other()
    {
        using var folder = new TempFolder();
        await using RunningControlPlane control = await RunningControlPlane.StartAsync(folder);
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { DefaultRequestVersion = HttpVersion.Version20, DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact };
        Assert.Equal(HttpStatusCode.NotFound, (await http.GetAsync($"http://{control.Xds}/api/v1/objects")).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await http.GetAsync($"http://{control.Xds}/metrics")).StatusCode);
        HttpResponseMessage grpc = await control.Client.PostAsync("envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources", new ByteArrayContent([]));
        Assert.Equal(HttpStatusCode.NotFound, grpc.StatusCode);
    }

    [Fact]
    public async Task Options_that_cannot_be_met_are_refused_in_words()
    {
        using var folder = new TempFolder();
        var options = new ControlOptions { XdsAddress = new(IPAddress.Loopback, 0), HttpAddress = new(IPAddress.Loopback, 0), Log = TextWriter.Null };
        Assert.Contains("no such file", (await RefusedAsync(options with { Config = [folder.At("nowhere")] })).Message, StringComparison.Ordinal);
        Assert.Contains("at least 16", (await RefusedAsync(options with { TokenFile = folder.Write("short", "abc") })).Message, StringComparison.Ordinal);
        using var taken = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        taken.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        taken.Listen();
        Assert.Contains("cannot listen", (await RefusedAsync(options with { XdsAddress = (IPEndPoint)taken.LocalEndPoint! })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task One_broken_file_is_named_and_the_others_work()
    {
        using var folder = new TempFolder();
        await using RunningControlPlane control = await RunningControlPlane.StartAsync(folder, new()
        {
            ["good.yaml"] = Manifests.Service("good", 80, 80),
            ["broken.yaml"] = Manifests.Split("good", 60, 40).Replace("route:", "rout:", StringComparison.Ordinal),
        });
        JsonElement[] faults = [.. (await control.GetAsync("api/v1/diagnostics")).GetProperty("diagnostics").EnumerateArray().Where(d => d.GetProperty("severity").GetString() == "error")];
        Assert.NotEmpty(faults);
        Assert.All(faults, f => Assert.EndsWith("broken.yaml", f.GetProperty("file").GetString(), StringComparison.Ordinal));
        Assert.All(faults, f => Assert.NotEqual(0, f.GetProperty("line").GetInt32()));
        Assert.Equal(["good"], await NamesAsync(control, "kind=Service"));
    }

    private static async Task<ControlOptionsException> RefusedAsync(ControlOptions options) =>
        await Assert.ThrowsAsync<ControlOptionsException>(() => Naru.Control.Host.ControlPlane.RunAsync(options, CancellationToken.None).Within("the refusal"));

    private static string[] Actions(JsonElement json) => [.. json.GetProperty("objects").EnumerateArray()
        .Select(o => $"{o.GetProperty("kind").GetString()}/{o.GetProperty("name").GetString()}/{o.GetProperty("action").GetString()}")];

    private static async Task<string[]> NamesAsync(RunningControlPlane control, string query) =>
        [.. (await control.GetAsync("api/v1/objects?" + query)).GetProperty("items").EnumerateArray().Select(o => o.GetProperty("metadata").GetProperty("name").GetString()!)];
}
