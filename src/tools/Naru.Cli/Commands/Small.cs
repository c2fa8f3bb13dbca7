// Verbs of a few lines: down, status, rollout, scale, proxy-status, proxy, version.
using System.CommandLine;
using System.Text.Json;
using Naru.Core;
using Naru.Inspect;
using Naru.Local.Processes;

namespace Naru.Cli.Commands;

internal static class DownVerb
{
    public static Command Make()
    {
        Option<string> mesh = Where.MeshOption();
        var command = new Command("down", "Drains and ends the running mesh") { mesh };
        command.SetAction(async (parsed, cancel) =>
        {
            string name = parsed.GetValue(mesh)!;
            if (MeshLocation.Find(name) is not { } location)
            {
                Console.Error.WriteLine("naru: no mesh runs here; nothing to do");
                return Exit.Ok;
            }
            using var runner = new RunnerClient(location.Socket);
            using var progress = new Progress();
            await runner.DownAsync(cancel).ConfigureAwait(false);
            progress.Report("draining");
            long start = TimeProvider.System.GetTimestamp();
            while (Directory.Exists($"/proc/{location.Pid}") && MeshLocation.Find(name)?.Pid == location.Pid || File.Exists(Path.Combine(location.Folder, "lock")))
            {
                if (TimeProvider.System.GetElapsedTime(start) > TimeSpan.FromSeconds(60)) throw new UnreachableException($"the runner (pid {location.Pid}) does not end; its folder is {location.Folder}");
                await Task.Delay(50, cancel).ConfigureAwait(false);
            }
            return Exit.Ok;
        });
        return command;
    }
}

internal static class StatusVerb
{
    public static Command Make()
    {
        Option<string> mesh = Where.MeshOption();
        var output = new Option<string?>("--output", "-o") { Description = "json" };
        var command = new Command("status", "What runs, and whether it is ready") { mesh, output };
        command.Aliases.Add("ps");
        command.SetAction(async (parsed, cancel) =>
        {
            MeshLocation location = Where.Mesh(parsed.GetValue(mesh)!);
            using var runner = new RunnerClient(location.Socket);
            MeshStatus status = await runner.StatusAsync(cancel).ConfigureAwait(false);
            if (parsed.GetValue(output) is { } format)
            {
                if (format != "json")
                {
                    Console.Error.WriteLine($"naru: status has no output \"{format}\"; there is json");
                    return Exit.Usage;
                }
                Screen.Json(status);
                return Exit.Ok;
            }
            Console.WriteLine($"mesh {status.Mesh}  up {Screen.Age(DateTimeOffset.UtcNow - status.Started)}  {status.Gateway}   {status.Processes} processes, {Screen.Megabytes(status.MemoryBytes)}");
            Console.WriteLine($"control plane {(status.ControlPlane.Ready ? "runs" : "is down")} on {status.ControlPlane.Http}, xDS {status.ControlPlane.Xds}, {status.ControlPlane.Restarts} restarts");
            if (status.Traffic is { } traffic) Console.WriteLine($"traffic {traffic.Rate}/s: {traffic.Requests} requests, {traffic.Errors} errors");
            Screen.Table(Console.Out, ["POD", "READY", "STATUS", "RESTARTS", "ADDRESS", "APP", "AGE", ""], status.Pods.Select(p => (IReadOnlyList<string>)
            [
                p.Namespace == "default" ? p.Name : $"{p.Name}.{p.Namespace}", p.Ready ? "yes" : "no", p.Phase, p.ProxyRestarts > 0 ? $"{p.Restarts} (proxy {p.ProxyRestarts})" : $"{p.Restarts}",
                p.Address, p.AppPort > 0 ? $"127.0.0.1:{p.AppPort}" : "", Screen.Age(DateTimeOffset.UtcNow - p.Started), p.Reason,
            ]));
            foreach (ReportedDiagnostic d in status.Diagnostics) Screen.Complain(d.ToDiagnostic());
            return Exit.Ok;
        });
        return command;
    }
}

internal static class RolloutVerb
{
    public static Command Rollout()
    {
        Option<string> mesh = Where.MeshOption();
        Option<string> ns = Namespace();
        var target = new Argument<string[]>("deployment/NAME") { Arity = new ArgumentArity(1, 2) };
        var restart = new Command("restart", "Replaces every pod, one after the other, without losing a request") { mesh, ns, target };
        restart.SetAction(async (parsed, cancel) =>
        {
            string name = NameOf(parsed.GetValue(target)!);
            using var runner = new RunnerClient(Where.Mesh(parsed.GetValue(mesh)!).Socket);
            return await FollowAsync(runner.RestartAsync(parsed.GetValue(ns)!, name, cancel), $"deployment/{name} restarted").ConfigureAwait(false);
        });
        return new Command("rollout", "Changes what runs, step by step") { restart };
    }

