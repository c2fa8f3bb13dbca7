// The runner's door for other processes of the same user: HTTP on a Unix socket in a folder that nobody else may enter.
// Long tasks answer with lines of JSON; who hangs up while a member is joined takes it out.
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Naru.Core;
using Naru.Inspect;

namespace Naru.Local.Api;

internal sealed class RunnerApi : IAsyncDisposable
{
    private static readonly JsonSerializerOptions s_lines = new(MeshLocation.Json) { WriteIndented = false };

    private readonly WebApplication _app;
    private readonly Mesh _mesh;

    private RunnerApi(Mesh mesh, WebApplication app)
    {
        _mesh = mesh;
        _app = app;
    }

    public static async Task<RunnerApi> StartAsync(Mesh mesh, string socket)
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(k =>
        {
            k.AddServerHeader = false;
            k.Limits.MaxRequestBodySize = 1 << 20;
            k.ListenUnixSocket(socket, l => l.Protocols = HttpProtocols.Http1);
        });
        WebApplication app = builder.Build();
        var api = new RunnerApi(mesh, app);
        app.Run(api.AnswerAsync);
        await app.StartAsync().ConfigureAwait(false);
        File.SetUnixFileMode(socket, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        return api;
    }

    public async ValueTask DisposeAsync()
    {
        using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(2));
        await _app.StopAsync(bound.Token).ConfigureAwait(false);
        await _app.DisposeAsync().ConfigureAwait(false);
    }

    private async Task AnswerAsync(HttpContext http)
    {
        string[] path = (http.Request.Path.Value ?? "").Trim('/').Split('/');
        try
        {
            switch (http.Request.Method, path)
            {
                case ("GET", ["v1", "status"]):
                    await http.Response.WriteAsJsonAsync(await _mesh.StatusAsync(http.RequestAborted).ConfigureAwait(false),
                        MeshLocation.Json, http.RequestAborted).ConfigureAwait(false);
                    break;
                case ("GET", ["v1", "events"]):
                    await http.Response.WriteAsJsonAsync(_mesh.Events(), MeshLocation.Json, http.RequestAborted).ConfigureAwait(false);
                    break;
                case ("POST", ["v1", "down"]):
                    http.Response.StatusCode = StatusCodes.Status202Accepted;
                    await http.Response.CompleteAsync().ConfigureAwait(false);
                    _mesh.AskToStop();
                    break;
                case ("POST", ["v1", "rollout", "restart"]):
                    await TaskAsync(http, p => _mesh.RestartAsync(Query(http, "namespace"), Query(http, "name"), p, http.RequestAborted)).ConfigureAwait(false);
                    break;
                case ("POST", ["v1", "rollout", "undo"]):
                    if (!int.TryParse(Query(http, "revision"), out int revision) || revision < 0) throw Refuse($"\"{Query(http, "revision")}\" is no revision", "naru rollout history lists them");
                    await TaskAsync(http, p => _mesh.UndoAsync(Query(http, "namespace"), Query(http, "name"), revision, p, http.RequestAborted)).ConfigureAwait(false);
                    break;
                case ("POST", ["v1", "scale"]):
                    if (!int.TryParse(Query(http, "replicas"), out int replicas) || replicas is < 0 or > 200) throw Refuse($"\"{Query(http, "replicas")}\" is no number of pods", "0 to 200");
                    await TaskAsync(http, p => _mesh.ScaleAsync(Query(http, "namespace"), Query(http, "name"), replicas, p, http.RequestAborted)).ConfigureAwait(false);
                    break;
                case ("POST", ["v1", "members"]):
                    await MemberAsync(http).ConfigureAwait(false);
                    break;
                case ("POST", ["v1", "members", var pod, "started"]):
                    JsonElement body = await http.Request.ReadFromJsonAsync<JsonElement>(http.RequestAborted).ConfigureAwait(false);
                    Member(pod).Started(body.GetProperty("pid").GetInt32());
                    http.Response.StatusCode = StatusCodes.Status204NoContent;
                    break;
                case ("POST", ["v1", "members", var pod, "leave"]):
                    await _mesh.Members.LeaveAsync(Member(pod)).ConfigureAwait(false);
                    http.Response.StatusCode = StatusCodes.Status204NoContent;
                    break;
                default:
                    http.Response.StatusCode = StatusCodes.Status404NotFound;
                    break;
            }
        }
        catch (MeshException e) when (!http.Response.HasStarted)
        {
            http.Response.StatusCode = StatusCodes.Status422UnprocessableEntity;
            await http.Response.WriteAsJsonAsync(ReportedDiagnostic.From(e.Diagnostic), MeshLocation.Json).ConfigureAwait(false);
        }
        catch (Exception e) when (e is OperationCanceledException or JsonException or KeyNotFoundException or Microsoft.AspNetCore.Http.BadHttpRequestException)
        {
            if (!http.Response.HasStarted) http.Response.StatusCode = StatusCodes.Status400BadRequest;
        }
    }

    private static string Query(HttpContext http, string name) => http.Request.Query[name].ToString();

    private static MeshException Refuse(string message, string remedy) => new(new Diagnostic("NARU-L031", Severity.Error, message, Remedy: remedy));

    private Member Member(string pod) => _mesh.Members.Find(pod) ?? throw Refuse($"no member \"{pod}\"", "naru status lists all pods");

    private static async Task TaskAsync(HttpContext http, Func<IProgress<string>, Task> work)
    {
        var lines = new Lines(http);
        RunnerEvent end;
        try
        {
            await work(lines).ConfigureAwait(false);
            end = new RunnerEvent { Event = "done" };
        }
        catch (MeshException e)
        {
            end = new RunnerEvent { Event = "failed", Message = e.Message, Diagnostic = ReportedDiagnostic.From(e.Diagnostic) };
        }
        await lines.WriteAsync(end).ConfigureAwait(false);
    }

    private async Task MemberAsync(HttpContext http)
    {
        MemberRequest request = await http.Request.ReadFromJsonAsync<MemberRequest>(MeshLocation.Json, http.RequestAborted).ConfigureAwait(false) ?? new MemberRequest();
        Member member = _mesh.Members.Join(request);
        var lines = new Lines(http);
        try
        {
            await lines.WriteAsync(new RunnerEvent { Event = "progress", Message = "waiting for the sidecar" }).ConfigureAwait(false);
            await member.StartAsync(http.RequestAborted).ConfigureAwait(false);
            await foreach (RunnerEvent item in member.Events.ReadAllAsync(http.RequestAborted).ConfigureAwait(false)) await lines.WriteAsync(item).ConfigureAwait(false);
        }
        catch (Exception e) when (e is OperationCanceledException or IOException)
        {
            // The wrapper hung up. Where it did not say goodbye before, its process goes the same way.
            member.EndOrphan();
        }
        finally
        {
            await _mesh.Members.LeaveAsync(member).ConfigureAwait(false);
        }
    }

    // Lines in the order they were reported; a line that cannot be written any more is nobody's loss.
    private sealed class Lines(HttpContext http) : IProgress<string>
    {
        private readonly SemaphoreSlim _turn = new(1, 1);

        public void Report(string value) => _ = WriteAsync(new RunnerEvent { Event = "progress", Message = value });

        public async Task WriteAsync(RunnerEvent item)
        {
            await _turn.WaitAsync().ConfigureAwait(false);
            try
            {
                if (!http.Response.HasStarted) http.Response.ContentType = "application/x-ndjson";
                await http.Response.WriteAsync(JsonSerializer.Serialize(item, s_lines) + "\n", http.RequestAborted).ConfigureAwait(false);
                await http.Response.Body.FlushAsync(http.RequestAborted).ConfigureAwait(false);
            }
            finally
            {
                _turn.Release();
            }
        }
    }
}
