// Which files a path stands for: itself, a folder's manifests as kubectl -f takes them (no subfolders), or what a kustomization lists. The
// control plane and who runs the same manifests ask here, so that both see the same files.
using Naru.Core;

namespace Naru.Control.Sources;

/// <summary>Lists manifests.</summary>
public static class ManifestPaths
{
    /// <summary>Name of the file beside manifests that says how Deployments run without containers. It holds no object.</summary>
    public const string RunFile = "naru.run.yaml";

    private const int Deepest = 16;

    /// <summary>Adds the files of a path, and the folders whose change may change them. What is wrong is reported.</summary>
    /// <param name="path">Full path of a file or folder.</param>
    /// <param name="files">Takes the files, in order; a file may come twice.</param>
    /// <param name="folders">Takes the folders.</param>
    /// <param name="faults">Takes <c>NARU-C240</c> (cannot be read) and <c>C241</c> (kustomizations).</param>
    public static void List(string path, List<string> files, SortedSet<string> folders, Diagnostics faults) =>
        List(path, files, folders, faults, 0);

    /// <summary>Whether a file in a folder is taken for a manifest.</summary>
    public static bool IsManifest(string path) =>
        Path.GetExtension(path) is ".yaml" or ".yml" or ".json" && Path.GetFileName(path) is var name && name[0] != '.' && name != RunFile;

    /// <summary>Whether a file is one in which a runner keeps an object (<c>service~NAMESPACE~NAME.yaml</c>), which nobody should
    /// be told to change.</summary>
    public static bool IsOfRunner(string? path) => Path.GetFileName(path) is { } name && name.Split('~').Length == 3
        && name.EndsWith(".yaml", StringComparison.Ordinal);

    private static void List(string path, List<string> files, SortedSet<string> folders, Diagnostics faults, int depth)
    {
        if (Directory.Exists(path))
        {
            folders.Add(path);
            string? kustomization = Kustomization.Names.Select(n => Path.Combine(path, n)).FirstOrDefault(File.Exists);
            if (kustomization is not null)
            {
                if (depth > Deepest)
                {
                    faults.Error("NARU-C241", $"kustomizations are nested more than {Deepest} deep, or in a circle",
                        new Place(kustomization));
                    return;
                }
                foreach (string resource in Kustomization.Resources(kustomization, faults))
                    List(resource, files, folders, faults, depth + 1);
                return;
            }
            try
            {
                files.AddRange(Directory.EnumerateFiles(path).Where(IsManifest).Order(StringComparer.Ordinal));
            }
            catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
            {
                faults.Error("NARU-C240", $"cannot read the folder: {Causes.Of(fault)}", new Place(path));
            }
            return;
        }
        if (Path.GetDirectoryName(path) is { } folder && Directory.Exists(folder)) folders.Add(folder);
        if (File.Exists(path)) files.Add(path);
        else faults.Error("NARU-C240", "no such file or folder", new Place(path), null,
            "correct the path; what comes there later is taken then");
    }
}
