// What happened in the mesh, for `naru events`: a ring of the latest, repetitions counted, never more than a few hundred lines of memory.
using Naru.Inspect;

namespace Naru.Local;

internal sealed class EventLog(TimeProvider time)
{
    /// <summary>Different events kept.</summary>
    public const int Most = 500;

    private readonly Lock _lock = new();
    private readonly LinkedList<MeshEvent> _all = [];
    private readonly Dictionary<(string, string, string, string, string, string), LinkedListNode<MeshEvent>> _known = [];
    private long _number;

    public void Normal(string kind, string ns, string name, string reason, string message) => Add("Normal", kind, ns, name, reason, message);

    public void Warning(string kind, string ns, string name, string reason, string message) => Add("Warning", kind, ns, name, reason, message);

    /// <summary>Oldest first.</summary>
    public IReadOnlyList<MeshEvent> All()
    {
        lock (_lock) return [.. _all];
    }

    private void Add(string type, string kind, string ns, string name, string reason, string message)
    {
        DateTimeOffset now = time.GetUtcNow();
        (string, string, string, string, string, string) key = (type, kind, ns, name, reason, message);
        lock (_lock)
        {
            if (_known.Remove(key, out LinkedListNode<MeshEvent>? before))
            {
                _all.Remove(before);
                _known[key] = _all.AddLast(before.Value with { Count = before.Value.Count + 1, Last = now });
                return;
            }
            _known[key] = _all.AddLast(new MeshEvent { Number = ++_number, Type = type, Kind = kind, Namespace = ns, Name = name, Reason = reason, Message = message, First = now, Last = now });
            if (_all.Count <= Most) return;
            MeshEvent oldest = _all.First!.Value;
            _all.RemoveFirst();
            _known.Remove((oldest.Type, oldest.Kind, oldest.Namespace, oldest.Name, oldest.Reason, oldest.Message));
        }
    }
}

/// <summary>Notices what only shows from outside: processes that were started again.</summary>
internal sealed class RestartWatch(EventLog events)
{
    private readonly Dictionary<string, (int App, int Proxy)> _seen = new(StringComparer.Ordinal);
    private int _control;

    public void Look(IEnumerable<PodStatus> pods, int controlRestarts)
    {
        var alive = new HashSet<string>(StringComparer.Ordinal);
        foreach (PodStatus pod in pods)
        {
            string key = $"{pod.Namespace}/{pod.Name}";
            alive.Add(key);
            (int app, int proxy) = _seen.GetValueOrDefault(key);
            string why = pod.Reason.Length > 0 ? $": {pod.Reason}" : "";
            if (pod.Restarts > app) events.Warning("Pod", pod.Namespace, pod.Name, pod.Phase == "CrashLoopBackOff" ? "BackOff" : "Restarted", $"its process was started again{why}");
            if (pod.ProxyRestarts > proxy) events.Warning("Pod", pod.Namespace, pod.Name, "ProxyRestarted", $"its proxy was started again{why}");
            _seen[key] = (pod.Restarts, pod.ProxyRestarts);
        }
        foreach (string gone in _seen.Keys.Where(k => !alive.Contains(k)).ToList()) _seen.Remove(gone);
        if (controlRestarts > _control) events.Warning("ControlPlane", "istio-system", "control", "Restarted", "the control plane was started again; proxies went on with what they knew");
        _control = controlRestarts;
    }
}
