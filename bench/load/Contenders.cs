// How each proxy is started: its configuration from peers/, its command, its version.
using System.Diagnostics;

namespace Naru.Bench;

/// <summary>Starts the backend and the proxies of one run, in a folder of its own.</summary>
public sealed class Contenders(Options options, string folder, string row = Row.Http1)
{
    private readonly string built = Path.Combine(options.Root, "artifacts", "bench");

    /// <summary>Load and backend, on the load's CPU.</summary>
    public async Task<IGenerator> GeneratorAsync(CancellationToken stop)
    {
        if (!options.Wrk)
            return await PumpGenerator.StartAsync(options.LoadCpu, stop, "pump");
        return new WrkGenerator(await BackendAsync(stop), options.LoadCpu);
    }

    /// <summary>An nginx that answers, on the load's CPU.</summary>
    public Task<Running> BackendAsync(CancellationToken stop)
    {
        if (row == "1mib")
            File.WriteAllBytes(Path.Combine(folder, "1mib"), new byte[1048576]);
        int port = Running.FreePort();
        string conf = Write("backend.conf", port, port, 0);
        return Running.StartAsync("backend", options.LoadCpu, port, 0, folder, ["nginx", "-p", folder, "-c", conf], stop, row == Row.Http1);
    }

    /// <summary>A proxy in front of it, on the proxies' CPU.</summary>
    public Task<Running> StartAsync(string name, int backend, CancellationToken stop)
    {
        int port = Running.FreePort();
        int admin = name is "naru" or Options.Before ? Running.FreePort() : 0;
        (string, string)[] environment = [];
        string[] command;
        switch (name)
        {
            case "naru" or Options.Before:
                command = [Executable(name), "-c", Write("naru.yaml", port, backend, admin), "--concurrency", "1"];
                break;
            case "nginx":
                command = ["nginx", "-p", folder, "-c", Write("nginx.conf", port, backend, 0)];
                break;
            case "haproxy":
                command = ["haproxy", "-db", "-f", Write("haproxy.cfg", port, backend, 0)];
                break;
            default:
                command = ["dotnet", Path.Combine(built, "yarp", "Naru.Bench.Yarp.dll"), $"http://127.0.0.1:{port}", $"http://127.0.0.1:{backend}"];
                environment = [("DOTNET_PROCESSOR_COUNT", "1"), ("DOTNET_gcServer", "0")];
                break;
        }
        return Running.StartAsync(name, options.ProxyCpu, port, admin, folder, command, stop, row == Row.Http1, environment);
    }

    /// <summary>What each program calls itself.</summary>
    public string Version(string name) => name switch
    {
        "naru" or Options.Before => FirstLine(Executable(name), "--version"),
        "nginx" => FirstLine("nginx", "-v"),
        "haproxy" => FirstLine("haproxy", "-v"),
        _ => $"YARP on {System.Runtime.InteropServices.RuntimeInformation.FrameworkDescription}",
    };

    private string Executable(string name) => name == Options.Before ? options.BeforePath : Path.Combine(built, "naru-proxy", "naru-proxy");

    private string Write(string template, int port, int backend, int admin)
    {
        string path = Path.Combine(folder, template);
        IEnumerable<string> lines = File.ReadLines(Path.Combine(AppContext.BaseDirectory, "peers", template)).Where(ForThisRow);
        File.WriteAllText(path, (string.Join('\n', lines) + "\n")
            .Replace("@PORT@", $"{port}", StringComparison.Ordinal)
            .Replace("@BACKEND@", $"{backend}", StringComparison.Ordinal)
            .Replace("@ADMIN@", $"{admin}", StringComparison.Ordinal)
            .Replace("@USER@", Environment.UserName, StringComparison.Ordinal)
            .Replace("@DIR@", folder, StringComparison.Ordinal));
        return path;
    }

    // A line may say at its end for which rows it is ("#? h2 mtls"), or for which it is not ("#? !tcp").
    private bool ForThisRow(string line)
    {
        int mark = line.LastIndexOf("#? ", StringComparison.Ordinal);
        if (mark < 0)
            return true;
        string[] rows = line[(mark + 3)..].Split(' ');
        return rows[0].StartsWith('!') ? rows[0][1..] != row : rows.Contains(row);
    }

    private static string FirstLine(string program, string argument)
    {
        var start = new ProcessStartInfo(program, argument) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        string text = process.StandardOutput.ReadToEnd() + process.StandardError.ReadToEnd();
        process.WaitForExit();
        return text.Split('\n')[0].Trim();
    }
}
