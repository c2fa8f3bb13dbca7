// Client of a runner's socket. Long tasks come as a stream of lines, one JSON object each, so that progress can be shown.
using System.Net.Http.Json;
using System.Runtime.CompilerServices;
using System.Text.Json;

namespace Naru.Inspect;

/// <summary>One line of a long task.</summary>
public sealed record RunnerEvent
{
    /// <summary>progress, done, failed; for members also joined, waiting (not reachable, and why), ready (again where it moved), sharing,
    /// stopping.</summary>
    public string Event { get; init; } = "";
    /// <summary>A sentence. With ready: whom it shares its service with, or null.</summary>
    public string? Message { get; init; }
    /// <summary>With failed and waiting: why.</summary>
    public ReportedDiagnostic? Diagnostic { get; init; }
    /// <summary>With joined: name of the pod.</summary>
    public string? Pod { get; init; }
    /// <summary>With joined: its address. With ready: address and port at which the process is reached.</summary>
    public string? Address { get; init; }
    /// <summary>With joined: variables for the process, all of them.</summary>
    public IReadOnlyDictionary<string, string>? Environment { get; init; }
    /// <summary>With joined: the value of PORT. With ready: the port on which the process listens.</summary>
    public int Port { get; init; }
    /// <summary>With ready: since the process was started.</summary>
    public double Seconds { get; init; }
    /// <summary>With ready: how other services reach it.</summary>
    public string? Service { get; init; }
    /// <summary>With ready: how a browser on this machine reaches it; null where the gateway has no host for it.</summary>
    public string? Url { get; init; }
    /// <summary>With ready: other endpoints of the same service.</summary>
    public int Others { get; init; }
}

/// <summary>Who wants to join.</summary>
public sealed record MemberRequest
{
    /// <summary>Whether a service may be called so: a label of DNS (RFC 1123) that begins with a letter, as Kubernetes wants it.</summary>
    public static bool IsName(string name) => name.Length is > 0 and <= 63
        && name.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c == '-') && char.IsAsciiLetterLower(name[0])
        && name[^1] != '-';

    /// <summary>Name of the service.</summary>
    public string Name { get; init; } = "";
    /// <summary>Namespace.</summary>
    public string Namespace { get; init; } = "default";
    /// <summary>Port of the application; 0 where it is to be found out.</summary>
    public int Port { get; init; }
    /// <summary>The user's own PORT, or 0.</summary>
    public int EnvironmentPort { get; init; }
    /// <summary>Names of variables about ports that the user has set himself.</summary>
    public IReadOnlyList<string> Variables { get; init; } = [];
    /// <summary>Label <c>version</c>, or null.</summary>
    public string? Version { get; init; }
    /// <summary>Whether its <c>http_proxy</c> stays as it is.</summary>
    public bool NoProxy { get; init; }
    /// <summary>Its own <c>no_proxy</c>, or null.</summary>
    public string? BesideProxy { get; init; }
}

/// <summary>The runner said no. The diagnostic says why.</summary>
public sealed class RunnerException(ReportedDiagnostic diagnostic) : Exception(diagnostic.Message)
{
    /// <summary>Code, cause, remedy.</summary>
    public ReportedDiagnostic Diagnostic { get; } = diagnostic;
}

/// <summary>A runner, as tools see it.</summary>
public sealed class RunnerClient(string socket) : IDisposable
{
    private readonly HttpClient _http = Door.Unix(socket);

    /// <summary>The mesh now.</summary>
    /// <exception cref="UnreachableException">Nobody answers.</exception>
    public async Task<MeshStatus> StatusAsync(CancellationToken cancel)
    {
        try
        {
            return await _http.GetFromJsonAsync<MeshStatus>("v1/status", MeshLocation.Json, cancel).ConfigureAwait(false) ?? new MeshStatus();
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            throw new UnreachableException($"the runner does not answer: {Door.Cause(e)}", e);
        }
    }

    /// <summary>What happened lately, oldest first.</summary>
    /// <exception cref="UnreachableException">Nobody answers.</exception>
    public async Task<IReadOnlyList<MeshEvent>> EventsAsync(CancellationToken cancel)
    {
        try
        {
            return await _http.GetFromJsonAsync<List<MeshEvent>>("v1/events", MeshLocation.Json, cancel).ConfigureAwait(false) ?? [];
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            throw new UnreachableException($"the runner does not answer: {Door.Cause(e)}", e);
        }
    }

