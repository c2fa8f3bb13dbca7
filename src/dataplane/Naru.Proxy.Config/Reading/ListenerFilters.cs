// Listener filters as records. What Envoy adds by itself is added here: tls_inspector where chains ask for what it finds,
// original_dst with use_original_dst, proxy_protocol with use_proxy_proto.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Extensions.Filters.Listener.HttpInspector.V3;
using Envoy.Extensions.Filters.Listener.LocalRatelimit.V3;
using Envoy.Extensions.Filters.Listener.OriginalDst.V3;
using Envoy.Extensions.Filters.Listener.OriginalSrc.V3;
using Envoy.Extensions.Filters.Listener.ProxyProtocol.V3;
using Envoy.Extensions.Filters.Listener.TlsInspector.V3;
using Google.Protobuf;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads listener filters.</summary>
internal static class ListenerFilters
{
    private const string Prefix = "envoy.filters.listener.";
    private const string Known = "known here: envoy.filters.listener.tls_inspector, .http_inspector, .original_dst, .original_src, .proxy_protocol and .local_ratelimit";

    /// <summary>The filters in order.</summary>
    public static ImmutableArray<ListenerFilterConfig> Read(Scope scope, Listener listener, ImmutableArray<FilterChainConfig> chains)
    {
        var filters = new List<ListenerFilterConfig>(listener.ListenerFilters.Count + 1);
        for (int i = 0; i < listener.ListenerFilters.Count; i++)
        {
            ListenerFilter filter = listener.ListenerFilters[i];
            Scope at = scope.In("listener_filters", i, filter);
            PortRanges? except = null;
            if (filter.FilterDisabled is { } disabled)
            {
                if (disabled.RuleCase == ListenerFilterChainMatchPredicate.RuleOneofCase.AnyMatch) continue;
                except = Except(at, disabled);
            }
            if (filter.ConfigTypeCase != ListenerFilter.ConfigTypeOneofCase.ConfigDiscovery && One(at, filter) is { } config)
                filters.Add(config with { Except = except });
        }
        if ((listener.UseOriginalDst ?? false) && !filters.OfType<OriginalDstFilterConfig>().Any()) filters.Insert(0, new OriginalDstFilterConfig());
        if (listener.FilterChains.Any(c => c.UseProxyProto ?? false) && !filters.OfType<ProxyProtocolFilterConfig>().Any()) filters.Insert(0, new ProxyProtocolFilterConfig(false));
        if (chains.Any(c => NeedsInspector(c.Match)) && !filters.OfType<TlsInspectorConfig>().Any())
        {
            scope.Info("listener_filters", "NARU-C111", "filter chains are matched by what a TLS handshake says, so envoy.filters.listener.tls_inspector is added", "add it, to say so");
            filters.Add(new TlsInspectorConfig());
        }
        return [.. filters];
    }

    private static bool NeedsInspector(FilterChainMatchConfig match) =>
        match.TransportProtocol == "tls" || (match.TransportProtocol.Length == 0 && (!match.ServerNames.IsEmpty || !match.ApplicationProtocols.IsEmpty));

    // Ports are known once the destination is; anything else would have to be known before the filters ran.
    private static PortRanges? Except(Scope scope, ListenerFilterChainMatchPredicate predicate)
    {
        IEnumerable<ListenerFilterChainMatchPredicate> all = predicate.OrMatch?.Rules.AsEnumerable() ?? [predicate];
        var ranges = ImmutableArray.CreateBuilder<(int, int)>();
        foreach (ListenerFilterChainMatchPredicate one in all)
        {
            if (one.DestinationPortRange is not { } range)
            {
                scope.Error("filter_disabled", "NARU-C113",
                    "a filter is on for every connection, for none, or for all but those of some ports",
                    "write any_match: true, destination_port_range, or or_match of such ranges");
                return null;
            }
            if (range.Start < 0 || range.End > 65536 || range.Start >= range.End)
                scope.Error("filter_disabled", "NARU-C102", $"\"destination_port_range\" cannot be {range.Start} to {range.End}",
                    "end is behind start, and is no port of the range");
            ranges.Add((range.Start, range.End));
        }
        return new PortRanges(ranges.ToImmutable());
    }

