// What belongs to one application: the process that was started, what it started, and what left its parent behind but still carries the
// pod's name in its environment. Asked again for every look, since build tools and reloaders come and go.
namespace Naru.Local.Processes;

/// <summary>The processes of one pod.</summary>
/// <param name="root">The process that was started.</param>
/// <param name="variables">Assignments that together are in no other pod's environment.</param>
public sealed class ProcessTree(int root, params string[] variables)
{
    // Environments are read once for each process that is nobody's child of ours; most of a machine are.
    private readonly Dictionary<(int Pid, long Started), bool> _known = [];

    // What listened before the application began is not its own, whoever made it.
    private readonly HashSet<long> _before = [.. PortHolder.All().Select(s => s.Inode)];

    /// <summary>All of them, now.</summary>
    public IReadOnlyList<ProcessEntry> Members() => Within(ProcessTable.All(), root, Carries);

    /// <summary>The sockets that are theirs, as inodes.</summary>
    /// <param name="listening">All listening sockets. Where the system hides what a process has open (a program with capabilities, one of
    /// another user), a socket that is new, of that user and of nobody we can see counts as its own.</param>
    public HashSet<long> Sockets(IReadOnlyList<ListeningSocket> listening)
    {
        var own = new HashSet<long>();
        var hiddenUsers = new HashSet<int>();
        foreach (ProcessEntry process in Members())
        {
            own.UnionWith(ProcessTable.Sockets(process.Pid, out bool hidden));
            if (hidden && ProcessTable.UserOf(process.Pid) is { } user) hiddenUsers.Add(user);
        }
        if (hiddenUsers.Count == 0) return own;
        foreach (ListeningSocket socket in listening.Where(s => hiddenUsers.Contains(s.User)))
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

    private bool Carries(ProcessEntry process)
    {
        if (variables.Length == 0) return false;
        if (!_known.TryGetValue((process.Pid, process.Started), out bool known))
        {
            known = ProcessTable.HasVariables(process.Pid, variables);
            _known[(process.Pid, process.Started)] = known;
        }
        return known;
    }
}
