// Which files of a mesh's log folder somebody means, and their lines with the time at which they were written. Reads only; the files of a
// mesh that has ended are read as well.
using System.Globalization;
using System.Text;

namespace Naru.Inspect;

/// <summary>Who wrote a log.</summary>
public enum LogKind
{
    /// <summary>An application, or the control plane.</summary>
    App,
    /// <summary>A proxy: a line for each request that came to it.</summary>
    Requests,
    /// <summary>A proxy about itself.</summary>
    Proxy,
}

/// <summary>One file.</summary>
/// <param name="Pod">Pod, or <c>control</c>.</param>
/// <param name="Kind">Who wrote it.</param>
/// <param name="Path">Absolute path.</param>
public sealed record LogFile(string Pod, LogKind Kind, string Path);

/// <summary>One line.</summary>
/// <param name="Pod">Whose.</param>
/// <param name="Time">When it was written, as near as is known.</param>
/// <param name="Text">The line.</param>
/// <param name="Request">What it says, where it is about a request.</param>
public sealed record LogLine(string Pod, DateTimeOffset Time, string Text, RequestEntry? Request);

/// <summary>Finds logs.</summary>
public static class LogFiles
{
    /// <summary>Pod of the gateway.</summary>
    public const string Gateway = "istio-ingressgateway";

    private const int SuffixLength = 5;

    private static readonly string[] s_beside = [".times", ".fresh", ".from", ".1"];

    /// <summary>All files of a folder, ordered by pod.</summary>
    public static IReadOnlyList<LogFile> All(string folder)
    {
        if (!Directory.Exists(folder)) return [];
        return [.. Directory.EnumerateFiles(folder, "*.log").Order(StringComparer.Ordinal).Select(path => Of(path)!)];
    }

    /// <summary>Whose a file of the folder is: a log, its older half or what is kept beside them; null for another. Names of pods may have
    /// dots, so it is told from the end.</summary>
    public static LogFile? Of(string path)
    {
        string name = System.IO.Path.GetFileName(path);
        foreach (string beside in s_beside) name = Without(name, beside);
        string whole = Without(name, ".log");
        if (whole == name) return null;
        string pod = Without(whole, ".requests");
        if (pod != whole) return new LogFile(pod, LogKind.Requests, path);
        pod = Without(whole, ".proxy");
        return new LogFile(pod, pod != whole ? LogKind.Proxy : LogKind.App, path);
    }

    /// <summary>Whether a pod is meant by a name: a pod's, a Deployment's, a service's, that of a <c>naru run</c>, with a kind before it or
    /// without (<c>deploy/reviews-v1</c>), or one of the gateway's.</summary>
    public static bool Means(string wanted, string pod)
    {
        int slash = wanted.LastIndexOf('/');
        string kind = slash < 0 ? "" : wanted[..slash].ToLowerInvariant();
        string name = wanted[(slash + 1)..];
        if (name is "gateway" or "ingressgateway") name = Gateway;
        if (pod == name) return true;
        if (kind is "pod" or "pods" or "po" || !pod.StartsWith(name + "-", StringComparison.Ordinal)) return false;
        // Pods of a Deployment have its name and a suffix; a service's begin with its name.
        return kind is not ("deployment" or "deployments" or "deploy") || pod.Length == name.Length + 1 + SuffixLength;
    }

    private static string Without(string name, string end) => name.EndsWith(end, StringComparison.Ordinal) ? name[..^end.Length] : name;
}

/// <summary>Reads one file from its beginning, and what is added to it later, also across the cut of a full file.</summary>
public sealed class LogTail(LogFile file)
{
    private const int MostAtOnce = 64 << 20;

    private long _read;
    private bool _begun;
    private (long, DateTime) _older;

    /// <summary>The file.</summary>
    public LogFile File { get; } = file;

    /// <summary>Whole lines that were not read yet.</summary>
    /// <param name="now">Time of lines of which nobody knows better.</param>
    public IReadOnlyList<LogLine> Read(DateTimeOffset now)
    {
        var lines = new List<LogLine>();
        string older = File.Path + ".1";
        (long, DateTime) mark = Mark(older);
        long length = Length(File.Path);
        if (length < 0) return lines;
        if (!_begun) Read(older, From(older), lines, now, From(older));
        else if (mark != _older)
        {
            // It was cut: what was not read of it lies in the older half.
            long from = From(older);
            Read(older, Math.Max(_read, from), lines, now, from);
            _read = 0;
        }
        // It is being cut; the older half will be there at the next look.
        else if (length < _read) return lines;
        (_begun, _older) = (true, mark);
        _read = Read(File.Path, _read, lines, now);
        return lines;
    }

    // Where in the whole log the older half begins: a burst leaves more than is kept.
    private static long From(string older)
    {
        try
        {
            string file = older + ".from";
            return System.IO.File.Exists(file) && long.TryParse(System.IO.File.ReadAllText(file), CultureInfo.InvariantCulture, out long from) ? from : 0;
        }
        catch (IOException)
        {
            return 0;
        }
    }

    private long Read(string path, long from, List<LogLine> into, DateTimeOffset now, long begins = 0)
    {
        byte[] bytes;
        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            if (stream.Length + begins <= from) return from;
            stream.Seek(from - begins, SeekOrigin.Begin);
            bytes = new byte[Math.Min(stream.Length + begins - from, MostAtOnce)];
            stream.ReadExactly(bytes);
        }
        catch (IOException)
        {
            return from;
        }
        // Half a line waits for its other half.
        int end = Array.LastIndexOf(bytes, (byte)'\n') + 1;
        List<(long Length, long Milliseconds)> times = File.Kind == LogKind.Requests ? [] : Times(path);
        int mark = 0;
        for (int start = 0; start < end;)
        {
            int stop = Array.IndexOf(bytes, (byte)'\n', start);
            string text = Encoding.UTF8.GetString(bytes, start, stop - start).TrimEnd('\r');
            start = stop + 1;
            RequestEntry? request = File.Kind == LogKind.Requests ? RequestEntry.Parse(text) : null;
            if (File.Kind == LogKind.Requests && request is null) continue;
            while (mark < times.Count && times[mark].Length < from + start) mark++;
            DateTimeOffset seen = mark < times.Count ? DateTimeOffset.FromUnixTimeMilliseconds(times[mark].Milliseconds) : now;
            into.Add(new LogLine(File.Pod, request?.Time ?? seen, text, request));
        }
        return from + end;
    }

    private static List<(long Length, long Milliseconds)> Times(string path)
    {
        var times = new List<(long, long)>();
        try
        {
            foreach (string line in System.IO.File.ReadLines(path + ".times"))
            {
                string[] parts = line.Split(' ');
                if (parts.Length == 2 && long.TryParse(parts[0], CultureInfo.InvariantCulture, out long at)
                    && long.TryParse(parts[1], CultureInfo.InvariantCulture, out long length)) times.Add((length, at));
            }
        }
        catch (IOException)
        {
            // Nobody keeps times there.
        }
        return times;
    }

    private static (long, DateTime) Mark(string path)
    {
        var info = new FileInfo(path);
        return info.Exists ? (info.Length, info.LastWriteTimeUtc) : default;
    }

    private static long Length(string path)
    {
        try
        {
            return new FileInfo(path).Length;
        }
        catch (IOException)
        {
            return -1;
        }
    }
}
