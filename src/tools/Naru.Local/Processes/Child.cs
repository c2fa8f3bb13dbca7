// A process of the mesh: started in a session of its own with its output in a log, reaped as soon as it ends, signalled only
// while it lives. Knows nothing of pods. The runner never sends a signal to a number that was already given back.
using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using System.Text;

namespace Naru.Local.Processes;

/// <summary>What to start.</summary>
public sealed record SpawnRequest
{
    /// <summary>Program, looked up in PATH.</summary>
    public required string File { get; init; }

    /// <summary>Arguments after the program's name.</summary>
    public IReadOnlyList<string> Arguments { get; init; } = [];

    /// <summary>The whole environment; null passes on this process's own.</summary>
    public IReadOnlyDictionary<string, string>? Environment { get; init; }

    /// <summary>Working folder; null for this process's own.</summary>
    public string? Folder { get; init; }

    /// <summary>File that output and errors are appended to, with nothing on standard input; null leaves all three as they are.</summary>
    public string? Log { get; init; }

    /// <summary>File descriptor to read standard input from; null for none.</summary>
    public int? Input { get; init; }

    /// <summary>A session (and so a process group) of its own, away from the terminal's Ctrl-C. Default true.</summary>
    public bool NewSession { get; init; } = true;
}

/// <summary>A running or finished process.</summary>
public sealed class Child
{
    private static readonly ConcurrentDictionary<int, Child> s_living = new();
    private static readonly PosixSignalRegistration s_childSignal = PosixSignalRegistration.Create(PosixSignal.SIGCHLD, _ => ReapAll());

    // Signals of one kind may merge into one, and one may come before the child is listed: look again now and then.
    private static readonly Timer s_sweep = new(_ => ReapAll(), null, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));

    private readonly TaskCompletionSource<int> _exit = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _lock = new();
    private readonly bool _leads;
    private bool _reaped;

    private Child(int id, bool leads)
    {
        Id = id;
        _leads = leads;
    }

    /// <summary>Process id.</summary>
    public int Id { get; }

    /// <summary>Its exit code; 128 plus the number where a signal ended it.</summary>
    public Task<int> Exited => _exit.Task;

    /// <summary>Whether it still runs.</summary>
    public bool IsAlive => !_exit.Task.IsCompleted;

    /// <summary>Starts a process.</summary>
    /// <exception cref="IOException">The system refused; the message says why.</exception>
    public static unsafe Child Start(SpawnRequest request)
    {
        GC.KeepAlive(s_childSignal);
        GC.KeepAlive(s_sweep);
        byte* actions = stackalloc byte[Native.OpaqueBytes];
        byte* attributes = stackalloc byte[Native.OpaqueBytes];
        byte* signals = stackalloc byte[Native.OpaqueBytes];
        Native.ActionsInit(actions);
        Native.AttributesInit(attributes);
        byte** argv = Strings([request.File, .. request.Arguments]);
        byte** envp = Strings((request.Environment ?? OwnEnvironment()).Select(v => $"{v.Key}={v.Value}"));
        try
        {
            // .NET ignores SIGPIPE and blocks nothing; a child must find signals as a shell would give them.
            Native.SignalsFill(signals);
            Native.SignalsRemove(signals, Native.SigKill);
            Native.SignalsRemove(signals, 19);
            Native.AttributesDefaults(attributes, signals);
            Native.SignalsEmpty(signals);
            Native.AttributesMask(attributes, signals);
            short flags = Native.SpawnSetSigDefault | Native.SpawnSetSigMask;
            if (request.NewSession) flags |= Native.SpawnSetSession;
            Native.AttributesFlags(attributes, flags);

            if (request.Input is { } input) Native.ActionsDuplicate(actions, input, 0);
            else if (request.Log is not null) Native.ActionsOpen(actions, 0, "/dev/null", 0, 0);
            if (request.Log is not null)
            {
                Native.ActionsOpen(actions, 1, request.Log, Native.OpenReadWriteCreateAppend, 0x180);
                Native.ActionsDuplicate(actions, 1, 2);
            }
            if (request.Folder is not null) Native.ActionsFolder(actions, request.Folder);

            int pid;
            int error = Native.Spawn(&pid, request.File, actions, attributes, argv, envp);
            if (error != 0) throw new IOException($"cannot start {request.File}: {Native.Describe(error)}");
            var child = new Child(pid, request.NewSession);
            s_living[pid] = child;
            child.TryReap();
            return child;
        }
        finally
        {
            Native.ActionsDestroy(actions);
            Native.AttributesDestroy(attributes);
            Free(argv);
            Free(envp);
        }
    }

    /// <summary>This process's environment as a map.</summary>
    public static Dictionary<string, string> OwnEnvironment()
    {
        var variables = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (System.Collections.DictionaryEntry entry in Environment.GetEnvironmentVariables()) variables[(string)entry.Key] = (string?)entry.Value ?? "";
        return variables;
    }

    /// <summary>Sends a signal to the process only, if it still lives.</summary>
    public void Signal(int signal)
    {
        lock (_lock)
        {
            if (!_reaped) _ = Native.Kill(Id, signal);
        }
    }

    /// <summary>Sends a signal to the process and what it started in its group, if it still lives.</summary>
    public void SignalGroup(int signal)
    {
        lock (_lock)
        {
            if (!_reaped) _ = Native.Kill(_leads ? -Id : Id, signal);
        }
    }

    /// <summary>SIGTERM to the group; SIGKILL where it still lives after <paramref name="grace"/>. What the process left behind in its
    /// group is killed as well.</summary>
    public async Task StopAsync(TimeSpan grace)
    {
        SignalGroup(Native.SigTerm);
        try
        {
            await Exited.WaitAsync(grace).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            SignalGroup(Native.SigKill);
            await Exited.ConfigureAwait(false);
        }
    }

    private static void ReapAll()
    {
        foreach (Child child in s_living.Values) child.TryReap();
    }

    private unsafe void TryReap()
    {
        int code;
        lock (_lock)
        {
            if (_reaped) return;
            int status = 0;
            int found = Native.WaitPid(Id, &status, Native.WaitNoHang);
            if (found == 0) return;
            // What the leader left in its group goes with it; the group's number cannot be reused while it has members.
            if (_leads) _ = Native.Kill(-Id, Native.SigKill);
            _reaped = true;
            int signal = status & 0x7f;
            code = found < 0 ? 255 : signal == 0 ? (status >> 8) & 0xff : 128 + signal;
        }
        s_living.TryRemove(Id, out _);
        _exit.TrySetResult(code);
    }

    private static unsafe byte** Strings(IEnumerable<string> texts)
    {
        string[] all = [.. texts];
        var list = (byte**)NativeMemory.Alloc((nuint)(all.Length + 1), (nuint)sizeof(byte*));
        for (int i = 0; i < all.Length; i++)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(all[i]);
            list[i] = (byte*)NativeMemory.Alloc((nuint)bytes.Length + 1);
            bytes.CopyTo(new Span<byte>(list[i], bytes.Length));
            list[i][bytes.Length] = 0;
        }
        list[all.Length] = null;
        return list;
    }

    private static unsafe void Free(byte** list)
    {
        for (byte** at = list; *at != null; at++) NativeMemory.Free(*at);
        NativeMemory.Free(list);
    }
}
