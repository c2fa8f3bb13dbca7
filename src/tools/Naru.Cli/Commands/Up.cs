// naru up PATH, naru demo: a mesh in the foreground until Ctrl-C, SIGTERM or `naru down`.
using System.CommandLine;
using System.Reflection;
using System.Runtime.InteropServices;
using Naru.Core;
using Naru.Inspect;
using Naru.Local;
using Naru.Local.Manifests;
using Naru.Local.Processes;

namespace Naru.Cli.Commands;

internal static class UpVerb
{
    private static readonly TimeSpan s_readyBound = TimeSpan.FromSeconds(90);

    public static Command Up()
    {
        var paths = new Argument<string[]>("PATH") { Description = "Files or folders with manifests: Kubernetes' and Istio's kinds, or a kustomization", Arity = ArgumentArity.OneOrMore };
        var stub = new Option<bool>("--stub")
        {
            Description = "Stand-ins for Deployments that nothing else here runs: they say their name, version and the request",
        };
        var run = new Option<string?>("--run-file")
        {
            HelpName = "FILE",
            Description = "Which command runs in place of a Deployment's containers (default: naru.run.yaml beside the manifests)",
        };
        run.Validators.Add(result =>
        {
            if (result.Tokens is [var token] && !File.Exists(token.Value)) result.AddError($"--run-file: there is no file {token.Value}");
        });
        Command command = Base("up", "Runs a mesh on this machine from manifests", out Option<string> mesh, out Option<int> port);
        var noProxy = new Option<bool>("--no-proxy")
        {
            Description = "Leave http_proxy of applications as it is: services are then reached by their addresses, not by names",
        };
        command.Add(stub);
        command.Add(run);
        command.Add(noProxy);
        command.Add(paths);
        command.SetAction(async (parsed, cancel) =>
        {
            string[] all = parsed.GetValue(paths)!;
            foreach (string path in all)
            {
                if (Path.Exists(path)) continue;
                Screen.Complain(NoPath(path));
                return Exit.Usage;
            }
            MeshOptions options = Options(parsed, mesh, port) with { Paths = all, Planned = Tell, NoProxy = parsed.GetValue(noProxy) };
            string named = options.Name == "default" ? "" : $" --mesh {options.Name}";
            RunOptions how = RunsBy(parsed.GetValue(stub), parsed.GetValue(run)) with { Again = $"naru up {string.Join(' ', all)}{named}" };
            return await RunAsync(options with { Run = how }, "/", "naru status").ConfigureAwait(false);
        });
        return command;
    }

    /// <summary>What stands for containers here.</summary>
    internal static RunOptions RunsBy(bool stub, string? file) => new()
    {
        Stub = stub,
        File = file,
        Bookinfo = Where.Sample() is { } sample ? Path.Combine(sample, "bookinfo") : null,
        Naru = Where.Self(),
    };

    // What is beside it, or where manifests can be had: never what was just typed.
    private static Diagnostic NoPath(string path)
    {
        string full = Path.GetFullPath(path);
        string? folder = Path.GetDirectoryName(full);
        string? near = Directory.Exists(folder)
            ? Nearest.To(Path.GetFileName(full), Directory.EnumerateFileSystemEntries(folder).Select(f => Path.GetFileName(f))) : null;
        string remedy = near is not null ? $"did you mean \"{Path.Combine(Path.GetDirectoryName(path) ?? "", near)}\"?"
            : Path.GetFileName(full) == "bookinfo" ? "`naru samples bookinfo` unpacks the sample here; `naru demo` runs it as it is"
            : "give a file or folder with manifests; `naru samples` has some to begin with";
        return new Diagnostic("NARU-L001", Severity.Error, $"no such file or folder: {path}", Remedy: remedy);
    }

    // Before anything starts, and only where it says more than the manifests.
    private static void Tell(RunPlan plan)
    {
        if (!plan.IsWorthTelling) return;
        Screen.Table(Console.Error, ["DEPLOYMENT", "IMAGE", "RUNS AS"],
            plan.Rows.Select(r => (IReadOnlyList<string>)[r.Deployment, r.Image.Length == 0 ? "-" : r.Image, r.How]));
        foreach (Diagnostic d in plan.Set.Diagnostics.Where(RunPlan.IsOfRunFile).Skip(1)) Screen.Complain(d);
    }

