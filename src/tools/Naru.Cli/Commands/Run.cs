// naru run --name N --port P -- CMD: the user's own command as a member of the running mesh. Its standard streams are not touched,
// signals and its exit code pass through; it leaves the mesh when it ends. Our own words go to standard error with a prefix.
using System.CommandLine;
using System.Runtime.InteropServices;
using Naru.Core;
using Naru.Inspect;
using Naru.Local.Processes;

namespace Naru.Cli.Commands;

internal static class RunVerb
{
    public static Command Make()
    {
        Option<string> mesh = Where.MeshOption();
        Option<string> ns = RolloutVerb.Namespace();
        var name = new Option<string>("--name") { Description = "Name of the service", Required = true };
        var port = new Option<int>("--port") { Description = "Port that the command listens on; it is told one in PORT as well", Required = true };
        var version = new Option<string?>("--version-label") { Description = "Label `version` of the pod, for subsets" };
        var quiet = new Option<bool>("--quiet", "-q") { Description = "Say nothing but errors" };
        var words = new Argument<string[]>("CMD") { Description = "After --: the command and its arguments", Arity = ArgumentArity.OneOrMore };
        var command = new Command("run", "Puts one process of yours into the running mesh") { name, port, version, ns, mesh, quiet, words };
        command.SetAction(async (parsed, cancel) =>
        {
            var request = new MemberRequest { Name = parsed.GetValue(name)!, Namespace = parsed.GetValue(ns)!, Port = parsed.GetValue(port), Version = parsed.GetValue(version) };
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
                    case "listening":
                        Say($"{Screen.Green("✓", Screen.ErrorColour)} {request.Name} listens on {item.Port}");
                        break;
                    case "ready":
                        told = true;
                        Say($"{Screen.Green("✓", Screen.ErrorColour)} in the mesh as http://{request.Name}:{item.Port}{(item.Port != request.Port ? $" ({request.Port} is held by the process on every address)" : "")}");
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
        if (!told && code == 0 && !session.Interrupted) Say($"{request.Name} ended before it listened on port {request.Port}");
        return code;
    }

    // The command and what is sent to it.
    private sealed class Session(RunnerClient runner, bool foreground)
    {
        private readonly TaskCompletionSource _started = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Child? Child { get; private set; }
        public string? Pod { get; private set; }
        public bool Interrupted { get; private set; }
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
                    Interrupted |= ends;
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
