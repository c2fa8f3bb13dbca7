// One's own service in a mesh (`naru run`): real servers of every kind, untouched, are found where they listen; what cannot be reached, and
// what somebody else's process holds, is said and gets no request.
using System.Net;
using System.Text.Json;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Local;

/// <summary>A mesh with one service, whose sidecar carries the tests' requests.</summary>
public sealed class SmallMesh : IAsyncLifetime
{
    private TempFolder _folder = null!;

    internal LocalMesh Mesh { get; private set; } = null!;
    internal HttpClient Http { get; private set; } = null!;
    internal TempFolder Folder => _folder;

    public async ValueTask InitializeAsync()
    {
        _folder = new TempFolder("naru-own-");
        _folder.Write("told.py", OwnServiceTests.Told);
        string manifest = _folder.Write("caller.yaml", OwnServiceTests.Manifest("caller", $"{OwnServiceTests.Python} told.py PORT caller"));
        Mesh = await LocalMesh.UpAsync(manifest);
        string address = LocalMesh.Pods(await Mesh.StatusAsync(), "caller").Single().GetProperty("address").GetString()!;
        Http = new HttpClient(new SocketsHttpHandler { Proxy = new WebProxy($"http://{address}:15080"), UseProxy = true });
    }

    public async ValueTask DisposeAsync()
    {
        Http?.Dispose();
        if (Mesh is not null) await Mesh.DisposeAsync();
        _folder.Dispose();
    }
}

public sealed class OwnServiceTests(SmallMesh fixture) : IClassFixture<SmallMesh>
{
    public const string Python = "/usr/bin/python3";

    // Takes its port from a variable, as most do.
    public const string Told = """
        import os, sys, http.server
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = sys.argv[2].encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
        http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ[sys.argv[1]])), Handler).serve_forever()
        """;

    // Opens what it was written to open, like Go's net.Listen(":8080"): address, ports; without "all" one after
    // the other, the next when a file says so.
    private const string Fixed = """
        import socket, sys, threading
        def serve(listener):
            while True:
                try: connection, _ = listener.accept()
                except OSError: return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()
        def answer(connection):
            with connection:
                got = b""
                while b"\r\n\r\n" not in got:
                    more = connection.recv(4096)
                    if not more: return
                    got += more
                body = sys.argv[1].encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        def listen(address, port):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = socket.socket(family)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if "share" in sys.argv: listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6: listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if "v6only" in sys.argv else 0)
            listener.bind((address, port))
            listener.listen(64)
            threading.Thread(target=serve, args=(listener,), daemon=True).start()
            return listener
        ports = [int(p) for p in sys.argv[3].split(",")]
        if "all" in sys.argv:
            for port in ports: listen(sys.argv[2], port)
            threading.Event().wait()
        import os, time
        for port in ports:
            listener = listen(sys.argv[2], port)
            while not os.path.exists(f"{sys.argv[-1]}.{port}"): time.sleep(0.05)
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        threading.Event().wait()
        """;

    private const string Java = """
        import com.sun.net.httpserver.HttpServer;
        import java.net.InetSocketAddress;
        public class Main {
            public static void main(String[] args) throws Exception {
                HttpServer server = HttpServer.create(new InetSocketAddress(Integer.parseInt(System.getenv("SERVER_PORT"))), 0);
                server.createContext("/", x -> { byte[] body = "java".getBytes(); x.sendResponseHeaders(200, body.length); x.getResponseBody().write(body); x.close(); });
                server.start();
            }
        }
        """;

    private LocalMesh Mesh => fixture.Mesh;

    /// <summary>A service on port 9080 and its Deployment.</summary>
    public static string Manifest(string name, string command) => $$"""
        apiVersion: v1
        kind: Service
        metadata: { name: {{name}} }
        spec: { selector: { app: {{name}} }, ports: [{ name: http, port: 9080 }] }
        ---
        apiVersion: apps/v1
        kind: Deployment
        metadata: { name: {{name}} }
        spec:
          selector: { matchLabels: { app: {{name}} } }
          template:
            metadata:
              labels: { app: {{name}} }
              annotations: { naru.dev/run: "{{command}}" }
            spec: { containers: [{ name: {{name}}, ports: [{ containerPort: 9080 }] }] }
        """;

