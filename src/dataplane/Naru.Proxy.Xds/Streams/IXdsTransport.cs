// The wire as the subscription engine sees it: a stream that takes requests and brings answers. Tests put memory in its place.
using Google.Protobuf;
using Naru.Proxy.Config;

namespace Naru.Proxy.Xds;

/// <summary>A streaming method of a discovery service.</summary>
/// <param name="Service">Full gRPC service name.</param>
/// <param name="Name">Method name.</param>
/// <param name="Delta">Whether requests and answers are of the incremental variant.</param>
public readonly record struct XdsMethod(string Service, string Name, bool Delta)
{
    private const string AggregatedService = "envoy.service.discovery.v3.AggregatedDiscoveryService";

    /// <summary>Whether it serves all types.</summary>
    public bool IsAggregated => Service == AggregatedService;

    /// <summary>The aggregated method.</summary>
    public static XdsMethod Aggregated(bool delta) =>
        new(AggregatedService, delta ? "DeltaAggregatedResources" : "StreamAggregatedResources", delta);

    /// <summary>The method of load reports: <c>LoadStatsRequest</c> and <c>LoadStatsResponse</c>.</summary>
    public static XdsMethod LoadReports { get; } = new("envoy.service.load_stats.v3.LoadReportingService", "StreamLoadStats", false);

    /// <summary>The method of one type alone.</summary>
    public static XdsMethod Of(ResourceType type, bool delta) => new(type.Service(), type.Method(delta), delta);
}

/// <summary>A server of resources.</summary>
/// <param name="Address">Where it is.</param>
/// <param name="Hostname">The name its address was looked up by; empty for none.</param>
/// <param name="ConnectTimeout">How long connecting may take, its handshake included.</param>
/// <param name="Tls">TLS towards it; null is plain text.</param>
public readonly record struct XdsPeer(AddressConfig Address, string Hostname, TimeSpan ConnectTimeout, UpstreamTlsConfig? Tls)
{
    /// <summary>What the call itself says; null says nothing.</summary>
    public StreamSettings? Settings { get; init; }
}

/// <summary>Opens streams.</summary>
public interface IXdsTransport
{
    /// <summary>Begins to connect and returns at once; never throws. What happens is told to <paramref name="events"/>, on any thread.</summary>
    /// <param name="method">The method to call.</param>
    /// <param name="peer">Its server.</param>
    /// <param name="events">Told in order; nothing comes after <see cref="IXdsStreamEvents.Closed"/>.</param>
    IXdsStream Open(XdsMethod method, XdsPeer peer, IXdsStreamEvents events);
}

/// <summary>One stream.</summary>
public interface IXdsStream
{
    /// <summary>Queues a request of the method's. Requests reach the server in this order; after the end they are dropped.</summary>
    void Send(IMessage request);

    /// <summary>Ends the stream; no event comes any more.</summary>
    void Close();
}

/// <summary>What happens to a stream.</summary>
public interface IXdsStreamEvents
{
    /// <summary>The server accepted the stream.</summary>
    void Connected();

    /// <summary>A response of the method's.</summary>
    void Received(IMessage response);

    /// <summary>It ended, whoever ended it.</summary>
    void Closed(string reason);
}
