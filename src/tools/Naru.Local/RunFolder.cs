// Where a running mesh keeps what others may look at: addresses, token, socket, logs. Only its user may enter.
// A folder that belongs to somebody else is refused: names under a shared temp folder can be guessed.
using System.Text.Json;
using Naru.Inspect;
using Naru.Local.Processes;

namespace Naru.Local;

/// <summary>The folder of one mesh.</summary>
public sealed class RunFolder
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    private RunFolder(string path) => Path = path;

    /// <summary>Absolute path.</summary>
    public string Path { get; }

    /// <summary>Completed Services and Pods, for the control plane.</summary>
    public string State => At(RunNames.State);

    /// <summary>What came through the API, kept by the control plane.</summary>
    public string Store => At(RunNames.Store);

    /// <summary>One file a process.</summary>
    public string Logs => At(RunNames.Logs);

    /// <summary>Bootstraps of the proxies.</summary>
    public string Pods => At(RunNames.Pods);

    /// <summary>Where the runner listens.</summary>
    public string Socket => At(RunNames.Socket);

    /// <summary>Where the runner answers for the gateway what no rule takes.</summary>
    public string FrontSocket => At(RunNames.FrontSocket);

    /// <summary>Secret for the control plane's API.</summary>
    public string TokenFile => At(RunNames.Token);

    /// <summary>What <see cref="MeshLocation"/> reads.</summary>
    public string Description => At(RunNames.Description);

    /// <summary>Held while the mesh runs.</summary>
    public string LockFile => At(RunNames.Lock);

    /// <summary>Opens the folder of a mesh by name, and makes it where it is missing.</summary>
    /// <exception cref="IOException">It cannot be made, or belongs to somebody else.</exception>
    public static RunFolder Open(string mesh)
    {
        string path = MeshLocation.FolderOf(mesh);
        string root = System.IO.Path.GetDirectoryName(System.IO.Path.GetDirectoryName(path))!;
        foreach (string folder in new[] { root, System.IO.Path.GetDirectoryName(path)!, path })
        {
            try
            {
                Directory.CreateDirectory(folder, OwnerOnly);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new MeshException(new Core.Diagnostic("NARU-L015", Core.Severity.Error,
                    $"the run folder cannot be made: {Core.Causes.Of(e)}", new Core.Place(folder),
                    Remedy: "set NARU_HOME to a folder of yours"));
            }
            var info = new DirectoryInfo(folder);
            if (info.LinkTarget is not null) throw new IOException($"{folder} is a link; remove it, or set NARU_HOME to a folder of yours");
            try
            {
                // Only the owner may change the mode: this is the test whether the folder is ours.
                if (info.UnixFileMode != OwnerOnly || folder == root) File.SetUnixFileMode(folder, OwnerOnly);
            }
            catch (UnauthorizedAccessException)
            {
                throw new IOException($"{folder} belongs to another user; set NARU_HOME to a folder of yours");
            }
        }
        return new RunFolder(path);
    }

    /// <summary>A path in it.</summary>
    public string At(string name) => System.IO.Path.Combine(Path, name);

    /// <summary>Takes the lock of this mesh, or null where it runs already. The file goes with <see cref="Unlock"/>.</summary>
    public FileStream? TryLock()
    {
        // Whoever opened the file before the last mesh removed it holds a lock that nobody else sees: look again until the name leads to it.
        for (int tries = 0; tries < 100; tries++)
        {
            FileStream file;
            try
            {
                file = new FileStream(LockFile, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException)
            {
                return null;
            }
            string? leadsTo = new FileInfo($"/proc/self/fd/{file.SafeFileHandle.DangerousGetHandle()}").LinkTarget;
            if (leadsTo?.EndsWith(" (deleted)", StringComparison.Ordinal) != true) return file;
            file.Dispose();
        }
        return null;
    }

    /// <summary>Removes the lock's file while it is still held, then lets go of it: the next to take the name makes a new one.</summary>
    public async Task UnlockAsync(FileStream file)
    {
        try
        {
            File.Delete(LockFile);
        }
        finally
        {
            await file.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Empties it before a start.</summary>
    public void Prepare()
    {
        Clean();
        if (Directory.Exists(Logs)) Directory.Delete(Logs, recursive: true);
        foreach (string folder in new[] { State, Store, Logs, Pods }) Directory.CreateDirectory(folder, OwnerOnly);
    }

    /// <summary>Removes everything but the logs.</summary>
    public void Clean()
    {
        foreach (string path in RunNames.Left.Reverse().Select(At))
        {
            if (Directory.Exists(path)) Directory.Delete(path, recursive: true);
            else File.Delete(path);
        }
    }

    /// <summary>Writes a file that only its owner reads, whole or not at all.</summary>
    public static void WriteWhole(string path, string text)
    {
        string fresh = $"{path}.{Environment.ProcessId}.fresh";
        using (var file = new FileStream(fresh, new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite }))
        {
            file.Write(System.Text.Encoding.UTF8.GetBytes(text));
        }
        File.Move(fresh, path, overwrite: true);
    }

    /// <summary>Tells others where the mesh is.</summary>
    public void Describe(MeshLocation location) => WriteWhole(Description, JsonSerializer.Serialize(location, MeshLocation.Json) + "\n");
}