    private string File(string name, string text) => fixture.Folder.Write(name, text);

    private ChildProcess Run(string name, params string[] words) => Mesh.StartNaru(["run", "--name", name, .. words]);

    private ChildProcess RunFixed(string name, string address, int port, params string[] more) =>
        Run(name, ["--", Python, File("fixed.py", Fixed), name, address, $"{port}", .. more.DefaultIfEmpty("all")]);

    private async Task<string> AskAsync(string name)
    {
        using HttpResponseMessage answer = await fixture.Http.GetAsync($"http://{name}/");
        return answer.IsSuccessStatusCode ? await answer.Content.ReadAsStringAsync() : $"{(int)answer.StatusCode}";
    }

    private async Task<bool> IsReadyAsync(string name) => LocalMesh.Pods(await Mesh.StatusAsync(), $"run {name}").Single().GetProperty("ready").GetBoolean();

    private static async Task EndAsync(ChildProcess run)
    {
        run.Terminate();
        await run.ExitAsync(LocalMesh.Bound);
    }

    public static TheoryData<string> Kinds => ["dotnet", "node", "node-v6", "python", "java", "any", "any-v6", "v6only", "v4", "own-address"];

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task A_server_is_found_where_it_listens_and_reached_by_its_name_alone(string kind)
    {
        string node = $"require('http').createServer((q, r) => r.end('{kind}')).listen(process.env.PORT{(kind == "node-v6" ? ", '::1'" : "")})";
        int free = Loopback.FreePort();
        await using ChildProcess run = kind switch
        {
            "dotnet" => Run(kind, "--", "dotnet", "run", "--project", AspNet()),
            "node" or "node-v6" => Run(kind, "--", "node", "-e", node),
            "python" => Run(kind, "--", "/bin/sh", "-c", Below($"{Python} {File("told.py", Told)} UVICORN_PORT python")),
            "java" => Run(kind, "--", "java", File("Main.java", Java)),
            "any" => RunFixed(kind, "0.0.0.0", free),
            "any-v6" => RunFixed(kind, "::", free),
            "v6only" => RunFixed(kind, "::", free, "all", "v6only"),
            "v4" => RunFixed(kind, "127.0.0.1", free),
            _ => RunFixed(kind, $"{Loopback.FreeAddress()}", free),
        };
        await run.LineAsync($"in the mesh as http://{kind}", LocalMesh.Bound);
        Assert.Equal(kind, await AskAsync(kind));
        string[] ours = [.. run.Error.Split('\n').Where(l => l.StartsWith("naru | ", StringComparison.Ordinal)).SkipWhile(l => !l.Contains("✓", StringComparison.Ordinal))];
        Assert.InRange(ours.Length, 2, 4);
        Assert.Contains($"{kind} listens on ", ours[0]);
        await EndAsync(run);
    }

    [Fact]
    public async Task A_server_that_does_not_listen_on_the_port_that_was_said_is_told_where_it_does_and_gets_no_request()
    {
        int said = Loopback.FreePort(), real = Loopback.FreePort();
        await using ChildProcess run = Run("liar", "--port", $"{said}", "--", Python, File("fixed.py", Fixed), "liar", "127.0.0.1", $"{real}", "all");
        await run.LineAsync($"liar listens on {real}, not on {said}", LocalMesh.Bound);
        Assert.Contains("--port", await run.LineAsync("help: ", LocalMesh.Bound));
        Assert.False(await IsReadyAsync("liar"));
        Assert.DoesNotContain("✓", run.Error);
        await EndAsync(run);
    }

    [Theory]
    [InlineData("alone")]
    [InlineData("shared")]
    public async Task A_port_that_another_process_holds_is_not_ready_but_named_and_taken_once_it_is_free(string how)
    {
        string name = $"held-{how}";
        int port = Loopback.FreePort();
        string file = File("fixed.py", Fixed);
        await using ChildProcess holder = ChildProcess.Start(Python, [file, "stranger", "127.0.0.1", $"{port}", "all", "share"]);
        await Waiting.UntilAsync(() => Listens(port), "the stranger to listen", LocalMesh.Bound);
        string retry = $"trap 'kill $p; exit' TERM; until {Python} {file} {name} 127.0.0.1 {port} all {(how == "shared" ? "share" : "")} 2>/dev/null & p=$!; wait $p; do sleep 0.2; done";
        await using ChildProcess run = Run(name, "--port", $"{port}", "--", "/bin/sh", "-c", retry);
        Assert.Contains($"port {port} is held by", await run.LineAsync($"(pid {holder.Id})", LocalMesh.Bound));
        Assert.False(await IsReadyAsync(name));
        // As with any name that nobody has.
        Assert.Equal("502", await AskAsync(name));
        holder.Kill();
        await run.LineAsync("in the mesh as", LocalMesh.Bound);
        Assert.Equal(name, await AskAsync(name));
        await EndAsync(run);
    }

