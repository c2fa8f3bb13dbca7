// `--mode explain`: loads a configuration as serving would, opens no socket, asks nobody, and explains requests: one JSON object a line on standard input
// (docs/reference/explain.md), one a line on standard output. It ends with its input.
using System.Collections.Immutable;
using System.Text;
using System.Text.Json;
using Envoy.Config.Bootstrap.V3;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Explain;
using Naru.Proxy.Xds;
using Naru.Telemetry;

namespace Naru.Proxy.Host;

internal static class Offline
{
    private const int MostLine = 1024 * 1024;

    /// <summary>Explains until the input ends.</summary>
    /// <returns>The exit code: 0, or 1 where the configuration cannot be used.</returns>
    public static async Task<int> RunAsync(CommandLine options)
    {
        var found = new Diagnostics();
        if (Load(options, found) is not { } loaded || found.HasErrors)
        {
            foreach (Diagnostic d in found.Items) await Console.Error.WriteLineAsync(d.ToString()).ConfigureAwait(false);
            return 1;
        }
        var engine = new ProxyEngine(new ProxyEngineOptions { Concurrency = 1, IsStill = true, Stats = new StatRegistry(1), Runtime = RuntimeOf(loaded.Runtime, found) });
        IReadOnlyList<Refusal> refused = engine.Apply(loaded.Change);
        foreach (Diagnostic d in found.Items.Where(d => d.Severity != Severity.Info).Concat(refused)) await Console.Error.WriteLineAsync(d.ToString()).ConfigureAwait(false);
        if (refused.Any(r => r.Severity == Severity.Error)) return 1;
        engine.Start();
        await using Stream output = Console.OpenStandardOutput();
        using var input = new StreamReader(Console.OpenStandardInput(), Encoding.UTF8);
        while (await input.ReadLineAsync().ConfigureAwait(false) is { } line)
        {
            if (line.Length == 0) continue;
            await output.WriteAsync(await AnswerAsync(engine, line).ConfigureAwait(false)).ConfigureAwait(false);
            await output.FlushAsync().ConfigureAwait(false);
        }
        await engine.StopAsync(TimeSpan.Zero).ConfigureAwait(false);
        return 0;
    }

    // As it is now: what a server would bring is not there.
    private static Runtime RuntimeOf(ImmutableArray<RuntimeLayerConfig> layers, Diagnostics found)
    {
        var runtime = new Runtime(layers);
        foreach (RuntimeLayerConfig layer in layers)
        {
            if (layer.Folder is not { } folder) continue;
            try { runtime.Replace(layer.Name, RuntimeFolder.Read(folder.Path)); }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException)
            {
                found.Warning("NARU-X119", $"layer {layer.Name} of the runtime cannot be read: {e.Message}", new Place(folder.Path));
            }
        }
        return runtime;
    }

    // {"explanation": {…}, "text": "…"}, or {"fault": "…"}.
    private static async Task<byte[]> AnswerAsync(ProxyEngine engine, string line)
    {
        string fault = $"the line is longer than {MostLine} characters";
        ExplainRequest? request = line.Length > MostLine ? null : ExplainRequest.Parse(Encoding.UTF8.GetBytes(line), out fault);
        byte[]? json = null, text = null;
        if (request is not null) (json, text, fault) = await engine.ExplainAsync(request).ConfigureAwait(false);
        using var made = new MemoryStream();
        using (var writer = new Utf8JsonWriter(made))
        {
            writer.WriteStartObject();
            if (json is null) writer.WriteString("fault", fault);
            else
            {
                using JsonDocument document = JsonDocument.Parse(json);
                writer.WritePropertyName("explanation");
                document.RootElement.WriteTo(writer);
                writer.WriteString("text", text);
            }
            writer.WriteEndObject();
        }
        made.WriteByte((byte)'\n');
        return made.ToArray();
    }

    private static (ConfigChange Change, ImmutableArray<RuntimeLayerConfig> Runtime)? Load(CommandLine options, Diagnostics found)
    {
        if (options.DumpPath is { } dump) return DumpFile.Read(dump, found) is { } dumped ? (Still(dumped), []) : null;
        if (Configuration.Load(options, found) is not var (config, _)) return null;
        var change = new ConfigChange { Listeners = config.Listeners, Clusters = config.Clusters };
        return (Still(WithFiles(change, config, found)), config.Runtime);
    }

    // What a bootstrap has beside it in files is read once; what a server would bring is not there.
    private static ConfigChange WithFiles(ConfigChange change, BootstrapConfig config, Diagnostics found)
    {
        change = change with
        {
            Listeners = [.. change.Listeners, .. Files<ListenerConfig>(ResourceType.Listener, config.Lds, found)],
            Clusters = [.. change.Clusters, .. Files<ClusterConfig>(ResourceType.Cluster, config.Cds, found)],
        };
        IEnumerable<ConfigSourceConfig?> routes = change.Listeners.SelectMany(l => l.AllChains).Select(c => (c.Terminal as HttpConnectionManagerConfig)?.RouteConfigSource);
        IEnumerable<ConfigSourceConfig?> endpoints = change.Clusters.Where(c => c.Type == DiscoveryType.Eds).Select(c => c.EdsSource);
        return change with
        {
            RouteConfigurations = [.. routes.Distinct().SelectMany(s => Files<RouteConfigurationConfig>(ResourceType.Route, s, found))],
            Endpoints = [.. endpoints.Distinct().SelectMany(s => Files<EndpointsConfig>(ResourceType.Endpoints, s, found))],
        };
    }

    private static IEnumerable<T> Files<T>(ResourceType type, ConfigSourceConfig? source, Diagnostics found)
    {
        if (source is null) return [];
        if (source.Kind != ConfigSourceKind.Path)
        {
            found.Warning("NARU-X110", $"{type.Abbreviation()} would come from a server, which is not asked", remedy: "ask the running proxy, or give its config_dump with --dump");
            return [];
        }
        string text;
        try
        {
            text = File.ReadAllText(source.Path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            found.Error("NARU-X111", $"the file of {type.Abbreviation()} cannot be read: {e.Message}", new Place(source.Path));
            return [];
        }
        FileContent content = Configuration.ReadFile(type, text, source.Path);
        found.AddRange(content.Diagnostics.Items);
        foreach (FileResource resource in content.Resources) found.AddRange(resource.Diagnostics.Items);
        return content.Resources.Where(r => !r.Diagnostics.HasErrors).Select(r => r.Record).OfType<T>();
    }

    // Nothing is opened, checked or ejected, and no certificate is needed.
    private static ConfigChange Still(ConfigChange change) => change with
    {
        Listeners = [.. change.Listeners.Select(l => l with { BindToPort = false, FilterChains = [.. l.FilterChains.Select(Still)], DefaultFilterChain = l.DefaultFilterChain is { } last ? Still(last) : null })],
        Clusters = [.. change.Clusters.Select(c => c with { HealthChecks = [], Outliers = null, Tls = null, TransportMatches = [], PreresolveHostnames = [] })],
        // Names are not looked up; addresses need not be.
        Endpoints = [.. change.Endpoints, .. change.Clusters.Where(c => c.Type is DiscoveryType.StrictDns or DiscoveryType.LogicalDns && c.LoadAssignment is not null)
            .Select(c => c.LoadAssignment! with { ClusterName = c.Name })],
    };

    private static FilterChainConfig Still(FilterChainConfig chain) => chain with { Tls = null, IsTlsLeftOut = chain.Tls is not null };
}
