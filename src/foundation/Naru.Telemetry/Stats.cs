// Counters and gauges for threads that share nothing: every worker writes its own shard, readers add the shards up.
// Stands below the proxy. It has no names of its own: who owns a block gives it a schema. Formats live beside it.
using System.Collections.Concurrent;

namespace Naru.Telemetry;

/// <summary>What a stat is; decides how it is printed and whether it may be reset.</summary>
public enum StatKind
{
    /// <summary>Only goes up.</summary>
    Counter,

    /// <summary>Goes both ways.</summary>
    Gauge,

    /// <summary>The same, of 64 bits without a sign: what is below zero is shown as what it is then.</summary>
    UnsignedGauge,
}

/// <summary>The names of one family of stats (for example those of a cluster), in index order.</summary>
/// <param name="onUse">Names are there from the first time they count on (Envoy makes those of response codes so): at 0 nobody is told of
/// them.</param>
public sealed class StatSchema(bool onUse = false)
{
    private readonly List<(string Name, StatKind Kind)> _stats = [];
    private readonly List<string> _histograms = [];
    private readonly List<string> _texts = [];
    private readonly Dictionary<int, int> _with = [];

    /// <summary>Counters that are 0, and histograms without a value, are left out.</summary>
    public bool OnUse { get; } = onUse;

    /// <summary>Scalars in index order.</summary>
    public IReadOnlyList<(string Name, StatKind Kind)> Stats => _stats;

    /// <summary>Histograms in index order.</summary>
    public IReadOnlyList<string> Histograms => _histograms;

    /// <summary>Texts in index order (Envoy: text readouts).</summary>
    public IReadOnlyList<string> Texts => _texts;

    /// <summary>Whether names begin with this tree.</summary>
    /// <param name="tree">With a dot in front; empty is all of them.</param>
    public bool HasTree(ReadOnlySpan<char> tree)
    {
        if (tree.IsEmpty) return true;
        foreach ((string name, StatKind _) in _stats) if (IsIn(name, tree)) return true;
        foreach (string name in _histograms) if (IsIn(name, tree)) return true;
        foreach (string name in _texts) if (IsIn(name, tree)) return true;
        return false;

        static bool IsIn(string name, ReadOnlySpan<char> tree) =>
            name.Length > tree.Length && name[tree.Length - 1] == '.' && name.StartsWith(tree[1..], StringComparison.Ordinal);
    }

    /// <summary>Declares a counter and returns its index in the shard. Only while types are initialised.</summary>
    public int Counter(string name) { _stats.Add((name, StatKind.Counter)); return _stats.Count - 1; }

    /// <summary>Declares a gauge and returns its index in the shard. Only while types are initialised.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="isUnsigned">Below zero it is what 64 bits without a sign make of that.</param>
    /// <param name="with">The counter of what the gauge is about: where that has moved, the gauge has, too; negative for none.</param>
    public int Gauge(string name, bool isUnsigned = false, int with = -1)
    {
        _stats.Add((name, isUnsigned ? StatKind.UnsignedGauge : StatKind.Gauge));
        if (with >= 0) _with[_stats.Count - 1] = with;
        return _stats.Count - 1;
    }

    /// <summary>The counter that a gauge moves with; -1 for none.</summary>
    public int CounterOf(int gauge) => _with.GetValueOrDefault(gauge, -1);

    /// <summary>Declares a histogram (milliseconds unless its name says otherwise) and returns its index.</summary>
    public int Histogram(string name) { _histograms.Add(name); return _histograms.Count - 1; }

    /// <summary>Declares a text, which somebody says (<see cref="StatBlock.Say"/>), and returns its index. Only while types are
    /// initialised.</summary>
    public int Text(string name) { _texts.Add(name); return _texts.Count - 1; }
}

/// <summary>The stats of one thing, for example <c>cluster.reviews</c>: one shard per worker and one (index 0) for everybody else.
/// A shard is written by its owner thread only; shard 0 is written with <see cref="Interlocked"/>.</summary>
public sealed class StatBlock
{
    private readonly long[][] _shards;
    private readonly Histogram?[][] _histograms;
    private readonly string[] _texts;

    internal StatBlock(string prefix, StatSchema schema, int shards)
    {
        Prefix = prefix;
        Schema = schema;
        _shards = new long[shards][];
        _histograms = new Histogram?[shards][];
        _texts = new string[schema.Texts.Count];
        Array.Fill(_texts, "");
        for (int i = 0; i < shards; i++)
        {
            _shards[i] = new long[schema.Stats.Count];
            _histograms[i] = new Histogram?[schema.Histograms.Count];
        }
    }

    /// <summary>Envoy's prefix without the trailing dot, for example <c>http.ingress_http</c>, <c>cluster.reviews</c>, <c>server</c>.</summary>
    public string Prefix { get; }

    /// <summary>What of the prefix, behind a dot at its end, is no part of its owner's name (<c>outlier_detection</c>); mostly empty.</summary>
    public string Scope { get; internal init; } = "";

    /// <summary>Names and kinds.</summary>
    public StatSchema Schema { get; }

    /// <summary>The shard of a worker (1..workers); plain writes by that worker only.</summary>
    public long[] Shard(int worker) => _shards[worker];

    /// <summary>Adds from outside the workers.</summary>
    public void Add(int stat, long delta = 1) => Interlocked.Add(ref _shards[0][stat], delta);

    /// <summary>Sets a gauge that only code outside the workers writes.</summary>
    public void Set(int stat, long value) => Volatile.Write(ref _shards[0][stat], value);

