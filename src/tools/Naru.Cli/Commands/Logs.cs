// naru logs NAME [-f]: what pods, proxies and the control plane wrote. Reads the files of the run folder, also after the mesh has ended.
using System.CommandLine;
using System.Runtime.InteropServices;
using System.Text;
using Naru.Core;
using Naru.Inspect;

namespace Naru.Cli.Commands;

internal static class LogsVerb
{
    public static Command Make()
    {
        Option<string> mesh = Where.MeshOption();
        var name = new Argument<string>("NAME") { Description = "Pod, Deployment or service; control; gateway" };
        var follow = new Option<bool>("--follow", "-f") { Description = "Go on as more is written" };
        var proxy = new Option<bool>("--proxy") { Description = "What the sidecars wrote" };
        var tail = new Option<int>("--tail") { Description = "Only the last lines of each file; -1 for all", DefaultValueFactory = _ => -1 };
        var command = new Command("logs", "Shows what a service or a sidecar wrote") { name, follow, proxy, tail, mesh };
        command.SetAction(async (parsed, cancel) =>
        {
            string folder = Path.Combine(MeshLocation.FolderOf(parsed.GetValue(mesh)!), "logs");
            string wanted = parsed.GetValue(name)!;
            bool sidecar = parsed.GetValue(proxy);
            List<string> files = Match(folder, wanted, sidecar);
            if (files.Count == 0)
            {
                IEnumerable<string> there = Directory.Exists(folder) ? Directory.EnumerateFiles(folder, "*.log").Select(f => Path.GetFileNameWithoutExtension(f)!).Where(f => !f.EndsWith(".proxy", StringComparison.Ordinal)) : [];
                Console.Error.WriteLine($"naru: no log of \"{wanted}\" in {folder}; {Nearest.Suggestion(wanted, there) ?? $"there are {string.Join(", ", there.Order(StringComparer.Ordinal))}"}");
                return Exit.Failed;
            }
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
            using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, c =>
            {
                c.Cancel = true;
                stop.Cancel();
            });
            var read = new Dictionary<string, long>();
            bool many = files.Count > 1;
            foreach (string file in files) Show(file, read, many, parsed.GetValue(tail));
            while (parsed.GetValue(follow) && !stop.IsCancellationRequested)
            {
                try
                {
                    await Task.Delay(150, stop.Token).ConfigureAwait(false);
                }
                catch (OperationCanceledException)
                {
                    break;
                }
                foreach (string file in Match(folder, wanted, sidecar))
                {
                    many |= !read.ContainsKey(file);
                    Show(file, read, many, -1);
                }
            }
            return Exit.Ok;
        });
        return command;
    }

    private static List<string> Match(string folder, string wanted, bool proxy)
    {
        if (!Directory.Exists(folder)) return [];
        string[] parts = wanted.Split('/');
        string name = parts[^1];
        if (name is "gateway" or "ingressgateway") (name, proxy) = ("istio-ingressgateway", true);
        string suffix = proxy ? ".proxy.log" : ".log";
        return [.. Directory.EnumerateFiles(folder, "*.log").Where(f =>
        {
            string file = Path.GetFileName(f);
            if (!file.EndsWith(suffix, StringComparison.Ordinal) || (!proxy && file.EndsWith(".proxy.log", StringComparison.Ordinal))) return false;
            string stem = file[..^suffix.Length];
            return stem == name || stem.StartsWith(name + "-", StringComparison.Ordinal);
        }).Order(StringComparer.Ordinal)];
    }

    private static void Show(string file, Dictionary<string, long> read, bool prefix, int tail)
    {
        long from = read.GetValueOrDefault(file);
        byte[] bytes;
        try
        {
            using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            if (stream.Length <= from) return;
            stream.Seek(from, SeekOrigin.Begin);
            bytes = new byte[Math.Min(stream.Length - from, 64 << 20)];
            stream.ReadExactly(bytes);
        }
        catch (IOException)
        {
            return;
        }
        // Half a line waits for its other half.
        int end = Array.LastIndexOf(bytes, (byte)'\n') + 1;
        if (end == 0) return;
        read[file] = from + end;
        string[] lines = Encoding.UTF8.GetString(bytes, 0, end - 1).Split('\n');
        string mark = prefix ? Screen.Dim($"[{Path.GetFileNameWithoutExtension(file)}] ", Screen.OutColour) : "";
        foreach (string line in tail >= 0 ? lines.TakeLast(tail) : lines) Console.WriteLine(mark + line);
    }
}
