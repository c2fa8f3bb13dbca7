// Client of the control plane's REST API. What it refuses comes back as diagnostics; a control plane that is not there is an exception
// that says so.
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;

namespace Naru.Inspect;

/// <summary>What became of one object.</summary>
public sealed record AppliedObject
{
    /// <summary>Kind.</summary>
    public string Kind { get; init; } = "";
    /// <summary>Namespace.</summary>
    public string Namespace { get; init; } = "";
    /// <summary>Name.</summary>
    public string Name { get; init; } = "";
    /// <summary>created, configured, unchanged, deleted; absent for what should be deleted and is not there.</summary>
    public string Action { get; init; } = "";
    /// <summary>With absent: what might have been meant.</summary>
    public string? Suggestion { get; init; }
}

/// <summary>Answer to an apply.</summary>
public sealed record ApplyResult
{
    /// <summary>Whether it was taken.</summary>
    public bool Ok { get; init; }
    /// <summary>Objects, in the order they were written.</summary>
    public IReadOnlyList<AppliedObject> Objects { get; init; } = [];
    /// <summary>Complaints; errors where it was refused.</summary>
    public IReadOnlyList<ReportedDiagnostic> Diagnostics { get; init; } = [];
}

/// <summary>The control plane, as tools see it.</summary>
public sealed class ControlPlaneClient : IDisposable
{
    private static readonly TimeSpan s_question = TimeSpan.FromSeconds(30);
    // Thousands of objects, each flushed to the disk.
    private static readonly TimeSpan s_change = TimeSpan.FromMinutes(5);

    private readonly HttpClient _http;
    private readonly string _address;

    /// <summary>Opens nothing yet.</summary>
    /// <param name="address">Base address, <c>http://127.1.0.1:15014</c>.</param>
    /// <param name="tokenFile">File with the token, read with every request.</param>
    public ControlPlaneClient(string address, string tokenFile)
    {
        _address = address;
        TokenFile = tokenFile;
        _http = Door.Http(address.TrimEnd('/') + "/", Timeout.InfiniteTimeSpan);
    }

    /// <summary>Why nobody answered, in words for people.</summary>
    public static string Cause(Exception e) => Door.Cause(e);

    /// <summary>File with the token.</summary>
    public string TokenFile { get; }

    /// <summary>Whether it answers and has read its configuration.</summary>
    public async Task<bool> IsReadyAsync(CancellationToken cancel = default)
    {
        try
        {
            using HttpResponseMessage answer = await _http.GetAsync("ready", cancel).ConfigureAwait(false);
            return answer.IsSuccessStatusCode;
        }
        catch (Exception e) when (e is HttpRequestException or IOException || (e is TaskCanceledException && !cancel.IsCancellationRequested))
        {
            return false;
        }
    }

    /// <summary>Creates or changes objects, all or none.</summary>
    /// <param name="yaml">YAML or JSON.</param>
    /// <param name="file">Name for places.</param>
    /// <param name="createOnly">Refuse what is there already.</param>
    /// <param name="dryRun">Only judge.</param>
    /// <param name="ns">For objects that name none.</param>
    /// <param name="cancel">Gives up.</param>
    /// <exception cref="UnreachableException">Nobody answers.</exception>
    /// <exception cref="RefusedException">It is too long, or the token is wrong.</exception>
    public async Task<ApplyResult> ApplyAsync(string yaml, string file, bool createOnly, bool dryRun, string ns, CancellationToken cancel)
    {
        var query = new List<string> { $"file={Uri.EscapeDataString(file)}", $"namespace={Uri.EscapeDataString(ns)}" };
        if (createOnly) query.Add("createOnly=true");
        if (dryRun) query.Add("dryRun=true");
        using var request = new HttpRequestMessage(HttpMethod.Post, $"api/v1/apply?{string.Join('&', query)}") { Content = new StringContent(yaml, Encoding.UTF8, "application/yaml") };
        // What is too long is refused before it is sent, so that the answer can be read.
        long length = request.Content.Headers.ContentLength ?? 0;
        request.Headers.ExpectContinue = length > 1 << 20;
        using HttpResponseMessage answer = await SendAsync(request, s_change, cancel).ConfigureAwait(false);
        if (answer.StatusCode == HttpStatusCode.RequestEntityTooLarge)
        {
            throw new RefusedException(new Core.Diagnostic("NARU-L062", Core.Severity.Error,
                $"{file} has {length / 1048576.0:0.0} MB, and {await SentenceAsync(answer, cancel).ConfigureAwait(false)}", new Core.Place(file), Remedy: "split it between two objects (at a line ---) into several files, and give each with -f, or their folder"));
        }
        if (answer.StatusCode is HttpStatusCode.OK or HttpStatusCode.UnprocessableEntity or HttpStatusCode.Conflict)
        {
            ApplyResult? result = await ReadAsync<ApplyResult>(answer, cancel).ConfigureAwait(false);
            if (result is not null) return result with { Ok = answer.IsSuccessStatusCode };
        }
        throw await RefusedAsync(answer, cancel).ConfigureAwait(false);
    }