    public static Command Demo()
    {
        Command command = Base("demo", "Runs Bookinfo with a little traffic, so that there is something to see", out Option<string> mesh, out Option<int> port);
        var rate = new Option<int>("--rate")
        {
            Description = "Requests a second, 0 to 50",
            DefaultValueFactory = _ => 5,
        }.InRange(0, 50, "no rate");
        command.Add(rate);
        command.SetAction(async (parsed, cancel) =>
        {
            string? sample = Where.Sample();
            if (sample is null)
            {
                Console.Error.WriteLine("naru: the sample samples/bookinfo is not here; run `./naru demo` in a checkout of Naru");
                return Exit.Failed;
            }
            string shown = Path.GetRelativePath(Environment.CurrentDirectory, sample);
            MeshOptions options = Options(parsed, mesh, port) with
            {
                Paths = [sample],
                TrafficRate = parsed.GetValue(rate),
                TrafficPath = "/productpage"
            };
            return await RunAsync(options, "/productpage", $"naru apply -f {(shown.StartsWith("..", StringComparison.Ordinal) ? sample : shown)}/networking/reviews-95-5.yaml").ConfigureAwait(false);
        });
        return command;
    }

    private static Command Base(string name, string description, out Option<string> mesh, out Option<int> port)
    {
        mesh = Where.MeshOption();
        port = new Option<int>("--gateway-port") { Description = "Port of the gateway on 127.0.0.1; 0 takes a free one. Without this option the next free one from 8080", DefaultValueFactory = _ => -1 }.InRange(0, 65535, "no port");
        return new Command(name, description) { mesh, port };
    }

    private static MeshOptions Options(ParseResult parsed, Option<string> mesh, Option<int> port) => new()
    {
        Name = parsed.GetValue(mesh)!,
        GatewayPort = parsed.GetValue(port) is >= 0 and var given ? given : 8080,
        GatewayPortMayMove = parsed.GetValue(port) < 0,
        ProxyCommand = Where.Proxy(),
        ControlCommand = Where.Self("control"),
    };

