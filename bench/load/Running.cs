// One process of a run, bound to a CPU, with its output kept for the case that it fails. Ended by its own handle.
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Naru.Bench;

/// <summary>A started server: a proxy, or the backend.</summary>
public sealed class Running : IAsyncDisposable
{
    private readonly Process process;
    private readonly string log;
    private bool ended;

    private Running(string name, Process process, int port, string log)
    {
        Name = name;
        this.process = process;
        Port = port;
        this.log = log;
        Tree = new ProcessTree(process.Id);
    }

    /// <summary>Whose process this is.</summary>
    public string Name { get; }

    /// <summary>Where it listens on 127.0.0.1.</summary>
    public int Port { get; }

    /// <summary>The port of its admin, 0 without one.</summary>
    public int AdminPort { get; init; }

    /// <summary>Its CPU time and memory.</summary>
    public ProcessTree Tree { get; }

    /// <summary>Starts <paramref name="command"/> on one CPU and waits until it answers a GET, or, where it does not speak plain HTTP/1.1, takes a connection.</summary>
    /// <exception cref="InvalidOperationException">It ended, or does not answer; the message holds what it wrote.</exception>
    public static async Task<Running> StartAsync(
        string name, int cpu, int port, int adminPort, string folder, string[] command, CancellationToken stop, bool http,
        params (string, string)[] environment)
    {
        string log = Path.Combine(folder, $"{name}.log");
        // The shell replaces itself twice, so the id that we know is the server's.
        var start = new ProcessStartInfo("/bin/sh");
        foreach (string argument in (string[])["-c", "log=$1; cpu=$2; shift 2; exec taskset -c \"$cpu\" \"$@\" >\"$log\" 2>&1", "sh", log, $"{cpu}", .. command])
            start.ArgumentList.Add(argument);
        foreach ((string key, string value) in environment)
            start.Environment[key] = value;
        var running = new Running(name, Process.Start(start)!, port, log) { AdminPort = adminPort };
        try
        {
            await running.AnswersAsync(http, stop);
            return running;
        }
        catch
        {
            await running.DisposeAsync();
            throw;
        }
    }

    /// <summary>A port that was free a moment ago.</summary>
    public static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        // A backend ends with its generator and with its row.
        if (ended)
            return;
        ended = true;
        if (!process.HasExited)
        {
            _ = Kill(process.Id, 15);
            using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(5));
            try
            {
                await process.WaitForExitAsync(bound.Token);
            }
            catch (OperationCanceledException)
            {
                process.Kill(entireProcessTree: true);
                await process.WaitForExitAsync(CancellationToken.None);
            }
        }
        process.Dispose();
    }

    private async Task AnswersAsync(bool http, CancellationToken stop)
    {
        using var client = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { Timeout = TimeSpan.FromSeconds(2) };
        using var bound = CancellationTokenSource.CreateLinkedTokenSource(stop);
        bound.CancelAfter(TimeSpan.FromSeconds(20));
        string last = "nothing yet";
        while (!bound.IsCancellationRequested && !process.HasExited)
        {
            try
            {
                if (!http)
                {
                    using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                    await socket.ConnectAsync(IPAddress.Loopback, Port, bound.Token);
                    return;
                }
                using HttpResponseMessage response = await client.GetAsync($"http://127.0.0.1:{Port}/", bound.Token);
                if (response.IsSuccessStatusCode)
                    return;
                last = $"status {(int)response.StatusCode}";
            }
            catch (Exception e) when (e is HttpRequestException or SocketException or OperationCanceledException)
            {
                last = e.Message;
            }
            await Task.Delay(20, CancellationToken.None);
        }
        stop.ThrowIfCancellationRequested();
        string wrote = File.Exists(log) ? File.ReadAllText(log).Trim() : "";
        string how = process.HasExited ? $"ended with {process.ExitCode}" : $"does not answer ({last})";
        throw new InvalidOperationException($"{Name} {how}\n{wrote}");
    }

    [DllImport("libc", EntryPoint = "kill")]
    private static extern int Kill(int pid, int signal);
}
