// naru delete: by name, by label, or what files name. However many objects, one request and one change.
using System.CommandLine;
using System.Text.Json;
using Naru.Cli.Output;
using Naru.Core;
using Naru.Inspect;
using Naru.Local.Manifests;

namespace Naru.Cli.Commands;

internal static class DeleteVerb
{
    public static Command Make()
    {
        var scope = new ScopeOptions();
        var files = new FileOptions();
        Option<DryRun> dryRun = Options.DryRunOption();
        Option<Selector> selector = Options.Selector();
        Option<string?> output = OutputFormat.JsonOnly("name");
        output.Description = "json, name";
        var all = new Option<bool>("--all") { Description = "All objects of the kind" };
        var ignore = new Option<bool>("--ignore-not-found") { Description = "What is not there is no failure" };
        Option<bool> noWait = ApplyVerb.NoWait();
        var target = new Argument<string[]>("KIND NAME") { HelpName = "KIND NAME", Description = "virtualservice reviews, or virtualservice/reviews", Arity = ArgumentArity.ZeroOrMore };
        target.CompletionSources.Add(Completions.Targets);
        var command = new Command("delete", "Removes configuration") { target };
        files.AddTo(command);
        foreach (Option option in (Option[])[selector, all, dryRun, ignore, noWait, output]) command.Add(option);
        scope.AddTo(command);
        command.SetAction(async (parsed, cancel) =>
        {
            string[] words = parsed.GetValue(target) ?? [];
            bool many = parsed.GetValue(all) || parsed.GetResult(selector) is { Implicit: false };
            if (words.Length > 0 && files.Any(parsed))
            {
                Screen.Say("delete what is named, or what files name; not both at once");
                return Exit.Usage;
            }
            if (words.Length == 0 && !files.Any(parsed))
            {
                Screen.Say("delete what? `naru delete KIND NAME`, or `naru delete -f FILE`");
                return Exit.Usage;
            }
            var wanted = new List<(string Kind, string Namespace, string Name)>();
            string? space = scope.Space(parsed);
            bool faulty = false;
            using Cluster cluster = scope.Open(parsed);
            if (files.Any(parsed))
            {
                if (await files.ReadAsync(parsed, cancel).ConfigureAwait(false) is not { } texts) return Exit.Failed;
                var faults = new Diagnostics();
                foreach (ManifestText text in texts)
                    wanted.AddRange(ObjectName.ReadAll(text.Text, text.Name, faults).Select(o => (o.Kind, o.Kind == "Namespace" ? "" : o.Namespace ?? space ?? "default", o.Name)));
                foreach (Diagnostic d in faults.Items) Screen.Complain(d);
                faulty = faults.HasErrors;
            }
            else
            {
                if (Targets.Parse(words, "delete") is not { } targets) return Exit.Usage;
                if (targets.FirstOrDefault(t => !t.Kind.Kept) is { } seen)
                {
                    Screen.Say($"{seen.Kind.Plural} are made from what runs; there is nothing to delete");
                    return Exit.Usage;
                }
                if (!many && targets.Any(t => t.Name is null))
                {
                    Screen.Say($"delete which {targets[0].Kind.Name}? name it, or give -l LABELS, or --all");
                    return Exit.Usage;
                }
                if (many && targets.Any(t => t.Name is not null))
                {
                    Screen.Say("a name, or -l and --all; not both at once");
                    return Exit.Usage;
                }
                if (!many && space is null)
                {
                    Screen.Say("-A needs -l or --all: a name is in one namespace (-n NAMESPACE)");
                    return Exit.Usage;
                }
                foreach (Target item in targets)
                {
                    if (item.Name is not null) wanted.Add((item.Kind.Name, item.Kind.Namespaced ? space! : "", item.Name));
                    else wanted.AddRange((await cluster.ListAsync(item.Kind, item.Kind.Namespaced ? space : null, cancel).ConfigureAwait(false)).Where((parsed.GetValue(selector) ?? Selector.All).Takes).Select(i => (item.Kind.Name, Json.Namespace(i), Json.Name(i))));
                }
                if (wanted.Count == 0) Console.Error.WriteLine($"nothing{(space is null ? "" : $" in namespace {space}")}");
            }
            if (await RefusesPodsAsync(cluster, wanted, cancel).ConfigureAwait(false)) return Exit.Failed;
            DryRun dry = parsed.GetValue(dryRun);
            IReadOnlyList<AppliedObject> done = wanted.Count == 0 ? [] : await cluster.Control.DeleteAsync(wanted, dry != DryRun.None, cancel).ConfigureAwait(false);
            if (parsed.GetValue(output) == "json") Screen.Json(done);
            foreach (AppliedObject item in done)
            {
                string full = item.Namespace.Length > 0 ? $"{item.Namespace}/{item.Name}" : item.Name;
                if (item.Action != "deleted") Report(item, full);
                else if (parsed.GetValue(output) == "name") Console.WriteLine($"{item.Kind.ToLowerInvariant()}/{item.Name}");
                else if (parsed.GetValue(output) is null) Console.WriteLine($"{item.Kind.ToLowerInvariant()}/{item.Name} deleted{Options.Suffix(dry)}");
            }
            bool missing = done.Any(o => o.Action != "deleted") && !parsed.GetValue(ignore);
            if (dry == DryRun.None && !parsed.GetValue(noWait) && done.Any(o => o.Action == "deleted")) await ApplyVerb.WaitAsync(cluster.Control, cancel).ConfigureAwait(false);
            return missing || faulty ? Exit.Failed : Exit.Ok;

            void Report(AppliedObject item, string full)
            {
                if (!parsed.GetValue(ignore)) Screen.Say($"there is no {item.Kind} {full}{(item.Suggestion is null ? "" : $"; {item.Suggestion}")}");
            }
        });
        return command;
    }

    // A pod of the runner goes on running whatever the control plane forgets; what is meant has other verbs.
    private static async Task<bool> RefusesPodsAsync(Cluster cluster, List<(string Kind, string Namespace, string Name)> wanted, CancellationToken cancel)
    {
        if (!wanted.Any(w => w.Kind == "Pod") || await cluster.StatusAsync(cancel).ConfigureAwait(false) is not { } status) return false;
        bool refused = false;
        foreach (PodStatus pod in status.Pods.Where(p => wanted.Contains(("Pod", p.Namespace, p.Name))))
        {
            refused = true;
            Screen.Complain(new Diagnostic("NARU-L064", Severity.Error, "this pod runs here as a process; forgetting it would not end it", Subject: $"Pod {pod.Namespace}/{pod.Name}",
                Remedy: status.Deployments.Any(d => d.Name == pod.Workload && d.Namespace == pod.Namespace)
                    ? $"naru rollout restart deployment/{pod.Workload} replaces it, naru scale deployment/{pod.Workload} --replicas 0 ends it" : "end its command"));
        }
        return refused;
    }
}
