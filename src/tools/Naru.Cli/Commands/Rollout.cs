// naru rollout restart|status|history|undo, naru scale: what a Deployment runs, changed pod by pod without losing a request.
using System.CommandLine;
using System.Globalization;
using Naru.Cli.Output;
using Naru.Core;
using Naru.Inspect;

namespace Naru.Cli.Commands;

internal static class RolloutVerb
{
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(100);

    public static Command Rollout() => new("rollout", "Changes what runs, step by step") { Restart(), Status(), History(), Undo() };

    public static Command Scale()
    {
        (Option<string> mesh, Option<string> ns, Argument<string[]> target) = Common();
        var replicas = new Option<int>("--replicas") { Description = "How many pods", HelpName = "N", Required = true }
            .InRange(0, 200, "no number of pods");
        var command = new Command("scale", "Changes how many pods a Deployment has") { target, replicas, ns, mesh };
        command.SetAction(async (parsed, cancel) =>
        {
            string name = NameOf(parsed.GetValue(target)!, "scale");
            using var runner = new RunnerClient(Where.Mesh(parsed.GetValue(mesh)!).Socket);
            return await FollowAsync(runner.ScaleAsync(parsed.GetValue(ns)!, name, parsed.GetValue(replicas), cancel), $"deployment/{name} scaled").ConfigureAwait(false);
        });
        return command;
    }

    public static Option<string> Namespace()
    {
        var option = new Option<string>("--namespace", "-n") { Description = "Namespace", HelpName = "NAMESPACE", DefaultValueFactory = _ => "default" };
        option.CompletionSources.Add(Completions.Namespaces);
        return option;
    }

    private static (Option<string>, Option<string>, Argument<string[]>) Common()
    {
        var target = new Argument<string[]>("deployment/NAME") { HelpName = "deployment/NAME", Description = "deployment/NAME, or NAME", Arity = new ArgumentArity(1, 2) };
        target.CompletionSources.Add(Completions.Deployments);
        return (Where.MeshOption(), Namespace(), target);
    }

    private static Command Restart()
    {
        (Option<string> mesh, Option<string> ns, Argument<string[]> target) = Common();
        var command = new Command("restart", "Replaces every pod, one after the other, without losing a request") { target, ns, mesh };
        command.SetAction(async (parsed, cancel) =>
        {
            string name = NameOf(parsed.GetValue(target)!, "rollout restart");
            using var runner = new RunnerClient(Where.Mesh(parsed.GetValue(mesh)!).Socket);
            return await FollowAsync(runner.RestartAsync(parsed.GetValue(ns)!, name, cancel), $"deployment/{name} restarted").ConfigureAwait(false);
        });
        return command;
    }

    private static Command Status()
    {
        (Option<string> mesh, Option<string> ns, Argument<string[]> target) = Common();
        var watch = new Option<bool>("--watch", "-w") { Description = "Wait until it is done (default; --watch=false only looks)", DefaultValueFactory = _ => true };
        var timeout = new Option<TimeSpan>("--timeout")
        {
            Description = "Longest wait, such as 30s or 2m; 0 for none",
            HelpName = "DURATION",
            CustomParser = result =>
            {
                if (Duration(result.Tokens[0].Value) is { } span) return span;
                result.AddError($"--timeout: \"{result.Tokens[0].Value}\" is no duration; write 30s, 2m or 1h");
                return default;
            },
        };
        var command = new Command("status", "Waits until every wanted pod is of the newest template and ready") { target, watch, timeout, ns, mesh };
        command.SetAction(async (parsed, cancel) =>
        {
            string name = NameOf(parsed.GetValue(target)!, "rollout status");
            using var runner = new RunnerClient(Where.Mesh(parsed.GetValue(mesh)!).Socket);
            TimeSpan bound = parsed.GetValue(timeout);
            long start = TimeProvider.System.GetTimestamp();
            string said = "";
            while (true)
            {
                DeploymentStatus now = Find(await runner.StatusAsync(cancel).ConfigureAwait(false), parsed.GetValue(ns)!, name);
                bool done = now.Updated >= now.Wanted && now.UpdatedReady >= now.Wanted && now.Pods == now.Wanted;
                string sentence = done ? $"deployment \"{name}\" successfully rolled out"
                    : $"waiting for deployment \"{name}\": {now.UpdatedReady} of {now.Wanted} pods of the newest template are ready{(now.Pods > now.Wanted ? $", {now.Pods - now.Wanted} to go" : "")}";
                if (sentence != said) Console.WriteLine(said = sentence);
                if (done) return Exit.Ok;
                if (!parsed.GetValue(watch)) return Exit.Failed;
                if (bound > TimeSpan.Zero && TimeProvider.System.GetElapsedTime(start) > bound)
                {
                    Screen.Say($"it is not done after {Screen.Age(bound)}; `naru describe deployment {name}` and `naru logs {name}` say more");
                    return Exit.Failed;
                }
                await Task.Delay(s_look, cancel).ConfigureAwait(false);
            }
        });
        return command;
    }

