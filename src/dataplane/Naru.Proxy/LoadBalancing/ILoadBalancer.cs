// What a pick is made from, and who makes it.
using Naru.Proxy.Clusters;
using Naru.Proxy.Io;

namespace Naru.Proxy.LoadBalancing;

/// <summary>What a pick is made from.</summary>
/// <param name="worker">Who picks.</param>
/// <param name="random">Its chance.</param>
internal readonly ref struct PickContext(int worker, FastRandom random)
{
    public PickContext(Worker worker) : this(worker.Index, worker.Random) => Now = worker.Now;

    public int Worker { get; } = worker;
    public FastRandom Random { get; } = random;

    // Where a pick is counted that nobody is to see.
    private static readonly long[] s_unseen = new long[ClusterStats.Schema.Stats.Count];

    /// <summary>Somebody only asks who it would be: nothing of it is counted.</summary>
    public bool IsUncounted { get; init; }

    /// <summary>Worker ms.</summary>
    public long Now { get; init; }

    /// <summary>Told what the pick was made among; null for nobody who asks.</summary>
    public PickNote? Note { get; init; }

    /// <summary>What the request asks of its endpoint's metadata; null is nothing.</summary>
    public SubsetMatch? Match { get; init; }

    /// <summary>What the same endpoint is to be picked for each time, while endpoints stay; null is any.</summary>
    public ulong? Hash { get; init; }

    /// <summary>Endpoints to be avoided; null for none.</summary>
    public List<Host>? Avoid { get; init; }

    /// <summary>How many further picks are made to avoid those; then one of them is taken all the same.</summary>
    public int AvoidAttempts { get; init; }

    /// <summary>Canaries are avoided, too.</summary>
    public bool AvoidCanaries { get; init; }

    /// <summary>Endpoints with all of these labels are avoided, too; null for none.</summary>
    public Config.LabelConfig[]? AvoidLabels { get; init; }

    /// <summary>Priorities that a retry leaves to others, a bit each, as long as others have endpoints.</summary>
    public UInt128 LeftPriorities { get; init; }

    /// <summary>Where the cluster counts what becomes of the pick.</summary>
    public long[] Counts(ClusterSlot slot) => IsUncounted ? s_unseen : slot.Stats!.Shard(Worker);
}

/// <summary>What a pick was made among, for people.</summary>
internal sealed class PickNote
{
    /// <summary>A subset, or where its fallback led; empty where endpoints are not divided.</summary>
    public string Text { get; set; } = "";
}

/// <summary>Picks endpoints of one cluster. Immutable, made with it; what turns is the worker's.</summary>
internal interface ILoadBalancer
{
    /// <summary>How many endpoints may be picked.</summary>
    int Choices { get; }

    /// <summary>How many of those may be picked for a request.</summary>
    /// <param name="match">What it asks; null is nothing.</param>
    int ChoicesOf(SubsetMatch? match);

    /// <summary>An endpoint; null when there is none.</summary>
    Host? Pick(in PickContext context);
}
