// Two proxies for the tests of one class: one in front of an HTTP/1 backend, one in front of an HTTP/2 backend.
using System.Collections.Concurrent;
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Http2;

public class Http2Fixture : IAsyncLifetime
{
    /// <summary>Speaks HTTP/1.</summary>
    public Cases Http1 { get; } = new();

    /// <summary>Speaks HTTP/2.</summary>
    public Http2Backend Http2 { get; } = new();

    /// <summary>Paths whose answers were seen to begin, for backends that wait for that.</summary>
    public ConcurrentDictionary<string, bool> Begun { get; } = new();

    /// <summary>In front of <see cref="Http1"/>.</summary>
    public ProxyProcess ToHttp1 { get; private set; } = null!;

    /// <summary>In front of <see cref="Http2"/>.</summary>
    public ProxyProcess ToHttp2 { get; private set; } = null!;

    /// <summary>In front of <see cref="Http1"/>, and slow to close on clients that still send.</summary>
    public async Task<ProxyProcess> PatientAsync() =>
        _patient ??= await ProxyProcess.StartAsync(Bootstraps.One(Http1.Port, Manager + "\ndelayed_close_timeout: 30s", route: "timeout: 0s"));

    private ProxyProcess? _patient;

    // Everything that a mix of versions needs.
    private const string Manager = "upgrade_configs: [{ upgrade_type: websocket }]\nhttp_protocol_options: { accept_http_10: true }";

    public async ValueTask InitializeAsync()
    {
        Task<ProxyProcess> one = ProxyProcess.StartAsync(Bootstraps.One(Http1.Port, Manager, route: "timeout: 0s"));
        Task<ProxyProcess> two = ProxyProcess.StartAsync(Bootstraps.One(Http2.Port, Manager, route: "timeout: 0s", cluster: Bootstraps.Http2Cluster));
        ToHttp1 = await one;
        ToHttp2 = await two;
    }

    public async ValueTask DisposeAsync()
    {
        await ToHttp1.DisposeAsync();
        await ToHttp2.DisposeAsync();
        if (_patient is not null) await _patient.DisposeAsync();
        await Http1.DisposeAsync();
        await Http2.DisposeAsync();
        GC.SuppressFinalize(this);
    }
}

/// <summary>What is asked of every proxy after every attack.</summary>
internal static class Afterwards
{
    /// <summary>Others are served as before, in both versions.</summary>
    public static async Task StillServesAsync(this ProxyProcess proxy)
    {
        Assert.False(proxy.Child.HasExited, proxy.Child.Error);
        using Http2Peer client = await Http2Peer.ConnectAsync(proxy.Address);
        Http2Message answer = await client.ExchangeAsync("GET", "/canary");
        Assert.True(answer is { Status: 200, Ended: true }, answer.ToString());
        using RawClient other = await proxy.ConnectAsync();
        Assert.Equal(200, (await other.ExchangeAsync("GET /canary HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
    }

    /// <summary>Nothing is under way any more: requests and connections were all given back.</summary>
    public static async Task ComesToRestAsync(this ProxyProcess proxy, string cluster = "backend")
    {
        foreach (string gauge in new[] { "http.test.downstream_rq_active", $"cluster.{cluster}.upstream_rq_active", $"cluster.{cluster}.upstream_rq_pending_active" })
            await Waiting.UntilAsync(async () => await proxy.StatAsync(gauge) == 0, $"{gauge} to be 0");
    }

    /// <summary>A stream ended whole with a status.</summary>
    public static void Is(this Http2Message answer, int status) => Assert.True(answer.Status == status && answer.Ended && answer.Reset is null, answer.ToString());

    /// <summary>The connection ends with a GOAWAY of this code.</summary>
    public static async Task EndsWithAsync(this Http2Peer client, params Http2ErrorCode[] codes)
    {
        await client.ClosedAsync();
        Assert.True(client.GoAway is { } code && codes.Contains(code), $"GOAWAY {client.GoAway?.ToString() ?? "missing"}, wanted {string.Join(" or ", codes)}");
    }
}
