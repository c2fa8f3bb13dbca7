// What the gateway's front page shows, as values: one moment of the mesh and what was asked. Rendering reads nothing else.
using System.Text;
using Microsoft.AspNetCore.Http;
using Naru.Core;

namespace Naru.Local.Front;

/// <summary>One moment of a local mesh, for the front page.</summary>
internal sealed record FrontView
{
    /// <summary>Name of the mesh.</summary>
    public required string Mesh { get; init; }
    /// <summary>What commands need to mean this mesh: <c> --mesh NAME</c>, or nothing where they mean it anyway.</summary>
    public string MeshOption => OptionOf(Mesh);
    /// <summary>The same by name.</summary>
    public static string OptionOf(string mesh) => mesh == "default" ? "" : $" --mesh {mesh}";
    /// <summary>Base address of the gateway, <c>http://localhost:8080</c>.</summary>
    public required string Gateway { get; init; }
    /// <summary>Services, the gateway's own left out.</summary>
    public IReadOnlyList<FrontService> Services { get; init; } = [];
    /// <summary>Routes of the user's rules on the gateway's port, in the order in which they are tried.</summary>
    public IReadOnlyList<FrontRoute> Routes { get; init; } = [];
    /// <summary>Names of <c>naru run</c> whose process does not listen yet, so that there may be no service of the name.</summary>
    public IReadOnlyList<string> Starting { get; init; } = [];
    /// <summary>What is wrong, worst first.</summary>
    public IReadOnlyList<FrontProblem> Problems { get; init; } = [];
}

/// <summary>A service.</summary>
/// <param name="Name">Short name.</param>
/// <param name="Namespace">Namespace.</param>
/// <param name="Url">Where a browser reaches it; null where it speaks no HTTP.</param>
/// <param name="Ports">Its ports.</param>
/// <param name="Versions">Its pods by label <c>version</c>.</param>
internal sealed record FrontService(string Name, string Namespace, string? Url, IReadOnlyList<int> Ports,
    IReadOnlyList<FrontVersion> Versions)
{
    public int Ready => Versions.Sum(v => v.Ready);
    public string Shown => Namespace == "default" ? Name : $"{Name}.{Namespace}";
}

/// <summary>Pods of one version of a service.</summary>
/// <param name="Label">Label <c>version</c>, or empty.</param>
internal sealed record FrontVersion(string Label, int Ready, int Pods);

/// <summary>A route of the gateway.</summary>
/// <param name="Host">Domain of its virtual host.</param>
/// <param name="Kind"><c>exact</c>, <c>prefix</c> or <c>regex</c>.</param>
/// <param name="Path">What the path is compared with.</param>
/// <param name="Condition">Other conditions in words, or empty.</param>
/// <param name="Target">Where it leads, in words.</param>
/// <param name="Url">A link that this route serves, or null where a plain GET from here would not meet it.</param>
internal sealed record FrontRoute(string Host, string Kind, string Path, string Condition, string Target, string? Url);

/// <summary>Something wrong.</summary>
/// <param name="Text">What, in one sentence.</param>
/// <param name="Where"><c>file:line</c>, or empty.</param>
/// <param name="Help">What to do, or empty.</param>
/// <param name="IsError">Whether it keeps something from working.</param>
internal sealed record FrontProblem(string Text, string Where, string Help, bool IsError);

/// <summary>What was asked, and what comes near it.</summary>
internal sealed record FrontRequest
{
    private const int LongestShown = 200;
    private const int LongestReference = 2000;
    private const int LongestSentence = 600;

    /// <summary>Host without port, small letters.</summary>
    public required string Host { get; init; }
    /// <summary>Path without query, cleaned and shortened for showing.</summary>
    public required string Path { get; init; }

    /// <summary>Path as it came, a URI reference (RFC 9457, section 3.1.5); empty where it is too long to be repeated.</summary>
    public string Reference { get; init; } = "";

    /// <summary><c>NAME</c> of <c>NAME.localhost</c>, or null for the machine itself.</summary>
    public string? Name => Host.EndsWith(".localhost", StringComparison.Ordinal) ? Host[..^".localhost".Length] : null;

    /// <summary>Whether it is the page itself that was asked for, rather than something that is not there.</summary>
    public bool IsFront => Name is null && Path == "/";

    public static FrontRequest Of(string host, string path) => new()
    {
        Host = Clean(host),
        Path = Clean(path),
        Reference = path.StartsWith('/') && path.Length <= LongestReference ? new PathString(path).ToUriComponent() : "",
    };

    /// <summary>What is not there, in one sentence.</summary>
    public string Missing(FrontView view) => Name is null ? $"no route of the gateway takes {Path}"
        : view.Services.FirstOrDefault(s => $"{s.Shown}.localhost" == Host || $"{s.Name}.{s.Namespace}.localhost" == Host) is not null
            ? $"no route of {Host} takes {Path}"
        : view.Starting.Contains(Name) ? $"{Name} has started and does not listen yet"
        : $"no service of this mesh is called {Name}";

    /// <summary>What was probably meant: up to three links, the likeliest first.</summary>
    public IReadOnlyList<string> Near(FrontView view)
    {
        var near = new List<string>();
        if (Name is { } name && view.Services.All(s => s.Shown != name))
        {
            FrontService[] reachable = [.. view.Services.Where(s => s.Url is not null)];
            if (Nearest.To(name, reachable.Select(s => s.Shown)) is { } close) near.Add(reachable.First(s => s.Shown == close).Url!);
            near.AddRange(reachable.Where(s => s.Shown.StartsWith(name, StringComparison.Ordinal)
                || name.StartsWith(s.Shown + "-", StringComparison.Ordinal)).Select(s => s.Url!));
        }
        FrontRoute[] links = [.. view.Routes.Where(r => r.Url is not null)];
        if (Path != "/" && Nearest.To(Path, links.Select(r => r.Path)) is { } like) near.Add(links.First(r => r.Path == like).Url!);
        string first = Path.Split('/').ElementAtOrDefault(1) ?? "";
        if (first.Length > 0) near.AddRange(links.Where(r => Nearest.To(
            first, [r.Path.Split('/').ElementAtOrDefault(1) ?? ""]) is not null).Select(r => r.Url!));
        // A path that is a service's name is a habit from other meshes.
        near.AddRange(view.Services.Where(s => s.Url is not null && s.Name == first).Select(s => s.Url!));
        return [.. near.Distinct().Take(3)];
    }

    /// <summary>A name or path that controls neither a terminal nor the direction of reading, at most 200 characters.</summary>
    public static string Clean(string text) => Clean(text, LongestShown);

    /// <summary>The same for sentences, at most 600 characters.</summary>
    public static string Sentence(string text) => Clean(text, LongestSentence);

    private static string Clean(string text, int most)
    {
        var clean = new StringBuilder();
        foreach (char c in text.Length > most ? text[..most] + "…" : text)
        {
            bool hidden = char.IsControl(c) || char.IsSurrogate(c)
                || c is (>= '\u200b' and <= '\u200f') or (>= '\u2028' and <= '\u202e') or (>= '\u2066' and <= '\u2069') or '\ufeff';
            clean.Append(hidden ? '\ufffd' : c);
        }
        return clean.ToString();
    }
}
