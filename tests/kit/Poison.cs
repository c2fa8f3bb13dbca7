// Earlier exchanges of another kind: before a test sends its own requests, the only worker of its proxy has served an upload whose body came
// late, HTTP/2, an upgrade, retries, and clients and backends that left in the middle. What a pooled object still knows of them shows then.
// They go over a listener and to backends of their own, so that a test's connections, requests and statistics stay its own.
namespace Naru.Kit;

/// <summary>Makes the pools of a worker hold objects with a past.</summary>
internal static class Poison
{
    /// <summary>Name of its listener and of its statistics, and the beginning of its clusters' names.</summary>
    public const string Listener = "kit_poison";

    private const string Upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    private static readonly Lazy<Backends> s_backends = new(() => new Backends());

    /// <summary>The bootstrap with the listener and the clusters in it; null where it is not one of <see cref="Bootstraps"/> with static clusters.</summary>
    public static string? Into(string bootstrap)
    {
        const string listeners = "static_resources:\n  listeners:\n";
        const string clusters = "\n  clusters:\n";
        int first = bootstrap.IndexOf(listeners, StringComparison.Ordinal);
        int second = first < 0 ? -1 : bootstrap.IndexOf(clusters, first, StringComparison.Ordinal);
        if (second < 0 || bootstrap.IndexOf(clusters, second + 1, StringComparison.Ordinal) >= 0) return null;
        string own = Bootstraps.Many($$"""
            - match: { prefix: "/h2/" }
              route: { cluster: {{Listener}}_2, retry_policy: { retry_on: "5xx", num_retries: 1 } }
            - match: { prefix: "/" }
              route: { cluster: {{Listener}}_1, timeout: 20s, retry_policy: { retry_on: "5xx,retriable-4xx", num_retries: 2, per_try_timeout: 10s } }
            """, [], "upgrade_configs: [{ upgrade_type: websocket }]").Replace("name: main", "name: " + Listener).Replace("stat_prefix: test", "stat_prefix: " + Listener);
        int from = own.IndexOf(listeners, StringComparison.Ordinal) + listeners.Length;
        string listener = own[from..(own.IndexOf(clusters, from, StringComparison.Ordinal) + 1)];
        string made = Bootstraps.Indent(Bootstraps.Clusters([new TestCluster(Listener + "_1", [s_backends.Value.One.Port]),
            new TestCluster(Listener + "_2", [s_backends.Value.Two.Port], Bootstraps.Http2Cluster)]), 2);
        return bootstrap[..(second + 1)] + listener + clusters[1..] + made + "\n" + bootstrap[(second + clusters.Length)..];
    }

