// What every part of one running mesh shares and none of them changes.
using Naru.Local.Processes;

namespace Naru.Local;

internal sealed record MeshContext
{
    public required RunFolder Run { get; init; }

    /// <summary>Name of the mesh, as commands take it.</summary>
    public string Name { get; init; } = "default";
    public required int Slot { get; init; }
    public required string Mark { get; init; }
    public required IReadOnlyList<string> ProxyCommand { get; init; }
    public required TimeProvider Time { get; init; }

    /// <summary>Looks at sockets and processes for all pods.</summary>
    public required Machine Machine { get; init; }

    /// <summary>What happened.</summary>
    public required EventLog Events { get; init; }

    /// <summary>Environment of applications before anything of theirs is added.</summary>
    public required IReadOnlyDictionary<string, string> Inherited { get; init; }

    /// <summary>Whether applications reach services by name through <c>http_proxy</c>.</summary>
    public bool Names { get; init; } = true;

    /// <summary>Environment of our own programs: the same without anybody's proxy settings, and with small heaps.</summary>
    public required IReadOnlyDictionary<string, string> OwnProcessEnvironment { get; init; }

    /// <summary>Says something to whoever started the mesh, at once.</summary>
    public Action<Core.Diagnostic> Tell { get; init; } = _ => { };

    public string LogOf(string name) => Path.Combine(Run.Logs, $"{name}.log");

    /// <summary>Where the proxy of a pod writes its requests.</summary>
    public string RequestLogOf(string name) => Path.Combine(Run.Logs, $"{name}.requests.log");

    public static (Dictionary<string, string> Inherited, Dictionary<string, string> Own) Environments(string mark)
    {
        Dictionary<string, string> inherited = Child.OwnEnvironment();
        // What tells our own launcher and runtime how to start us is not for others, nor can one port be for all of them.
        foreach (string name in new[] { "NARU_PROXY", "NARU_HOME", "NARU_MESH" }) inherited.Remove(name);
        foreach (string name in inherited.Keys.Where(AppVariables.Concerns).ToList()) inherited.Remove(name);
        foreach (string name in inherited.Keys.Where(k => k.StartsWith("DOTNET_gc", StringComparison.OrdinalIgnoreCase) || k.StartsWith("DOTNET_Tiered", StringComparison.OrdinalIgnoreCase)).ToList()) inherited.Remove(name);
        inherited[Guard.Mark] = mark;
        var own = new Dictionary<string, string>(inherited, StringComparer.Ordinal) { ["DOTNET_gcServer"] = "0", ["DOTNET_gcConcurrent"] = "0", ["DOTNET_TieredPGO"] = "0" };
        foreach (string name in new[] { "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy" }) own.Remove(name);
        return (inherited, own);
    }
}
