// HTTP filters: a chain that ends in the router (or, at a cluster, in the codec), and what routes say about its filters.
// The type of a configuration says which filter it is; a filter that is not known is refused by name.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Http.Router.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf;
using Google.Protobuf.Collections;
using Google.Protobuf.WellKnownTypes;
using Naru.Proxy.Config.Extensions;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads HTTP filters.</summary>
internal static class HttpFilters
{
    private const string RouterName = "envoy.filters.http.router";
    private const string RouterType = "envoy.extensions.filters.http.router.v3.Router";
    private const string CodecName = "envoy.filters.http.upstream_codec";
    private const string CodecType = "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec";
    private const string FilterConfigType = "envoy.config.route.v3.FilterConfig";

    /// <summary>The filters of a connection manager before its router.</summary>
    /// <param name="scope">Of the manager.</param>
    /// <param name="filters">All of them.</param>
    /// <param name="router">The router's configuration; null where it has none.</param>
    /// <param name="routerAt">Where that stands.</param>
    public static ImmutableArray<HttpFilterConfig> Chain(Scope scope, RepeatedField<HttpFilter> filters, out Router? router,
        out Scope? routerAt)
    {
        router = null;
        routerAt = null;
        ImmutableArray<HttpFilterConfig> chain = Read(scope, filters, RouterName, RouterType, upstream: false, out Scope? end);
        if (end is { } at && ((HttpFilter)at.Message).TypedConfig is { } any && scope.Pass.Unpack<Router>(any, at) is { } found)
        {
            routerAt = at.In("typed_config", found);
            FieldWalk.Check(routerAt.Value);
            router = found;
        }
        return chain;
    }

    /// <summary>The filters of a cluster before its codec (Envoy: upstream filters).</summary>
    public static ImmutableArray<HttpFilterConfig> Upstream(Scope scope, RepeatedField<HttpFilter> filters) =>
        filters.Count == 0 ? [] : Read(scope, filters, CodecName, CodecType, upstream: true, out _);

    private static ImmutableArray<HttpFilterConfig> Read(Scope scope, RepeatedField<HttpFilter> filters, string lastName, string lastType, bool upstream, out Scope? end)
    {
        string last = upstream ? "the upstream codec" : "the router";
        end = null;
        bool missing = true;
        var chain = ImmutableArray.CreateBuilder<HttpFilterConfig>(filters.Count);
        for (int i = 0; i < filters.Count; i++)
        {
            HttpFilter filter = filters[i];
            Scope at = scope.In("http_filters", i, filter);
            Values.Required(at, "name", filter.Name);
            if (filter.ConfigTypeCase == HttpFilter.ConfigTypeOneofCase.ConfigDiscovery)
            {
                if (Discovery(at, filter, upstream) is { } discovered) chain.Add(discovered);
                continue;
            }
            string type = filter.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : "";
            if (type == lastType || (type.Length == 0 && filter.Name == lastName))
            {
                missing = false;
                if (i + 1 < filters.Count) at.Error("", "NARU-C106", $"{last} must be the last HTTP filter", "move it to the end");
                else end = at;
                if (filter.Disabled) at.Error("disabled", "NARU-C106", $"{last} cannot be disabled");
            }
            else if (One(at, filter, type, upstream) is { } config)
            {
                chain.Add(config);
            }
        }
        if (missing) scope.Error("http_filters", "NARU-C106", $"the last HTTP filter must be {last}", $"end http_filters with {lastName}");
        return chain.ToImmutable();
    }

