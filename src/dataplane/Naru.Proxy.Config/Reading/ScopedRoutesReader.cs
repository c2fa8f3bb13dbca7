// ScopedRoutes of a connection manager: which headers make the key, and the table of each key, in place or by SRDS. Scopes whose tables
// are loaded on demand are refused by name.
using System.Collections.Immutable;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Extractor = Envoy.Extensions.Filters.Network.HttpConnectionManager.V3.ScopedRoutes.Types.ScopeKeyBuilder.Types.FragmentBuilder.Types.HeaderValueExtractor;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads scoped routes.</summary>
internal static class ScopedRoutesReader
{
    /// <summary>Null after an error that leaves no tables.</summary>
    public static ScopedRoutesConfig? Read(Scope scope, ScopedRoutes scoped)
    {
        Values.Required(scope, "name", scoped.Name);
        ImmutableArray<ScopeFragmentConfig> fragments = [];
        if (scoped.ScopeKeyBuilder is { } builder) fragments = Fragments(scope.In("scope_key_builder", builder), builder);
        else scope.Error("scope_key_builder", "NARU-C101", "\"scope_key_builder\" is required");
        if (scoped.ConfigSpecifierCase == ScopedRoutes.ConfigSpecifierOneofCase.None)
            scope.Error("", "NARU-C101", "scoped routes need their scopes", "add scoped_route_configurations_list or scoped_rds");
        if (scoped.ScopedRds is { } discovered) return Discovered(scope, scoped, discovered, fragments);
        if (scoped.ScopedRouteConfigurationsList is not { } list) return null;
        Scope listAt = scope.In("scoped_route_configurations_list", list);
        if (list.ScopedRouteConfigurations.Count == 0) listAt.Error("scoped_route_configurations", "NARU-C101", "\"scoped_route_configurations\" is required");
        var names = new HashSet<string>(StringComparer.Ordinal);
        var keys = new HashSet<string>(StringComparer.Ordinal);
        var scopes = ImmutableArray.CreateBuilder<(ImmutableArray<string>, RouteConfigurationConfig)>();
        for (int i = 0; i < list.ScopedRouteConfigurations.Count; i++)
        {
            ScopedRouteConfiguration given = list.ScopedRouteConfigurations[i];
            Scope at = listAt.In("scoped_route_configurations", i, given);
            if (Values.Required(at, "name", given.Name) && !names.Add(given.Name)) at.Error("name", "NARU-C103", $"there are two scopes \"{given.Name}\"", "give each its own name");
            ImmutableArray<string> key = [];
            if (given.Key is null || given.Key.Fragments.Count == 0) at.Error("key", "NARU-C101", "\"key\" needs fragments");
            else
            {
                key = [.. given.Key.Fragments.Select(f => f.StringKey)];
                if (fragments.Length > 0 && key.Length != fragments.Length)
                    at.Error("key", "NARU-C102", $"the key has {key.Length} fragments, scope_key_builder makes {fragments.Length}", "give as many");
                else if (!keys.Add(string.Join('\n', key))) at.Error("key", "NARU-C103", "another scope has the same key", "give each its own key");
            }
            if (given.RouteConfigurationName.Length > 0)
                at.Error("route_configuration_name", "NARU-C113", "the table of a scope that stands here cannot come from elsewhere", "write it in route_configuration");
            else if (given.RouteConfiguration is { } table)
                scopes.Add((key, RouteReader.Read(at.In("route_configuration", table), table, mustBeNamed: false)));
            else at.Error("route_configuration", "NARU-C101", "\"route_configuration\" is required");
        }
        return new ScopedRoutesConfig(fragments, scopes.ToImmutable());
    }

    // Tables come from where the scopes come from, unless it is said.
    private static ScopedRoutesConfig Discovered(Scope scope, ScopedRoutes scoped, ScopedRds discovered, ImmutableArray<ScopeFragmentConfig> fragments)
    {
        ConfigSourceConfig? source = ConfigSources.Read(scope.In("scoped_rds", discovered), "scoped_rds_config_source", discovered.ScopedRdsConfigSource);
        ConfigSourceConfig? tables = scoped.RdsConfigSource is { } given ? ConfigSources.Read(scope, "rds_config_source", given) : source;
        return new ScopedRoutesConfig(fragments, []) { Name = scoped.Name, Source = source ?? new ConfigSourceConfig(ConfigSourceKind.Ads), TableSource = tables };
    }

    /// <summary>A scope of SRDS; meaningless after an error. The fields were walked already.</summary>
    public static RouteScopeConfig Scope(Scope scope, ScopedRouteConfiguration given)
    {
        Values.Required(scope, "name", given.Name);
        if (given.Key is null || given.Key.Fragments.Count == 0) scope.Error("key", "NARU-C101", "\"key\" needs fragments");
        if (given.OnDemand)
            scope.Error("on_demand", "NARU-C113", "the table of a scope is not loaded on demand",
                "leave on_demand out: it is loaded with the scope");
        if (given.RouteConfigurationName.Length > 0 && given.RouteConfiguration is not null)
            scope.Error("route_configuration", "NARU-C113", "\"route_configuration\" and \"route_configuration_name\" exclude each other", "keep one of them");
        RouteConfigurationConfig? table = given.RouteConfiguration is { } inline ? RouteReader.Read(scope.In("route_configuration", inline), inline, mustBeNamed: false) : null;
        if (table is null) Values.Required(scope, "route_configuration_name", given.RouteConfigurationName);
        return new RouteScopeConfig(given.Name, [.. (given.Key?.Fragments ?? []).Select(f => f.StringKey)], table is null ? given.RouteConfigurationName : "", table);
    }

    private static ImmutableArray<ScopeFragmentConfig> Fragments(Scope scope, ScopedRoutes.Types.ScopeKeyBuilder builder)
    {
        if (builder.Fragments.Count == 0) scope.Error("fragments", "NARU-C101", "\"fragments\" is required");
        var all = ImmutableArray.CreateBuilder<ScopeFragmentConfig>(builder.Fragments.Count);
        for (int i = 0; i < builder.Fragments.Count; i++)
        {
            Scope at = scope.In("fragments", i, builder.Fragments[i]);
            if (builder.Fragments[i].HeaderValueExtractor is not { } extractor)
            {
                at.Error("header_value_extractor", "NARU-C101", "\"header_value_extractor\" is required");
                continue;
            }
            Scope inside = at.In("header_value_extractor", extractor);
            string name = extractor.Name.ToLowerInvariant();
            if (!Values.HeaderName(inside, "name", name)) continue;
            bool byKey = extractor.ExtractTypeCase == Extractor.ExtractTypeOneofCase.Element;
            if (byKey)
            {
                Scope element = inside.In("element", extractor.Element);
                Values.Required(element, "separator", extractor.Element.Separator);
                Values.Required(element, "key", extractor.Element.Key);
            }
            else if (extractor.ExtractTypeCase == Extractor.ExtractTypeOneofCase.None)
            {
                inside.Error("", "NARU-C101", "an extractor says which element it takes", "add index or element");
                continue;
            }
            else if (extractor.ElementSeparator.Length == 0 && extractor.Index > 0)
            {
                inside.Error("index", "NARU-C102", $"a value that is not divided has no element {extractor.Index}", "add element_separator, or write index: 0");
            }
            all.Add(new ScopeFragmentConfig(name, extractor.ElementSeparator, byKey ? null : (int)Math.Min(extractor.Index, int.MaxValue),
                extractor.Element?.Key ?? "", extractor.Element?.Separator ?? ""));
        }
        return all.ToImmutable();
    }
}