    [Fact]
    public async Task Two_of_one_name_at_once_share_its_requests_and_say_so()
    {
        string file = File("told.py", Told);
        await using ChildProcess one = Run("twins", "--", Python, file, "PORT", "one");
        await using ChildProcess two = Run("twins", "--", Python, file, "SERVER_PORT", "two");
        await one.LineAsync("requests are shared by ", LocalMesh.Bound);
        await two.LineAsync("requests are shared by ", LocalMesh.Bound);
        var seen = new HashSet<string>();
        await Waiting.UntilAsync(async () =>
        {
            seen.Add(await AskAsync("twins"));
            return seen.Count == 2;
        }, "both to answer", LocalMesh.Bound);
        Assert.Equal(["one", "two"], seen.Order());
        await EndAsync(one);
        Assert.Equal("two", await AskAsync("twins"));
        await EndAsync(two);
        await Waiting.UntilAsync(async () => await AskAsync("twins") == "502", "the name to be nobody's again", LocalMesh.Bound);
    }

    [Fact]
    public async Task One_that_joins_a_service_of_manifests_says_which_and_with_whom_it_shares()
    {
        await using ChildProcess run = Run("caller", "--", Python, File("told.py", Told), "PORT", "joined");
        await run.LineAsync("joins the service caller of caller.yaml:1: 1 other endpoint", LocalMesh.Bound);
        Assert.Contains("in the mesh as http://caller:9080", run.Error);
        var seen = new HashSet<string>();
        await Waiting.UntilAsync(async () =>
        {
            seen.Add(await AskAsync("caller:9080"));
            return seen.Count == 2;
        }, "both to answer", LocalMesh.Bound);
        Assert.Equal(["caller", "joined"], seen.Order());
        await EndAsync(run);
    }

    [Fact]
    public async Task A_command_that_does_not_listen_is_told_what_is_seen_of_it()
    {
        await using ChildProcess run = Run("silent", "--", "/bin/sh", "-c", Below("sleep 600"));
        string line = await run.LineAsync("silent runs (", LocalMesh.Bound);
        Assert.Matches(@"\(sh \d+, sleep \d+\) and listens on no port yet", line);
        Assert.False(await IsReadyAsync("silent"));
        await EndAsync(run);
    }

    [Fact]
    public async Task Of_several_ports_the_one_that_answers_HTTP_is_taken_and_the_choice_is_said()
    {
        int[] ports = [.. new[] { Loopback.FreePort(), Loopback.FreePort() }.Order()];
        string mute = $"import socket, time\ns = socket.create_server(('127.0.0.1', {ports[0]}))\ntime.sleep(600)";
        await using ChildProcess run = Run("several", "--", "/bin/sh", "-c", Below($"{Python} -c \"{mute}\"", $"{Python} {File("fixed.py", Fixed)} several 127.0.0.1 {ports[1]} all"));
        await run.LineAsync("in the mesh as", LocalMesh.Bound);
        Assert.Equal("several", await AskAsync("several"));
        Assert.Contains($"several listens on 127.0.0.1:{ports[1]}", run.Error);
        await EndAsync(run);
    }

    [Fact]
    public async Task One_that_moves_to_another_port_is_followed()
    {
        int first = Loopback.FreePort(), second = Loopback.FreePort();
        string sign = Path.Combine(fixture.Folder.Root, "moves");
        await using ChildProcess moving = Run("mover", "--", Python, File("fixed.py", Fixed), "mover", "127.0.0.1", $"{first},{second}", sign);
        await moving.LineAsync("in the mesh as", LocalMesh.Bound);
        Assert.Contains($"mover listens on 127.0.0.1:{first} after", moving.Error);
        System.IO.File.WriteAllText($"{sign}.{first}", "");
        await moving.LineAsync($"mover listens on 127.0.0.1:{second} now", LocalMesh.Bound);
        Assert.Equal("mover", await AskAsync("mover"));
        await EndAsync(moving);
    }

