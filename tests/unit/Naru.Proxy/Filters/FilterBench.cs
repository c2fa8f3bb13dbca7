// Filters of tests in a whole engine: a backend of each version, a client of each version, and filters that do what a test says.
using System.Text;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Filters;

namespace Naru.UnitTests.Proxy.Filters;

/// <summary>A filter whose stages are a test's.</summary>
internal sealed class TestFilter(FilterStages wants) : HttpFilter
{
    public Func<FilterCall, ValueTask<FilterVerdict>>? Request { get; init; }
    public Func<FilterCall, BodyPiece, ValueTask<BodyVerdict>>? RequestBody { get; init; }
    public Action<FilterCall, BodyPiece>? RequestTrailers { get; init; }
    public Action<FilterCall>? Response { get; init; }
    public Func<FilterCall, bool>? Passes { get; init; }
    public Action<FilterCall>? End { get; init; }
    public Func<FilterCall, BodyPiece, ValueTask<BodyVerdict>>? ResponseBody { get; init; }
    public Action<FilterCall, BodyPiece>? ResponseTrailers { get; init; }

    public override FilterStages Stages => FilterStages.RequestHead | FilterStages.ResponseHead | wants | (End is null ? FilterStages.None : FilterStages.End);

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        call.Want(wants & (FilterStages.RequestBody | FilterStages.RequestTrailers));
        return Request?.Invoke(call) ?? new ValueTask<FilterVerdict>(FilterVerdict.Go);
    }

    public override ValueTask<BodyVerdict> OnRequestBodyAsync(FilterCall call, BodyPiece piece) =>
        RequestBody?.Invoke(call, piece) ?? new ValueTask<BodyVerdict>(BodyVerdict.Go);

    public override ValueTask OnRequestTrailersAsync(FilterCall call, BodyPiece last)
    {
        RequestTrailers?.Invoke(call, last);
        return default;
    }

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        call.Want(wants & (FilterStages.ResponseBody | FilterStages.ResponseTrailers));
        Response?.Invoke(call);
        return new ValueTask<bool>(Passes?.Invoke(call) ?? true);
    }

    public override void OnEnd(FilterCall call) => End?.Invoke(call);

    public override ValueTask<BodyVerdict> OnResponseBodyAsync(FilterCall call, BodyPiece piece) =>
        ResponseBody?.Invoke(call, piece) ?? new ValueTask<BodyVerdict>(BodyVerdict.Go);

    public override ValueTask OnResponseTrailersAsync(FilterCall call, BodyPiece last)
    {
        ResponseTrailers?.Invoke(call, last);
        return default;
    }
}

/// <summary>The kind of all of them: its settings are the filter.</summary>
internal sealed class TestKind : HttpFilterExtension, IHttpFilterKind
{
    public static HttpFilterConfig Of(HttpFilter filter) => new("test", new TestKind(), filter, Disabled: false);

    public override string Name => "test";
    public override MessageDescriptor Message => throw new NotSupportedException();
    public override string Fields => "";
    internal override object Read(Naru.Proxy.Config.Reading.Scope scope, IMessage message) => throw new NotSupportedException();
    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => (HttpFilter)settings;
}

internal sealed class FilterBench : IAsyncDisposable
{
    private readonly EngineBench _engine = new(1);

    public FilterBench(int up, HttpFilter[] filters, HttpFilter[]? ofCluster = null, RouteConfig[]? routes = null, string[]? upgrades = null)
    {
        IsHttp2 = up == 2;
        ClusterConfig cluster = EngineBench.Cluster(IsHttp2 ? Http2.Port : Http1.Port) with
        {
            Protocol = IsHttp2 ? UpstreamProtocol.Http2 : UpstreamProtocol.Http1,
            HttpFilters = [.. (ofCluster ?? []).Select(TestKind.Of)],
        };
        HttpConnectionManagerConfig manager = EngineBench.Http() with { HttpFilters = [.. filters.Select(TestKind.Of)], Upgrades = [.. upgrades ?? []] };
        VirtualHostConfig host = manager.RouteConfig!.VirtualHosts[0];
        if (routes is not null) host = host with { Routes = [.. routes] };
        manager = manager with { RouteConfig = manager.RouteConfig with { VirtualHosts = [host] } };
        _engine.Apply(cluster, EngineBench.Listener(EngineBench.Chain(manager)));
    }

    public bool IsHttp2 { get; }
    public Cases Http1 { get; } = new();
    public Http2Backend Http2 { get; } = new();
    public Naru.Proxy.ProxyEngine Engine => _engine.Engine;

    /// <summary>Exceptions that were contained. Those that a test wants it takes out; the others fail it.</summary>
    public System.Collections.Concurrent.ConcurrentQueue<string> Faults => _engine.Faults;

    /// <summary>What is handed out and not back, by name: the lines of the ledger that count such things and are not zero.</summary>
    public async Task<string> LedgerAsync() =>
        string.Join(", ", (await Engine.ReadLedgersAsync()).Where(l => l.Count != 0 && l.Name.EndsWith("_active", StringComparison.Ordinal)).Select(l => $"{l.Name} {l.Count}"));

    public Task<RawClient> ConnectAsync() => _engine.ConnectAsync();

    public Task<Http2Peer> ConnectHttp2Async() => Http2Peer.ConnectAsync(_engine.Address());

    public long Stat(string name) => _engine.Stat(name);

    public Task StatAsync(string name, long value) => _engine.StatAsync(name, value);

    /// <summary>A POST with this body, which comes behind its head in pieces.</summary>
    public async Task<(int Status, string Body, string Trailers)> PostAsync(int down, string path, byte[] body, bool chunked = false, string trailer = "")
    {
        if (down == 2)
        {
            using Http2Peer peer = await ConnectHttp2Async();
            int id = await peer.OpenAsync("POST", path, chunked ? null : [("content-length", $"{body.Length}")], end: false);
            await peer.BodyAsync(id, body, end: trailer.Length == 0);
            if (trailer.Length > 0) await peer.HeadersAsync(id, [("x-sent", trailer)], end: true);
            Http2Message answer = await peer.EndAsync(id);
            return (answer.Status, answer.Text, string.Concat((answer.Trailers ?? []).Select(t => $"{t.Name}:{t.Value};")));
        }
        using RawClient client = await ConnectAsync();
        string framing = chunked ? "Transfer-Encoding: chunked" : $"Content-Length: {body.Length}";
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
        Task sending = SendAsync(client, body, chunked, trailer);
        HttpMessage said = await client.ResponseAsync("POST");
        await sending;
        return (said.Status, said.Text, string.Concat(said.Trailers.Select(t => $"{t.Name.ToLowerInvariant()}:{t.Value};")));
    }

    private static async Task SendAsync(RawClient client, byte[] body, bool chunked, string trailer)
    {
        foreach (byte[] piece in body.Chunk(10_000))
        {
            byte[] framed = chunked ? [.. Encoding.ASCII.GetBytes($"{piece.Length:x}\r\n"), .. piece, .. "\r\n"u8] : piece;
            if (!await client.TrySendAsync(Encoding.Latin1.GetString(framed))) return;
        }
        if (chunked) await client.TrySendAsync($"0\r\n{(trailer.Length > 0 ? $"x-sent: {trailer}\r\n" : "")}\r\n");
    }

    /// <summary>Nothing of an exchange is left over.</summary>
    public async ValueTask DisposeAsync()
    {
        await _engine.DisposeAsync();
        await Http1.DisposeAsync();
        await Http2.DisposeAsync();
    }
}