    public static Command Scale()
    {
        Option<string> mesh = Where.MeshOption();
        Option<string> ns = Namespace();
        var target = new Argument<string[]>("deployment/NAME") { Arity = new ArgumentArity(1, 2) };
        var replicas = new Option<int>("--replicas") { Description = "How many pods", Required = true };
        var command = new Command("scale", "Changes how many pods a Deployment has") { mesh, ns, replicas, target };
        command.SetAction(async (parsed, cancel) =>
        {
            string name = NameOf(parsed.GetValue(target)!);
            using var runner = new RunnerClient(Where.Mesh(parsed.GetValue(mesh)!).Socket);
            return await FollowAsync(runner.ScaleAsync(parsed.GetValue(ns)!, name, parsed.GetValue(replicas), cancel), $"deployment/{name} scaled").ConfigureAwait(false);
        });
        return command;
    }

    public static Option<string> Namespace() => new("--namespace", "-n") { Description = "Namespace", DefaultValueFactory = _ => "default" };

    // deployment/NAME, deploy/NAME, deployment NAME, or NAME.
    private static string NameOf(string[] words)
    {
        string text = words.Length == 2 ? $"{words[0]}/{words[1]}" : words[0];
        string[] parts = text.Split('/');
        if (parts.Length == 1) return parts[0];
        if (parts[0] is not ("deployment" or "deployments" or "deploy" or "deployment.apps" or "deployments.apps"))
            throw new Local.MeshException(new Diagnostic("NARU-L031", Severity.Error, $"only Deployments have pods to change here, not \"{parts[0]}\"", Remedy: $"naru rollout restart deployment/{parts[^1]}"));
        return parts[1];
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

internal static class ProxyStatusVerb
{
    private static readonly string[] s_types = ["CDS", "LDS", "EDS", "RDS"];

    public static Command Make()
    {
        Option<string> mesh = Where.MeshOption();
        Option<string?> server = Where.ServerOption(), token = Where.TokenOption();
        var output = new Option<string?>("--output", "-o") { Description = "json" };
        var command = new Command("proxy-status", "Whether each proxy is in step with the control plane") { mesh, server, token, output };
        command.SetAction(async (parsed, cancel) =>
        {
            using ControlPlaneClient control = Where.ControlPlane(parsed.GetValue(mesh)!, parsed.GetValue(server), parsed.GetValue(token));
            JsonElement page = await control.GetAsync("api/v1/proxies", cancel).ConfigureAwait(false);
            if (parsed.GetValue(output) == "json")
            {
                Screen.Json(page);
                return Exit.Ok;
            }
            var rows = new List<IReadOnlyList<string>>();
            bool refused = false;
            foreach (JsonElement proxy in page.GetProperty("proxies").EnumerateArray())
            {
                string id = proxy.GetProperty("id").GetString()!;
                string[] parts = id.Split('~');
                var row = new List<string> { parts.Length == 4 ? parts[2] : id };
                foreach (string type in s_types)
                {
                    bool has = proxy.GetProperty("types").TryGetProperty(type, out JsonElement state);
                    row.Add(has ? state.GetProperty("state").GetString()! : "NOT ASKED");
                    if (has && state.TryGetProperty("error", out JsonElement error))
                    {
                        refused = true;
                        Console.Error.WriteLine($"{row[0]} refused {type}: {error.GetString()}");
                    }
                }
                row.Add(proxy.GetProperty("protocol").GetString()!);
                row.Add(proxy.TryGetProperty("inStep", out JsonElement step) && step.ValueKind == JsonValueKind.True ? "yes" : "no");
                rows.Add(row);
            }
            Screen.Table(Console.Out, ["NAME", .. s_types, "PROTOCOL", "IN STEP"], rows.OrderBy(r => r[0], StringComparer.Ordinal));
            return refused ? Exit.Failed : Exit.Ok;
        });
        return command;
    }
}

internal static class ProxyVerb
{
    public static Command Make()
    {
        var rest = new Argument<string[]>("OPTION") { Description = "Options of naru-proxy: -c FILE, --mode validate, ...", Arity = ArgumentArity.ZeroOrMore };
        var command = new Command("proxy", "The data plane alone, from an Envoy bootstrap") { rest };
        command.SetAction(parsed => Become(parsed.GetValue(rest) ?? []));
        return command;
    }

    public static int Become(IReadOnlyList<string> arguments)
    {
        try
        {
            IReadOnlyList<string> proxy = Where.Proxy();
            Console.Error.WriteLine($"naru: {Handover.Become(proxy[0], [.. proxy.Skip(1), .. arguments])}");
        }
        catch (FileNotFoundException e)
        {
            Console.Error.WriteLine($"naru: {e.Message}");
        }
        return Exit.Failed;
    }
}

internal static class VersionVerb
{
    public static Command Make()
    {
        var output = new Option<string?>("--output", "-o") { Description = "json" };
        var command = new Command("version", "Versions of naru and its runtime") { output };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(output) == "json") Screen.Json(new { naru = UpVerb.Version(), runtime = Environment.Version.ToString() });
            else Console.WriteLine($"naru {UpVerb.Version()} (.NET {Environment.Version})");
            return Exit.Ok;
        });
        return command;
    }
}
