// The control plane, put together: sources → registries → snapshots → translation → xDS, and HTTP beside it. The story of a
// start and a stop reads from top to bottom in RunAsync; nothing else here decides anything.
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Naru.Control.Host.Api;
using Naru.Control.Registries;
using Naru.Control.Sources;
using Naru.Control.Translation;
using Naru.Control.Xds;

namespace Naru.Control.Host;

/// <summary>Pilot, as Istio would say: reads configuration, drives proxies.</summary>
public static class ControlPlane
{
    private const long LongestBody = 10 * 1024 * 1024;

    // gRPC's own limit is 4 MB, too little for a proxy that reconnects with ten thousand resources; without any, one request
    // could fill the memory. Responses have no limit.
    private const int LongestRequest = 64 * 1024 * 1024;

    private const string XdsConnection = "naru.xds";

    /// <summary>Runs until the token ends it; then ends streams, so that proxies look elsewhere, and returns.</summary>
    /// <exception cref="ControlOptionsException">It cannot run as told: a path does not exist, an address is taken. The message says which.</exception>
    public static async Task RunAsync(ControlOptions options, CancellationToken cancel)
    {
        Guard guard = Guard.Open(options.TokenFile);
        await using ControlState state = OpenState(options);

        // The sources were read; only now is there something that a proxy could be told.
        var worlds = new MeshWorlds();
        worlds.Publish(state.Current);
        long published = 1;

        await using WebApplication app = Build(options, worlds);
        XdsServer xds = app.Services.GetRequiredService<XdsServer>();
        ILogger log = app.Services.GetRequiredService<ILoggerFactory>().CreateLogger("naru");
        MapXds(app);
        MapHttp(app, guard, state, xds, () => Interlocked.Read(ref published));

        var debounce = new Debounce(options.QuietBeforePush, options.LongestWaitBeforePush, options.Time);
        void Note(Snapshot snapshot) => debounce.Note();
        state.Changed += Note;
        // A change may have come between the first reading and now.
        debounce.Note();
        using var stopping = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        Task pushing = debounce.RunAsync(() =>
        {
            Snapshot snapshot = state.Current;
            if (ReferenceEquals(snapshot, worlds.Current)) return;
            worlds.Publish(snapshot);
            Interlocked.Increment(ref published);
            xds.Publish();
            log.LogDebug("pushed snapshot={Snapshot} proxies={Proxies}", snapshot.Version, xds.Proxies().Count);
        }, stopping.Token);
        try
        {
            ControlAddresses addresses = await StartAsync(app, options).ConfigureAwait(false);
            log.LogInformation("control plane ready xds={Xds} http={Http} objects={Objects} services={Services} diagnostics={Diagnostics}",
                addresses.Xds, addresses.Http, state.Current.Config.Objects.Count, state.Current.Layout.Services.Count, state.Current.Diagnostics.Length);
            options.Started?.Invoke(addresses);
            await Task.Delay(Timeout.InfiniteTimeSpan, options.Time, cancel).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        finally
        {
            state.Changed -= Note;
            xds.Stop();
            await stopping.CancelAsync().ConfigureAwait(false);
            await pushing.ConfigureAwait(false);
            using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(5));
            await app.StopAsync(bound.Token).ConfigureAwait(false);
            log.LogInformation("control plane stopped");
        }
    }

    private static ControlState OpenState(ControlOptions options)
    {
        // A path that is missing at the start would look like an empty mesh, and proxies would be told so.
        foreach (string path in options.Config)
        {
            if (!File.Exists(path) && !Directory.Exists(path)) throw new ControlOptionsException($"--config {path}: no such file or folder");
        }
        StoreSource store;
        try
        {
            store = new StoreSource(options.Store, options.AllowUnenforced);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ControlOptionsException($"--store {options.Store}: {Core.Causes.Of(e)}", e);
        }
        var files = new FileSourceOptions
        {
            Time = options.Time,
            AllowUnenforced = options.AllowUnenforced,
            LastGoodFolder = options.Store is null ? null : Path.Combine(options.Store, "last-good"),
        };
        return new ControlState(new FileSource(options.Config, files), store, options.Time, options.AllowUnenforced);
    }

