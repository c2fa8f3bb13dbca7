// Asks one proxy through its admin page. Errors of the wire are "no": whoever asks polls.
namespace Naru.Inspect;

/// <summary>Client of a proxy's admin.</summary>
public sealed class ProxyAdmin : IDisposable
{
    private readonly HttpClient _http;

    /// <summary>Opens nothing yet.</summary>
    /// <param name="address"><c>ip:port</c>.</param>
    public ProxyAdmin(string address)
    {
        Address = address;
        _http = Door.Http($"http://{address}/", TimeSpan.FromSeconds(5));
    }

    /// <summary><c>ip:port</c>.</summary>
    public string Address { get; }

    /// <summary>Whether <c>/ready</c> says 200: initial listeners and clusters are there.</summary>
    public async Task<bool> IsReadyAsync(CancellationToken cancel = default)
    {
        try
        {
            using HttpResponseMessage answer = await _http.GetAsync("ready", cancel).ConfigureAwait(false);
            return answer.IsSuccessStatusCode;
        }
        catch (Exception e) when (IsWire(e, cancel))
        {
            return false;
        }
    }

    /// <summary>A page's text, or null where nobody answers.</summary>
    public async Task<string?> GetAsync(string path, CancellationToken cancel = default)
    {
        try
        {
            return await _http.GetStringAsync(path, cancel).ConfigureAwait(false);
        }
        catch (Exception e) when (IsWire(e, cancel))
        {
            return null;
        }
    }

    /// <summary>Whether the proxy knows an endpoint with this IP; null where nobody answers.</summary>
    public async Task<bool?> KnowsEndpointAsync(string ip, CancellationToken cancel = default) =>
        await GetAsync("clusters", cancel).ConfigureAwait(false) is { } text ? text.Contains($"::{ip}:", StringComparison.Ordinal) : null;

    /// <summary>Whether a sidecar takes requests for a service by its name; true of a proxy that takes none by name (a gateway), null where
    /// nobody answers.</summary>
    /// <param name="host">The service's full name.</param>
    public async Task<bool?> KnowsHostAsync(string host, CancellationToken cancel = default) =>
        await GetAsync("config_dump?resource=dynamic_route_configs", cancel).ConfigureAwait(false) is { } text
            ? text.Contains($"\"{host}\"", StringComparison.Ordinal) || !text.Contains("\"http_proxy\"", StringComparison.Ordinal)
            : null;

    /// <summary>Starts draining its listeners.</summary>
    public async Task<bool> DrainAsync(bool inboundOnly, CancellationToken cancel = default)
    {
        try
        {
            using HttpResponseMessage answer = await _http.PostAsync(inboundOnly ? "drain_listeners?graceful&inboundonly" : "drain_listeners?graceful", null, cancel).ConfigureAwait(false);
            return answer.IsSuccessStatusCode;
        }
        catch (Exception e) when (IsWire(e, cancel))
        {
            return false;
        }
    }

    /// <summary>Sum of all counters or gauges <c>http.*.NAME</c> of its HTTP connection managers, the admin's own left out; null where
    /// nobody answers.</summary>
    public async Task<long?> HttpStatAsync(string name, CancellationToken cancel = default)
    {
        if (await GetAsync("stats", cancel).ConfigureAwait(false) is not { } text) return null;
        long sum = 0;
        foreach (string line in text.Split('\n'))
        {
            int colon = line.LastIndexOf(": ", StringComparison.Ordinal);
            if (colon < 0 || !line.StartsWith("http.", StringComparison.Ordinal) || line.StartsWith("http.admin.", StringComparison.Ordinal)) continue;
            if (line.AsSpan(0, colon).EndsWith("." + name, StringComparison.Ordinal) && long.TryParse(line.AsSpan(colon + 2), out long value)) sum += value;
        }
        return sum;
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    private static bool IsWire(Exception e, CancellationToken cancel) => !cancel.IsCancellationRequested && e is HttpRequestException or TaskCanceledException or IOException;
}
