// What belongs to one application: the process that was started, what it started, and what left its parent behind but still carries the
// pod's name in its environment. Asked again for every look, since build tools and reloaders come and go.
namespace Naru.Local.Processes;

/// <summary>The processes of one pod.</summary>
/// <param name="root">The process that was started.</param>
/// <param name="carries">Whether a process has the assignments in its environment that together are in no other pod's.</param>
/// <param name="time">Clock.</param>
internal sealed class ProcessTree(int root, Func<int, bool> carries, TimeProvider time)
{
    // Until then it may be between fork and exec, with the environment of whoever forked it.
    private static readonly TimeSpan s_settled = TimeSpan.FromSeconds(2);

    // Environments are read once for each process that is nobody's child of ours; most of a machine are. Those of the last walk are kept.
    private Dictionary<(int Pid, long Started), (bool Carries, long Seen)> _known = [];

    // What listened before the application began is not its own, whoever made it.
    private readonly HashSet<long> _before = [.. PortHolder.All().Select(s => s.Inode)];

    /// <summary>How many processes' answers are remembered.</summary>
    public int Remembered => _known.Count;

    /// <summary>The tree of a pod.</summary>
    public static ProcessTree Of(int root, TimeProvider time, params string[] variables) =>
        new(root, pid => ProcessTable.HasVariables(pid, variables), time);

    /// <summary>All of them.</summary>
    public IReadOnlyList<ProcessEntry> Members(IReadOnlyList<ProcessEntry> all)
    {
        var next = new Dictionary<(int Pid, long Started), (bool Carries, long Seen)>();
        IReadOnlyList<ProcessEntry> members = Within(all, root, p => Carries(p, next));
        _known = next;
        return members;
    }

    /// <summary>The sockets that are theirs, as inodes.</summary>
    /// <param name="look">Sockets and processes. Where the system hides what a process has open (a program with capabilities, one of
    /// another user), a socket that is new, of that user and of nobody we can see counts as its own.</param>
    public HashSet<long> Sockets(MachineLook look)
    {
        var own = new HashSet<long>();
        var hiddenUsers = new HashSet<int>();
        foreach (ProcessEntry process in Members(look.Processes))
        {
            own.UnionWith(ProcessTable.Sockets(process.Pid, out bool hidden));
            if (hidden && ProcessTable.UserOf(process.Pid) is { } user) hiddenUsers.Add(user);
        }
        if (hiddenUsers.Count == 0) return own;
        foreach (ListeningSocket socket in look.Sockets.Where(s => hiddenUsers.Contains(s.User)))
        {
            if (_before.Contains(socket.Inode) || own.Contains(socket.Inode)) continue;
            if (PortHolder.Owner(new HashSet<long> { socket.Inode }) is null) own.Add(socket.Inode);
        }
        return own;
    }

    /// <summary>A process and its descendants; <paramref name="belongs"/> says it of those whose parent is gone or not among
    /// them.</summary>
    public static IReadOnlyList<ProcessEntry> Within(IReadOnlyList<ProcessEntry> all, int root, Func<ProcessEntry, bool> belongs)
    {
        ILookup<int, ProcessEntry> children = all.ToLookup(p => p.Parent);
        var found = new Dictionary<int, ProcessEntry>();
        var next = new Queue<ProcessEntry>(all.Where(p => p.Pid == root));
        void Walk()
        {
            while (next.TryDequeue(out ProcessEntry? process))
            {
                if (!found.TryAdd(process.Pid, process)) continue;
                foreach (ProcessEntry child in children[process.Pid]) next.Enqueue(child);
            }
        }
        Walk();
        foreach (ProcessEntry process in all.Where(p => !found.ContainsKey(p.Pid) && belongs(p)))
        {
            next.Enqueue(process);
            Walk();
        }
        return [.. found.Values.OrderBy(p => p.Started).ThenBy(p => p.Pid)];
    }

    private bool Carries(ProcessEntry process, Dictionary<(int Pid, long Started), (bool Carries, long Seen)> next)
    {
        (int, long) key = (process.Pid, process.Started);
        bool known = _known.TryGetValue(key, out (bool Carries, long Seen) answer);
        if (!known) answer.Seen = time.GetTimestamp();
        if (!known || time.GetElapsedTime(answer.Seen) < s_settled) answer.Carries = carries(process.Pid);
        next[key] = answer;
        return answer.Carries;
    }
}
