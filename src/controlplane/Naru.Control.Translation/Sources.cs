// The small words that all resources share: where the rest comes from, and addresses.
using Envoy.Config.Core.V3;
using Google.Protobuf.WellKnownTypes;

namespace Naru.Control.Translation;

internal static class Sources
{
    /// <summary>Over the aggregated stream; waits as long as it takes, since a proxy without routes helps nobody.</summary>
    public static ConfigSource Ads() => new()
    {
        Ads = new AggregatedConfigSource(),
        ResourceApiVersion = ApiVersion.V3,
        InitialFetchTimeout = new Duration(),
    };

    public static Address Address(string host, int port) => new() { SocketAddress = new SocketAddress { Address = host, PortValue = (uint)port } };
}