    // Found by its name; what holds until it comes stands here.
    private static HttpFilterConfig? Discovery(Scope filterAt, HttpFilter filter, bool upstream)
    {
        ExtensionConfigSource written = filter.ConfigDiscovery;
        Scope at = filterAt.In("config_discovery", written);
        if (upstream)
        {
            filterAt.Error("config_discovery", "NARU-C113", "the filters of a cluster are not discovered", "write typed_config");
            return null;
        }
        string[] types = [.. written.TypeUrls.Select(u => u[(u.LastIndexOf('/') + 1)..])];
        if (types.Length == 0)
            at.Error("type_urls", "NARU-C101", "\"type_urls\" is required", "name the messages that the configuration may be");
        for (int i = 0; i < types.Length; i++)
        {
            if (ExtensionTable.HttpFilter(types[i], "") is not null) continue;
            at.Error($"type_urls[{i}]", "NARU-C112", $"Naru does not support the HTTP filter \"{types[i]}\" yet", Known());
        }
        ConfigSourceConfig? source = ConfigSources.Read(at, "config_source", written.ConfigSource);
        HttpFilterConfig? standard = null;
        if (written.DefaultConfig is { } any)
        {
            string type = EnvoyTypes.NameOf(any);
            if (!types.Contains(type)) at.Error("default_config", "NARU-C113", $"type_urls does not name {type}", "add it there");
            else if (Settings(at, "default_config", any) is { } read)
                standard = new HttpFilterConfig(filter.Name, read.Extension, read.Settings, filter.Disabled) { Digest = Digest.Of(any) };
        }
        else if (written.ApplyDefaultConfigWithoutWarming)
        {
            at.Error("default_config", "NARU-C101", "\"default_config\" is required where it holds at once");
        }
        if (source is null) return null;
        return (standard ?? new HttpFilterConfig(filter.Name, null, filter.Name, filter.Disabled)) with
        {
            Discovery = new FilterDiscoveryConfig(source, [.. types], written.ApplyDefaultConfigWithoutWarming),
        };
    }

    /// <summary>What discovery brought.</summary>
    public static DiscoveredFilterConfig? Discovered(Scope scope, TypedExtensionConfig message)
    {
        if (message.TypedConfig is not { } any)
        {
            scope.Error("typed_config", "NARU-C101", "\"typed_config\" is required");
            return null;
        }
        return Settings(scope, "typed_config", any) is { } read
            ? new DiscoveredFilterConfig(message.Name, EnvoyTypes.NameOf(any), read.Extension, read.Settings) { Digest = Digest.Of(any) }
            : null;
    }

    /// <summary>What the configuration of a filter says, wherever it stands; null after an error.</summary>
    public static (HttpFilterExtension Extension, object Settings)? Settings(Scope at, string field, Any any)
    {
        string type = EnvoyTypes.NameOf(any);
        if (ExtensionTable.HttpFilter(type, "") is not { } extension)
        {
            at.Error(field, "NARU-C112", $"Naru does not support the HTTP filter {type} yet", Known());
            return null;
        }
        if (at.Pass.Unpack(extension.Message, any, at) is not { } message) return null;
        Scope inside = at.In(field, message);
        FieldWalk.Check(inside);
        return (extension, extension.Read(inside, message));
    }

    private static HttpFilterConfig? One(Scope at, HttpFilter filter, string type, bool upstream)
    {
        if (ExtensionTable.HttpFilter(type, filter.Name) is not { } extension)
        {
            Missing(at, filter, type);
            return null;
        }
        if (upstream && !extension.MayBeUpstream)
        {
            at.Error("", "NARU-C113", $"{extension.Name} cannot stand among a cluster's filters", "move it to the HTTP connection manager");
            return null;
        }
        if (type.Length == 0 && !extension.NeedsNothing)
        {
            at.Error("typed_config", "NARU-C101", "\"typed_config\" is required");
            return null;
        }
        IMessage? message = type.Length == 0 ? extension.Message.Parser.ParseFrom(ByteString.Empty) : at.Pass.Unpack(extension.Message, filter.TypedConfig, at);
        if (message is null) return null;
        Scope inside = at.In("typed_config", message);
        FieldWalk.Check(inside);
        object settings = extension.Read(inside, message);
        return new HttpFilterConfig(filter.Name, extension, settings, filter.Disabled) { Digest = Digest.Of(message) };
    }

    // What we have heard of and lack is refused, optional or not: an access rule that is left out lets everybody in. One that is switched off
    // in the chain is refused too, since any route may switch it on. Only what nobody knows may be left out, and that is said.
    private static void Missing(Scope at, HttpFilter filter, string type)
    {
        string name = type.Length > 0 ? type : filter.Name;
        if (filter.IsOptional && !EnvoyFilters.IsHeardOf(name))
        {
            at.Warning("name", "NARU-C114", $"the HTTP filter {name} is left out: Naru does not know it, and it is optional");
            return;
        }
        at.Error(filter.TypedConfig is null ? "name" : "typed_config", "NARU-C112", $"Naru does not support the HTTP filter {name} yet", Known());
    }

