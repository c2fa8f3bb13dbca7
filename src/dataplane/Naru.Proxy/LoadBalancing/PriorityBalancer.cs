// Picks a priority, in it a locality where those have weights, and of that an endpoint by the cluster's policy. Policies and their defaults
// are Envoy's (arch overview: supported load balancers, priority levels, degraded endpoints); busyness is what this worker itself has in
// flight, since workers share nothing, but of bounded loads (HashTable).
using System.Collections.Immutable;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Policy = Naru.Proxy.Config.LoadBalancing;

namespace Naru.Proxy.LoadBalancing;

/// <summary>What balancers of one cluster are made in together.</summary>
internal sealed record BalancerScene
{
    /// <summary>How many lists of endpoints there are so far.</summary>
    public Counter Lists { get; } = new();

    /// <summary>What is left for tables of hashes.</summary>
    public HashBudget Budget { get; init; } = new();

    /// <summary>What came with the endpoints.</summary>
    public EndpointPolicyConfig Policy { get; init; } = EndpointPolicyConfig.Standard;

    /// <summary>Where the proxies are; null where nobody said.</summary>
    public ZoneView? Zone { get; init; }

    /// <summary>Requests may be looked up in it; without that it has no tables of hashes.</summary>
    public bool IsAsked { get; init; } = true;

    /// <summary>Weights of localities hold, where the cluster has them.</summary>
    public bool HeedsLocalities { get; init; } = true;

    /// <summary>Endpoints of each priority and locality outside of a subset, to which weights are in proportion; null leaves them as they
    /// are.</summary>
    public IReadOnlyDictionary<(int, string), int>? WholeLocalities { get; init; }

    /// <summary>The one in whose place it comes, whose tables may go on; null for none.</summary>
    public PriorityBalancer? Before { get; init; }

    internal sealed class Counter
    {
        public int Count;
    }
}

internal sealed class PriorityBalancer : ILoadBalancer
{
    // More is all of them (selection_method: FULL_SCAN).
    private const int MostChoices = 1024;

    // Of endpoints that are new and not yet due; then one of them is taken all the same.
    private const int MostDraws = 64;
    private readonly ClusterSlot _slot;
    private readonly ClusterConfig _config;
    private readonly uint _factor;
    private readonly HostSet[] _sets;
    private readonly PriorityLoad[] _loads;
    private readonly ZoneRouting? _zones;
    private readonly SlowStart? _slow;

    // Where every request goes; null where there is a choice.
    private readonly HostList? _only;

    /// <param name="slot">Keeps turns and counts.</param>
    /// <param name="config">Policy and thresholds.</param>
    /// <param name="hosts">Of all priorities.</param>
    /// <param name="scene">What it is made in.</param>
    public PriorityBalancer(ClusterSlot slot, ClusterConfig config, ImmutableArray<Host> hosts, BalancerScene scene)
    {
        _slot = slot;
        _config = config;
        EndpointPolicyConfig policy = scene.Policy;
        _factor = policy.OverprovisioningFactor;
        _slow = config.SlowStart is { } slow && config.Lb != Policy.Hash ? new SlowStart(slow) : null;
        int priorities = 1;
        foreach (Host host in hosts) priorities = Math.Max(priorities, host.Config.Priority + 1);
        ref int lists = ref scene.Lists.Count;
        bool byLocality = config.LocalityWeighted && scene.HeedsLocalities, hashes = config.Lb == Policy.Hash;
        ILookup<int, Host> byPriority = hosts.ToLookup(h => h.Config.Priority);
        _sets = new HostSet[priorities];
        for (int i = 0; i < priorities; i++)
        {
            bool split = byLocality && !hashes, byWeight = policy.WeightedPriorityHealth;
            _sets[i] = HostSet.Of([.. byPriority[i]], _factor, split, byWeight, scene.WholeLocalities, ref lists);
        }
        _loads = new PriorityLoad[priorities];
        PriorityLoads.ShareOut(Counts(), _factor, Math.Round(config.PanicThreshold * 100, 6), 0, _loads);
        if (!byLocality && !hashes && scene.Zone is { } zone)
            _zones = ZoneRouting.Of(_sets[0].All.Hosts, _sets[0].Healthy.Hosts, zone, config, slot, ref lists);
        if (hashes && scene.IsAsked) MakeTables(byLocality, scene);
        int only = Array.FindIndex(_loads, l => l is { Healthy: 100, Panics: false });
        if (only >= 0 && _sets[only].HealthyLocalities is null && (only > 0 || _zones is null)) _only = _sets[only].Healthy;
        for (int i = 0; i < priorities; i++)
        {
            if (_loads[i].Panics) Choices += _loads[i].Healthy + _loads[i].Degraded > 0 ? _sets[i].All.Hosts.Length : 0;
            else Choices += (_loads[i].Healthy > 0 ? _sets[i].Healthy.Hosts.Length : 0)
                + (_loads[i].Degraded > 0 ? _sets[i].Degraded.Hosts.Length : 0);
        }
    }