    /// <summary>Sends the exchanges, and returns when nothing of them is under way any more.</summary>
    public static async Task OfAsync(ProxyProcess proxy)
    {
        System.Net.IPEndPoint to = proxy.Listener(Listener);
        using (RawClient client = await RawClient.ConnectAsync(to).ConfigureAwait(false))
        {
            // A body that comes after its head was forwarded, one in chunks, one to a backend that fails twice, an answer without content.
            await client.SendAsync("POST /late HTTP/1.1\r\nHost: poison\r\nCookie: poison=1\r\nContent-Length: 60000\r\n\r\n").ConfigureAwait(false);
            await s_backends.Value.HeadSeenAsync(proxy).ConfigureAwait(false);
            await client.SendAsync(new string('p', 60_000)).ConfigureAwait(false);
            await client.ResponseAsync("POST").ConfigureAwait(false);
            await client.ExchangeAsync("PUT /chunked HTTP/1.1\r\nHost: poison\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\nX-Poison: 1\r\n\r\n").ConfigureAwait(false);
            await client.ExchangeAsync("GET /fails HTTP/1.1\r\nHost: poison\r\nX-Poison: 1\r\n\r\n").ConfigureAwait(false);
            await client.ExchangeAsync("HEAD /head HTTP/1.1\r\nHost: poison\r\n\r\n").ConfigureAwait(false);
            // The client leaves in the middle of its own body.
            await client.SendAsync("POST /aborted HTTP/1.1\r\nHost: poison\r\nContent-Length: 100000\r\n\r\nGET /poison HTTP/1.1\r\nHost: poison\r\n\r\n").ConfigureAwait(false);
            client.Reset();
        }
        using (RawClient client = await RawClient.ConnectAsync(to).ConfigureAwait(false))
        {
            await client.SendAsync($"GET /upgrade HTTP/1.1\r\nHost: poison\r\n{Upgrade}\r\nearly bytes").ConfigureAwait(false);
            await client.ResponseAsync().ConfigureAwait(false);
            await client.TextAsync(5).ConfigureAwait(false);
            client.Reset();
        }
        using (RawClient client = await RawClient.ConnectAsync(to).ConfigureAwait(false))
        {
            // The backend leaves in the middle of its answer, and the client is cut with it.
            await client.SendAsync("GET /cut HTTP/1.1\r\nHost: poison\r\n\r\n").ConfigureAwait(false);
            await client.RestAsync().ConfigureAwait(false);
        }
        using (Http2Peer client = await Http2Peer.ConnectAsync(to).ConfigureAwait(false))
        {
            foreach (string path in new[] { "/h2/echo", "/late", "/h2/fails" })
                await client.ExchangeAsync("POST", path, [("x-poison", "1")], new byte[40_000]).ConfigureAwait(false);
            int id = await client.OpenAsync("POST", "/h2/echo", end: false).ConfigureAwait(false);
            await client.DataAsync(id, "poison").ConfigureAwait(false);
            await client.ResetAsync(id).ConfigureAwait(false);
            await client.PingAsync().ConfigureAwait(false);
        }
        foreach (string gauge in new[] { $"http.{Listener}.downstream_cx_active", $"cluster.{Listener}_1.upstream_rq_active", $"cluster.{Listener}_2.upstream_rq_active" })
            await Waiting.UntilAsync(async () => await proxy.StatAsync(gauge).ConfigureAwait(false) == 0, $"{gauge} to be 0").ConfigureAwait(false);
    }

    /// <summary>Live as long as the program: every proxy of a test run may have them in its bootstrap.</summary>
    private sealed class Backends
    {
        public Backends()
        {
            One.At("/late", async (c, head) =>
            {
                await c.Reader.RequestBodyAsync(head).ConfigureAwait(false);
                await c.OkAsync(new string('p', 30_000), "Set-Cookie: poison=1\r\n").ConfigureAwait(false);
            });
            One.At("/fails", (c, _) => c.SendAsync("HTTP/1.1 503 No\r\nX-Poison: 1\r\nContent-Length: 6\r\n\r\npoison"));
            One.At("/aborted", async (c, _) => await c.Reader.RestAsync().ConfigureAwait(false));
            One.At("/upgrade", async (c, _) =>
            {
                await c.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello").ConfigureAwait(false);
                await c.Reader.RestAsync().ConfigureAwait(false);
            });
            One.At("/cut", async (c, _) =>
            {
                await c.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{new string('p', 20_000)}").ConfigureAwait(false);
                c.Close();
            });
            Two.At("/h2", async (peer, request) =>
            {
                await peer.EndAsync(request.Id).ConfigureAwait(false);
                if (request.Reset is not null) return;
                string status = request.Path.EndsWith("fails", StringComparison.Ordinal) ? "503" : "200";
                await Http2Backend.AnswerAsync(peer, request, [(":status", status), ("x-poison", "1")], new byte[20_000], [("x-poison-trailer", "1")]).ConfigureAwait(false);
            });
        }

        public Cases One { get; } = new();

        public Http2Backend Two { get; } = new();

        /// <summary>The head of the late upload is with the backend.</summary>
        public Task HeadSeenAsync(ProxyProcess proxy) =>
            Waiting.UntilAsync(async () => await proxy.StatAsync($"cluster.{Listener}_1.upstream_rq_active").ConfigureAwait(false) > 0, "the head of an upload to be forwarded");
    }
}
