// A mesh of the tests: `naru up` with the real executables in a run folder of its own, on whatever ports are free.
using System.Net;
using System.Text.Json;
using Naru.Kit;

namespace Naru.SystemTests.Local;

internal sealed class LocalMesh : IAsyncDisposable
{
    /// <summary>Build machines are slow and shared; this only says when to give up.</summary>
    public static readonly TimeSpan Bound = TimeSpan.FromMinutes(4);

    private readonly TempFolder _home;

    private LocalMesh(ChildProcess runner, TempFolder home, Uri gateway)
    {
        Runner = runner;
        _home = home;
        Gateway = gateway;
        Http = new HttpClient(new SocketsHttpHandler { UseProxy = false, UseCookies = false, MaxConnectionsPerServer = 64 }) { BaseAddress = gateway, Timeout = TimeSpan.FromSeconds(60) };
    }

    public ChildProcess Runner { get; }
    public Uri Gateway { get; }
    public HttpClient Http { get; }
    public string Folder => Path.Combine(_home.Root, "run", "default");

    /// <summary>Starts a mesh and waits for its first screen.</summary>
    public static async Task<LocalMesh> UpAsync(params string[] paths)
    {
        var home = new TempFolder("naru-");
        ChildProcess runner = Start(home, ["up", .. paths, "--gateway-port", "0"]);
        string line = await runner.LineAsync("  Gateway    ", Bound);
        await runner.LineAsync("Ctrl-C", Bound);
        return new LocalMesh(runner, home, new Uri(line[line.IndexOf("http", StringComparison.Ordinal)..].Replace("localhost", "127.0.0.1")));
    }

    public Task<ProcessResult> NaruAsync(params string[] arguments) => RunAsync(_home, arguments);

    public static async Task<ProcessResult> RunAsync(TempFolder home, params string[] arguments)
    {
        await using ChildProcess child = Start(home, arguments);
        return await child.ExitAsync(Bound);
    }

    /// <summary>With variables of its own.</summary>
    public async Task<ProcessResult> NaruAsync(IReadOnlyDictionary<string, string?> environment, params string[] arguments)
    {
        await using ChildProcess child = Start(_home, arguments, environment);
        return await child.ExitAsync(Bound);
    }

    public ChildProcess StartNaru(params string[] arguments) => Start(_home, arguments);

    public ChildProcess StartNaru(IReadOnlyDictionary<string, string?> variables, params string[] arguments) => Start(_home, arguments, variables);

    public static ChildProcess Start(TempFolder home, string[] arguments, IReadOnlyDictionary<string, string?>? variables = null)
    {
        Dictionary<string, string?> environment = Environment(home);
        foreach ((string name, string? value) in variables ?? new Dictionary<string, string?>()) environment[name] = value;
        return ChildProcess.Start("dotnet", [Executable(), .. arguments], environment: environment);
    }

    /// <summary>What every <c>naru</c> of a test is told: its own home, the proxy under test, nothing of the machine's.</summary>
    public static Dictionary<string, string?> Environment(TempFolder home) => new()
    {
        ["NARU_HOME"] = home.Root,
        ["NARU_PROXY"] = ProxyProcess.Executable(),
        ["NARU_MESH"] = null,
        ["NARU_COMMAND"] = null,
        ["NO_COLOR"] = "1",
        // What builds below `dotnet run` must not outlive it.
        ["MSBUILDDISABLENODEREUSE"] = "1",
        ["DOTNET_CLI_USE_MSBUILD_SERVER"] = "0",
        ["PORT"] = null,
    };

    /// <summary><c>naru status -o json</c>.</summary>
    public async Task<JsonElement> StatusAsync()
    {
        ProcessResult result = await NaruAsync("status", "-o", "json");
        if (result.ExitCode != 0) throw new InvalidOperationException(result.All);
        return JsonDocument.Parse(result.Output).RootElement;
    }

    public static IEnumerable<JsonElement> Pods(JsonElement status, string workload) =>
        status.GetProperty("pods").EnumerateArray().Where(p => p.GetProperty("workload").GetString() == workload);

    /// <summary>Ids of all processes that carry this mesh's mark.</summary>
    public IReadOnlyList<int> Processes(string mark)
    {
        var found = new List<int>();
        foreach (string folder in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), out int pid)) continue;
            try
            {
                if (File.ReadAllText(Path.Combine(folder, "environ")).Contains(mark, StringComparison.Ordinal)) found.Add(pid);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // Gone, or not ours.
            }
        }
        return found;
    }

    /// <summary>The mark of this mesh, read from one of its processes.</summary>
    public static string MarkOf(int pid) => File.ReadAllText($"/proc/{pid}/environ").Split('\0').Single(v => v.StartsWith("NARU_MESH_MARK=", StringComparison.Ordinal));

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        if (!Runner.HasExited)
        {
            Runner.Terminate();
            await Runner.ExitAsync(Bound);
        }
        await Runner.DisposeAsync();
        _home.Dispose();
    }

    public static string Executable()
    {
        string bin = Repository.At("src", "tools", "Naru.Cli", "bin");
        string? newest = !Directory.Exists(bin) ? null : Directory.EnumerateFiles(bin, "naru.dll", SearchOption.AllDirectories).Where(f => !f.Contains("/ref/")).MaxBy(File.GetLastWriteTimeUtc);
        return newest ?? throw new FileNotFoundException($"no naru below {bin}: build src/tools/Naru.Cli first");
    }
}

/// <summary>Steady requests in the background, counted by what came back.</summary>
internal sealed class Load : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly HttpClient _http;
    private readonly List<Task> _tasks;
    private readonly List<string> _failures = [];
    private long _done;

    public Load(HttpClient http, string path, int rate, Func<string, bool> good)
    {
        _http = http;
        const int Lanes = 8;
        _tasks = [.. Enumerable.Range(0, Lanes).Select(_ => Task.Run(() => LaneAsync(path, TimeSpan.FromSeconds((double)Lanes / rate), good)))];
    }

    public long Done => Interlocked.Read(ref _done);

    public IReadOnlyList<string> Failures
    {
        get
        {
            lock (_failures) return [.. _failures];
        }
    }

    /// <summary>Waits for so many more answers.</summary>
    public Task MoreAsync(int count)
    {
        long until = Done + count;
        return Waiting.UntilAsync(() => Done >= until, $"{count} more answers", LocalMesh.Bound);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_tasks);
        _stop.Dispose();
    }

    private async Task LaneAsync(string path, TimeSpan interval, Func<string, bool> good)
    {
        using var timer = new PeriodicTimer(interval);
        try
        {
            while (await timer.WaitForNextTickAsync(_stop.Token))
            {
                string? fault = null;
                try
                {
                    using HttpResponseMessage answer = await _http.GetAsync(path);
                    string body = await answer.Content.ReadAsStringAsync();
                    if (answer.StatusCode != HttpStatusCode.OK) fault = $"{(int)answer.StatusCode} {body}";
                    else if (!good(body)) fault = body;
                }
                catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
                {
                    fault = e.ToString();
                }
                if (fault is not null)
                {
                    lock (_failures) _failures.Add(fault);
                }
                Interlocked.Increment(ref _done);
            }
        }
        catch (OperationCanceledException)
        {
            // The test has seen enough.
        }
    }
}