    // Of lists that requests are looked up in, once for all workers.
    private void MakeTables(bool byLocality, BalancerScene scene)
    {
        for (int i = 0; i < _sets.Length; i++)
        {
            HostSet? old = scene.Before?._sets.ElementAtOrDefault(i);
            HostList list = _loads[i].Panics ? _sets[i].All : _sets[i].Healthy;
            Dictionary<string, ulong>? localities = byLocality ? HostSet.WeightsOf(_sets[i].All.Hosts, scene.WholeLocalities) : null;
            foreach (HostList one in (ReadOnlySpan<HostList>)[list, _sets[i].Degraded])
            {
                if (localities is not null) one.Shares = HashTable.Weights(one.Hosts, localities);
                one.Table ??= HashTable.Of(one.Hosts, _config, localities, scene.Budget, old?.Healthy.Table, old?.All.Table,
                    old?.Degraded.Table);
            }
        }
    }

    /// <summary>What the first priority's requests are looked up in; null without a hashing policy, and where there is no endpoint.</summary>
    public HashTable? Table => (_loads[0].Panics ? _sets[0].All : _sets[0].Healthy).Table;

    public int Choices { get; }

    /// <summary>Overprovisioning factor in percent.</summary>
    public uint Factor => _factor;

    public int ChoicesOf(SubsetMatch? match) => Choices;

    /// <summary>What each priority gets.</summary>
    public ReadOnlySpan<PriorityLoad> Loads => _loads;

    /// <summary>Its endpoints lie in several localities, among which no weights divide.</summary>
    public bool HasZones => !_config.LocalityWeighted && _config.Lb != Policy.Hash && _sets[0].All.Hosts is { Length: > 1 } hosts
        && hosts.Any(h => h.Config.Locality != hosts[0].Config.Locality);

    /// <summary>The endpoints of each priority.</summary>
    public ReadOnlySpan<HostSet> Sets => _sets;

    public Host? Pick(in PickContext context)
    {
        Host? host = PickOnce(context, 0);
        if (context.Avoid is null && !context.AvoidCanaries && context.AvoidLabels is null) return host;
        for (int i = 0; i < context.AvoidAttempts && host is not null && Avoids(context, host); i++) host = PickOnce(context, i + 1);
        return host;
    }

    private static bool Avoids(in PickContext context, Host host)
    {
        if (context.AvoidCanaries && host.Config.IsCanary) return true;
        if (context.AvoidLabels is { } labels && HasAll(host, labels)) return true;
        if (context.Avoid is not { } avoid) return false;
        // By address: the host list may have been replaced between two tries.
        foreach (Host other in avoid) if (ReferenceEquals(other.State, host.State)) return true;
        return false;
    }

    // A list has what any of its items is (Envoy: metadataLabelMatch).
    private static bool HasAll(Host host, LabelConfig[] labels)
    {
        foreach (LabelConfig label in labels)
        {
            bool has = false;
            foreach (LabelConfig own in host.Config.Labels)
                has |= own.Key == label.Key && (own.Text == label.Text || (!own.Items.IsDefault && own.Items.Contains(label.Text)));
            if (!has) return false;
        }
        return true;
    }