    /// <summary>Deletes objects, all in one step; what is not there is answered as absent.</summary>
    /// <exception cref="UnreachableException">Nobody answers.</exception>
    /// <exception cref="RefusedException">The token is wrong, or the store cannot be written.</exception>
    public async Task<IReadOnlyList<AppliedObject>> DeleteAsync(IEnumerable<(string Kind, string Namespace, string Name)> objects, bool dryRun, CancellationToken cancel)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"api/v1/delete{(dryRun ? "?dryRun=true" : "")}")
        {
            Content = JsonContent.Create(objects.Select(o => new { kind = o.Kind, @namespace = o.Namespace, name = o.Name }).ToList(), options: MeshLocation.Json),
        };
        using HttpResponseMessage answer = await SendAsync(request, s_change, cancel).ConfigureAwait(false);
        if (!answer.IsSuccessStatusCode) throw await RefusedAsync(answer, cancel).ConfigureAwait(false);
        return (await ReadAsync<ApplyResult>(answer, cancel).ConfigureAwait(false))?.Objects ?? [];
    }

    /// <summary>Objects as Kubernetes manifests in JSON; null filters match all.</summary>
    /// <exception cref="UnreachableException">Nobody answers.</exception>
    public async Task<IReadOnlyList<JsonElement>> ObjectsAsync(string? kind, string? ns, string? name, CancellationToken cancel)
    {
        var query = new List<string>();
        if (kind is not null) query.Add($"kind={Uri.EscapeDataString(kind)}");
        if (ns is not null) query.Add($"namespace={Uri.EscapeDataString(ns)}");
        if (name is not null) query.Add($"name={Uri.EscapeDataString(name)}");
        JsonElement json = await GetAsync($"api/v1/objects{(query.Count > 0 ? "?" : "")}{string.Join('&', query)}", cancel).ConfigureAwait(false);
        // A bare list, or a List with items.
        JsonElement items = json.ValueKind == JsonValueKind.Object && (json.TryGetProperty("items", out JsonElement inner) || json.TryGetProperty("objects", out inner)) ? inner : json;
        return items.ValueKind == JsonValueKind.Array ? [.. items.EnumerateArray()] : [];
    }

    /// <summary>What the control plane has to say about its configuration.</summary>
    /// <exception cref="UnreachableException">Nobody answers.</exception>
    public async Task<IReadOnlyList<ReportedDiagnostic>> DiagnosticsAsync(CancellationToken cancel)
    {
        JsonElement json = await GetAsync("api/v1/diagnostics", cancel).ConfigureAwait(false);
        JsonElement items = json.ValueKind == JsonValueKind.Object && json.TryGetProperty("diagnostics", out JsonElement inner) ? inner : json;
        return items.Deserialize<List<ReportedDiagnostic>>(MeshLocation.Json) ?? [];
    }

    /// <summary>Waits until every connected proxy has confirmed what the control plane knows now.</summary>
    /// <returns>How many proxies there are, and whether all were in step within <paramref name="bound"/>.</returns>
    /// <exception cref="UnreachableException">Nobody answers.</exception>
    public async Task<(int Proxies, bool InStep)> WhenInStepAsync(TimeSpan bound, CancellationToken cancel)
    {
        long start = TimeProvider.System.GetTimestamp();
        while (true)
        {
            JsonElement page = await GetAsync("api/v1/proxies", cancel).ConfigureAwait(false);
            JsonElement[] proxies = page.TryGetProperty("proxies", out JsonElement list) ? [.. list.EnumerateArray()] : [];
            bool all = proxies.All(p => p.TryGetProperty("inStep", out JsonElement inStep) && inStep.ValueKind == JsonValueKind.True);
            if (all || TimeProvider.System.GetElapsedTime(start) > bound) return (proxies.Length, all);
            await Task.Delay(TimeSpan.FromMilliseconds(20), cancel).ConfigureAwait(false);
        }
    }

    /// <summary>A page as JSON.</summary>
    /// <exception cref="UnreachableException">Nobody answers.</exception>
    public async Task<JsonElement> GetAsync(string path, CancellationToken cancel)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        using HttpResponseMessage answer = await SendAsync(request, s_question, cancel).ConfigureAwait(false);
        if (!answer.IsSuccessStatusCode) throw await RefusedAsync(answer, cancel).ConfigureAwait(false);
        return await ReadAsync<JsonElement>(answer, cancel).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    private static async Task<T?> ReadAsync<T>(HttpResponseMessage answer, CancellationToken cancel)
    {
        try
        {
            return await answer.Content.ReadFromJsonAsync<T>(MeshLocation.Json, cancel).ConfigureAwait(false);
        }
        catch (JsonException)
        {
            return default;
        }
    }

    private static async Task<Exception> RefusedAsync(HttpResponseMessage answer, CancellationToken cancel)
    {
        string text = await SentenceAsync(answer, cancel).ConfigureAwait(false);
        return new RefusedException(new Core.Diagnostic("NARU-L063", Core.Severity.Error, $"the control plane refuses: {(text.Length > 0 ? text : $"status {(int)answer.StatusCode}")}",
            Remedy: answer.StatusCode == HttpStatusCode.Unauthorized ? "give its token with --token-file FILE" : null));
    }

    // {"error": "…"}, or whatever else was answered.
    private static async Task<string> SentenceAsync(HttpResponseMessage answer, CancellationToken cancel)
    {
        string text = (await answer.Content.ReadAsStringAsync(cancel).ConfigureAwait(false)).Trim();
        try
        {
            using JsonDocument json = JsonDocument.Parse(text);
            return json.RootElement.ValueKind == JsonValueKind.Object && json.RootElement.TryGetProperty("error", out JsonElement error) ? error.ToString() : text;
        }
        catch (JsonException)
        {
            return text;
        }
    }

    private async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, TimeSpan bound, CancellationToken cancel)
    {
        request.Headers.Authorization = Door.Token(TokenFile);
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("application/json"));
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        either.CancelAfter(bound);
        try
        {
            return await _http.SendAsync(request, either.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is HttpRequestException or IOException || (e is OperationCanceledException && !cancel.IsCancellationRequested))
        {
            throw new UnreachableException($"the control plane at {_address} does not answer: {Door.Cause(e)}", e);
        }
    }
}
