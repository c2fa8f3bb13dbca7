// naru logs [NAME] [-f]: what applications wrote and which requests came to their sidecars and to the gateway, in the order in which it
// happened. Reads the files of the run folder, also after the mesh has ended; following ends with the mesh.
using System.CommandLine;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Win32.SafeHandles;
using Naru.Core;
using Naru.Inspect;

namespace Naru.Cli.Commands;

internal static class LogsVerb
{
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(150);
    private static readonly JsonSerializerOptions s_json = new(MeshLocation.Json)
    {
        WriteIndented = false,
        Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    // What is shown, and how.
    private sealed record View
    {
        public required string Folder { get; init; }
        public string? Wanted { get; init; }
        public string? Namespace { get; init; }
        public required IReadOnlyList<LogKind> Kinds { get; init; }
        public int Tail { get; init; } = -1;
        public DateTimeOffset Since { get; init; } = DateTimeOffset.MinValue;
        public bool Json { get; init; }

        public string Logs => Path.Combine(Folder, RunNames.Logs);

        public bool Means(LogFile file) => (Wanted is null ? file.Pod != "control" : LogFiles.Means(Wanted, file.Pod))
            && (Namespace is null || Directory.Exists(Path.Combine(Folder, RunNames.Pods, $"{Namespace}~{file.Pod}")));
    }

    public static Command Make()
    {
        Option<string> mesh = Where.MeshOption();
        var name = new Argument<string?>("NAME")
        {
            Description = "Pod, Deployment, service, gateway or control; all pods without",
            Arity = ArgumentArity.ZeroOrOne,
        };
        name.CompletionSources.Add(Completions.Workloads);
        var follow = new Option<bool>("--follow", "-f") { Description = "Go on as more is written, until the mesh ends" };
        var requests = new Option<bool>("--requests") { Description = "Only requests" };
        var app = new Option<bool>("--app") { Description = "Only what applications wrote" };
        var proxy = new Option<bool>("--proxy") { Description = "Only what proxies wrote about themselves" };
        var tail = new Option<int>("--tail") { Description = "Only the last lines of each pod; -1 for all", DefaultValueFactory = _ => -1 };
        var since = new Option<string?>("--since") { Description = "Only what is not older: 30s, 5m, 2h" };
        var ns = new Option<string?>("--namespace", "-n") { Description = "Only pods of this namespace that run now" };
        var output = new Option<string?>("--output", "-o") { Description = "json: one object a line" };
        var command = new Command("logs", "Shows what services wrote and which requests came to them");
        foreach (Symbol symbol in new Symbol[] { name, follow, requests, app, proxy, tail, since, ns, output, mesh })
        {
            if (symbol is Argument argument) command.Add(argument);
            else command.Add((Option)symbol);
        }
        command.SetAction(async (parsed, cancel) =>
        {
            if (parsed.GetValue(output) is { } format && format != "json") return Wrong($"logs has no output \"{format}\"; there is json");
            if (parsed.GetValue(tail) < -1) return Wrong("--tail takes a number of lines, or -1 for all");
            string? age = parsed.GetValue(since);
            if (age is not null && Age(age) is null) return Wrong($"--since \"{age}\" is no duration; for example 30s, 5m, 2h");
            LogKind[] kinds = [.. new[] { (requests, LogKind.Requests), (app, LogKind.App), (proxy, LogKind.Proxy) }.Where(k => parsed.GetValue(k.Item1)).Select(k => k.Item2)];
            var view = new View
            {
                Folder = MeshLocation.FolderOf(parsed.GetValue(mesh)!),
                Wanted = parsed.GetValue(name),
                Namespace = parsed.GetValue(ns),
                Kinds = kinds.Length > 0 ? kinds : [LogKind.Requests, LogKind.App],
                Tail = parsed.GetValue(tail),
                Since = age is null ? DateTimeOffset.MinValue : DateTimeOffset.UtcNow - Age(age)!.Value,
                Json = parsed.GetValue(output) is not null,
            };
            return await RunAsync(view, parsed.GetValue(mesh)!, parsed.GetValue(follow), cancel).ConfigureAwait(false);
        });
        return command;
    }

    private static async Task<int> RunAsync(View view, string mesh, bool follow, CancellationToken cancel)
    {
        int? runner = MeshLocation.Find(mesh)?.Pid;
        if (!Directory.Exists(view.Logs))
        {
            Screen.Say(mesh == "default" ? "no mesh has run here; start one with `naru up PATH` or `naru demo`"
                : $"no mesh \"{mesh}\" has run here; start it with `naru up PATH --mesh {mesh}`");
            return Exit.Failed;
        }
        if (view.Wanted is { } wanted && !LogFiles.All(view.Logs).Any(view.Means)) return Unknown(view.Logs, wanted);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, c =>
        {
            c.Cancel = true;
            stop.Cancel();
        });
        var tails = new Dictionary<string, LogTail>(StringComparer.Ordinal);
        TextWriter to = Output();
        try
        {
            Print(to, view, Last(view, ReadMore(view, tails)), tails);
            return follow ? await FollowAsync(to, view, mesh, runner, tails, stop.Token).ConfigureAwait(false) : Exit.Ok;
        }
        catch (IOException) when (to != Console.Out)
        {
            // Whoever read has seen enough.
            return Exit.Ok;
        }
    }