    private static async Task<int> RunAsync(MeshOptions options, string path, string next)
    {
        // From the environment, which no option's check sees.
        if (!Where.IsMeshName(options.Name))
        {
            Screen.Say(Where.NoMeshName(options.Name));
            return Exit.Usage;
        }
        using var starting = new CancellationTokenSource();
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        int signals = 0;
        void Heard(PosixSignalContext context)
        {
            context.Cancel = true;
            // The second time means it: the guard clears up behind us.
            if (Interlocked.Increment(ref signals) > 1) Environment.Exit(130);
            starting.Cancel();
            asked.TrySetResult();
        }
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Heard);
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Heard);
        using PosixSignalRegistration hangup = PosixSignalRegistration.Create(PosixSignal.SIGHUP, Heard);
        using var progress = new Progress();
        options = options with
        {
            Tell = d =>
            {
                progress.Clear();
                Screen.Complain(d);
            },
        };
        await using Mesh mesh = await Mesh.StartAsync(options, progress, s_readyBound, starting.Token).ConfigureAwait(false);
        progress.Clear();
        using var watching = new CancellationTokenSource();
        using var control = new ControlPlaneClient(MeshLocation.Find(options.Name)!.ControlPlane, mesh.Run.TokenFile);
        var said = new HashSet<Diagnostic>();
        await ComplainAsync(mesh, control, said).ConfigureAwait(false);
        FirstScreen(mesh, options, path, next);
        Task watch = Kept.RunAsync("complaints are not heard", c => WatchAsync(mesh, control, said, c), TimeProvider.System, Screen.Complain, watching.Token);

        await Task.WhenAny(asked.Task, mesh.StopAsked).ConfigureAwait(false);
        await watching.CancelAsync().ConfigureAwait(false);
        await watch.ConfigureAwait(false);
        progress.Report("draining");
        (long Requests, long Errors)? counts = await mesh.GatewayCountsAsync().ConfigureAwait(false);
        MeshStatus last = mesh.Status();
        await mesh.StopAsync().ConfigureAwait(false);
        progress.Clear();
        List<PodStatus> waiting = Waiting(last);
        Summary(mesh, last, counts, waiting);
        return waiting.Count == 0 ? Exit.Ok : Exit.Failed;
    }

    // Pods of manifests that get no requests, and a gateway that does not listen; what `naru run` brought has its own terminal.
    private static List<PodStatus> Waiting(MeshStatus status) =>
        [.. status.Pods.Where(p => !p.Ready && p.Phase != "Terminating" && !p.Workload.StartsWith("run ", StringComparison.Ordinal))];

    private static void FirstScreen(Mesh mesh, MeshOptions options, string path, string next)
    {
        MeshStatus status = mesh.Status();
        bool colour = Screen.OutColour;
        double seconds = (DateTimeOffset.UtcNow - status.Started).TotalSeconds;
        List<PodStatus> workloads = [.. status.Pods.Where(p => p.Workload != p.Name)];
        List<ServiceStatus> services = [.. status.Services.Where(s => s.Namespace != "istio-system")];
        List<PodStatus> waiting = Waiting(status);
        string ready = waiting.Count == 0
            ? $"ready in {seconds:0.0} s"
            : Screen.Yellow($"{status.Pods.Count - waiting.Count} of {status.Pods.Count} pods ready after {seconds:0.0} s", colour);
        string names = string.Join("  ", services.Select(s => s.Name).Take(8)) + (services.Count > 8 ? $"  and {services.Count - 8} more" : "");
        string size = $"{status.Processes} processes, {Screen.Megabytes(status.MemoryBytes)}";
        Console.WriteLine($"{Screen.Bold($"naru {Version()}", colour)}  {ready}   {size}");
        Console.WriteLine($"  Gateway    {Screen.Bold(mesh.GatewayUrl, colour)}{(mesh.GatewayMoved is { } moved ? $"   ({moved})" : "")}");
        Console.WriteLine($"  Services   {names}   {Screen.Count(services.Count, "service")}, {Screen.Count(workloads.Count, "pod")}, a sidecar each");
        // No link, since a browser has no token.
        Console.WriteLine($"  Control    {status.ControlPlane.Http}   token in {mesh.Run.TokenFile}");
        if (options.TrafficRate > 0) Console.WriteLine($"  Traffic    {options.TrafficRate} requests/s to {options.TrafficPath}, so that there is something to see");
        foreach (PodStatus pod in waiting.Take(1)) Console.WriteLine($"  {Screen.Yellow("Not ready", colour)}  {pod.Name}: {pod.Reason}{(waiting.Count > 1 ? $", and {waiting.Count - 1} more" : "")}   {Screen.Program} logs {pod.Workload}");
        Console.WriteLine("Try:");
        Console.WriteLine($"  curl -s {mesh.GatewayUrl["http://".Length..]}{path}");
        // Obeyed without the name they would reach, or end, another mesh.
        string which = options.Name == "default" || Environment.GetEnvironmentVariable("NARU_MESH") == options.Name ? "" : $" --mesh {options.Name}";
        Console.WriteLine(Screen.Hint($"  {next}{which}"));
        Console.WriteLine($"  {Screen.Program} logs -f{which}");
        Console.WriteLine($"  {Screen.Program} get vs,dr,svc,pods{which}");
        Console.WriteLine(Screen.Dim($"Ctrl-C or `{Screen.Program} down{which}` drains and ends it", colour));
    }

    // Never more than six lines: what was done, what was not, and where to look.
    private static void Summary(Mesh mesh, MeshStatus last, (long Requests, long Errors)? counts, List<PodStatus> waiting)
    {
        TimeSpan up = DateTimeOffset.UtcNow - last.Started;
        Console.WriteLine($"ended after {Screen.Age(up)}; no process, port or lock is left");
        if (counts is var (requests, errors)) Console.WriteLine($"  gateway    {requests} requests, {errors} answered with 5xx");
        int restarts = last.Pods.Sum(p => p.Restarts + p.ProxyRestarts) + last.ControlPlane.Restarts;
        IEnumerable<string> restarted = last.Pods.Where(p => p.Restarts + p.ProxyRestarts > 0).Select(p => p.Name);
        if (last.ControlPlane.Restarts > 0) restarted = restarted.Prepend("control plane");
        if (restarts > 0) Console.WriteLine($"  restarts   {restarts}: {string.Join(", ", restarted.Take(3))}");
        if (waiting.Count > 0)
        {
            string more = waiting.Count > 3 ? $" and {waiting.Count - 3} more" : "";
            string names = string.Join(", ", waiting.Take(3).Select(p => p.Name)) + more;
            Console.WriteLine($"  {Screen.Yellow("not ready", Screen.OutColour)}  {names}: {waiting[0].Reason}");
        }
        Console.WriteLine($"  logs       {mesh.Run.Logs}");
    }

    // Complaints that come later, for example because a file was changed, are said when they come.
    private static async Task WatchAsync(Mesh mesh, ControlPlaneClient control, HashSet<Diagnostic> said, CancellationToken cancel)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1));
        while (await timer.WaitForNextTickAsync(cancel).ConfigureAwait(false)) await ComplainAsync(mesh, control, said).ConfigureAwait(false);
    }

    private static async Task ComplainAsync(Mesh mesh, ControlPlaneClient control, HashSet<Diagnostic> said)
    {
        IEnumerable<Diagnostic> now = mesh.Complaints();
        try
        {
            now = now.Concat((await control.DiagnosticsAsync(CancellationToken.None).ConfigureAwait(false)).Select(d => d.ToDiagnostic()));
        }
        catch (UnreachableException)
        {
            // It is being started again; it will say it then.
        }
        // Runner and control plane read the same files with the same reader.
        List<Diagnostic> fresh = [.. now.Where(d => d.Severity != Severity.Info).Distinct()];
        foreach (Diagnostic d in fresh.Where(d => !said.Contains(d))) Screen.Complain(d);
        said.Clear();
        said.UnionWith(fresh);
    }

    internal static string Version()
    {
        string text = typeof(UpVerb).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "0";
        return text.Split('+')[0];
    }
}