    private Host? PickOnce(in PickContext context, int attempt)
    {
        if (_config.Lb == Policy.Hash) return ByTable(context, attempt);
        HostList list = _only is { } only && context.LeftPriorities == 0 ? only : ListOf(context);
        if (list.Hosts.Length < 2) return list.Hosts.Length == 0 ? null : list.Hosts[0];
        if (context.Hash is { } key) return ByHash(list, key);
        Host host = OneOf(list, context);
        if (_slow is not { } slow || context.Now >= list.Newest + slow.WindowMs) return host;
        for (int i = 0; i < MostDraws && !slow.IsDue(host, list, context); i++) host = OneOf(list, context);
        return host;
    }

    private Host OneOf(HostList list, in PickContext context)
    {
        switch (_config.Lb)
        {
            case Policy.RoundRobin:
                uint turn = _slot.Of(context.Worker).Turn(list.Number, context.Random)++;
                return list.Hosts[list.Schedule?.At(turn) ?? (int)(turn % (uint)list.Hosts.Length)];
            case Policy.LeastRequest:
                return list.Schedule is { } weighted ? InTurnUnlessBusy(list, weighted, context) : LeastBusy(list, context);
            default:
                // Weights do not count (Envoy: random).
                return list.Hosts[context.Random.Below((uint)list.Hosts.Length)];
        }
    }

    // Without a hash a key is drawn; another attempt goes elsewhere, or the same endpoint would come again (Envoy:
    // ThreadAwareLoadBalancerBase).
    private Host? ByTable(in PickContext context, int attempt)
    {
        ulong key = context.Hash ?? context.Random.Next();
        HostList list = _only is { } only && context.LeftPriorities == 0 ? only : ListOf(new PickContext(context.Worker, context.Random)
        {
            Hash = key,
            LeftPriorities = context.LeftPriorities,
            IsUncounted = context.IsUncounted,
        });
        if (list.Hosts.Length < 2) return list.Hosts.Length == 0 || list.Shares is [0] ? null : list.Hosts[0];
        // Without room for its table the same key is still the same endpoint.
        if (list.Table is not { } table) return ByHash(list, key + (ulong)attempt);
        return _config.Hashing!.BalanceFactor == 0 ? table.Pick(key, attempt) : table.PickBounded(key, attempt, _slot, context.Worker);
    }

    // Of some by chance, or of all; of those that are equally busy one by chance.
    private Host LeastBusy(HostList list, in PickContext context)
    {
        Host[] hosts = list.Hosts;
        if (_config.LeastRequestChoiceCount > MostChoices) return LeastBusyOfAll(hosts, context);
        Host best = hosts[context.Random.Below((uint)hosts.Length)];
        for (int i = 1; i < _config.LeastRequestChoiceCount; i++)
        {
            Host other = hosts[context.Random.Below((uint)hosts.Length)];
            if (other.State.ActiveRequestsOf(context.Worker) < best.State.ActiveRequestsOf(context.Worker)) best = other;
        }
        return best;
    }

    private static Host LeastBusyOfAll(Host[] hosts, in PickContext context)
    {
        Host best = hosts[0];
        int least = int.MaxValue;
        uint alike = 0;
        foreach (Host host in hosts)
        {
            int busy = host.State.ActiveRequestsOf(context.Worker);
            if (busy > least) continue;
            alike = busy < least ? 1 : alike + 1;
            least = busy;
            if (alike == 1 || context.Random.Below(alike) == 0) best = host;
        }
        return best;
    }

    // Weights that differ make it a weighted round robin from which the busy fall behind (Envoy: weighted least request).
    private Host InTurnUnlessBusy(HostList list, Schedule schedule, in PickContext context)
    {
        uint turn = _slot.Of(context.Worker).Turn(list.Number, context.Random)++;
        Host best = list.Hosts[schedule.At(turn)];
        double least = Load(best, context.Worker);
        for (uint i = 1; i < (uint)Math.Min(_config.LeastRequestChoiceCount, schedule.Length); i++)
        {
            Host other = list.Hosts[schedule.At(turn + i)];
            double load = Load(other, context.Worker);
            if (load >= least) continue;
            (best, least) = (other, load);
        }
        return best;
    }