    // The console swallows that nobody reads any more, and `naru logs -f | head` would never end.
    private static TextWriter Output()
    {
        string? target = File.ResolveLinkTarget("/proc/self/fd/1", returnFinalTarget: false)?.Name;
        return target is not null && target.StartsWith("pipe:", StringComparison.Ordinal)
            ? new StreamWriter(new FileStream(new SafeFileHandle(1, ownsHandle: false), FileAccess.Write, 0))
            : Console.Out;
    }

    private static async Task<int> FollowAsync(TextWriter to, View view, string mesh, int? runner, Dictionary<string, LogTail> tails,
        CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            // Asked before the last look, so that the last words of a mesh that ends are seen.
            bool ended = runner is null || MeshLocation.Find(mesh)?.Pid != runner;
            try
            {
                await Task.Delay(s_look, stop).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                return Exit.Ok;
            }
            Print(to, view, ReadMore(view, tails), tails);
            // Where nothing is written any more, no write would tell.
            if (to != Console.Out && Pipe.IsUnread(1)) return Exit.Ok;
            if (!ended) continue;
            Console.Error.WriteLine(runner is null ? "naru: no mesh runs; this is what the last one left" : "naru: the mesh has ended");
            return Exit.Ok;
        }
        return Exit.Ok;
    }

    private static int Wrong(string message)
    {
        Console.Error.WriteLine($"naru: {message}");
        return Exit.Usage;
    }

    private static int Unknown(string folder, string wanted)
    {
        string[] there = [.. LogFiles.All(folder).Select(f => f.Pod).Distinct()];
        string near = Nearest.Suggestion(wanted[(wanted.LastIndexOf('/') + 1)..],
            there.Concat(there.Select(Workload)).Concat(there.Select(p => Workload(Workload(p)))).Distinct())
            ?? (there.Length == 0 ? "no mesh has run there" : $"there are {string.Join(", ", there.Select(Workload).Distinct())}");
        Console.Error.WriteLine($"naru: no log of \"{wanted}\" in {folder}; {near}");
        return Exit.Failed;
    }

    // Without the suffix of a pod, or the version or mark that mostly stands before it.
    private static string Workload(string pod) =>
        pod.LastIndexOf('-') is > 0 and var dash && (pod.Length - dash == 6 || pod[dash..] is "-run" or ['-', 'v', ..]) ? pod[..dash] : pod;

    private static List<LogLine> ReadMore(View view, Dictionary<string, LogTail> tails)
    {
        var lines = new List<LogLine>();
        DateTimeOffset now = DateTimeOffset.UtcNow;
        foreach (LogFile file in LogFiles.All(view.Logs).Where(f => view.Means(f) && view.Kinds.Contains(f.Kind)))
        {
            if (!tails.TryGetValue(file.Path, out LogTail? tail)) tails[file.Path] = tail = new LogTail(file);
            lines.AddRange(tail.Read(now));
        }
        // Of one file the order stays, whatever its times say.
        return [.. lines.Where(l => l.Time >= view.Since).OrderBy(l => l.Time)];
    }

    private static IEnumerable<LogLine> Last(View view, List<LogLine> lines)
    {
        if (view.Tail < 0) return lines;
        var left = new Dictionary<string, int>(StringComparer.Ordinal);
        var last = new List<LogLine>();
        for (int i = lines.Count - 1; i >= 0; i--)
        {
            int have = left.GetValueOrDefault(lines[i].Pod);
            if (have >= view.Tail) continue;
            left[lines[i].Pod] = have + 1;
            last.Add(lines[i]);
        }
        last.Reverse();
        return last;
    }

    private static void Print(TextWriter to, View view, IEnumerable<LogLine> lines, Dictionary<string, LogTail> tails)
    {
        // What one process wrote is passed on as it is; times and names are for those who see more than that.
        bool raw = tails.Count < 2 && tails.Values.All(t => t.File.Kind != LogKind.Requests);
        int width = Math.Min(32, tails.Values.Select(t => Shown(t.File.Pod).Length).DefaultIfEmpty(0).Max());
        foreach (LogLine line in lines) to.WriteLine(view.Json ? Json(line) : raw ? line.Text : Text(line, width));
        to.Flush();
    }

    private static string Text(LogLine line, int width)
    {
        string when = Screen.Dim(line.Time.ToLocalTime().ToString("HH:mm:ss.fff", CultureInfo.InvariantCulture), Screen.OutColour);
        string who = Shown(line.Pod).PadRight(width);
        if (line.Request is not { } request) return $"{when} {who} {Screen.Dim("|", Screen.OutColour)} {line.Text}";
        bool leaves = line.Pod == LogFiles.Gateway || request.Outbound;
        string to = request.Service.Length > 0 ? Screen.Dim($"  to {request.Service}", Screen.OutColour) : "";
        return $"{when} {who} {Screen.Dim(leaves ? ">" : "<", Screen.OutColour)} {request.Describe(leaves, Coloured)}{to}";
    }

    private static string Shown(string pod) => pod == LogFiles.Gateway ? "gateway" : pod;

    private static string Coloured(int status, string text) => status switch
    {
        >= 500 or 0 => Screen.Red(text, Screen.OutColour),
        >= 400 => Screen.Yellow(text, Screen.OutColour),
        < 300 => Screen.Green(text, Screen.OutColour),
        _ => text,
    };

    private static string Json(LogLine line)
    {
        if (line.Request is not { } request)
            return JsonSerializer.Serialize(new { line.Pod, Kind = "app", line.Time, Line = line.Text }, s_json);
        var made = new JsonObject { ["pod"] = line.Pod, ["kind"] = line.Pod == LogFiles.Gateway ? "gateway" : request.Outbound ? "outbound" : "inbound" };
        JsonObject all = JsonSerializer.SerializeToNode(request, s_json)!.AsObject();
        foreach ((string name, JsonNode? value) in all) made[name] = value?.DeepClone();
        return made.ToJsonString(s_json);
    }

    private static TimeSpan? Age(string text)
    {
        if (text.Length < 2) return null;
        if (!double.TryParse(text.AsSpan(0, text.Length - 1), CultureInfo.InvariantCulture, out double number) || number is < 0 or > 1e6) return null;
        return text[^1] switch
        {
            's' => TimeSpan.FromSeconds(number),
            'm' => TimeSpan.FromMinutes(number),
            'h' => TimeSpan.FromHours(number),
            'd' => TimeSpan.FromDays(Math.Min(number, 10_000)),
            _ => null,
        };
    }
}