    private static ListenerFilterConfig? One(Scope at, ListenerFilter filter)
    {
        string type = filter.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : "";
        switch (type)
        {
            case "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector": return Unpack<TlsInspector>(at, filter, static (_, _) => new TlsInspectorConfig());
            case "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector": return Unpack<HttpInspector>(at, filter, static (_, _) => new HttpInspectorConfig());
            case "envoy.extensions.filters.listener.original_dst.v3.OriginalDst": return Unpack<OriginalDst>(at, filter, static (_, _) => new OriginalDstFilterConfig());
            case "envoy.extensions.filters.listener.original_src.v3.OriginalSrc": return Unpack<OriginalSrc>(at, filter, static (_, m) => new OriginalSrcConfig(m.BindPort, m.Mark));
            case "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol": return Unpack<ProxyProtocol>(at, filter, Proxy);
            case "envoy.extensions.filters.listener.local_ratelimit.v3.LocalRateLimit": return Unpack<LocalRateLimit>(at, filter, Rate);
        }
        if (type.Length == 0)
        {
            switch (filter.Name)
            {
                case Prefix + "tls_inspector": return new TlsInspectorConfig();
                case Prefix + "http_inspector": return new HttpInspectorConfig();
                case Prefix + "original_dst": return new OriginalDstFilterConfig();
                case Prefix + "original_src": return new OriginalSrcConfig(false, 0);
                case Prefix + "proxy_protocol": return new ProxyProtocolFilterConfig(false);
                case Prefix + "local_ratelimit":
                    at.Error("typed_config", "NARU-C101", "\"typed_config\" is required");
                    return null;
            }
        }
        at.Error(filter.TypedConfig is null ? "name" : "typed_config", "NARU-C112", $"Naru does not support the listener filter {(type.Length > 0 ? type : filter.Name)} yet", Known);
        return null;
    }

    private static ListenerFilterConfig? Unpack<T>(Scope at, ListenerFilter filter, Func<Scope, T, ListenerFilterConfig?> read) where T : class, IMessage, new()
    {
        if (at.Pass.Unpack<T>(filter.TypedConfig, at) is not { } message) return null;
        Scope inside = at.In("typed_config", message);
        FieldWalk.Check(inside);
        return read(inside, message);
    }

    private static ProxyProtocolFilterConfig Proxy(Scope scope, ProxyProtocol filter)
    {
        bool one = !filter.DisallowedVersions.Contains(ProxyProtocolConfig.Types.Version.V1);
        bool two = !filter.DisallowedVersions.Contains(ProxyProtocolConfig.Types.Version.V2);
        if (!one && !two) scope.Error("disallowed_versions", "NARU-C113", "both versions are disallowed, so no connection could come in", "allow V1 or V2");
        return new ProxyProtocolFilterConfig(filter.AllowRequestsWithoutProxyProtocol, one, two)
        {
            Rules = Rules(scope, filter),
            StatPrefix = filter.StatPrefix,
        };
    }

    private static ImmutableArray<ProxyValueRuleConfig> Rules(Scope scope, ProxyProtocol filter)
    {
        var rules = ImmutableArray.CreateBuilder<ProxyValueRuleConfig>(filter.Rules.Count);
        for (int i = 0; i < filter.Rules.Count; i++)
        {
            ProxyProtocol.Types.Rule rule = filter.Rules[i];
            Scope at = scope.In("rules", i, rule);
            if (rule.TlvType > 255) at.Error("tlv_type", "NARU-C102", $"\"tlv_type\" cannot be {rule.TlvType}", "it may be 0 to 255");
            if (rule.OnTlvPresent is not { } kept)
            {
                at.Error("on_tlv_present", "NARU-C101", "\"on_tlv_present\" is required: a rule says what becomes of the value");
                continue;
            }
            if (!Values.Required(at.In("on_tlv_present", kept), "key", kept.Key)) continue;
            string space = kept.MetadataNamespace.Length > 0 ? kept.MetadataNamespace : Prefix + "proxy_protocol";
            rules.Add(new ProxyValueRuleConfig((byte)rule.TlvType, space, kept.Key));
        }
        return rules.ToImmutable();
    }

    private static ListenerRateLimitConfig? Rate(Scope scope, LocalRateLimit limit)
    {
        Values.Required(scope, "stat_prefix", limit.StatPrefix);
        RuntimeSwitchConfig given = Values.RuntimeSwitch(scope, "runtime_enabled", limit.RuntimeEnabled);
        return Values.Bucket(scope, "token_bucket", limit.TokenBucket) is { } bucket ? new ListenerRateLimitConfig(limit.StatPrefix, bucket) { Switch = given } : null;
    }
}
