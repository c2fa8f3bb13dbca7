// envoy.filters.http.set_filter_state: texts about a request, made by formats. Other kinds of objects than texts are refused by name.
using System.Collections.Immutable;
using System.Text;
using Envoy.Extensions.Filters.Common.SetFilterState.V3;
using Google.Protobuf;
using Google.Protobuf.Collections;
using Google.Protobuf.Reflection;
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
        return new StateConfig(All(scope, filter.OnRequestHeaders), filter.ClearRouteCache);
    }

    private static ImmutableArray<StateValueConfig> All(Scope scope, RepeatedField<FilterStateValue> values)
    {
        var all = ImmutableArray.CreateBuilder<StateValueConfig>(values.Count);
        for (int i = 0; i < values.Count; i++)
        {
            FilterStateValue given = values[i];
            Scope at = scope.In("on_request_headers", i, given);
            if (!Values.Required(at, "object_key", given.ObjectKey)) continue;
            string kind = given.FactoryKey.Length > 0 ? given.FactoryKey : given.ObjectKey;
            if (kind is not ("envoy.string" or "envoy.hashable_string"))
            {
                at.Error(given.FactoryKey.Length > 0 ? "factory_key" : "object_key", "NARU-C112",
                    $"Naru does not support state of the kind {kind} yet",
                    "write factory_key: envoy.string for a text that formats and routes read");
                continue;
            }
            if (given.FormatString is not { } format)
            {
                at.Error("format_string", "NARU-C101", "\"format_string\" is required");
                continue;
            }
            if (Formats.Read(at.In("format_string", format), format, FormatUse.Body) is { } source)
                all.Add(new StateValueConfig(given.ObjectKey, source, given.ReadOnly, given.SkipIfEmpty));
        }
        return all.ToImmutable();
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) =>
        new SetFilterStateFilter(StateLevel.Of((StateConfig)settings));

    object IHttpFilterKind.CompileRoute(object settings, FilterContext context) => StateLevel.Of((StateConfig)settings);
}

/// <summary>One text.</summary>
internal sealed record StateValueConfig(string Key, FormatSource Format, bool ReadOnly, bool SkipIfEmpty);

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