    private static Command History()
    {
        (Option<string> mesh, Option<string> ns, Argument<string[]> target) = Common();
        Option<string?> output = OutputFormat.JsonOnly();
        var command = new Command("history", "Templates that a Deployment had since the mesh began; the last one runs") { target, output, ns, mesh };
        command.SetAction(async (parsed, cancel) =>
        {
            string name = NameOf(parsed.GetValue(target)!, "rollout history");
            using var runner = new RunnerClient(Where.Mesh(parsed.GetValue(mesh)!).Socket);
            DeploymentStatus now = Find(await runner.StatusAsync(cancel).ConfigureAwait(false), parsed.GetValue(ns)!, name);
            if (parsed.GetValue(output) is not null) Screen.Json(now.Revisions);
            else Screen.Table(Console.Out, ["REVISION", "AGE", "CHANGE-CAUSE", "COMMAND"], now.Revisions.Select(r => (IReadOnlyList<string>)[$"{r.Number}", Screen.Age(DateTimeOffset.UtcNow - r.Since), r.Cause, r.Command]));
            return Exit.Ok;
        });
        return command;
    }

    private static Command Undo()
    {
        (Option<string> mesh, Option<string> ns, Argument<string[]> target) = Common();
        var revision = new Option<int>("--to-revision") { Description = "Number from `naru rollout history`; 0 for the one before", HelpName = "N" }
            .InRange(0, int.MaxValue, "no revision");
        var command = new Command("undo", "Gives a Deployment its earlier template again, until its manifest changes") { target, revision, ns, mesh };
        command.SetAction(async (parsed, cancel) =>
        {
            string name = NameOf(parsed.GetValue(target)!, "rollout undo");
            using var runner = new RunnerClient(Where.Mesh(parsed.GetValue(mesh)!).Socket);
            return await FollowAsync(runner.UndoAsync(parsed.GetValue(ns)!, name, parsed.GetValue(revision), cancel), $"deployment/{name} rolled back").ConfigureAwait(false);
        });
        return command;
    }

    private static DeploymentStatus Find(MeshStatus status, string ns, string name) => status.Deployments.FirstOrDefault(d => d.Name == name && d.Namespace == ns)
        ?? throw new Local.MeshException(new Diagnostic("NARU-L020", Severity.Error, $"no Deployment \"{name}\" runs in namespace {ns}",
            Remedy: Nearest.Suggestion(name, status.Deployments.Where(d => d.Namespace == ns).Select(d => d.Name)) ?? (status.Deployments.Count > 0 ? $"there are {string.Join(", ", status.Deployments.Select(d => $"{d.Namespace}/{d.Name}"))}" : "none runs here")));

    // deployment/NAME, deploy/NAME, deployment NAME, or NAME.
    private static string NameOf(string[] words, string verb)
    {
        string text = words.Length == 2 ? $"{words[0]}/{words[1]}" : words[0];
        string[] parts = text.Split('/');
        if (parts.Length == 1) return parts[0];
        if (Kinds.Find(parts[0]) is { Name: "Deployment" }) return parts[1];
        throw new Local.MeshException(new Diagnostic("NARU-L031", Severity.Error, $"only Deployments have pods to change here, not \"{parts[0]}\"", Remedy: $"naru {verb} deployment/{parts[^1]}"));
    }

    private static TimeSpan? Duration(string text)
    {
        if (text == "0") return TimeSpan.Zero;
        if (text.Length < 2 || !double.TryParse(text[..^1], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number) || number > 100_000) return null;
        return text[^1] switch { 's' => TimeSpan.FromSeconds(number), 'm' => TimeSpan.FromMinutes(number), 'h' => TimeSpan.FromHours(number), _ => null };
    }

    private static async Task<int> FollowAsync(IAsyncEnumerable<RunnerEvent> events, string done)
    {
        using var progress = new Progress();
        await foreach (RunnerEvent item in events.ConfigureAwait(false))
        {
            switch (item.Event)
            {
                case "done":
                    progress.Clear();
                    Console.WriteLine(done);
                    return Exit.Ok;
                case "failed":
                    progress.Clear();
                    Screen.Complain(item.Diagnostic?.ToDiagnostic() ?? new Diagnostic("NARU-L030", Severity.Error, item.Message ?? "it failed"));
                    return Exit.Failed;
                default:
                    if (item.Message is not null) progress.Report(item.Message);
                    break;
            }
        }
        throw new UnreachableException("the runner went away");
    }
}
