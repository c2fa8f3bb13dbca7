// What callers meet: names of services that resolve for any child of the mesh without root, and failures that are not hidden behind the
// good answer of somebody in between.
using System.Text.Json;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Local;

public sealed class CallerTests(SmallMesh fixture) : IClassFixture<SmallMesh>
{
    private const string ByCurl = "curl -s -m 30 \"$1\"";
    private const string ByPython =
        "/usr/bin/python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=30).read().decode(), end=\"\")' \"$1\"";

    private async Task<string> ChildAsync(string script, string url, IReadOnlyDictionary<string, string?>? environment = null,
        params string[] options)
    {
        ProcessResult result = await fixture.Mesh.NaruAsync(environment ?? new Dictionary<string, string?>(),
            ["run", "--name", "child", "--quiet", .. options, "--", "/bin/sh", "-c", script, "sh", url]);
        return result.Output.TrimEnd('\n');
    }

    [Theory]
    [InlineData(ByCurl, "http://caller/")]
    [InlineData(ByCurl, "http://caller.default/")]
    [InlineData(ByCurl, "http://caller.default.svc.cluster.local:80/")]
    [InlineData(ByPython, "http://caller/")]
    [InlineData(ByPython, "http://caller.default.svc/")]
    public async Task Names_of_services_resolve_for_children_without_root(string script, string url) =>
        Assert.Equal("caller", await ChildAsync(script, url));

    [Theory]
    [InlineData(ByCurl)]
    [InlineData(ByPython)]
    public async Task This_machines_own_addresses_are_not_asked_of_the_sidecar(string script)
    {
        using var witness = new System.Net.HttpListener();
        int port = FreePort();
        witness.Prefixes.Add($"http://localhost:{port}/");
        witness.Start();
        Task answer = Task.Run(async () =>
        {
            System.Net.HttpListenerContext context = await witness.GetContextAsync();
            byte[] body = "beside"u8.ToArray();
            context.Response.ContentLength64 = body.Length;
            await context.Response.OutputStream.WriteAsync(body);
            context.Response.Close();
        });
        Assert.Equal("beside", await ChildAsync(script, $"http://localhost:{port}/"));
        await answer;
    }

    [Fact]
    public async Task Whoever_has_a_proxy_of_his_own_may_keep_it()
    {
        const string Show = "echo \"$http_proxy $HTTP_PROXY $no_proxy\"";
        var mine = new Dictionary<string,
            string?>
        { ["http_proxy"] = "http://mine:1", ["HTTP_PROXY"] = null, ["no_proxy"] = "corp.example", ["NO_PROXY"] = null };
        Assert.Equal("http://mine:1  corp.example", await ChildAsync(Show, "", mine, "--no-proxy"));
        Assert.Matches(@"^http://127\.\d+\.\d+\.\d+:15080 http://\S+:15080 localhost,\S+,corp\.example$", await ChildAsync(Show, "", mine));
    }

    [Fact]
    public async Task A_caller_whose_calls_fail_is_named_though_it_answers_well()
    {
        // Its service has no pod at all; it says 200 whatever comes of that.
        const string Hides = """
            import os, http.server, urllib.request, urllib.error
            class Handler(http.server.BaseHTTPRequestHandler):
                def do_GET(self):
                    try: urllib.request.urlopen("http://nobody/", timeout=30)
                    except urllib.error.HTTPError: pass
                    self.send_response(200)
                    self.send_header("content-length", "0")
                    self.end_headers()
            http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
            """;
        using var folder = new TempFolder();
        folder.Write("hides.py", Hides);
        folder.Write("nobody.yaml",
            "apiVersion: v1\nkind: Service\nmetadata: { name: nobody }\nspec: { selector: { app: nobody }, ports: [{ name: http, port: 80 }] }\n");
        folder.Write("hides.yaml", OwnServiceTests.Manifest("hides", $"{OwnServiceTests.Python} hides.py"));
        await using LocalMesh mesh = await LocalMesh.UpAsync(folder.Root);
        Assert.DoesNotContain("in vain", (await mesh.NaruAsync("status")).Output);
        using var request = new HttpRequestMessage(HttpMethod.Get, "/") { Headers = { Host = "hides.localhost" } };
        using HttpResponseMessage answer = await mesh.Http.SendAsync(request);
        Assert.True(answer.IsSuccessStatusCode);
        await Waiting.UntilAsync(async () => (await mesh.StatusAsync()).GetProperty("failingCalls").GetArrayLength() > 0, "the failed call",
            LocalMesh.Bound);
        JsonElement call = (await mesh.StatusAsync()).GetProperty("failingCalls").EnumerateArray().Single();
        Assert.Equal(("hides", "nobody"), (call.GetProperty("caller").GetString(), call.GetProperty("service").GetString()));
        Assert.Matches(@"(?m)^hides calls nobody in vain: \d+ of \d+ calls? in the last \d+ s$", (await mesh.NaruAsync("status")).Output);
    }

    private static int FreePort()
    {
        using var socket = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        socket.Start();
        return ((System.Net.IPEndPoint)socket.LocalEndpoint).Port;
    }
}
