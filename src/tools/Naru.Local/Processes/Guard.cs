// Sees to it that nothing outlives the runner, even one that was killed with SIGKILL: a tiny shell that waits on a pipe which only the
// runner holds. Every process of a mesh carries the mesh's mark in its environment; that is how leftovers are found.
using System.IO.Pipes;
using System.Text;
using Naru.Inspect;

namespace Naru.Local.Processes;

/// <summary>The watchman of one mesh.</summary>
public sealed class Guard : IDisposable
{
    /// <summary>Environment variable that marks processes of a mesh.</summary>
    public const string Mark = "NARU_MESH_MARK";

    // The folder is tidied only while no mesh that came after us holds it, by a lock whose name leads to it still. Before the pipe ends
    // nothing is started, since it would have the pipe as its input; `read` is the shell's own. One grep a round looks at all processes.
    private const string Script = """
        trap '' INT TERM HUP
        read -r word
        [ "$word" = bye ] && exit 0
        mark=$1 run=$2
        shift 2
        for round in 1 2 3 4 5; do
          found=
          for file in $(grep -slzxF -- "$mark" /proc/[0-9]*/environ </dev/null); do
            pid=${file#/proc/}; kill -KILL "${pid%/environ}" 2>/dev/null && found=1
          done
          [ -n "$found" ] || break
        done
        cd "$run" || exit 0
        (
          flock -n 9 || exit 0
          [ lock -ef /proc/self/fd/9 ] || exit 0
          rm -rf -- "$@"
          rm -f lock
        ) 9>>lock
        """;

    private readonly AnonymousPipeServerStream _pipe;
    private readonly Child _shell;

    private Guard(AnonymousPipeServerStream pipe, Child shell)
    {
        _pipe = pipe;
        _shell = shell;
    }

    /// <summary>Process id of the shell.</summary>
    public int Id => _shell.Id;

    /// <summary>Starts watching. <paramref name="mark"/> is the value of <see cref="Mark"/>, <paramref name="run"/> the run folder to tidy.</summary>
    public static Guard Start(string mark, string run)
    {
        var pipe = new AnonymousPipeServerStream(PipeDirection.Out, HandleInheritability.None);
        Dictionary<string, string> environment = Child.OwnEnvironment();
        environment.Remove(Mark);
        Child shell = Child.Start(new SpawnRequest
        {
            File = "/bin/sh",
            Arguments = ["-c", Script, "naru-guard", $"{Mark}={mark}", run, .. RunNames.Left],
            Environment = environment,
            Input = (int)pipe.ClientSafePipeHandle.DangerousGetHandle(),
            Log = "/dev/null",
            Folder = "/",
        });
        pipe.DisposeLocalCopyOfClientHandle();
        return new Guard(pipe, shell);
    }

    /// <summary>Process ids that carry a mark, this process left out.</summary>
    public static IReadOnlyList<int> Marked(string mark)
    {
        byte[] wanted = Encoding.UTF8.GetBytes($"{Mark}={mark}\0");
        var found = new List<int>();
        foreach (string folder in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), out int pid) || pid == Environment.ProcessId) continue;
            try
            {
                if (File.ReadAllBytes(Path.Combine(folder, "environ")).AsSpan().IndexOf(wanted) >= 0) found.Add(pid);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // Gone meanwhile, or somebody else's.
            }
        }
        return found;
    }

    /// <summary>Kills what carries a mark; returns how many there were.</summary>
    public static int Sweep(string mark)
    {
        IReadOnlyList<int> left = Marked(mark);
        foreach (int pid in left) _ = Native.Kill(pid, Native.SigKill);
        return left.Count;
    }

    /// <summary>Tells the shell that all is in order; it ends.</summary>
    public void Dispose()
    {
        try
        {
            _pipe.Write("bye\n"u8);
        }
        catch (IOException)
        {
            // Somebody ended the shell; there is nothing to tell.
        }
        _pipe.Dispose();
        _shell.Exited.Wait(TimeSpan.FromSeconds(2));
    }
}