    [Fact]
    public async Task A_variable_that_the_user_has_set_is_his()
    {
        int port = Loopback.FreePort();
        await using ChildProcess own = Mesh.StartNaru(new Dictionary<string, string?> { ["SERVER_PORT"] = $"{port}" }, "run", "--name", "his", "--", Python, File("told.py", Told), "SERVER_PORT", "his");
        await own.LineAsync("in the mesh as", LocalMesh.Bound);
        Assert.Contains($"his listens on 127.0.0.1:{port} after", own.Error);
        Assert.Equal("his", await AskAsync("his"));
        await EndAsync(own);
    }

    // A shell above the commands, which hands on the signal that ends it.
    private static string Below(params string[] commands) => $"{string.Concat(commands.Select(c => $"{c} & all=\"$all $!\"; "))}trap 'kill $all; exit' TERM; wait";

    private static bool Listens(int port) =>
        System.Net.NetworkInformation.IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpListeners().Any(l => l.Port == port);

    // As `dotnet new web` makes it, launch settings left out.
    private string AspNet()
    {
        string folder = Path.Combine(fixture.Folder.Root, "web");
        Directory.CreateDirectory(folder);
        System.IO.File.WriteAllText(Path.Combine(folder, "web.csproj"), """
            <Project Sdk="Microsoft.NET.Sdk.Web">
              <PropertyGroup><TargetFramework>net10.0</TargetFramework><ImplicitUsings>enable</ImplicitUsings><UseAppHost>false</UseAppHost><UseSharedCompilation>false</UseSharedCompilation></PropertyGroup>
            </Project>
            """);
        System.IO.File.WriteAllText(Path.Combine(folder, "Program.cs"), """
            WebApplication app = WebApplication.Create(args);
            app.MapGet("/", () => "dotnet");
            app.Run();
            """);
        return folder;
    }

    // As without a mesh (Istio: outboundTrafficPolicy ALLOW_ANY).
    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("localhost")]
    public async Task Hosts_outside_of_the_mesh_are_reached_through_http_proxy(string host)
    {
        await using var outside = new Witness(async c =>
        {
            while (await c.RequestAsync() is { } request)
            {
                string text = $"{request.Method} {request.Target} {request.All("Host").Single()}";
                await c.SendAsync($"HTTP/1.1 200 OK\r\ncontent-length: {text.Length}\r\n\r\n{text}");
            }
        });
        string address = LocalMesh.Pods(await fixture.Mesh.StatusAsync(), "caller").Single().GetProperty("address").GetString()!, at = $"{host}:{outside.Port}";
        var proxy = new IPEndPoint(IPAddress.Parse(address), 15080);
        using RawClient asks = await RawClient.ConnectAsync(proxy);
        HttpMessage answer = await asks.ExchangeAsync($"GET http://{at}/a?b HTTP/1.1\r\nHost: {at}\r\n\r\n");
        Assert.Equal((200, $"GET /a?b {at}"), (answer.Status, answer.Text));
        using RawClient tunnel = await RawClient.ConnectAsync(proxy);
        await tunnel.SendAsync($"CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\n");
        Assert.Equal(200, (await tunnel.ResponseAsync("CONNECT")).Status);
        answer = await tunnel.ExchangeAsync("GET /c HTTP/1.1\r\nHost: inner\r\n\r\n");
        Assert.Equal((200, "GET /c inner"), (answer.Status, answer.Text));
        // Nobody is led round in a circle, and names of the mesh are asked of nobody else.
        foreach (string own in (string[])[$"{address}:15080", "nobody", "nobody.default.svc.cluster.local"])
        {
            using RawClient circle = await RawClient.ConnectAsync(proxy);
            Assert.Equal(502, (await circle.ExchangeAsync($"GET http://{own}/ HTTP/1.1\r\nHost: {own}\r\n\r\n")).Status);
        }
    }
}
