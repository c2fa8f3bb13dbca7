// The file that naru-proxy is started with, as a record: text → nodes → v3 spelling → protobuf → validated records.
// Reads files of its own only where the bootstrap names them as data; refuses what it cannot honour, by name and line.
using System.Collections.Immutable;
using System.Text;
using Envoy.Config.Bootstrap.V3;
using Envoy.Config.Core.V3;
using Envoy.Extensions.Bootstrap.InternalListener.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Extensions.Filters.Network.TcpProxy.V3;
using Envoy.Extensions.Network.SocketInterface.V3;
using Google.Protobuf;
using Naru.Core;
using Naru.Proxy.Config.Reading;
using Naru.Yaml;

namespace Naru.Proxy.Config;

/// <summary>What the command line adds to a bootstrap.</summary>
public sealed record BootstrapOptions
{
    /// <summary>YAML merged over the file (<c>--config-yaml</c>): messages merge, lists are appended to, values replace.</summary>
    public string? Overlay { get; init; }

    /// <summary>Replaces <c>node.id</c> (<c>--service-node</c>).</summary>
    public string? ServiceNode { get; init; }

    /// <summary>Replaces <c>node.cluster</c> (<c>--service-cluster</c>).</summary>
    public string? ServiceCluster { get; init; }

    /// <summary>Replaces <c>node.locality.zone</c> (<c>--service-zone</c>).</summary>
    public string? ServiceZone { get; init; }
}

/// <summary>Reads bootstraps.</summary>
public static class BootstrapReader
{
    /// <summary>Reads a text; null where it has errors.</summary>
    public static BootstrapConfig? Read(string text, string? file, Diagnostics diagnostics) => Read(text, file, diagnostics, null, out _);

    /// <summary>Reads a text; null where it has errors.</summary>
    /// <param name="text">YAML or JSON, v3 or v2 spelling; may be empty where there is an overlay.</param>
    /// <param name="file">Name for places.</param>
    /// <param name="diagnostics">Takes everything found: codes of <see cref="YamlReader"/>, <see cref="ProtoBinder"/>, <see cref="ResourceReader"/>,
    /// and <c>NARU-C009</c> (there is nothing in it) and <c>C120</c> (v2 spelling, information).</param>
    /// <param name="options">What the command line adds; null for nothing.</param>
    /// <param name="message">The bootstrap as protobuf, for <c>/config_dump</c>; what could be read of it where there are errors.</param>
    public static BootstrapConfig? Read(string text, string? file, Diagnostics diagnostics, BootstrapOptions? options, out Bootstrap message)
    {
        message = new Bootstrap();
        var found = new Diagnostics();
        var places = new ProtoPlaces();
        bool any = Bind(message, text, file, found, places);
        if (options?.Overlay is { } overlay) any |= Bind(message, overlay, "--config-yaml", found, places);
        if (!any && !found.HasErrors) found.Error("NARU-C009", "there is no configuration in it", new Place(file));
        Override(message, options);
        BootstrapConfig? config = any ? Validate(message, found, places) : null;
        diagnostics.AddRange(found.Items);
        return found.HasErrors ? null : config;
    }

    /// <summary>Reads a file; null where it cannot be read or has errors. Adds <c>NARU-C008</c> (cannot be read) to the codes of
    /// <see cref="Read(string, string?, Diagnostics, BootstrapOptions?, out Bootstrap)"/>.</summary>
    public static BootstrapConfig? ReadFile(string path, Diagnostics diagnostics, BootstrapOptions? options, out Bootstrap message)
    {
        message = new Bootstrap();
        return TextOf(path, diagnostics) is { } text ? Read(text, path, diagnostics, options, out message) : null;
    }

    /// <summary>Reads a file; null where it cannot be read or has errors.</summary>
    public static BootstrapConfig? ReadFile(string path, Diagnostics diagnostics) => ReadFile(path, diagnostics, null, out _);