    // Nothing for who is idle, whatever it weighs: whose turn it is says the schedule.
    private double Load(Host host, int worker)
    {
        int busy = host.State.ActiveRequestsOf(worker);
        return (_config.ActiveRequestBias == 1 ? busy : Math.Pow(busy + 1, _config.ActiveRequestBias) - 1) / host.Weight;
    }

    // A hash chooses the priority, too, so that it chooses the same endpoint each time.
    private HostList ListOf(in PickContext context)
    {
        ReadOnlySpan<PriorityLoad> loads = _loads;
        if (context.LeftPriorities != 0)
        {
            Span<PriorityLoad> others = stackalloc PriorityLoad[_loads.Length];
            if (PriorityLoads.ShareOut(Counts(stackalloc PriorityCount[_loads.Length]), _factor, 0, context.LeftPriorities, others))
                return ListOf(context, others);
        }
        return ListOf(context, loads);
    }

    private HostList ListOf(in PickContext context, ReadOnlySpan<PriorityLoad> loads)
    {
        int at = (int)(context.Hash is { } hash ? hash % 100 : context.Random.Below(100));
        for (int i = 0; i < loads.Length; at -= loads[i].Healthy, i++)
            if (at < loads[i].Healthy) return ListOf(context, i, loads[i].Panics, degraded: false);
        for (int i = 0; i < loads.Length; at -= loads[i].Degraded, i++)
            if (at < loads[i].Degraded) return ListOf(context, i, loads[i].Panics, degraded: true);
        return _sets[0].Healthy;
    }

    private HostList ListOf(in PickContext context, int priority, bool panics, bool degraded)
    {
        HostSet set = _sets[priority];
        if (panics)
        {
            context.Counts(_slot)[ClusterStats.LbHealthyPanic]++;
            return _config.FailTrafficOnPanic ? HostList.Empty : set.All;
        }
        if (priority == 0 && !degraded && _zones is { } zones)
            return zones.Pick(context.Random, context.Counts(_slot), _config.FailTrafficOnPanic) ?? set.Healthy;
        if ((degraded ? set.DegradedLocalities : set.HealthyLocalities) is not { } split) return degraded ? set.Degraded : set.Healthy;
        if (context.Hash is { } hash) return split.Lists[split.Schedule.Of(hash / 100)];
        uint turn = _slot.Of(context.Worker).Turn(split.Number, context.Random)++;
        return split.Lists[split.Schedule.At(turn)];
    }

    // The highest of what key and endpoint give together, so that one endpoint's coming or going moves only the keys that are its own
    // (rendezvous hashing).
    private static Host? ByHash(HostList list, ulong key)
    {
        Host? best = null;
        double highest = double.MinValue;
        for (int i = 0; i < list.Hosts.Length; i++)
        {
            Host host = list.Hosts[i];
            double weight = list.Shares is { } shares ? shares[i] : host.Weight;
            if (weight == 0) continue;
            ulong mixed = Mix(key ^ Mix(host.State.Address.StableHash(withPort: true)));
            double score = -weight / Math.Log(((mixed >> 11) + 0.5) / (1UL << 53));
            if (score <= highest) continue;
            highest = score;
            best = host;
        }
        return best;
    }

    // The finalizer of MurmurHash3: every bit in moves every bit out.
    private static ulong Mix(ulong x)
    {
        x = (x ^ x >> 33) * 0xff51afd7ed558ccd;
        x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53;
        return x ^ x >> 33;
    }

    private PriorityCount[] Counts() => [.. _sets.Select(s => s.Count)];

    private ReadOnlySpan<PriorityCount> Counts(Span<PriorityCount> into)
    {
        for (int i = 0; i < into.Length; i++) into[i] = _sets[i].Count;
        return into;
    }
}