    private static string Known()
    {
        const string Prefix = "envoy.filters.http";
        IEnumerable<string> others = ExtensionTable.HttpFilters
            .Select(f => f.Name.StartsWith(Prefix, StringComparison.Ordinal) ? f.Name[Prefix.Length..] : f.Name)
            .Order(StringComparer.Ordinal);
        return $"known here: {RouterName}{string.Concat(others.Select(n => ", " + n))}; remove it, if requests may do without what it does";
    }

    /// <summary>What one level of a route says about filters.</summary>
    public static ImmutableArray<RouteFilterConfig> PerRoute(Scope scope, MapField<string, Any> entries)
    {
        if (entries.Count == 0) return RouteFilterConfig.None;
        var read = ImmutableArray.CreateBuilder<RouteFilterConfig>(entries.Count);
        foreach ((string name, Any any) in entries)
        {
            string field = $"typed_per_filter_config[{name}]";
            if (EnvoyTypes.NameOf(any) != FilterConfigType)
            {
                if (Entry(scope, field, name, any, isOptional: false) is { } plain) read.Add(plain);
                continue;
            }
            if (scope.Pass.Unpack(FilterConfig.Descriptor, any, scope) is not FilterConfig wrapper) continue;
            Scope at = scope.In(field, wrapper);
            FieldWalk.Check(at);
            if (wrapper.Disabled) read.Add(new RouteFilterConfig(name, Disabled: true));
            else if (wrapper.Config is null) at.Error("", "NARU-C101", "the entry neither disables the filter nor configures it", "write disabled: true, or config: {} to switch it on");
            else if (wrapper.Config.TypeUrl.Length == 0) read.Add(new RouteFilterConfig(name, Disabled: false));
            else if (Entry(at, "config", name, wrapper.Config, wrapper.IsOptional) is { } wrapped) read.Add(wrapped);
        }
        return read.ToImmutable();
    }

    private static RouteFilterConfig? Entry(Scope scope, string field, string name, Any any, bool isOptional)
    {
        string type = EnvoyTypes.NameOf(any);
        if (ExtensionTable.HttpFilterOfRoute(type) is not { } extension)
        {
            if (isOptional && !EnvoyFilters.IsHeardOf(type))
            {
                scope.Warning(field, "NARU-C114", $"{type} is left out: Naru does not know it, and it is optional");
                return null;
            }
            if (ExtensionTable.HttpFilter(type, "") is { } chainOnly)
            {
                scope.Error(field, "NARU-C113", $"{type} configures {chainOnly.Name} in the chain, not at a route", chainOnly.RouteMessage is { } own ? $"use {own.FullName}" : "only disabled can be said here");
                return null;
            }
            scope.Error(field, "NARU-C112", $"Naru does not support {type} at a route yet", "remove it, if requests may do without what it does");
            return null;
        }
        // Whose filters have other names is known where there is a chain (ReportStray).
        if (ExtensionTable.HttpFilters.FirstOrDefault(f => f.Name == name) is { } named && !named.Hears(extension, null))
        {
            Foreign(scope, field, name, extension, named);
            return null;
        }
        if (scope.Pass.Unpack(extension.RouteMessage!, any, scope) is not { } message) return null;
        Scope inside = scope.In(field, message);
        FieldWalk.Check(inside);
        return new RouteFilterConfig(name, Disabled: false, extension, extension.ReadRoute(inside, message));
    }