    /// <summary>A file's text, or null after <c>NARU-C008</c>.</summary>
    internal static string? TextOf(string path, Diagnostics diagnostics)
    {
        try
        {
            if (new FileInfo(path) is { Exists: true, Length: > YamlReader.MaxLength } big)
            {
                diagnostics.Error("NARU-C007", $"the file has {big.Length} bytes; the most that is read is {YamlReader.MaxLength}", new Place(path));
                return null;
            }
            return File.ReadAllText(path, new UTF8Encoding(false, throwOnInvalidBytes: true));
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            string cause = fault is DecoderFallbackException ? "it is not UTF-8 text" : fault.Message;
            diagnostics.Error("NARU-C008", $"cannot be read: {cause}", new Place(path));
            return null;
        }
    }

    private static bool Bind(Bootstrap message, string text, string? file, Diagnostics found, ProtoPlaces places)
    {
        IReadOnlyList<YamlNode> documents = YamlReader.ReadAll(text, file, found);
        if (documents.Count == 0) return false;
        if (documents.Count > 1) found.Error("NARU-C009", "a bootstrap is one document", documents[1].Place, null, "remove what follows the first ---");
        ProtoBinder.Bind(message, OldNames.Rewrite(documents[0], Bootstrap.Descriptor, found), found, "", places, EnvoyTypes.Binding);
        return true;
    }

    private static void Override(Bootstrap message, BootstrapOptions? options)
    {
        if (options is null || (options.ServiceNode ?? options.ServiceCluster ?? options.ServiceZone) is null) return;
        Node node = message.Node ??= new Node();
        if (options.ServiceNode is { } id) node.Id = id;
        if (options.ServiceCluster is { } cluster) node.Cluster = cluster;
        if (options.ServiceZone is { } zone) (node.Locality ??= new Locality()).Zone = zone;
    }

    // It must be there when the others are made (Envoy: cluster_manager.local_cluster_name).
    private static string LocalCluster(Scope scope, Bootstrap message, ImmutableArray<ClusterConfig> clusters)
    {
        if (message.ClusterManager is not { LocalClusterName: { Length: > 0 } name } manager || clusters.Any(c => c.Name == name))
            return message.ClusterManager?.LocalClusterName ?? "";
        scope.In("cluster_manager", manager).Error("local_cluster_name", "NARU-C104", $"there is no cluster \"{name}\"",
            Nearest.Suggestion(name, clusters.Select(c => c.Name)) ?? "name one of static_resources.clusters");
        return name;
    }

    private static ImmutableArray<StringMatcherConfig> AdminPaths(Scope scope, Admin admin)
    {
        var paths = ImmutableArray.CreateBuilder<StringMatcherConfig>(admin.AllowPaths.Count);
        for (int i = 0; i < admin.AllowPaths.Count; i++)
            if (Values.Match(scope.In("allow_paths", i, admin.AllowPaths[i]), admin.AllowPaths[i]) is { } path) paths.Add(path);
        return paths.ToImmutable();
    }

    private static LogPattern? ApplicationLog(Scope scope, Bootstrap.Types.ApplicationLogConfig.Types.LogFormat format)
    {
        string field = format.JsonFormat is null ? "text_format" : "json_format";
        if (format.LogFormatCase == Bootstrap.Types.ApplicationLogConfig.Types.LogFormat.LogFormatOneofCase.None)
        {
            scope.Error("", "NARU-C101", "\"log_format\" is required", "write text_format: '[%Y-%m-%d %T.%e][%l][%n] %v', or json_format");
            return null;
        }
        LogPattern? pattern = format.JsonFormat is { } json ? LogPattern.OfJson(json, out string fault)
            : LogPattern.OfText(format.TextFormat, out fault);
        if (pattern is null) scope.Error(field, "NARU-C102", fault, $"known flags: {LogPattern.Known}");
        return pattern;
    }

    // Any call there is a stream of its own.
    private static ConfigSourceConfig? LoadReports(Scope scope, ApiConfigSource source)
    {
        if (source.ApiType == ApiConfigSource.Types.ApiType.Grpc) return ConfigSources.Api(scope, "load_stats_config", source);
        scope.In("load_stats_config", source).Error("api_type", "NARU-C113", $"{source.ApiType} is not how load is reported", "use GRPC");
        return null;
    }

