// naru top pods|nodes: CPU and memory, measured over a second by /proc.
using System.CommandLine;
using System.Text.Json;
using Naru.Cli.Output;
using Naru.Inspect;

namespace Naru.Cli.Commands;

internal static class TopVerb
{
    private static readonly TimeSpan s_span = TimeSpan.FromSeconds(1);

    private sealed record Use(string Namespace, string Pod, string Container, double Cores, long Memory);

    public static Command Make() => new("top", "CPU and memory of what runs") { Pods(), Nodes() };

    private static Command Pods()
    {
        var scope = new ScopeOptions();
        Option<Selector> selector = Options.Selector();
        Option<string?> output = OutputFormat.JsonOnly();
        var containers = new Option<bool>("--containers") { Description = "Application and sidecar apart" };
        var sortBy = new Option<string?>("--sort-by") { Description = "cpu or memory", HelpName = "cpu|memory" };
        sortBy.AcceptOnlyFromAmong("cpu", "memory");
        var name = new Argument<string?>("NAME") { Description = "One pod", Arity = ArgumentArity.ZeroOrOne };
        var command = new Command("pods", "Of pods: their processes and sidecars") { name, selector, containers, sortBy, output };
        command.Aliases.Add("pod");
        command.Aliases.Add("po");
        scope.AddTo(command);
        command.SetAction(async (parsed, cancel) =>
        {
            using Cluster cluster = scope.Open(parsed);
            string? space = scope.Space(parsed), wanted = parsed.GetValue(name);
            if (await cluster.StatusAsync(cancel).ConfigureAwait(false) is not { } status) throw new UnreachableException("only pods of a mesh on this machine can be measured");
            IReadOnlyList<JsonElement> all = await cluster.ListAsync(Kinds.Find("pods")!, space, cancel).ConfigureAwait(false);
            HashSet<string> meant = [.. all.Where((parsed.GetValue(selector) ?? Selector.All).Takes).Select(p => $"{Json.Namespace(p)}/{Json.Name(p)}")];
            List<PodStatus> pods = [.. status.Pods.Where(p => meant.Contains($"{p.Namespace}/{p.Name}") && (wanted is null || p.Name == wanted))];
            if (pods.Count == 0 && wanted is not null)
            {
                Screen.Say(GetVerb.Missing(new Target(Kinds.Find("pods")!, wanted), space, all));
                return Exit.Failed;
            }
            List<Use> found = await MeasureAsync(pods, cancel).ConfigureAwait(false);
            if (!parsed.GetValue(containers)) found = [.. found.GroupBy(u => (u.Namespace, u.Pod)).Select(g => new Use(g.Key.Namespace, g.Key.Pod, "", g.Sum(u => u.Cores), g.Sum(u => u.Memory)))];
            found = parsed.GetValue(sortBy) switch
            {
                "cpu" => [.. found.OrderByDescending(u => u.Cores)],
                "memory" => [.. found.OrderByDescending(u => u.Memory)],
                _ => found,
            };
            if (parsed.GetValue(output) is not null)
            {
                Screen.Json(found.Select(u => new { @namespace = u.Namespace, pod = u.Pod, container = u.Container.Length > 0 ? u.Container : null, millicores = Math.Round(u.Cores * 1000), memoryBytes = u.Memory }));
                return Exit.Ok;
            }
            string[] before = space is null ? ["NAMESPACE"] : [];
            string[] head = parsed.GetValue(containers) ? [.. before, "POD", "NAME", "CPU(cores)", "MEMORY(bytes)"] : [.. before, "NAME", "CPU(cores)", "MEMORY(bytes)"];
            Screen.Table(Console.Out, head, found.Select(u => (IReadOnlyList<string>)
                [.. space is null ? [u.Namespace] : Array.Empty<string>(), u.Pod, .. parsed.GetValue(containers) ? [u.Container] : Array.Empty<string>(), Milli(u.Cores), Mebi(u.Memory)]));
            if (found.Count == 0) Console.Error.WriteLine($"nothing{(space is null ? "" : $" in namespace {space}")}");
            return Exit.Ok;
        });
        return command;
    }

    private static Command Nodes()
    {
        Option<string?> output = OutputFormat.JsonOnly();
        var command = new Command("nodes", "Of this machine") { output };
        command.Aliases.Add("node");
        command.Aliases.Add("no");
        command.SetAction(async (parsed, cancel) =>
        {
            (double busy, double all) = Processes.MachineCpu();
            await Task.Delay(s_span, cancel).ConfigureAwait(false);
            (double busyThen, double allThen) = Processes.MachineCpu();
            double cores = (busyThen - busy) / Math.Max(allThen - all, 0.001) * Environment.ProcessorCount;
            long total = Processes.TotalMemory(), used = total - Processes.AvailableMemory();
            string name = Environment.MachineName.ToLowerInvariant();
            if (parsed.GetValue(output) is not null) Screen.Json(new { name, millicores = Math.Round(cores * 1000), memoryBytes = used });
            else
            {
                Screen.Table(Console.Out, ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"],
                    [[name, Milli(cores), $"{cores / Environment.ProcessorCount * 100:0}%", Mebi(used), $"{(total > 0 ? used * 100.0 / total : 0):0}%"]]);
            }
            return Exit.Ok;
        });
        return command;
    }

    private static async Task<List<Use>> MeasureAsync(List<PodStatus> pods, CancellationToken cancel)
    {
        List<(PodStatus Pod, string Container, IReadOnlyList<int> Pids)> parts = [.. pods.SelectMany(p => new[] { (p, "app", Processes.Tree(p.Pid)), (p, "istio-proxy", Processes.Tree(p.ProxyPid)) }).Where(p => p.Item3.Count > 0)];
        double[] before = [.. parts.Select(p => Processes.CpuSeconds(p.Pids))];
        long start = TimeProvider.System.GetTimestamp();
        await Task.Delay(s_span, cancel).ConfigureAwait(false);
        double seconds = TimeProvider.System.GetElapsedTime(start).TotalSeconds;
        return [.. parts.Select((p, i) => new Use(p.Pod.Namespace, p.Pod.Name, p.Container, Math.Max(0, Processes.CpuSeconds(p.Pids) - before[i]) / seconds, Processes.Memory(p.Pids)))];
    }

    private static string Milli(double cores) => $"{Math.Round(cores * 1000):0}m";

    private static string Mebi(long bytes) => $"{bytes >> 20}Mi";
}
