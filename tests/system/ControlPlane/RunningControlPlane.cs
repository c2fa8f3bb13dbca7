// A control plane in the test's own process, on free ports, with a folder of manifests and a client for its REST API.
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Naru.Control.Host;
using Naru.Kit;

namespace Naru.SystemTests.ControlPlane;

internal sealed class RunningControlPlane : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly StringWriter _log = new();
    private Task _running = Task.CompletedTask;

    private RunningControlPlane(TempFolder folder) => Folder = folder;

    public TempFolder Folder { get; }
    public IPEndPoint Xds { get; private set; } = new(0, 0);
    public IPEndPoint Http { get; private set; } = new(0, 0);
    public HttpClient Client { get; } = new(new SocketsHttpHandler { UseProxy = false });
    public string Token { get; private set; } = "";
    public string TokenFile => Folder.At("token");

    public string Log
    {
        get
        {
            lock (_log) return _log.ToString();
        }
    }

    /// <summary>Starts one on a folder; <paramref name="manifests"/> are files in <c>config/</c>, name to text.</summary>
    public static async Task<RunningControlPlane> StartAsync(TempFolder folder, Dictionary<string, string>? manifests = null, IPEndPoint? xds = null)
    {
        Directory.CreateDirectory(folder.At("config"));
        foreach ((string name, string text) in manifests ?? []) folder.Replace("config/" + name, text);
        var control = new RunningControlPlane(folder);
        var started = new TaskCompletionSource<ControlAddresses>(TaskCreationOptions.RunContinuationsAsynchronously);
        control._running = Naru.Control.Host.ControlPlane.RunAsync(new ControlOptions
        {
            Config = [folder.At("config")],
            Store = folder.At("store"),
            TokenFile = control.TokenFile,
            XdsAddress = xds ?? new IPEndPoint(IPAddress.Loopback, 0),
            HttpAddress = new IPEndPoint(IPAddress.Loopback, 0),
            Started = started.SetResult,
            Log = TextWriter.Synchronized(control._log),
        }, control._stop.Token);
        await Task.WhenAny(started.Task, control._running).Within("the control plane to start");
        if (control._running.IsFaulted) await control._running;
        ControlAddresses addresses = await started.Task;
        control.Xds = addresses.Xds;
        control.Http = addresses.Http;
        control.Token = File.ReadAllText(control.TokenFile).Trim();
        control.Client.BaseAddress = new Uri($"http://{addresses.Http}/");
        control.Client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", control.Token);
        return control;
    }

    /// <summary>Puts a manifest beside the others, as an editor would.</summary>
    public void Write(string name, string text)
    {
        // Beside the watched folder first: a half-written manifest must never be seen.
        string fresh = Folder.Write("fresh-" + name, text);
        File.Move(fresh, Folder.At("config/" + name), overwrite: true);
    }

    public async Task<(HttpStatusCode Status, JsonElement Json)> ApplyAsync(string yaml, string query = "")
    {
        using HttpResponseMessage answer = await Client.PostAsync("api/v1/apply" + query, new StringContent(yaml, Encoding.UTF8, "application/yaml"));
        return (answer.StatusCode, JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement);
    }

    public async Task<JsonElement> GetAsync(string path)
    {
        using HttpResponseMessage answer = await Client.GetAsync(path);
        answer.EnsureSuccessStatusCode();
        return JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement;
    }

    /// <summary>The one connected proxy, once <paramref name="wanted"/> holds for it.</summary>
    public async Task<JsonElement> ProxyAsync(Func<JsonElement, bool> wanted, string what)
    {
        JsonElement found = default, all = default;
        try
        {
            await Waiting.UntilAsync(async () =>
            {
                all = await GetAsync("api/v1/proxies");
                foreach (JsonElement proxy in all.GetProperty("proxies").EnumerateArray())
                {
                    if (!wanted(proxy)) continue;
                    found = proxy;
                    return true;
                }
                return false;
            }, what);
        }
        catch (TimeoutException e)
        {
            throw new TimeoutException($"{e.Message}; proxies: {all}\n{Log}", e);
        }
        return found;
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _running.Within("the control plane to stop");
        Client.Dispose();
        _stop.Dispose();
    }
}