    // Listeners inside of the process are there without being asked for, too.
    private static void Extensions(Scope scope, Bootstrap message)
    {
        for (int i = 0; i < message.BootstrapExtensions.Count; i++)
        {
            TypedExtensionConfig extension = message.BootstrapExtensions[i];
            Scope at = scope.In("bootstrap_extensions", i, extension);
            string type = extension.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : "";
            if (type == InternalListener.Descriptor.FullName)
            {
                if (at.Pass.Unpack<InternalListener>(extension.TypedConfig!, at) is { } said) FieldWalk.Check(at.In("typed_config", said));
            }
            else if (type == DefaultSocketInterface.Descriptor.FullName)
            {
                if (at.Pass.Unpack<DefaultSocketInterface>(extension.TypedConfig!, at) is { } said)
                    FieldWalk.Check(at.In("typed_config", said));
            }
            else
            {
                string named = type.Length > 0 ? type : extension.Name;
                at.Error("typed_config", "NARU-C112", $"Naru does not support the bootstrap extension {named} yet",
                    "known here: envoy.bootstrap.internal_listener and envoy.extensions.network.socket_interface.default_socket_interface");
            }
        }
    }

    private static BootstrapConfig Validate(Bootstrap message, Diagnostics found, ProtoPlaces places)
    {
        var meaning = new Diagnostics();
        var scope = new Scope(new ResourcePass(meaning, places, ""), message, "");
        FieldWalkOfBootstrap(scope, message);
        Extensions(scope, message);
        ImmutableArray<ClusterConfig> clusters = Clusters(scope, message);
        var sources = new SourceCheck(message, clusters);
        ImmutableArray<ListenerConfig> listeners = Listeners(scope, message, clusters, sources);
        ImmutableArray<SecretConfig> secrets = Secrets(scope, message);
        SecretReferences.Check(scope, message, clusters, listeners, secrets, sources);
        AddressConfig? admin = null;
        if (message.Admin is { Address: not null } endpoint) admin = Addresses.Read(scope.In("admin", endpoint), "address", endpoint.Address, literalOnly: true);
        if (admin is { Kind: not AddressKind.Socket }) scope.In("admin", message.Admin).Error("address", "NARU-C113", "the admin endpoint has an IP address", "write socket_address: {address: 127.0.0.1, port_value: 9901}");
        var config = new BootstrapConfig
        {
            Node = message.Node?.ToByteArray() ?? [],
            NodeId = message.Node?.Id ?? "",
            NodeCluster = message.Node?.Cluster ?? "",
            Admin = admin,
            AdminPaths = message.Admin is { } asked ? AdminPaths(scope.In("admin", asked), asked) : [],
            ApplicationLog = message.ApplicationLogConfig?.LogFormat is { } log
                ? ApplicationLog(scope.In("application_log_config", message.ApplicationLogConfig).In("log_format", log), log) : null,
            Clusters = clusters,
            Listeners = listeners,
            Secrets = secrets,
            Locality = EndpointReader.Join(message.Node?.Locality),
            LocalCluster = LocalCluster(scope, message, clusters),
            OutlierLogPath = message.ClusterManager?.OutlierDetection?.EventLogPath ?? "",
            Runtime = message.LayeredRuntime is { } runtime ? RuntimeReader.Read(scope.In("layered_runtime", runtime), runtime, message.Node?.Cluster ?? "") : [],
            LoadReports = message.ClusterManager is { LoadStatsConfig: { } loads } manager ? LoadReports(scope.In("cluster_manager", manager), loads) : null,
            Stats = message.StatsConfig is { } stats ? StatsReader.Read(scope.In("stats_config", stats), stats) : null,
            Sinks = StatsSinks.All(scope, message.StatsSinks),
            StatsFlush = StatsSinks.Interval(scope, message),
            StatsFlushOnAdmin = message.StatsFlushOnAdmin,
            Overload = message.OverloadManager is { } overload ? OverloadReader.Read(scope.In("overload_manager", overload), overload) : null,
        };
        if (message.DynamicResources is { } dynamic)
        {
            Scope at = scope.In("dynamic_resources", dynamic);
            config = config with
            {
                Lds = dynamic.LdsConfig is { } lds ? ConfigSources.Read(at, "lds_config", lds) : null,
                Cds = dynamic.CdsConfig is { } cds ? ConfigSources.Read(at, "cds_config", cds) : null,
                Ads = dynamic.AdsConfig is { } ads ? ConfigSources.Api(at, "ads_config", ads) : null,
            };
        }
        sources.Check(scope, config);
        if (listeners.IsEmpty && config.Lds is null && message.StaticResources?.Listeners.Count is null or 0)
        {
            scope.Warning("", "NARU-C121", "there are no listeners, neither static ones nor a source of them", "add static_resources.listeners or dynamic_resources.lds_config");
        }
        List<string> faulty = [.. found.Items.Where(d => d.Severity == Severity.Error && !string.IsNullOrEmpty(d.Subject)).Select(d => d.Subject!)];
        foreach (Diagnostic diagnostic in meaning.Items)
        {
            if (!Follows(diagnostic, faulty)) found.Add(diagnostic);
        }
        return config;
    }

