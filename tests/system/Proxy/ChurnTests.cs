// Clusters, listeners and routes replaced and removed hundreds of times while requests flow over HTTP/1 and HTTP/2: none is lost. What a
// client has to ask again, by the protocols' own rules, is what the proxy said it had not taken: a stream above a GOAWAY, and a request
// on a connection that was closed while it lay idle.
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Proxy;

public sealed class ChurnTests
{
    private const string Type = "type.googleapis.com/envoy.config.";
    private const int Rounds = 200;

    private static string Bootstrap(TempFolder folder) => $$"""
        node: { id: churn, cluster: tests }
        admin:
          address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
        dynamic_resources:
          lds_config: { path_config_source: { path: "{{folder.At("lds.yaml")}}" }, resource_api_version: V3 }
          cds_config: { path_config_source: { path: "{{folder.At("cds.yaml")}}" }, resource_api_version: V3 }
        """;

    // "main" stays and is another one every time; "side" comes and goes.
    private static string Listeners(TempFolder folder, int round) =>
        "resources:\n" + Listener(folder, "main", round) + (round % 2 == 1 ? Listener(folder, "side", round) : "");

    private static string Listener(TempFolder folder, string name, int round) => $$"""
        - "@type": {{Type}}listener.v3.Listener
          name: {{name}}
          address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
          filter_chains:
          - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: test
                server_name: {{(round % 4 < 2 ? "even" : "odd")}}
                rds:
                  route_config_name: routes
                  config_source: { path_config_source: { path: "{{folder.At("rds.yaml")}}" }, resource_api_version: V3 }
                http_filters:
                - name: envoy.filters.http.router
                  typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }

        """;

    private static string Routes(string cluster) => $$"""
        resources:
        - "@type": {{Type}}route.v3.RouteConfiguration
          name: routes
          virtual_hosts:
          - name: all
            domains: ["*"]
            routes:
            - match: { prefix: "/" }
              route: { cluster: {{cluster}} }
        """;

    private static string Clusters(int round, params (string Name, int Port)[] clusters) =>
        "resources:\n" + string.Concat(clusters.Select(c => $$"""
        - "@type": {{Type}}cluster.v3.Cluster
          name: {{c.Name}}
          type: STATIC
          connect_timeout: {{2 + round % 3}}s
          load_assignment:
            cluster_name: {{c.Name}}
            endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: {{c.Port}} } } } }] }]

        """));

    private static WitnessScript Named(string name) => async c =>
    {
        while (await c.RequestAsync() is not null) await c.OkAsync(name);
    };

    private sealed class Traffic
    {
        private int _count;
        private volatile string _last = "";

        public ConcurrentQueue<string> Lost { get; } = new();
        public int Count => Volatile.Read(ref _count);
        public string Last => _last;
        public volatile bool Ends;

        public void Answered(string text)
        {
            _last = text;
            Interlocked.Increment(ref _count);
        }
    }

    private static async Task Http1Async(IPEndPoint address, Traffic traffic)
    {
        while (!traffic.Ends)
        {
            using RawClient client = await RawClient.ConnectAsync(address);
            for (int i = 0; !traffic.Ends; i++)
            {
                await client.SendAsync("GET / HTTP/1.1\r\nHost: churn\r\n\r\n");
                HttpMessage? answer;
                try
                {
                    answer = await client.ResponseOrCloseAsync();
                }
                catch (SocketException)
                {
                    answer = null;
                }
                if (answer is null)
                {
                    // Closed as it lay idle; a new connection is never closed unanswered.
                    if (i == 0) traffic.Lost.Enqueue("HTTP/1: the first request of a connection");
                    break;
                }
                if (answer.Status != 200) traffic.Lost.Enqueue(answer.ToString());
                traffic.Answered(answer.Text);
                if (answer.Header("connection") == "close") break;
            }
        }
    }

    private static async Task Http2Async(IPEndPoint address, Traffic traffic)
    {
        while (!traffic.Ends)
        {
            using Http2Peer peer = await Http2Peer.ConnectAsync(address);
            while (!traffic.Ends && peer.GoAway is null && !peer.IsClosed)
            {
                int id = await peer.OpenAsync("GET", "/");
                await peer.WaitAsync(() => peer[id].IsOver || peer.IsClosed || peer.GoAwayLast < id, "the answer", orClosed: true);
                Http2Message answer = peer[id];
                if (answer.Ended && answer.Status == 200) traffic.Answered(answer.Text);
                else if (peer.GoAwayLast < id || answer.Reset == Http2ErrorCode.RefusedStream) break;
                else traffic.Lost.Enqueue($"HTTP/2: stream {id}, {answer}, GOAWAY {peer.GoAwayLast}, closed {peer.IsClosed}");
            }
        }
    }

    [Fact]
    public async Task Whatever_is_replaced_and_removed_no_request_is_lost()
    {
        await using var one = new Witness(Named("one"));
        await using var two = new Witness(Named("two"));
        one.KeepsBytes = two.KeepsBytes = false;
        using var folder = new TempFolder();
        (string, int)[] both = [("one", one.Port), ("two", two.Port)];
        folder.Write("cds.yaml", Clusters(0, both));
        folder.Write("rds.yaml", Routes("one"));
        folder.Write("lds.yaml", Listeners(folder, 0));
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstrap(folder), new ProxyOptions { Folder = folder });
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        IPEndPoint address = proxy.Address;
        var traffic = new Traffic();
        Task[] clients = [.. Enumerable.Range(0, 6).Select(i =>
            Task.Run(() => i % 2 == 0 ? Http1Async(address, traffic) : Http2Async(address, traffic)))];

        for (int round = 1; round <= Rounds; round++)
        {
            string want = round % 2 == 1 ? "two" : "one";
            // What is not routed to goes; what was away comes back before it is routed to.
            folder.Replace("cds.yaml", Clusters(round, [.. both, ($"extra{round}", 1)]));
            folder.Replace("lds.yaml", Listeners(folder, round));
            folder.Replace("rds.yaml", Routes(want));
            await Waiting.UntilAsync(() => traffic.Last == want, $"round {round}: an answer of {want}");
        }
        // Back to where it began.
        folder.Replace("cds.yaml", Clusters(0, both));
        folder.Replace("lds.yaml", Listeners(folder, 0));
        traffic.Ends = true;
        await Task.WhenAll(clients).Within("the clients to end");

        Assert.Empty(traffic.Lost);
        Assert.True(traffic.Count > Rounds);
        await proxy.SettleAsync(before);
    }
}
