// Where a running mesh is: the small file that its runner leaves, and how to find it. Starts nothing and changes nothing.
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Naru.Inspect;

/// <summary>Addresses of a running mesh.</summary>
public sealed record MeshLocation
{
    /// <summary>How the file is written.</summary>
    public static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web)
    {
        WriteIndented = true,
        // For terminals and files, never for HTML: quotes and angle brackets may stand as they are.
        Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        MaxDepth = 256,
        Converters = { new JsonStringEnumConverter() },
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    };

    /// <summary>Name of the mesh.</summary>
    public string Mesh { get; init; } = "default";
    /// <summary>Process id of the runner.</summary>
    public int Pid { get; init; }
    /// <summary>Slot: all addresses are 127.<c>Slot</c>.*.*.</summary>
    public int Slot { get; init; }
    /// <summary>Base address of the control plane's REST API and debug pages.</summary>
    public string ControlPlane { get; init; } = "";
    /// <summary><c>ip:port</c> of the control plane's xDS.</summary>
    public string Xds { get; init; } = "";
    /// <summary>File with the token for the REST API.</summary>
    public string TokenFile { get; init; } = "";
    /// <summary>Base address of the gateway.</summary>
    public string Gateway { get; init; } = "";
    /// <summary>Unix socket of the runner.</summary>
    public string Socket { get; init; } = "";
    /// <summary>The run folder.</summary>
    public string Folder { get; init; } = "";

    /// <summary><c>$NARU_HOME/run/MESH</c>, or <c>${XDG_RUNTIME_DIR:-/tmp}/naru-UID/run/MESH</c>.</summary>
    public static string FolderOf(string mesh)
    {
        string? home = Environment.GetEnvironmentVariable("NARU_HOME");
        if (string.IsNullOrEmpty(home))
        {
            string? runtime = Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR");
            if (string.IsNullOrEmpty(runtime) || !Directory.Exists(runtime)) runtime = "/tmp";
            home = Path.Combine(runtime, $"naru-{UserId()}");
        }
        return Path.Combine(Path.GetFullPath(home), "run", mesh);
    }

    /// <summary>The mesh of that name, or null where none runs.</summary>
    public static MeshLocation? Find(string mesh)
    {
        try
        {
            string text = File.ReadAllText(Path.Combine(FolderOf(mesh), RunNames.Description));
            MeshLocation? found = JsonSerializer.Deserialize<MeshLocation>(text, Json);
            return found is not null && Directory.Exists($"/proc/{found.Pid}") ? found : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }

    private static string UserId()
    {
        try
        {
            string? line = File.ReadLines("/proc/self/status").FirstOrDefault(l => l.StartsWith("Uid:", StringComparison.Ordinal));
            return line?.Split('\t')[2] ?? "0";
        }
        catch (IOException)
        {
            return "0";
        }
    }
}
