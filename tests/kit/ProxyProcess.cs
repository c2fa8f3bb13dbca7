// A running naru-proxy: started from the text of a bootstrap, its ports learned from its admin, stopped with the test.
// It builds nothing; the executable must be there.
using System.Net;
using System.Text.Json;

namespace Naru.Kit;

/// <summary>How to start a proxy beyond its bootstrap.</summary>
public sealed record ProxyOptions
{
    /// <summary>Set once by a test program whose proxies have one worker each, and that worker's pools a past (<see cref="Poisoned"/>).</summary>
    public static bool PoisonedByDefault { get; set; }

    /// <summary>Worker threads.</summary>
    public int Concurrency { get; init; } = PoisonedByDefault ? 1 : 2;

    /// <summary>Whether the proxy serves exchanges of other kinds before the test's own (bootstraps of <see cref="Bootstraps"/> only).</summary>
    public bool Poisoned { get; init; } = PoisonedByDefault;

    /// <summary>Whether clients on this machine are told why (<c>--explain</c>; on here, so that tests can read reasons, and off by default).</summary>
    public bool Explain { get; init; } = true;

    /// <summary>Further arguments.</summary>
    public IReadOnlyList<string> Arguments { get; init; } = [];

    /// <summary>Name of the bootstrap file; its suffix says the language.</summary>
    public string FileName { get; init; } = "bootstrap.yaml";

    /// <summary>Folder for the bootstrap file; a fresh one where null.</summary>
    public TempFolder? Folder { get; init; }

    /// <summary>Whether its pools say loudly when something is given back twice, used after that, or never given back. Costs garbage.</summary>
    public bool StrictPools { get; init; } = true;

    /// <summary>Whether to wait until <c>/ready</c> says so.</summary>
    public bool WaitReady { get; init; } = true;
}

/// <summary>One <c>naru-proxy</c>.</summary>
public sealed class ProxyProcess : IAsyncDisposable
{
    private readonly TempFolder _folder;
    private readonly bool _ownsFolder;
    private Dictionary<string, IPEndPoint> _listeners = [];

    private ProxyProcess(ChildProcess child, TempFolder folder, bool ownsFolder)
    {
        Child = child;
        _folder = folder;
        _ownsFolder = ownsFolder;
    }

    /// <summary>The process.</summary>
    public ChildProcess Child { get; }

    /// <summary>Client of its admin.</summary>
    public HttpClient Admin { get; } = new(new SocketsHttpHandler { UseProxy = false }) { Timeout = Waiting.Bound };

    /// <summary>Where its admin listens.</summary>
    public IPEndPoint AdminAddress { get; private set; } = new(IPAddress.Loopback, 0);

    /// <summary>The address of its only listener, or of the one named <c>main</c>.</summary>
    public IPEndPoint Address => _listeners.Count(l => l.Key != Poison.Listener) == 1 ? _listeners.First(l => l.Key != Poison.Listener).Value : Listener("main");

    /// <summary><c>http://host:port</c> of <see cref="Address"/>.</summary>
    public string Url => $"http://{Address}";

    /// <summary>The executable: <c>NARU_PROXY</c>, or the newest build in this repository.</summary>
    public static string Executable()
    {
        if (Environment.GetEnvironmentVariable("NARU_PROXY") is { Length: > 0 } given) return given;
        return Programs.Newest("naru-proxy", "src", "dataplane", "Naru.Proxy.Host");
    }

    /// <summary>Runs it to its end, for <c>--mode validate</c>, <c>--version</c> and refusals.</summary>
    public static Task<ProcessResult> RunAsync(params string[] arguments) => ChildProcess.RunAsync(Executable(), arguments);

    /// <summary>Starts it and waits until it is ready and its ports are known.</summary>
    public static async Task<ProxyProcess> StartAsync(string bootstrap, ProxyOptions? options = null)
    {
        options ??= new ProxyOptions();
        TempFolder folder = options.Folder ?? new TempFolder();
        string? poisoned = options is { Poisoned: true, WaitReady: true } ? Poison.Into(bootstrap) : null;
        string file = folder.Write(options.FileName, poisoned ?? bootstrap);
        string adminFile = folder.At("admin-address");
        File.Delete(adminFile);
        ChildProcess child = ChildProcess.Start(Executable(),
            ["-c", file, "--admin-address-path", adminFile, "--concurrency", options.Concurrency.ToString(), .. options.Explain ? new[] { "--explain" } : [], .. options.Arguments],
            environment: new Dictionary<string, string?> { ["NARU_STRICT_POOLS"] = options.StrictPools ? "1" : null });
        var proxy = new ProxyProcess(child, folder, options.Folder is null);
        try
        {
            string address = await Waiting.ForAsync(() => Task.FromResult(proxy.AliveOrThrow(File.Exists(adminFile) ? File.ReadAllText(adminFile).Trim() : null)), "the admin's address").ConfigureAwait(false);
            proxy.AdminAddress = IPEndPoint.Parse(address);
            proxy.Admin.BaseAddress = new Uri($"http://{address}/");
            if (options.WaitReady)
            {
                await Waiting.UntilAsync(proxy.IsReadyAsync, "/ready to say 200").ConfigureAwait(false);
                await proxy.RefreshAsync().ConfigureAwait(false);
                if (poisoned is not null) await Poison.OfAsync(proxy).ConfigureAwait(false);
            }
            return proxy;
        }
        catch (Exception e)
        {
            string said = $"{e.Message}\n--- stdout\n{child.Output}\n--- stderr\n{child.Error}";
            await proxy.DisposeAsync().ConfigureAwait(false);
            throw new InvalidOperationException(said, e);
        }
    }

