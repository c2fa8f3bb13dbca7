// What the files of a mesh's run folder are called, for those who write them and those who read them.
namespace Naru.Inspect;

/// <summary>Names in a run folder.</summary>
public static class RunNames
{
    /// <summary>Folder: completed Services and Pods.</summary>
    public const string State = "state";

    /// <summary>Folder: what came through the API.</summary>
    public const string Store = "store";

    /// <summary>Folder: bootstraps of the proxies, one <c>NAMESPACE~POD</c> a pod.</summary>
    public const string Pods = "pods";

    /// <summary>Folder: one file a process. It stays when the mesh ends.</summary>
    public const string Logs = "logs";

    /// <summary>Socket of the runner.</summary>
    public const string Socket = "naru.sock";

    /// <summary>Socket of what answers for the gateway where no rule does.</summary>
    public const string FrontSocket = "page.sock";

    /// <summary>Secret for the control plane's API.</summary>
    public const string Token = "token";

    /// <summary>What <see cref="MeshLocation"/> reads.</summary>
    public const string Description = "mesh.json";

    /// <summary>Held while the mesh runs.</summary>
    public const string Lock = "lock";

    /// <summary>What a mesh leaves besides its logs and its lock: files, and folders whole. Last what says that it is there.</summary>
    public static IReadOnlyList<string> Left { get; } = [State, Pods, Store, Socket, FrontSocket, Token, Description];
}