    // What could not be bound is missing afterwards; that is not a second fault.
    private static bool Follows(Diagnostic diagnostic, List<string> faulty)
    {
        string path = diagnostic.Subject ?? "";
        bool absence = diagnostic.Code is "NARU-C101" or "NARU-C104" or "NARU-C106" or "NARU-C121";
        return faulty.Exists(f => f == path || (absence && (Holder(f) == Holder(path) || f.StartsWith(path + ".", StringComparison.Ordinal) || f.StartsWith(path + "[", StringComparison.Ordinal))));

        static string Holder(string of) => of[..Math.Max(0, of.LastIndexOf('.'))];
    }

    // Listeners, clusters and secrets walk themselves.
    private static void FieldWalkOfBootstrap(Scope scope, Bootstrap message)
    {
        FieldWalk.Check(scope, static field => field.FullName is "envoy.config.bootstrap.v3.Bootstrap.StaticResources.listeners"
            or "envoy.config.bootstrap.v3.Bootstrap.StaticResources.clusters" or "envoy.config.bootstrap.v3.Bootstrap.StaticResources.secrets");
        if (message.Admin is { Address: null } admin) scope.In("admin", admin).Info("", "NARU-C111", "\"admin\" without an address opens no admin endpoint");
    }

    private static ImmutableArray<ClusterConfig> Clusters(Scope scope, Bootstrap message)
    {
        if (message.StaticResources is not { } resources) return [];
        Scope at = scope.In("static_resources", resources);
        var clusters = ImmutableArray.CreateBuilder<ClusterConfig>(resources.Clusters.Count);
        var names = new HashSet<string>(StringComparer.Ordinal);
        for (int i = 0; i < resources.Clusters.Count; i++)
        {
            Scope clusterAt = at.In("clusters", i, resources.Clusters[i]);
            ClusterConfig cluster = ClusterReader.Read(clusterAt, resources.Clusters[i]);
            if (cluster.Name.Length > 0 && !names.Add(cluster.Name)) clusterAt.Error("name", "NARU-C103", $"there are two clusters \"{cluster.Name}\"", "give each its own name");
            else clusters.Add(cluster);
        }
        return clusters.ToImmutable();
    }

    private static ImmutableArray<ListenerConfig> Listeners(Scope scope, Bootstrap message, ImmutableArray<ClusterConfig> clusters, SourceCheck sources)
    {
        if (message.StaticResources is not { } resources) return [];
        Scope at = scope.In("static_resources", resources);
        HashSet<string> known = [.. clusters.Select(c => c.Name)];
        var listeners = ImmutableArray.CreateBuilder<ListenerConfig>(resources.Listeners.Count);
        var names = new HashSet<string>(StringComparer.Ordinal);
        var addresses = new HashSet<string>(StringComparer.Ordinal);
        for (int i = 0; i < resources.Listeners.Count; i++)
        {
            Envoy.Config.Listener.V3.Listener given = resources.Listeners[i];
            Scope listenerAt = at.In("listeners", i, given);
            CheckClusters(listenerAt, given, message, known);
            if (ListenerReader.Read(listenerAt, given) is not { } listener) continue;
            if (!names.Add(listener.Name)) listenerAt.Error("name", "NARU-C103", $"there are two listeners \"{listener.Name}\"", "give each its own name");
            string protocol = listener.Udp is null ? "" : "udp ";
            foreach (AddressConfig address in listener.AllAddresses)
            {
                string bound = $"{protocol}{address} {address.NetworkNamespace}";
                if (!listener.BindToPort || (address.Kind == AddressKind.Socket && address.Port == 0) || addresses.Add(bound)) continue;
                listenerAt.Error("address", "NARU-C103", $"another listener has the address {address} already", "give each its own port");
            }
            foreach (HttpConnectionManagerConfig http in listener.HttpManagers)
            {
                foreach (ConfigSourceConfig? source in http.Sources) sources.Check(listenerAt, "filter_chains", source);
            }
            listeners.Add(listener);
        }
        return listeners.ToImmutable();
    }