    /// <summary>Asks the mesh to end; returns at once.</summary>
    /// <exception cref="UnreachableException">Nobody answers.</exception>
    public Task DownAsync(CancellationToken cancel) => PostAsync("v1/down", new { }, cancel);

    /// <summary>Tells which process was started for a pod.</summary>
    /// <exception cref="UnreachableException">Nobody answers.</exception>
    public Task MemberStartedAsync(string pod, int pid, CancellationToken cancel) => PostAsync($"v1/members/{Uri.EscapeDataString(pod)}/started", new { pid }, cancel);

    /// <summary>Takes a member out of the mesh; returns when no request is on its way to it any more.</summary>
    /// <exception cref="UnreachableException">Nobody answers.</exception>
    public Task MemberLeaveAsync(string pod, CancellationToken cancel) => PostAsync($"v1/members/{Uri.EscapeDataString(pod)}/leave", new { }, cancel);

    /// <summary>Replaces the pods of a Deployment.</summary>
    public IAsyncEnumerable<RunnerEvent> RestartAsync(string ns, string name, CancellationToken cancel) => StreamAsync($"v1/rollout/restart?namespace={Uri.EscapeDataString(ns)}&name={Uri.EscapeDataString(name)}", new { }, cancel);

    /// <summary>Gives the pods of a Deployment an earlier template again.</summary>
    /// <param name="ns">Namespace.</param>
    /// <param name="name">Name.</param>
    /// <param name="revision">Number from its history; 0 for the one before.</param>
    /// <param name="cancel">Hangs up.</param>
    public IAsyncEnumerable<RunnerEvent> UndoAsync(string ns, string name, int revision, CancellationToken cancel) =>
        StreamAsync($"v1/rollout/undo?namespace={Uri.EscapeDataString(ns)}&name={Uri.EscapeDataString(name)}&revision={revision}", new { }, cancel);

    /// <summary>Changes the number of pods.</summary>
    public IAsyncEnumerable<RunnerEvent> ScaleAsync(string ns, string name, int replicas, CancellationToken cancel) => StreamAsync($"v1/scale?namespace={Uri.EscapeDataString(ns)}&name={Uri.EscapeDataString(name)}&replicas={replicas}", new { }, cancel);

    /// <summary>Joins a process; it is a member as long as the stream is read.</summary>
    public IAsyncEnumerable<RunnerEvent> JoinAsync(MemberRequest request, CancellationToken cancel) => StreamAsync("v1/members", request, cancel);

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    private async Task PostAsync(string path, object body, CancellationToken cancel)
    {
        try
        {
            using HttpResponseMessage answer = await _http.PostAsJsonAsync(path, body, MeshLocation.Json, cancel).ConfigureAwait(false);
            await ThrowAsync(answer, cancel).ConfigureAwait(false);
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            throw new UnreachableException($"the runner does not answer: {Door.Cause(e)}", e);
        }
    }

    private async IAsyncEnumerable<RunnerEvent> StreamAsync(string path, object body, [EnumeratorCancellation] CancellationToken cancel)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = JsonContent.Create(body, options: MeshLocation.Json) };
        HttpResponseMessage answer;
        try
        {
            answer = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancel).ConfigureAwait(false);
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            throw new UnreachableException($"the runner does not answer: {Door.Cause(e)}", e);
        }
        using (answer)
        {
            await ThrowAsync(answer, cancel).ConfigureAwait(false);
            using var reader = new StreamReader(await answer.Content.ReadAsStreamAsync(cancel).ConfigureAwait(false));
            while (true)
            {
                string? line;
                try
                {
                    line = await reader.ReadLineAsync(cancel).ConfigureAwait(false);
                }
                catch (Exception e) when (e is HttpRequestException or IOException)
                {
                    throw new UnreachableException("the runner went away", e);
                }
                if (line is null) yield break;
                if (line.Length > 0 && JsonSerializer.Deserialize<RunnerEvent>(line, MeshLocation.Json) is { } item) yield return item;
            }
        }
    }

    private static async Task ThrowAsync(HttpResponseMessage answer, CancellationToken cancel)
    {
        if (answer.IsSuccessStatusCode) return;
        ReportedDiagnostic? diagnostic = null;
        try
        {
            diagnostic = await answer.Content.ReadFromJsonAsync<ReportedDiagnostic>(MeshLocation.Json, cancel).ConfigureAwait(false);
        }
        catch (JsonException)
        {
            // Not one of ours; the status has to do.
        }
        throw new RunnerException(diagnostic ?? new ReportedDiagnostic { Code = "NARU-L030", Message = $"the runner answered {(int)answer.StatusCode}" });
    }
}
