// A process that a test started: its output line by line, its exit, its signals. Killed with its children when disposed.
// Knows nothing about what it runs.
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;

namespace Naru.Kit;

/// <summary>How a finished process ended.</summary>
/// <param name="ExitCode">Its exit code.</param>
/// <param name="Output">Standard output.</param>
/// <param name="Error">Standard error.</param>
public sealed record ProcessResult(int ExitCode, string Output, string Error)
{
    /// <summary>Both streams, for messages.</summary>
    public string All => $"exit {ExitCode}\n--- stdout\n{Output}\n--- stderr\n{Error}";
}

/// <summary>A child process of the test. Only this one is ever signalled, by its own id.</summary>
public sealed partial class ChildProcess : IAsyncDisposable
{
    private readonly Process _process;
    private readonly List<string> _output = [];
    private readonly List<string> _error = [];
    private readonly Lock _lock = new();
    private readonly List<(Func<string, bool> Wanted, TaskCompletionSource<string> Found)> _waiters = [];
    private readonly Task _exited;

    private ChildProcess(Process process)
    {
        _process = process;
        Task output = PumpAsync(process.StandardOutput, _output);
        Task error = PumpAsync(process.StandardError, _error);
        _exited = Task.WhenAll(process.WaitForExitAsync(), output, error);
        _ = _exited.ContinueWith(_ => EndWaiters(), TaskScheduler.Default);
    }

    /// <summary>Its id.</summary>
    public int Id => _process.Id;

    /// <summary>Whether it is over.</summary>
    public bool HasExited => _process.HasExited;

    /// <summary>Its exit code once it is over.</summary>
    public int ExitCode => _process.ExitCode;

    /// <summary>Standard output so far.</summary>
    public string Output => Text(_output);

    /// <summary>Standard error so far.</summary>
    public string Error => Text(_error);

    /// <summary>Resident memory in bytes, from <c>/proc</c>.</summary>
    public long ResidentBytes
    {
        get
        {
            foreach (string line in File.ReadLines($"/proc/{Id}/status"))
            {
                if (line.StartsWith("VmRSS:", StringComparison.Ordinal))
                {
                    return long.Parse(line.AsSpan(6).Trim().ToString().Split(' ')[0]) * 1024;
                }
            }
            throw new InvalidOperationException($"process {Id} is gone");
        }
    }

    /// <summary>Starts a program. <paramref name="environment"/> adds to this process's own; a null value removes a variable.</summary>
    public static ChildProcess Start(string file, IEnumerable<string> arguments, string? folder = null, IReadOnlyDictionary<string, string?>? environment = null)
    {
        var info = new ProcessStartInfo(file, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            UseShellExecute = false,
            WorkingDirectory = folder ?? "",
        };
        foreach ((string name, string? value) in environment ?? new Dictionary<string, string?>()) info.Environment[name] = value;
        Process process = Process.Start(info) ?? throw new InvalidOperationException($"{file} did not start");
        process.StandardInput.Close();
        return new ChildProcess(process);
    }

    /// <summary>Runs a program to its end.</summary>
    public static async Task<ProcessResult> RunAsync(string file, IEnumerable<string> arguments, string? folder = null,
        IReadOnlyDictionary<string, string?>? environment = null, TimeSpan? bound = null)
    {
        await using ChildProcess child = Start(file, arguments, folder, environment);
        return await child.ExitAsync(bound).ConfigureAwait(false);
    }

    /// <summary>Waits for its end.</summary>
    public async Task<ProcessResult> ExitAsync(TimeSpan? bound = null)
    {
        try
        {
            await _exited.Within($"process {Id} to end", bound).ConfigureAwait(false);
        }
        catch (TimeoutException e)
        {
            throw new TimeoutException($"{e.Message}\n--- stdout\n{Output}\n--- stderr\n{Error}");
        }
        return new ProcessResult(_process.ExitCode, Output, Error);
    }

    /// <summary>The first line, of either stream, that contains <paramref name="text"/>, also one that came before.</summary>
    public Task<string> LineAsync(string text, TimeSpan? bound = null) =>
        LineAsync(l => l.Contains(text, StringComparison.Ordinal), $"a line with \"{text}\"", bound);

    /// <summary>The first line, of either stream, that is wanted, also one that came before.</summary>
    public async Task<string> LineAsync(Func<string, bool> wanted, string what, TimeSpan? bound = null)
    {
        var found = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock)
        {
            if (_output.Concat(_error).FirstOrDefault(wanted) is { } line) return line;
            _waiters.Add((wanted, found));
        }
        if (_exited.IsCompleted) EndWaiters();
        return await found.Task.Within($"{what} from process {Id}", bound).ConfigureAwait(false);
    }

    /// <summary>Sends SIGTERM.</summary>
    public void Terminate() => Signal(15);

    /// <summary>Sends SIGINT, as Ctrl-C does.</summary>
    public void Interrupt() => Signal(2);

    /// <summary>Sends SIGKILL to this process only.</summary>
    public void Kill() => Signal(9);

    /// <summary>Sends a signal by number.</summary>
    public void Signal(int signal)
    {
        if (!_process.HasExited) _ = SendSignal(_process.Id, signal);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            try
            {
                _process.Kill(entireProcessTree: true);
            }
            catch (InvalidOperationException)
            {
                // It ended between the question and the signal.
            }
            await _process.WaitForExitAsync().ConfigureAwait(false);
        }
        _process.Dispose();
    }

    private async Task PumpAsync(StreamReader reader, List<string> lines)
    {
        while (await reader.ReadLineAsync().ConfigureAwait(false) is { } line)
        {
            List<TaskCompletionSource<string>> hit = [];
            lock (_lock)
            {
                lines.Add(line);
                for (int i = _waiters.Count - 1; i >= 0; i--)
                {
                    if (!_waiters[i].Wanted(line)) continue;
                    hit.Add(_waiters[i].Found);
                    _waiters.RemoveAt(i);
                }
            }
            foreach (TaskCompletionSource<string> found in hit) found.TrySetResult(line);
        }
    }

    private void EndWaiters()
    {
        List<TaskCompletionSource<string>> left;
        lock (_lock)
        {
            left = [.. _waiters.Select(w => w.Found)];
            _waiters.Clear();
        }
        foreach (TaskCompletionSource<string> found in left)
        {
            found.TrySetException(new InvalidOperationException($"process {Id} ended first\n--- stdout\n{Output}\n--- stderr\n{Error}"));
        }
    }

    private string Text(List<string> lines)
    {
        lock (_lock)
        {
            var text = new StringBuilder();
            foreach (string line in lines) text.Append(line).Append('\n');
            return text.ToString();
        }
    }

    [DllImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static extern int SendSignal(int pid, int signal);
}
