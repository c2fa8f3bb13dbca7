// When a cluster is compiled anew for what was found out about its endpoints: once for all that came until then. A thousand checks that
// end together are a few compilations, not a thousand.
namespace Naru.Proxy.Clusters;

/// <param name="gate">Held while clusters are compiled.</param>
/// <param name="compile">Compiles one, under the gate. What was found out before it began is in it.</param>
/// <param name="later">Runs something on another thread; null is the thread pool.</param>
internal sealed class ClusterRefresh(Lock gate, Action<ClusterSlot> compile, Action<Action>? later = null)
{
    private readonly Action<Action> _later = later
        ?? (static action => ThreadPool.QueueUserWorkItem(static a => a(), action, preferLocal: false));

    /// <summary>Something was found out: compiles, on this thread, but where another one is about to, which then does it for
    /// both.</summary>
    public void Now(ClusterSlot slot)
    {
        if (slot.BecomesStale()) Settle(slot);
    }

    /// <summary>The same on another thread.</summary>
    public void Later(ClusterSlot slot)
    {
        if (slot.BecomesStale()) _later(() => Settle(slot));
    }

    /// <summary>Compiles where nobody has since it became stale.</summary>
    public void Settle(ClusterSlot slot)
    {
        lock (gate)
            if (slot.IsStale) compile(slot);
    }
}
