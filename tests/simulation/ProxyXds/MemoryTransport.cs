// A control plane in memory: what the proxy said on each stream, and a hand to answer with.
using Envoy.Service.Discovery.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;

namespace Naru.SimulationTests.ProxyXds;

internal sealed class MemoryTransport : IXdsTransport
{
    /// <summary>All streams ever opened.</summary>
    public List<MemoryStream> Streams { get; } = [];

    public IXdsStream Open(XdsMethod method, XdsPeer peer, IXdsStreamEvents events)
    {
        var stream = new MemoryStream(method, peer.Address, events);
        Streams.Add(stream);
        return stream;
    }
}

internal sealed class MemoryStream(XdsMethod method, AddressConfig address, IXdsStreamEvents events) : IXdsStream
{
    private int _read;

    public XdsMethod Method { get; } = method;
    public AddressConfig Address { get; } = address;
    public List<IMessage> Requests { get; } = [];
    public bool IsClosed { get; private set; }

    public void Send(IMessage request) => Requests.Add(request);

    public void Close() => IsClosed = true;

    public void Accept() => events.Connected();

    public void Break(string reason = "connection reset") => events.Closed(reason);

    /// <summary>Requests since the last call.</summary>
    public IReadOnlyList<IMessage> Heard()
    {
        IMessage[] heard = [.. Requests.Skip(_read)];
        _read = Requests.Count;
        return heard;
    }

    /// <summary>Answers in state-of-the-world form; the nonce is <c>n-</c> and the version.</summary>
    public void State(ResourceType type, string version, params IMessage[] resources)
    {
        var response = new DiscoveryResponse { TypeUrl = type.Url(), VersionInfo = version, Nonce = "n-" + version };
        response.Resources.AddRange(resources.Select(Pack));
        Raw(response);
    }

    /// <summary>Answers in delta form; every resource has the version <paramref name="version"/>.</summary>
    public void Delta(ResourceType type, string version, IMessage[] resources, params string[] removed)
    {
        var response = new DeltaDiscoveryResponse { TypeUrl = type.Url(), Nonce = "n-" + version, SystemVersionInfo = version };
        response.Resources.AddRange(resources.Select(r => new Resource { Name = Resources.NameOf(r), Version = version, Resource_ = Pack(r) }));
        response.RemovedResources.AddRange(removed);
        Raw(response);
    }

    /// <summary>Sends a response over bytes, as the wire does.</summary>
    public void Raw(IMessage response) => events.Received(
        response is DiscoveryResponse ? DiscoveryResponse.Parser.ParseFrom(response.ToByteArray()) : DeltaDiscoveryResponse.Parser.ParseFrom(response.ToByteArray()));

    /// <summary>Sends a message of another method than discovery's.</summary>
    public void Bring(IMessage response) => events.Received(response);

    public static Any Pack(IMessage message) => new() { TypeUrl = ResourceTypes.UrlPrefix + message.Descriptor.FullName, Value = message.ToByteString() };
}