    /// <summary>Whether <c>/ready</c> says 200.</summary>
    public async Task<bool> IsReadyAsync()
    {
        AliveOrThrow("");
        try
        {
            using HttpResponseMessage answer = await Admin.GetAsync("ready").ConfigureAwait(false);
            return answer.StatusCode == HttpStatusCode.OK;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    /// <summary>Asks again which listeners there are.</summary>
    public async Task RefreshAsync()
    {
        string json = await Admin.GetStringAsync("listeners?format=json").ConfigureAwait(false);
        using JsonDocument document = JsonDocument.Parse(json);
        var listeners = new Dictionary<string, IPEndPoint>();
        if (document.RootElement.TryGetProperty("listener_statuses", out JsonElement statuses))
        {
            foreach (JsonElement status in statuses.EnumerateArray())
            {
                JsonElement socket = status.GetProperty("local_address").GetProperty("socket_address");
                listeners[status.GetProperty("name").GetString()!] = new IPEndPoint(IPAddress.Parse(socket.GetProperty("address").GetString()!), socket.GetProperty("port_value").GetInt32());
            }
        }
        _listeners = listeners;
    }

    /// <summary>The address a named listener is bound to.</summary>
    public IPEndPoint Listener(string name) =>
        _listeners.TryGetValue(name, out IPEndPoint? address) ? address : throw new KeyNotFoundException($"no listener {name} among {string.Join(", ", _listeners.Keys)}");

    /// <summary>Connects to the only listener.</summary>
    public Task<RawClient> ConnectAsync() => RawClient.ConnectAsync(Address);

    /// <summary>Value of a counter or gauge; 0 where it was never touched.</summary>
    public async Task<long> StatAsync(string name)
    {
        string text = await Admin.GetStringAsync("stats").ConfigureAwait(false);
        foreach (string line in text.Split('\n'))
        {
            int colon = line.LastIndexOf(": ", StringComparison.Ordinal);
            if (colon > 0 && line.AsSpan(0, colon).SequenceEqual(name)) return long.Parse(line.AsSpan(colon + 2));
        }
        return 0;
    }

    /// <summary>What its workers have handed out and not got back (<c>/ledger</c>), summed over workers: <c>buffers_active</c> and so on.</summary>
    public async Task<IReadOnlyDictionary<string, long>> LedgerAsync()
    {
        var sums = new SortedDictionary<string, long>(StringComparer.Ordinal);
        foreach (string line in (await Admin.GetStringAsync("ledger").ConfigureAwait(false)).Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            string name = line[(line.IndexOf('.') + 1)..line.LastIndexOf(':')];
            sums[name] = sums.GetValueOrDefault(name) + long.Parse(line.AsSpan(line.LastIndexOf(' ') + 1));
        }
        return sums;
    }

    /// <summary>Waits until everything that was handed out is back (all <c>…_active</c> as they were in <paramref name="before"/>), and throws
    /// at once when something was given back twice or lost.</summary>
    public async Task SettleAsync(IReadOnlyDictionary<string, long> before)
    {
        string differs = "";
        try
        {
            await Waiting.UntilAsync(async () =>
            {
                IReadOnlyDictionary<string, long> now = await LedgerAsync().ConfigureAwait(false);
                foreach ((string name, long count) in now)
                    if ((name.EndsWith("_twice", StringComparison.Ordinal) || name.EndsWith("_never_returned", StringComparison.Ordinal)) && count != 0)
                        throw new InvalidOperationException($"{name}: {count}\n{Child.Error}");
                differs = string.Join(", ", now.Where(l => l.Key.EndsWith("_active", StringComparison.Ordinal) && l.Value != before.GetValueOrDefault(l.Key))
                    .Select(l => $"{l.Key} {l.Value} for {before.GetValueOrDefault(l.Key)}"));
                return differs.Length == 0;
            }, "the ledger to be where it was").ConfigureAwait(false);
        }
        catch (TimeoutException e)
        {
            throw new InvalidOperationException($"not given back: {differs}\n{Child.Error}", e);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Admin.Dispose();
        await Child.DisposeAsync().ConfigureAwait(false);
        if (_ownsFolder) _folder.Dispose();
    }

    private string? AliveOrThrow(string? value)
    {
        if (Child.HasExited) throw new InvalidOperationException($"naru-proxy ended with {Child.ExitCode}");
        return value;
    }
}