    private static ImmutableArray<SecretConfig> Secrets(Scope scope, Bootstrap message)
    {
        if (message.StaticResources is not { } resources) return [];
        Scope at = scope.In("static_resources", resources);
        var secrets = ImmutableArray.CreateBuilder<SecretConfig>(resources.Secrets.Count);
        for (int i = 0; i < resources.Secrets.Count; i++)
        {
            Scope secretAt = at.In("secrets", i, resources.Secrets[i]);
            if (TlsContexts.Secret(secretAt, resources.Secrets[i]) is not { } secret) continue;
            if (secrets.Any(s => s.Name == secret.Name)) secretAt.Error("name", "NARU-C103", $"there are two secrets \"{secret.Name}\"", "give each its own name");
            else secrets.Add(secret);
        }
        return secrets.ToImmutable();
    }

    // Inline routes may only name clusters that exist, as in Envoy; where clusters also come by CDS, nobody can know.
    private static void CheckClusters(Scope scope, Envoy.Config.Listener.V3.Listener listener, Bootstrap message, HashSet<string> known)
    {
        bool dynamic = message.DynamicResources?.CdsConfig is not null;
        for (int c = 0; c < listener.FilterChains.Count; c++) CheckClusters(scope.In("filter_chains", c, listener.FilterChains[c]), listener.FilterChains[c], dynamic, known);
        if (listener.DefaultFilterChain is { } last) CheckClusters(scope.In("default_filter_chain", last), last, dynamic, known);
    }

    private static void CheckClusters(Scope scope, Envoy.Config.Listener.V3.FilterChain chain, bool dynamic, HashSet<string> known)
    {
        for (int i = 0; i < chain.Filters.Count; i++)
        {
            if (chain.Filters[i].TypedConfig is not { } any) continue;
            Scope at = scope.In("filters", i, chain.Filters[i]);
            switch (scope.Pass.Places?.Unpacked(any))
            {
                case HttpConnectionManager { RouteConfig: { } routes } manager when routes.ValidateClusters ?? !dynamic:
                    RouteReader.CheckClusters(at.In("typed_config", manager).In("route_config", routes), routes, known);
                    break;
                case HttpConnectionManager { ScopedRoutes.ScopedRouteConfigurationsList: { } list } manager when !dynamic:
                    Scope listAt = at.In("typed_config", manager).In("scoped_routes", manager.ScopedRoutes).In("scoped_route_configurations_list", list);
                    for (int s = 0; s < list.ScopedRouteConfigurations.Count; s++)
                    {
                        if (list.ScopedRouteConfigurations[s].RouteConfiguration is not { ValidateClusters: not false } table) continue;
                        RouteReader.CheckClusters(listAt.In("scoped_route_configurations", s, list.ScopedRouteConfigurations[s]).In("route_configuration", table), table, known);
                    }
                    break;
                // Envoy looks a TCP proxy's cluster up when a connection comes; a name that is wrong now is only likely to be wrong then.
                case TcpProxy { Cluster: { Length: > 0 } name } proxy when !dynamic && !known.Contains(name):
                    at.In("typed_config", proxy).Warning("cluster", "NARU-C104", $"there is no cluster \"{name}\"", Nearest.Suggestion(name, known) ?? "add it to static_resources.clusters");
                    break;
            }
        }
    }
}