    /// <summary>Says that rules of access compare paths as they come, where a service may take several spellings for one.</summary>
    public static void ReportPaths(Scope scope, bool normalizes, ImmutableArray<HttpFilterConfig> chain, RouteConfigurationConfig? routes)
    {
        if (normalizes) return;
        IEnumerable<RouteFilterConfig> all = routes is null ? [] : routes.Filters
            .Concat(routes.VirtualHosts.SelectMany(h => h.Filters.Concat(h.AllRoutes.SelectMany(r => r.Filters))));
        if (!chain.Select(f => (object?)f.Settings).Concat(all.Select(f => f.Settings)).Any(s => s is AccessConfig { JudgesPaths: true })) return;
        scope.Warning("", "NARU-C114", "rules of access compare paths that nobody normalizes: to them //admin and /./admin are other paths than /admin",
            "set normalize_path and merge_slashes to true, and path_with_escaped_slashes_action");
    }

    /// <summary>Says which entries of inline routes are for filters that their own chain does not have: they are ignored, as in Envoy.
    /// Refuses those for another kind than the filter of that name is: whoever wrote one believes that it holds.</summary>
    public static void ReportStray(Scope scope, ImmutableArray<HttpFilterConfig> chain, RouteConfigurationConfig routes)
    {
        var told = new HashSet<(string, HttpFilterExtension?)>();
        foreach ((string where, RouteFilterConfig entry) in Entries(routes))
        {
            if (entry.Name == RouterName) continue;
            string field = $"{where}typed_per_filter_config[{entry.Name}]";
            HttpFilterConfig[] meant = [.. chain.Where(c => c.Name == entry.Name)];
            if (meant.Length == 0)
            {
                if (told.Add((entry.Name, null))) Stray(scope, entry);
                continue;
            }
            if (entry.Extension is not { } kind) continue;
            if (Array.Exists(meant, c => Hears(c, kind)))
            {
                string? futile = meant.Select(c => c.Discovery is null ? c.Extension?.Futile(c.Settings, entry.Settings!) : null)
                    .FirstOrDefault(f => f is not null);
                if (futile is not null) scope.Warning(field, "NARU-C114", futile, "compare it with the filter in the chain");
            }
            else if (told.Add((entry.Name, kind)))
            {
                Foreign(scope, field, entry.Name, kind, meant[0].Extension);
            }
        }
    }

    private static IEnumerable<(string Where, RouteFilterConfig Entry)> Entries(RouteConfigurationConfig routes)
    {
        foreach (RouteFilterConfig entry in routes.Filters) yield return ("", entry);
        for (int i = 0; i < routes.VirtualHosts.Length; i++)
        {
            string host = $"virtual_hosts[{i}].";
            foreach (RouteFilterConfig entry in routes.VirtualHosts[i].Filters) yield return (host, entry);
            int at = 0;
            foreach (RouteConfig route in routes.VirtualHosts[i].AllRoutes)
            {
                string where = routes.VirtualHosts[i].Matcher is null ? $"{host}routes[{at++}]." : $"{host}matcher.";
                foreach (RouteFilterConfig entry in route.Filters) yield return (where, entry);
                if (route.Action is not ForwardActionConfig forward) continue;
                foreach (RouteFilterConfig entry in forward.Clusters.SelectMany(c => c.Filters))
                    yield return ($"{where}route.weighted_clusters.", entry);
            }
        }
    }

    private static bool Hears(HttpFilterConfig filter, HttpFilterExtension kind) => filter.Discovery is { } discovery
        ? discovery.Types.Contains(kind.Message.FullName) || filter.Extension is null
        : filter.Extension?.Hears(kind, filter.Settings) != false;

    private static void Stray(Scope scope, RouteFilterConfig stray)
    {
        if (stray.Extension is { MayBeUpstream: true })
            scope.Info(
                "typed_per_filter_config", "NARU-C114",
                $"there is no filter \"{stray.Name}\" in this chain: only clusters whose filters have that name heed it");
        else
            scope.Warning(
                "typed_per_filter_config", "NARU-C114",
                $"there is no filter \"{stray.Name}\" in this chain, so what routes say about it has no effect",
                "name the filter as the chain does");
    }

    private static void Foreign(Scope scope, string field, string name, HttpFilterExtension kind, HttpFilterExtension? meant) =>
        scope.Error(
            field, "NARU-C113", $"the entry is for {kind.Name}, and \"{name}\" is another filter: it would have no effect",
            meant?.RouteMessage is { } own ? $"write a {own.FullName}, or the name that the filter has in the chain"
                : "write the name that the filter has in the chain");
}
