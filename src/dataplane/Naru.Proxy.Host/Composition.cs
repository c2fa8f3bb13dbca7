// Puts the parts of a proxy together, runs them until somebody ends it, and takes them apart in the reverse order.
// The only place that knows all of them. Start: engine, admin, configuration. End: drain, then configuration, admin, logs.
using System.Collections.Immutable;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Envoy.Config.Bootstrap.V3;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Host.Admin;
using Naru.Proxy.Host.HotRestart;
using Naru.Proxy.Listeners;
using Naru.Proxy.Xds;
using Naru.Telemetry;

namespace Naru.Proxy.Host;

internal static class Composition
{
    /// <summary>Serves until a signal or <c>/quitquitquit</c>.</summary>
    /// <returns>The exit code: 0 after an orderly end, 1 where it could not start.</returns>
    public static async Task<int> ServeAsync(CommandLine options, BootstrapConfig config, Bootstrap bootstrap, ProxyLog log)
    {
        using var quit = new CancellationTokenSource();
        using var hurry = new CancellationTokenSource();
        RestartClient? parent = null;
        if (options is { RestartEpoch: > 0, DisableHotRestart: false } && (parent = RestartClient.Connect(options.BaseId ?? 0, options.RestartEpoch)) is null && !options.SkipWithoutParent)
        {
            log.Error("main", $"error[NARU-H102]: no process with base id {options.BaseId} and epoch {options.RestartEpoch - 1} to take over from; help: start with --restart-epoch 0, or add --skip-hot-restart-on-no-parent");
            return 1;
        }
        using RestartClient? old = parent;
        InheritedSockets? inherited = old?.TakeSockets();
        var stats = new StatRegistry(options.Concurrency, StatSettings.RulesOf(config.Stats));
        using var accessLogs = new AccessLogWriter(stats, options.Concurrency, options.FileFlushInterval);
        var runtime = new Runtime(config.Runtime, stats);
        var names = new SystemNameLookup();
        var engine = new ProxyEngine(new ProxyEngineOptions
        {
            Concurrency = options.Concurrency,
            NodeCluster = config.NodeCluster,
            NodeId = config.NodeId,
            Node = [.. config.Node],
            Stats = stats,
            Runtime = runtime,
            AccessLog = accessLogs,
            DrainTime = options.DrainTime,
            Explain = options.Explain,
            Inherited = inherited,
            Lookup = (name, cluster) => names.ByFamilyAsync(name, cluster.DnsLookupFamily, cluster.DnsResolver, CancellationToken.None),
            OutlierLogPath = config.OutlierLogPath,
            Locality = config.Locality,
            LocalCluster = config.LocalCluster,
            Overload = config.Overload,
            ShrinkHeap = static () => GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: false, compacting: true),
            OnHealth = (good, sentence) => log.Write("health", good ? LogLevel.Info : LogLevel.Warning, sentence),
            OnDiagnostic = d => log.Write("tls", d.Severity switch { Severity.Error => LogLevel.Error, Severity.Warning => LogLevel.Warning, _ => LogLevel.Info }, d.ToString()),
            ConnectionLog = new ConnectionLog(() => log.IsOn("listener", LogLevel.Debug), text => log.Write("listener", LogLevel.Debug, text)),
            FilterLog = log.For("lua"),
            OnFault = (where, e) => log.Error("http", $"{where}: an internal fault was contained: {e}"),
        });
        await using var xds = new XdsManager(new XdsManagerOptions
        {
            Bootstrap = config,
            DataPlane = engine,
            Names = names,
            Stats = stats,
            Decoder = Configuration.Decode,
            FileReader = Configuration.ReadFile,
            Runtime = runtime,
            DrainTime = options.DrainTime,
            Loads = () => [.. engine.Clusters.Select(c => new ClusterLoad(c.Name, c.Config.EdsServiceName,
                [.. c.Endpoints.Select(e => new EndpointLoad(e.Config, e.Counts.Requests, e.Counts.Good, e.Counts.Bad, e.ActiveRequests))]))],
            Log = log.For("config"),
        });
        engine.HostWanted = xds.WantHost;
        var proxy = new RunningProxy(engine, xds, stats, accessLogs, log, Describe(options, config, bootstrap), bootstrap, runtime, options.DrainTime, quit);

        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, End);
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, End);
        using PosixSignalRegistration hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, context =>
        {
            context.Cancel = true;
            proxy.ReopenLogs();
        });

        engine.Start();
        using Reports.StatsFlusher sinks = engine.FlushTo(config.Sinks, config.StatsFlushOnAdmin ? null : config.StatsFlush);
        if (config.StatsFlushOnAdmin) proxy.Looked = sinks.Flush;
        AdminServer? admin = null;
        RestartServer? next = null;
        try
        {
            old?.TakeAdmin();
            if (config.Admin is { } address &&
                (admin = await StartAdminAsync(address, config.AdminPaths, options, proxy, log).ConfigureAwait(false)) is null) return 1;
            if (admin is not null) engine.KeepFrom(admin.Address);
            await xds.StartAsync(quit.Token).ConfigureAwait(false);
            if (await AnyStaticFailedAsync(xds, log).ConfigureAwait(false)) return 1;
            if (options is { BaseId: { } baseId, DisableHotRestart: false })
            {
                var self = new RestartParent(engine, async () => { if (admin is not null) await admin.DisposeAsync().ConfigureAwait(false); }, quit, hurry);
                if ((next = RestartServer.Start(baseId, options.RestartEpoch, self, log)) is null) return 1;
            }
            await ServeUntilAsync(quit.Token, xds, engine, proxy, log, () => TakeOver(old, inherited, options, quit.Token)).ConfigureAwait(false);

            proxy.BeginDrain();
            TimeSpan bound = options.DrainTime < options.ParentShutdownTime ? options.DrainTime : options.ParentShutdownTime;
            long open = engine.ActiveConnections;
            log.Info("main", open == 0 ? "ending: no connection is open" : $"ending: {open} connections get at most {bound.TotalSeconds:0} s; a second signal cuts them");
            await engine.StopAsync(bound, hurry.Token).ConfigureAwait(false);
            await xds.StopAsync().ConfigureAwait(false);
            log.Info("main", "ended");
            return 0;
        }
        finally
        {
            next?.Dispose();
            if (admin is not null) await admin.DisposeAsync().ConfigureAwait(false);
        }

        void End(PosixSignalContext context)
        {
            context.Cancel = true;
            if (quit.IsCancellationRequested) hurry.Cancel();
            else quit.Cancel();
        }
    }

    // All that is configured serves: the old process may go, at once or when its time is up.
    private static void TakeOver(RestartClient? old, InheritedSockets? inherited, CommandLine options, CancellationToken quit)
    {
        if (old is null) return;
        inherited!.CloseRest();
        old.Drain();
        _ = Task.Delay(options.ParentShutdownTime.ForTimer(), quit).ContinueWith(_ => old.Terminate(), quit, TaskContinuationOptions.OnlyOnRanToCompletion, TaskScheduler.Default);
    }

    private sealed class RestartParent(ProxyEngine engine, Func<Task> stopAdmin, CancellationTokenSource quit, CancellationTokenSource hurry) : IRestartParent
    {
        public IReadOnlyList<(string Address, int Descriptor)> ListenSockets => engine.ListenSockets;

        public Task StopAdminAsync() => stopAdmin();

        public void HandOver()
        {
            engine.HandOver();
            quit.Cancel();
        }

        public void Terminate()
        {
            quit.Cancel();
            hurry.Cancel();
        }
    }

    private static async Task ServeUntilAsync(CancellationToken quit, XdsManager xds, ProxyEngine engine, RunningProxy proxy, ProxyLog log, Action whenLive)
    {
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using CancellationTokenRegistration registration = quit.UnsafeRegister(static state => ((TaskCompletionSource)state!).TrySetResult(), ended);
        if (await Task.WhenAny(xds.InitialFetch, ended.Task).ConfigureAwait(false) == ended.Task) return;
        if (await Task.WhenAny(engine.Settled, ended.Task).ConfigureAwait(false) == ended.Task) return;
        TimeSpan after = proxy.BecomeLive();
        whenLive();
        Footprint.Trim();
        log.Info("main", $"LIVE {after.TotalMilliseconds:0} ms after the process started");
        Task small = Footprint.KeepAsync(() => engine.ActiveConnections, quit);
        await ended.Task.ConfigureAwait(false);
        await small.ConfigureAwait(false);
    }

    private static async Task<AdminServer?> StartAdminAsync(
        AddressConfig address, ImmutableArray<StringMatcherConfig> paths, CommandLine options, RunningProxy proxy, ProxyLog log)
    {
        try
        {
            if (address.Ip is not { } ip)
            {
                log.Error("admin", $"error[NARU-A101]: the admin address {address.Host} is not an IP address; help: give one, for example 127.0.0.1");
                return null;
            }
            var admin = new AdminServer(new IPEndPoint(ip, address.Port), address.Host, new AdminPages(proxy, paths).AnswerAsync, log);
            if (!IPAddress.IsLoopback(ip)) log.Warning("admin", $"the admin listens on {admin.Address}, beyond loopback: whoever reaches it can stop this proxy");
            if (options.AdminAddressPath is { } path) await WriteWholeAsync(path, admin.Address.ToString()).ConfigureAwait(false);
            log.Info("admin", $"admin on {admin.Address}");
            return admin;
        }
        catch (SocketException e)
        {
            log.Error("admin", $"error[NARU-A102]: the admin cannot listen on {address}: {e.Message}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            log.Error("admin", $"error[NARU-A103]: cannot write {options.AdminAddressPath}: {e.Message}");
        }
        return null;
    }

    // A reader of the file must never see half an address.
    private static async Task WriteWholeAsync(string path, string text)
    {
        string temporary = path + ".tmp";
        await File.WriteAllBytesAsync(temporary, Encoding.ASCII.GetBytes(text)).ConfigureAwait(false);
        File.Move(temporary, path, overwrite: true);
    }

    // What came with the bootstrap must work at once: a proxy that serves half of its file would hide the mistake.
    private static async Task<bool> AnyStaticFailedAsync(XdsManager xds, ProxyLog log)
    {
        ConfigDump dump = await xds.DumpAsync().ConfigureAwait(false);
        ResourceDump[] failed = [.. dump.Resources.Where(r => r is { IsStatic: true, State: ResourceState.Failed })];
        foreach (ResourceDump resource in failed)
            log.Error("main", $"{resource.Type.ToString().ToLowerInvariant()} {resource.Name} of the bootstrap cannot be used: {resource.Failure?.Details}");
        return failed.Length > 0;
    }

    private static ServerDescription Describe(CommandLine options, BootstrapConfig config, Bootstrap bootstrap)
    {
        var line = new List<(string, string)> { ("mode", "Serve"), ("log_level", ProxyLog.NameOf(options.LogLevel)) };
        if (options.ConfigPath is not null) line.Add(("config_path", options.ConfigPath));
        if (options.AdminAddressPath is not null) line.Add(("admin_address_path", options.AdminAddressPath));
        line.Add(("service_node", options.ServiceNode ?? ""));
        line.Add(("service_cluster", options.ServiceCluster ?? ""));
        line.Add(("service_zone", options.ServiceZone ?? ""));
        line.Add(("drain_strategy", "Gradual"));
        line.Add(("file_flush_interval", $"{(options.FileFlushInterval ?? AccessLogWriter.StandardInterval).TotalSeconds}s"));
        if (options.Explain) line.Add(("explain", "true"));
        line.Add(("drain_time", options.DrainTime.TotalSeconds + "s"));
        line.Add(("parent_shutdown_time", options.ParentShutdownTime.TotalSeconds + "s"));
        return new ServerDescription
        {
            Version = Program.Version,
            NodeId = config.NodeId,
            NodeCluster = config.NodeCluster,
            Concurrency = options.Concurrency,
            RestartEpoch = options.RestartEpoch,
            Node = bootstrap.Node,
            CommandLine = line,
        };
    }
}
