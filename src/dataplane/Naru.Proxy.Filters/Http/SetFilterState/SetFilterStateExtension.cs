// envoy.filters.http.set_filter_state: texts about a request, made by formats. Other kinds of objects than texts are refused by name.
using System.Collections.Immutable;
using System.Text;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.SetFilterState;

/// <summary>Texts that are kept with a request (Envoy docs: set filter state).</summary>
public sealed class SetFilterStateExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.set_filter_state";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.SetFilterState.V3.Config.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => Envoy.Extensions.Filters.Http.SetFilterState.V3.Config.Descriptor;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.set_filter_state.v3.Config
          + on_request_headers clear_route_cache
        envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue
          + object_key factory_key format_string read_only skip_if_empty
          - shared_with_upstream: an internal listener gets no filter state

        """;

    internal override object Read(Scope scope, IMessage message) => Level(scope, message);

    internal override object ReadRoute(Scope scope, IMessage message) => Level(scope, message);

    private static StateConfig Level(Scope scope, IMessage message)
    {
        var filter = (Envoy.Extensions.Filters.Http.SetFilterState.V3.Config)message;
        return new StateConfig(FilterStates.Read(scope, "on_request_headers", filter.OnRequestHeaders, ofConnections: false), filter.ClearRouteCache);
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) =>
        new SetFilterStateFilter(StateLevel.Of((StateConfig)settings));

    object IHttpFilterKind.CompileRoute(object settings, FilterContext context) => StateLevel.Of((StateConfig)settings);
}

/// <summary>The texts of one level.</summary>
internal sealed record StateConfig(ImmutableArray<StateValueConfig> Values, bool RouteAgain);

/// <summary>One text, compiled.</summary>
internal sealed record StateValue(byte[] Key, AccessLogFormat Format, bool ReadOnly, bool SkipIfEmpty);

/// <summary>The same of a level.</summary>
internal sealed record StateLevel(StateValue[] Values, bool RouteAgain)
{
    // What does not compile was refused when it was read.
    public static StateLevel Of(StateConfig config) => new(
        [.. config.Values.Select(v => new StateValue(
            Encoding.UTF8.GetBytes(v.Key), AccessLogFormat.Compile(v.Format, new Core.Diagnostics(), FormatUse.Body)!, v.ReadOnly,
                v.SkipIfEmpty))],
        config.RouteAgain);
}
