// Looks at the live mesh for the front page: services and pods from the runner's own state, routes from the gateway, complaints from
// runner and control plane. Whoever does not answer in time is left out.
using Naru.Core;
using Naru.Inspect;

namespace Naru.Local.Front;

internal sealed class FrontSource(string mesh, MeshState state, ProxyAdmin gateway, int port, ControlPlaneRunner control,
    Func<IEnumerable<PodStatus>> pods, Func<IEnumerable<Diagnostic>> complaints, Func<IEnumerable<CallStatus>> failing)
{
    private static readonly TimeSpan s_bound = TimeSpan.FromSeconds(2);
    private const int MostProblems = 20;
    private const string Run = "run ";

    public async Task<FrontView> LookAsync(CancellationToken cancel)
    {
        using var bound = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        bound.CancelAfter(s_bound);
        Task<string?> dump = DumpAsync(bound.Token);
        Task<IReadOnlyList<Diagnostic>?> said = control.DiagnosticsAsync(bound.Token);
        GatewayRoutes routes = GatewayRoutes.Read(await dump.ConfigureAwait(false), port);
        IReadOnlyList<Diagnostic>? fromControl = await said.ConfigureAwait(false);
        return new FrontView
        {
            Mesh = mesh,
            Gateway = state.GatewayUrl,
            Services = [.. state.Overview().Where(s => $"{s.Namespace}/{s.Name}" != Gateway.ServiceKey)
                .Select(s => s with { Url = routes.Hosts.TryGetValue(
                    $"{s.Name}.{s.Namespace}", out string? host) ? $"http://{host}:{port}" : null })],
            Routes = routes.Routes,
            Starting = [.. pods().Where(p => !p.Ready && p.Phase != "Terminating" && p.Workload.StartsWith(Run, StringComparison.Ordinal))
                .Select(p => p.Namespace == "default" ? p.Workload[Run.Length..] : $"{p.Workload[Run.Length..]}.{p.Namespace}")],
            Problems = [.. Problems(fromControl).OrderBy(p => p.IsError ? 0 : 1).Take(MostProblems)],
        };
    }

    private async Task<string?> DumpAsync(CancellationToken cancel)
    {
        try
        {
            return await gateway.GetAsync(GatewayRoutes.DumpPath, cancel).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            return null;
        }
    }

    private IEnumerable<FrontProblem> Problems(IReadOnlyList<Diagnostic>? fromControl)
    {
        foreach (PodStatus pod in pods())
        {
            if (pod.Ready || pod.Phase == "Terminating") continue;
            string workload = pod.Workload.StartsWith(Run, StringComparison.Ordinal) ? pod.Name : pod.Workload;
            string text = $"{pod.Name} is not ready: {(pod.Reason.Length > 0 ? pod.Reason : pod.Phase)}";
            yield return new FrontProblem(FrontRequest.Sentence(text), "", $"naru logs {workload}{FrontView.OptionOf(mesh)}", pod.Phase != "Starting");
        }
        foreach (CallStatus call in failing())
        {
            string text = $"{call.Caller} calls {call.Service} in vain: {call.Failed} of {call.Tries} tries in the last {call.Seconds} s";
            yield return new FrontProblem(FrontRequest.Sentence(text), "", "naru status", true);
        }
        if (fromControl is null) yield return new FrontProblem("the control plane does not answer; proxies go on with what they know", "",
            $"naru logs control{FrontView.OptionOf(mesh)}", true);
        foreach (Diagnostic d in complaints().Concat(fromControl ?? []).Where(d => d.Severity != Severity.Info).Distinct())
        {
            string subject = string.IsNullOrEmpty(d.Subject) ? "" : $" ({d.Subject})";
            yield return new FrontProblem(FrontRequest.Sentence($"{d.Code}: {d.Message}{subject}"), FrontRequest.Sentence(d.Place.ToString()),
                FrontRequest.Sentence(d.Remedy ?? ""), d.Severity == Severity.Error);
        }
    }
}
