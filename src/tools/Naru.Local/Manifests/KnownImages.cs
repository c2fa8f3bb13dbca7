// Sample images that everybody's first manifests name, and what stands for them here: programs that answer as those do. What would only
// look like them is not in this table; `--stub` says openly that it is a stand-in.
using System.Text.RegularExpressions;

namespace Naru.Local.Manifests;

/// <summary>A program of ours that does what an image does.</summary>
/// <param name="Name">For people.</param>
/// <param name="Command">For a shell.</param>
/// <param name="Folder">Where it runs; null for the manifest's folder.</param>
/// <param name="Serves">Whether it listens where the container would.</param>
internal sealed record BuiltIn(string Name, string Command, string? Folder, bool Serves);

internal static partial class KnownImages
{
    // Those that Bookinfo's program has; Istio's other versions need databases or fail on purpose.
    private static readonly string[] s_bookinfo = ["productpage v1", "details v1", "reviews v1", "reviews v2", "reviews v3", "ratings v1"];

    /// <summary>What stands for a container; null where nothing honestly does.</summary>
    /// <param name="container">As written. Whoever replaces the entry point of a known image has another program in mind.</param>
    /// <param name="options">Where our programs are.</param>
    public static BuiltIn? Find(ContainerManifest container, RunOptions options)
    {
        if (container.Command is [var first, ..] && Path.GetFileName(first) == "sleep")
            return new BuiltIn("sleeps, serves nothing", "sleep infinity", null, Serves: false);
        if (!container.Command.IsEmpty) return null;
        string name = RepositoryOf(container.Image);
        if (Bookinfo().Match(name) is { Success: true } book && container.Arguments.IsEmpty)
            return OfBookinfo(book.Groups[1].Value, book.Groups[2].Value, options);
        if (name == "naru/bookinfo" && container.Arguments is [var service, "--version", var version])
            return OfBookinfo(service, version, options);
        if (HelloWorld().Match(name) is { Success: true } hello && container.Arguments.IsEmpty)
            return OfStub($"helloworld {hello.Groups[1].Value}", ["--hello", hello.Groups[1].Value], options);
        return name.EndsWith("hashicorp/http-echo", StringComparison.Ordinal) ? HttpEcho(container, options) : null;
    }

    /// <summary>An image without tag and digest.</summary>
    public static string RepositoryOf(string image)
    {
        string name = image.Split('@')[0];
        int colon = name.LastIndexOf(':');
        return colon > name.LastIndexOf('/') ? name[..colon] : name;
    }

    private static BuiltIn? OfBookinfo(string service, string version, RunOptions options)
    {
        if (options.Bookinfo is not { } program || !s_bookinfo.Contains($"{service} {version}")) return null;
        return new BuiltIn($"bookinfo {service} {version}", Shell.Line([program, service, "--version", version]),
            Path.GetDirectoryName(program), Serves: true);
    }

    private static BuiltIn? OfStub(string name, string[] words, RunOptions options) =>
        options.Naru.Count == 0 ? null : new BuiltIn(name, Shell.Line([.. options.Naru, "stub", .. words]), null, Serves: true);

    // Its flags (github.com/hashicorp/http-echo, README): -text, -listen, -status-code. Where it listens is the container's port here.
    private static BuiltIn? HttpEcho(ContainerManifest container, RunOptions options)
    {
        string text = "", status = "200";
        for (int i = 0; i < container.Arguments.Length; i++)
        {
            string[] flag = container.Arguments[i].TrimStart('-').Split('=', 2);
            if (!container.Arguments[i].StartsWith('-') || (flag.Length == 1 && i + 1 == container.Arguments.Length)) return null;
            string value = flag.Length == 2 ? flag[1] : container.Arguments[++i];
            switch (flag[0])
            {
                case "text": text = value; break;
                case "status-code": status = value; break;
                case "listen": break;
                default: return null;
            }
        }
        return text.Length == 0 ? null : OfStub("http-echo", ["--text", text, "--status", status], options);
    }

    [GeneratedRegex("(?:^|/)examples-bookinfo-(productpage|details|reviews|ratings)-(v[0-9]+)$")]
    private static partial Regex Bookinfo();

    [GeneratedRegex("(?:^|/)examples-helloworld-(v[0-9]+)$")]
    private static partial Regex HelloWorld();
}