    /// <summary>Sets a text.</summary>
    public void Say(int text, string value) => Volatile.Write(ref _texts[text], value);

    /// <summary>What a text says; empty at first.</summary>
    public string Said(int text) => Volatile.Read(ref _texts[text]);

    /// <summary>The sum over all shards. Slightly stale by nature.</summary>
    public long Read(int stat)
    {
        long sum = 0;
        foreach (long[] shard in _shards) sum += Volatile.Read(ref shard[stat]);
        return sum;
    }

    /// <summary>A worker's own histogram, made on first use.</summary>
    public Histogram HistogramOf(int worker, int histogram) =>
        _histograms[worker][histogram] ?? (_histograms[worker][histogram] = new Histogram());

    /// <summary>All workers' recordings of one histogram merged into <paramref name="into"/>.</summary>
    public void ReadHistogram(int histogram, Histogram into)
    {
        foreach (Histogram?[] shard in _histograms) if (Volatile.Read(ref shard[histogram]) is { } own) into.Merge(own);
    }

    /// <summary>Sets counters (not gauges) back to zero, as Envoy's <c>/reset_counters</c> does. Racing increments may survive.</summary>
    public void ResetCounters()
    {
        for (int stat = 0; stat < Schema.Stats.Count; stat++)
        {
            if (Schema.Stats[stat].Kind != StatKind.Counter) continue;
            foreach (long[] shard in _shards) Volatile.Write(ref shard[stat], 0);
        }
    }
}

/// <summary>All stat blocks of a process, by prefix and schema. Asking twice for one gives the same block, so counters outlive configuration;
/// two parts of the program may share a prefix (traffic and discovery of one cluster), each with a schema of its own.</summary>
/// <param name="workers">How many workers write.</param>
/// <param name="rules">What of it is shown, and how; null for Envoy's defaults.</param>
public sealed class StatRegistry(int workers, StatRules? rules = null)
{
    /// <summary>What of it is shown, and how.</summary>
    public StatRules Rules { get; } = rules ?? StatRules.Default;

    private readonly ConcurrentDictionary<(string Prefix, StatSchema Schema), StatBlock> _blocks = new();

    /// <summary>The block with this prefix and schema, made when it is new.</summary>
    public StatBlock Block(string prefix, StatSchema schema) =>
        _blocks.GetOrAdd((Sane(prefix), schema), static (key, shards) => new StatBlock(key.Prefix, key.Schema, shards), workers + 1);

    /// <summary>A block of a part of an owner: <c>OWNER.SCOPE</c>. Names may hold dots, so only this tells where they end.</summary>
    /// <param name="owner">The owner's prefix.</param>
    /// <param name="scope">The part, without a dot in front.</param>
    /// <param name="schema">Its names.</param>
    public StatBlock Block(string owner, string scope, StatSchema schema) =>
        _blocks.GetOrAdd(($"{Sane(owner)}.{scope}", schema), key => new StatBlock(key.Prefix, key.Schema, workers + 1) { Scope = scope });

    /// <summary>Forgets all blocks of a prefix whose owner was removed.</summary>
    public void Remove(string prefix) => Remove([prefix]);

    /// <summary>The same of many, and of their parts (<see cref="StatBlock.Scope"/>), looking through all blocks once.</summary>
    public void Remove(IEnumerable<string> prefixes)
    {
        HashSet<string> gone = [.. prefixes.Select(Sane)];
        HashSet<string>.AlternateLookup<ReadOnlySpan<char>> owners = gone.GetAlternateLookup<ReadOnlySpan<char>>();
        foreach (((string Prefix, StatSchema Schema) key, StatBlock block) in _blocks)
        {
            int part = block.Scope.Length > 0 ? block.Scope.Length + 1 : 0;
            bool isPart = part > 0 && owners.Contains(key.Prefix.AsSpan(0, key.Prefix.Length - part));
            if (isPart || gone.Contains(key.Prefix)) _blocks.TryRemove(key, out _);
        }
    }

    /// <summary>Forgets one of them.</summary>
    public void Remove(string prefix, StatSchema schema) => _blocks.TryRemove((Sane(prefix), schema), out _);

    /// <summary>Whether names of others begin with this prefix and a dot: names that come from requests must not be those.</summary>
    /// <param name="prefix">As for a block.</param>
    /// <param name="schema">Blocks of this one do not count.</param>
    public bool IsTaken(string prefix, StatSchema schema)
    {
        prefix = Sane(prefix);
        foreach (((string Prefix, StatSchema Schema) key, StatBlock _) in _blocks)
        {
            if (key.Schema == schema) continue;
            if (Begins(key.Prefix, prefix) || (Begins(prefix, key.Prefix) && key.Schema.HasTree(prefix.AsSpan(key.Prefix.Length)))) return true;
        }
        return false;

        static bool Begins(string name, string tree) =>
            name.StartsWith(tree, StringComparison.Ordinal) && (name.Length == tree.Length || name[tree.Length] == '.');
    }

    // Colons are for the readers of statistics to split at (Envoy makes the same of them).
    private static string Sane(string prefix) => !prefix.Contains(':', StringComparison.Ordinal) ? prefix
        : prefix.Replace("://", "_", StringComparison.Ordinal).Replace(":/", "_", StringComparison.Ordinal).Replace(':', '_');

    /// <summary>Every block, in no order.</summary>
    public ICollection<StatBlock> Blocks => _blocks.Values;
}
