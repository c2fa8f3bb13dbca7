// envoy.filters.http.bandwidth_limit: how its configuration is read, in the chain and at routes alike.
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Configured = Envoy.Extensions.Filters.Http.BandwidthLimit.V3.BandwidthLimit;

namespace Naru.Proxy.Filters.Http.BandwidthLimit;

/// <summary>Bodies that go no faster than they may (Envoy docs: bandwidth limit).</summary>
public sealed class BandwidthLimitExtension : HttpFilterExtension, IHttpFilterKind
{
    // A second of it still fits a number.
    private const ulong MostKbps = 1UL << 30;

    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.bandwidth_limit";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Configured.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => Message;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.bandwidth_limit.v3.BandwidthLimit
          + stat_prefix enable_mode limit_kbps fill_interval runtime_enabled enable_response_trailers response_trailer_prefix

        """;

    internal override object Read(Scope scope, IMessage message) => Level(scope, (Configured)message);

    internal override object ReadRoute(Scope scope, IMessage message)
    {
        var limit = (Configured)message;
        if (limit.LimitKbps is null) scope.Error("limit_kbps", "NARU-C101", "\"limit_kbps\" is required at a route");
        return Level(scope, limit);
    }

    private static BandwidthSettings Level(Scope scope, Configured limit)
    {
        Values.Required(scope, "stat_prefix", limit.StatPrefix);
        int mode = (int)limit.EnableMode;
        if (mode is < 0 or > 3) scope.Error("enable_mode", "NARU-C102", $"{mode} is not an enable_mode");
        if (limit.LimitKbps == 0) scope.Error("limit_kbps", "NARU-C102", "\"limit_kbps\" cannot be 0", "it is KiB a second, 1 or more");
        bool isOn = Values.RuntimeSwitch(scope, "runtime_enabled", limit.RuntimeEnabled).IsOn;
        // Envoy: without a limit the chain's own does nothing.
        if (limit.LimitKbps is null && mode != 0)
            scope.Error("limit_kbps", "NARU-C101", "\"limit_kbps\" is required where a direction is enabled", "add it, or set enable_mode: DISABLED");
        TimeSpan interval = Values.Time(scope, "fill_interval", limit.FillInterval) ?? TimeSpan.FromMilliseconds(50);
        if (interval < TimeSpan.FromMilliseconds(20) || interval > TimeSpan.FromSeconds(1))
            scope.Error("fill_interval", "NARU-C102", "\"fill_interval\" is out of range", "it may be 0.02s to 1s");
        string prefix = limit.ResponseTrailerPrefix.ToLowerInvariant();
        if (prefix.Length > 0) Values.HeaderName(scope, "response_trailer_prefix", prefix);
        return new BandwidthSettings(
            limit.StatPrefix, isOn && (mode & 1) != 0, isOn && (mode & 2) != 0, (long)Math.Min(limit.LimitKbps ?? 0, MostKbps), interval,
            limit.EnableResponseTrailers, prefix);
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) =>
        new BandwidthLimitFilter(new BandwidthLevel((BandwidthSettings)settings, context));

    object IHttpFilterKind.CompileRoute(object settings, FilterContext context) => new BandwidthLevel((BandwidthSettings)settings, context);
}

/// <summary>What the chain or a route says.</summary>
/// <param name="StatPrefix">Names of its statistics begin so.</param>
/// <param name="OfRequests">Requests are slowed.</param>
/// <param name="OfResponses">Answers are.</param>
/// <param name="Kbps">KiB a second, of all that it is for together.</param>
/// <param name="FillInterval">How often there is more.</param>
/// <param name="TellsClients">Trailers say how long it took.</param>
/// <param name="TrailerPrefix">Before their names.</param>
internal sealed record BandwidthSettings(
    string StatPrefix, bool OfRequests, bool OfResponses, long Kbps, TimeSpan FillInterval, bool TellsClients, string TrailerPrefix);
