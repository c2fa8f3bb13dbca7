// naru run --name N -- CMD: the user's own command as a member of the running mesh, found wherever it listens. Its standard streams are not
// touched, signals and its exit code pass through; it leaves the mesh when it ends. Our own words go to standard error with a prefix.
using System.CommandLine;
using System.Net;
using System.Runtime.InteropServices;
using Naru.Core;
using Naru.Inspect;
using Naru.Local;
using Naru.Local.Processes;

namespace Naru.Cli.Commands;

internal static class RunVerb
{
    public static Command Make()
    {
        Option<string> mesh = Where.MeshOption();
        Option<string> ns = RolloutVerb.Namespace();
        var name = new Option<string>("--name") { Description = "Name of the service", Required = true };
        var port = new Option<int?>("--port")
        {
            Description = "Port of the command. Without it it is told one (PORT, ASPNETCORE_URLS ...) and found wherever it listens",
        }.InRange(1, 65535, "no port");
        name.Validators.Add(result =>
        {
            if (result.Tokens is [var token] && !MemberRequest.IsName(token.Value))
                result.AddError($"--name: \"{token.Value}\" is no name for a service; small letters, digits and dashes, a letter first, at most 63");
        });
        var version = new Option<string?>("--version-label") { Description = "Label `version` of the pod, for subsets" };
        var quiet = new Option<bool>("--quiet", "-q") { Description = "Say nothing but errors" };
        var noProxy = new Option<bool>("--no-proxy") { Description = "Leave http_proxy as it is: services are then reached by their addresses, not by names" };
        var words = new Argument<string[]>("CMD") { Description = "After --: the command and its arguments", Arity = ArgumentArity.OneOrMore };
        var command = new Command("run", "Puts one process of yours into the running mesh") { name, port, version, ns, mesh, noProxy, quiet,
            words };
        command.SetAction(async (parsed, cancel) =>
        {
            Dictionary<string, string> own = Child.OwnEnvironment();
            var request = new MemberRequest
            {
                Name = parsed.GetValue(name)!,
                Namespace = parsed.GetValue(ns)!,
                // 0 would mean that none was given.
                Port = parsed.GetValue(port) is { } given ? given == 0 ? -1 : given : 0,
                EnvironmentPort = int.TryParse(own.GetValueOrDefault("PORT"), out int told) && told is > 0 and <= 65535 ? told : 0,
                Variables = [.. own.Keys.Where(AppVariables.Concerns)],
                Version = parsed.GetValue(version),
                NoProxy = parsed.GetValue(noProxy),
                BesideProxy = own.GetValueOrDefault("no_proxy") ?? own.GetValueOrDefault("NO_PROXY"),
            };
            return await RunAsync(Where.Mesh(parsed.GetValue(mesh)!), request, parsed.GetValue(words)!, parsed.GetValue(quiet)).ConfigureAwait(false);
        });
        return command;
    }

    private static async Task<int> RunAsync(MeshLocation mesh, MemberRequest request, string[] words, bool quiet)
    {
        void Say(string text)
        {
            if (!quiet) Console.Error.WriteLine($"{Screen.Dim("naru |", Screen.ErrorColour)} {text}");
        }
        using var runner = new RunnerClient(mesh.Socket);
        using var hangUp = new CancellationTokenSource();
        var session = new Session(runner, Handover.IsForeground());
        // The command's end is its own; who waits for it in vain is told how to have it.
        session.Insisted = pid => Say($"{request.Name} goes on in spite of Ctrl-C; Ctrl-\\ or `kill -9 {pid}` ends it");
        using IDisposable signals = session.Listen(hangUp);
        Task<int>? exit = null;
        bool told = false;
        Task events = Task.Run(async () =>
        {
            await foreach (RunnerEvent item in runner.JoinAsync(request, hangUp.Token).ConfigureAwait(false))
            {
                switch (item.Event)
                {
                    case "joined":
                        session.Start(item, words);
                        await runner.MemberStartedAsync(item.Pod!, session.Child!.Id, hangUp.Token).ConfigureAwait(false);
                        break;
                    case "ready":
                        foreach (string line in Ready(request, item, again: told)) Say(line);
                        told = true;
                        break;
                    case "waiting" when item.Diagnostic is { } wait:
                        Say($"{(wait.Severity == "info" ? " " : Screen.Yellow("!", Screen.ErrorColour))} {wait.Message} [{wait.Code}]");
                        if (wait.Remedy is not null) Say($"  help: {wait.Remedy}");
                        break;
                    case "sharing":
                        Say($"  {item.Message}");
                        break;
                    case "stopping":
                        Say(item.Message ?? "the mesh ends");
                        session.Child?.Signal(15);
                        break;
                    case "failed":
                        if (item.Diagnostic is not null) Screen.Complain(item.Diagnostic.ToDiagnostic());
                        break;
                    case "progress" when item.Message is { } message && message.Contains("NARU-", StringComparison.Ordinal):
                        Say(message);
                        break;
                }
            }
        });
        // Either the command starts, or the runner says why not.
        await Task.WhenAny(session.Started, events).ConfigureAwait(false);
        if (!session.Started.IsCompletedSuccessfully)
        {
            await events.ConfigureAwait(false);
            return session.Interrupted ? 130 : Exit.Failed;
        }
        exit = session.Child!.Exited;
        await Task.WhenAny(exit, events).ConfigureAwait(false);
        // A member that was asked to end leaves first; its stream ends before its process does.
        if (!exit.IsCompleted && !session.Interrupted)
        {
            // The runner went away: a member ends with its mesh.
            Say("the mesh is gone; ending the command");
            session.Child.Signal(15);
        }
        int code = await exit.ConfigureAwait(false);
        try
        {
            await runner.MemberLeaveAsync(session.Pod!, CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(15)).ConfigureAwait(false);
        }
        catch (Exception e) when (e is UnreachableException or RunnerException or TimeoutException)
        {
            // The mesh is going down, or has taken it out already.
        }
        await hangUp.CancelAsync().ConfigureAwait(false);
        try
        {
            await events.ConfigureAwait(false);
        }
        catch (Exception e) when (e is OperationCanceledException or UnreachableException)
        {
            // That is how the stream ends.
        }
        if (!told && !session.Interrupted) Say(Early(request, mesh, code));
        return code;
    }