    private static WebApplication Build(ControlOptions options, MeshWorlds worlds)
    {
        // An empty builder: nothing of the environment (appsettings.json, ASPNETCORE_URLS) may change what was asked for.
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Services.AddLogging(logging =>
        {
            logging.SetMinimumLevel(options.Verbose ? LogLevel.Debug : LogLevel.Information);
            logging.AddFilter("Microsoft", LogLevel.Warning);
            logging.AddFilter("Grpc", LogLevel.Warning);
            logging.AddProvider(new LogLines(options.Log, options.Time));
        });
        builder.Services.AddRouting();
        builder.Services.AddGrpc(grpc =>
        {
            grpc.MaxReceiveMessageSize = LongestRequest;
            grpc.MaxSendMessageSize = null;
        });
        builder.Services.AddSingleton<IResourceProvider>(worlds);
        builder.Services.AddSingleton(options.Time);
        builder.Services.AddSingleton(new XdsLimits());
        builder.Services.AddSingleton(services => new XdsServer(
            worlds, options.Time, services.GetRequiredService<ILogger<XdsServer>>(), services.GetRequiredService<XdsLimits>()));
        builder.Services.AddSingleton<XdsRunner>();
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(5));
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = LongestBody;
            // Dead peers are noticed, and a proxy's connection survives what forgets idle ones (Istio pings every 30 s, too).
            kestrel.Limits.Http2.KeepAlivePingDelay = TimeSpan.FromSeconds(30);
            kestrel.Limits.Http2.KeepAlivePingTimeout = TimeSpan.FromSeconds(20);
            kestrel.Listen(options.XdsAddress, listen =>
            {
                listen.Protocols = HttpProtocols.Http2;
                listen.Use(next => connection =>
                {
                    connection.Items[XdsConnection] = true;
                    return next(connection);
                });
            });
            kestrel.Listen(options.HttpAddress, listen => listen.Protocols = HttpProtocols.Http1);
        });
        return builder.Build();
    }

    // Each address serves its own pages only: REST is not to be had on the xDS port, where no token is asked for.
    private static void MapXds(WebApplication app) => app.MapWhen(IsXds, branch =>
    {
        branch.UseRouting();
        branch.UseEndpoints(routes =>
        {
            routes.MapGrpcService<AggregatedService>();
            routes.MapGrpcService<ClusterService>();
            routes.MapGrpcService<EndpointService>();
            routes.MapGrpcService<ListenerService>();
            routes.MapGrpcService<RouteService>();
        });
    });

    private static bool IsXds(HttpContext context) => context.Features.Get<IConnectionItemsFeature>()?.Items.ContainsKey(XdsConnection) == true;

    private static void MapHttp(WebApplication app, Guard guard, ControlState state, XdsServer xds, Func<long> published)
    {
        var metrics = new MetricsPage(state, xds, published);
        app.MapWhen(context => !IsXds(context), branch =>
        {
            branch.Use((context, next) => ProtectAsync(context, guard, next));
            branch.UseRouting();
            branch.UseEndpoints(routes =>
            {
                routes.MapGet("/ready", (RequestDelegate)(context => Answers.TextAsync(context, StatusCodes.Status200OK, "ready\n")));
                routes.MapGet("/metrics", (RequestDelegate)(context => Answers.TextAsync(context, StatusCodes.Status200OK, metrics.Render(), MetricsPage.ContentType)));
                new ConfigApi(state).Map(routes);
                new ProxyPages(state, xds).Map(routes);
                new DebugPages(state, id => NodeOf(xds, id)).Map(routes);
            });
            branch.Run(context => Answers.ErrorAsync(context, StatusCodes.Status404NotFound, "there is no such page"));
        });
    }

    private static async Task ProtectAsync(HttpContext context, Guard guard, RequestDelegate next)
    {
        context.Response.Headers.XContentTypeOptions = "nosniff";
        context.Response.Headers.CacheControl = "no-store";
        if (!Guard.IsOwnHost(context.Request.Headers.Host, context.Connection.LocalIpAddress))
        {
            await Answers.ErrorAsync(context, StatusCodes.Status403Forbidden, "the Host header does not name this machine; use its address, not a name").ConfigureAwait(false);
            return;
        }
        bool open = context.Request.Path.Equals("/ready", StringComparison.Ordinal) || context.Request.Path.Equals("/metrics", StringComparison.Ordinal);
        if (!open && guard.RefuseToken(context.Request.Headers.Authorization) is { } refusal)
        {
            context.Response.Headers.WWWAuthenticate = "Bearer";
            await Answers.ErrorAsync(context, refusal.Status, refusal.Text).ConfigureAwait(false);
            return;
        }
        try
        {
            await next(context).ConfigureAwait(false);
        }
        catch (Microsoft.AspNetCore.Http.BadHttpRequestException e) when (!context.Response.HasStarted)
        {
            string text = e.StatusCode == StatusCodes.Status413PayloadTooLarge
                ? $"at most {LongestBody / 1024 / 1024} MB are taken in one request" : "the request is no good HTTP, or was cut off";
            await Answers.ErrorAsync(context, e.StatusCode, text).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // Nobody waits for the answer any more.
        }
    }

    private static NodeInfo? NodeOf(XdsServer xds, string id) => xds.NodeOf(id) as NodeInfo;

    private static async Task<ControlAddresses> StartAsync(WebApplication app, ControlOptions options)
    {
        try
        {
            await app.StartAsync().ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException or AddressInUseException)
        {
            throw new ControlOptionsException($"cannot listen on {options.XdsAddress} and {options.HttpAddress}: {Core.Causes.Of(e)}", e);
        }
        // In the order in which they were listened on.
        IPEndPoint[] bound = [.. app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Select(a => Read(new Uri(a)))];
        return new ControlAddresses(bound[0], bound[1]);
    }

    private static IPEndPoint Read(Uri address) => new(IPAddress.Parse(address.Host.Trim('[', ']')), address.Port);
}
