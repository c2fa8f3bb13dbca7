// Verbs of a few lines: down, status, proxy-status, proxy, version.
using System.CommandLine;
using System.Text.Json;
using Naru.Cli.Output;
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
                Screen.Say("no mesh runs here; nothing to do");
                return Exit.Ok;
            }
            using var runner = new RunnerClient(location.Socket);
            using var progress = new Progress();
            await runner.DownAsync(cancel).ConfigureAwait(false);
            progress.Report("draining");
            long start = TimeProvider.System.GetTimestamp();
            while (Directory.Exists($"/proc/{location.Pid}") && MeshLocation.Find(name)?.Pid == location.Pid || File.Exists(Path.Combine(location.Folder, RunNames.Lock)))
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
    private static readonly TimeSpan s_start = TimeSpan.FromMinutes(1);

    public static Command Make()
    {
        Option<string> mesh = Where.MeshOption();
        Option<string?> output = OutputFormat.JsonOnly("yaml");
        var command = new Command("status", "What runs, and whether it is ready") { mesh, output };
        command.Aliases.Add("ps");
        command.SetAction(async (parsed, cancel) =>
        {
            MeshLocation location = Where.Mesh(parsed.GetValue(mesh)!);
            using var runner = new RunnerClient(location.Socket);
            MeshStatus status = await runner.StatusAsync(cancel).ConfigureAwait(false);
            if (parsed.GetValue(output) is "json")
            {
                Screen.Json(status);
                return Exit.Ok;
            }
            if (parsed.GetValue(output) is "yaml")
            {
                Console.Write(Yaml.Write(JsonSerializer.SerializeToElement(status, MeshLocation.Json)));
                return Exit.Ok;
            }
            Console.WriteLine($"mesh {status.Mesh}  up {Screen.Age(DateTimeOffset.UtcNow - status.Started)}  {status.Gateway}   {status.Processes} processes, {Screen.Megabytes(status.MemoryBytes)}");
            ControlPlaneStatus plane = status.ControlPlane;
            string runs = plane.Ready ? "runs" : Screen.Red("is down", Screen.OutColour);
            Console.WriteLine($"control plane {runs} on {plane.Http}, xDS {plane.Xds}, {Screen.Count(plane.Restarts, "restart")}");
            Head(status);
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

    // Never well as long as somebody is not: what the gateway answered says nothing of a service that hides that another did not.
    private static void Head(MeshStatus status)
    {
        List<PodStatus> waiting = [.. status.Pods.Where(p => !p.Ready && p.Phase != "Terminating")];
        // Who needs longer than that to start mostly waits for something that does not come.
        List<PodStatus> starting = [.. waiting.Where(p => p.IsStarting && DateTimeOffset.UtcNow - p.Started < s_start)];
        List<PodStatus> broken = [.. waiting.Except(starting)];
        bool well = broken.Count == 0 && status.FailingCalls.Count == 0 && status.ControlPlane.Ready;
        if (status.Traffic is { } traffic)
        {
            string errors = traffic.Errors == 0 && !well
                ? "none answered with 5xx by the gateway, but not all is well:" : $"{traffic.Errors} answered with 5xx";
            Console.WriteLine(traffic.Requests == 0 && well ? $"traffic {traffic.Rate}/s: none yet"
                : $"traffic {traffic.Rate}/s: {Screen.Count(traffic.Requests, "request")}, {errors}");
        }
        string pods = Screen.Count(status.Pods.Count, "pod");
        string starts = starting.Count == 0 ? "" : $", {starting.Count} still starting: {Names(starting)}";
        Console.WriteLine(waiting.Count == 0 ? $"{pods}, all ready" : broken.Count == 0 ? $"{pods}{starts}"
            : Screen.Yellow($"{pods}, {broken.Count} not ready: {Names(broken)}{starts}", Screen.OutColour));
        foreach (CallStatus call in status.FailingCalls.Take(5))
            Console.WriteLine(Screen.Yellow(
                $"{call.Caller} calls {call.Service} in vain: {call.Failed} of {Screen.Count(call.Tries, "call")} in the last {call.Seconds} s", Screen.OutColour));
        if (status.FailingCalls.Count > 5)
            Console.WriteLine($"and {Screen.Count(status.FailingCalls.Count - 5, "more caller")} (-o json has all)");
    }

    private static string Names(List<PodStatus> pods) => string.Join(", ", pods.Take(3).Select(p => p.Workload))
        + (pods.Count > 3 ? $" and {pods.Count - 3} more" : "");
}

internal static class ProxyStatusVerb
{
    private static readonly string[] s_types = ["CDS", "LDS", "EDS", "RDS"];

    public static Command Make()
    {
        Option<string> mesh = Where.MeshOption();
        Option<string?> server = Where.ServerOption(), token = Where.TokenOption();
        Option<string?> output = OutputFormat.JsonOnly();
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
            Screen.Say(Handover.Become(proxy[0], [.. proxy.Skip(1), .. arguments]));
        }
        catch (FileNotFoundException e)
        {
            Screen.Say(e.Message);
        }
        return Exit.Failed;
    }
}

internal static class VersionVerb
{
    public static Command Make()
    {
        Option<string?> output = OutputFormat.JsonOnly();
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