    // At most four lines: where it listens, how others reach it, how a browser does, whom it shares its service with.
    private static IEnumerable<string> Ready(MemberRequest request, RunnerEvent ready, bool again)
    {
        string mark = Screen.Green("✓", Screen.ErrorColour);
        if (again)
        {
            yield return $"{mark} {request.Name} listens on {ready.Address} now";
            yield break;
        }
        yield return $"{mark} {request.Name} listens on {ready.Address} after {ready.Seconds:0.0} s";
        yield return $"{mark} in the mesh as {ready.Service}";
        if (ready.Url is not null) yield return $"{mark} in a browser and in curl: {Screen.Bold(ready.Url, Screen.ErrorColour)}";
        if (ready.Message is not null) yield return $"  {ready.Message}";
    }

    // Where a command fails at once, a taken port is what it is most often: who has those that programs open when they are told none.
    private static string Early(MemberRequest request, MeshLocation mesh, int code)
    {
        string text = $"{request.Name} {Exits.Describe(code)} before it listened{(request.Port > 0 ? $" on port {request.Port}" : "")}";
        // Neither who was killed nor what was not found failed at a port.
        if (code is 0 or 126 or 127 or > 128) return text;
        IEnumerable<int> usual = request.Port > 0 ? [request.Port] : [80, 3000, 5000, 8000, 8080, 9090];
        var taken = new List<string>();
        foreach (int port in usual.Where(p => !PortHolder.IsFree(IPAddress.Any, p)))
        {
            if (PortHolder.Name(new IPEndPoint(IPAddress.Any, port)) is not { } name) continue;
            taken.Add($"{port} by {name}{(port == new Uri(mesh.Gateway).Port ? ", this mesh's gateway (naru up --gateway-port N)" : "")}");
        }
        return taken.Count == 0 ? text : $"{text}; taken here: {string.Join(", ", taken)}. PORT tells it one that is free";
    }

    // The command and what is sent to it.
    private sealed class Session(RunnerClient runner, bool foreground)
    {
        private int _insisted;
        private readonly TaskCompletionSource _started = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Child? Child { get; private set; }
        public string? Pod { get; private set; }
        public bool Interrupted { get; private set; }
        public Action<int> Insisted { get; set; } = _ => { };
        public Task Started => _started.Task;

        public void Start(RunnerEvent joined, string[] words)
        {
            Dictionary<string, string> environment = Child.OwnEnvironment();
            foreach ((string name, string value) in joined.Environment ?? new Dictionary<string, string>()) environment[name] = value;
            Pod = joined.Pod;
            try
            {
                Child = Child.Start(new SpawnRequest { File = words[0], Arguments = words[1..], Environment = environment, NewSession = false });
            }
            catch (IOException e)
            {
                _started.TrySetException(e);
                throw;
            }
            _started.TrySetResult();
        }

        public IDisposable Listen(CancellationTokenSource hangUp)
        {
            // On a terminal the kernel sends Ctrl-C and Ctrl-\ to the command itself.
            (PosixSignal Signal, int Number, bool ByTerminal)[] all =
            [
                (PosixSignal.SIGINT, 2, true), (PosixSignal.SIGQUIT, 3, true), (PosixSignal.SIGTERM, 15, false), (PosixSignal.SIGHUP, 1, false),
                ((PosixSignal)10, 10, false), ((PosixSignal)12, 12, false),
            ];
            var registrations = new List<PosixSignalRegistration>();
            foreach ((PosixSignal signal, int number, bool byTerminal) in all)
            {
                registrations.Add(PosixSignalRegistration.Create(signal, c =>
                {
                    c.Cancel = true;
                    bool ends = number is 2 or 15 or 1 or 3;
                    bool again = Interrupted && number == 2;
                    Interrupted |= ends;
                    if (again && Child is { Exited.IsCompleted: false } child && Interlocked.Exchange(ref _insisted, 1) == 0)
                        Insisted(child.Id);
                    if (Child is null)
                    {
                        if (ends) hangUp.Cancel();
                    }
                    else if (!(byTerminal && foreground))
                    {
                        _ = ForwardAsync(number, leaveFirst: number == 15);
                    }
                }));
            }
            return new Registrations(registrations);
        }

        // Asked to end, it first gets no new requests, then the signal: none is lost on the way.
        private async Task ForwardAsync(int number, bool leaveFirst)
        {
            if (leaveFirst)
            {
                try
                {
                    await runner.MemberLeaveAsync(Pod!, CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(10)).ConfigureAwait(false);
                }
                catch (Exception e) when (e is UnreachableException or RunnerException or TimeoutException)
                {
                    // The signal goes out anyway.
                }
            }
            Child!.Signal(number);
        }

        private sealed class Registrations(List<PosixSignalRegistration> all) : IDisposable
        {
            public void Dispose()
            {
                foreach (PosixSignalRegistration one in all) one.Dispose();
            }
        }
    }
}
