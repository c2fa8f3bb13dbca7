// A listener's filter chains and listener filters, immutable and replaced whole, and the choice of the chain for a connection:
// criterion by criterion in Envoy's order (FilterChainMatch), each leaving only the most specific matches.
using System.Collections.Immutable;
using System.Net;
using Naru.Proxy.Config;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.Routing;

namespace Naru.Proxy.FilterChains;

internal sealed class ChainSet
{
    private const int No = -1;
    private const int Any = 0;
    private readonly bool _needsLocal;
    private readonly MatcherTree<FilterChain>? _matcher;

    /// <param name="chains">In the order of the configuration.</param>
    /// <param name="last">Taken when none of them matches; may be null.</param>
    /// <param name="filters">Listener filters in their order.</param>
    /// <param name="matcher">Decides in place of what the chains say of themselves; null does not.</param>
    public ChainSet(FilterChain[] chains, FilterChain? last, ListenerFilter[] filters, MatcherTree<FilterChain>? matcher = null)
    {
        _matcher = matcher;
        Chains = chains;
        Default = last;
        Filters = filters;
        _needsLocal = chains.Any(c => c.Config.Match is var m && (m.DestinationPort is not null || !m.PrefixRanges.IsEmpty || m.SourceType != SourceType.Any));
        FilterChain? only = matcher is not null ? null
            : chains is [var one] && IsForAll(one.Config.Match) ? one : chains.Length == 0 ? last : null;
        if (filters.Length == 0 && only is { IsPlain: true }) Only = only;
    }

    public FilterChain[] Chains { get; }
    public FilterChain? Default { get; }
    public ListenerFilter[] Filters { get; }

    /// <summary>The chain of every connection, where nothing has to be known to pick it and nothing stands before its last filter.</summary>
    public FilterChain? Only { get; }

    public IEnumerable<FilterChain> All => Default is null ? Chains : Chains.Append(Default);

    private static bool IsForAll(FilterChainMatchConfig m) =>
        m.DestinationPort is null && m.PrefixRanges.IsEmpty && m.ServerNames.IsEmpty && m.TransportProtocol.Length == 0 && m.ApplicationProtocols.IsEmpty
        && m.DirectSourcePrefixRanges.IsEmpty && m.SourceType == SourceType.Any && m.SourcePrefixRanges.IsEmpty && m.SourcePorts.IsEmpty;

    /// <summary>Whether the names or protocols of TLS decide, so that a ClientHello has to be looked at.</summary>
    public static bool NeedsTlsInspector(IEnumerable<FilterChainConfig> chains) => chains.Any(c =>
        c.Match.TransportProtocol == "tls" || (c.Match.TransportProtocol.Length == 0 && (!c.Match.ServerNames.IsEmpty || !c.Match.ApplicationProtocols.IsEmpty)));

    /// <summary>The chain for a connection, or null where none is for it.</summary>
    public FilterChain? Pick(ListenerConnection connection)
    {
        if (_matcher is not null) return _matcher.Find(new MatchSubject(connection)) ?? Default;
        SockAddr local = _needsLocal ? connection.Local : default;
        return Pick(new ChainKey
        {
            Local = local.Address,
            LocalPort = IsIp(local) ? local.Port : No,
            Direct = (connection.Info?.DirectPeer ?? connection.Peer).Address,
            Peer = connection.Peer.Address,
            PeerPort = IsIp(connection.Peer) ? connection.Peer.Port : No,
            ServerName = connection.Info?.ServerName ?? "",
            TransportProtocol = connection.Info?.TransportProtocol is { Length: > 0 } found ? found : "raw_buffer",
            ApplicationProtocols = connection.Info?.ApplicationProtocols ?? [],
            PeerIsHere = !IsIp(connection.Peer) || IPAddress.IsLoopback(connection.Peer.Address) || connection.Peer.Address.Equals(local.Address),
        });
    }

    private static bool IsIp(in SockAddr address) => address.Family is Sys.AF_INET or Sys.AF_INET6;

    /// <summary>The chain for what is known of a connection.</summary>
    public FilterChain? Pick(in ChainKey key)
    {
        var left = new List<FilterChain>(Chains);
        for (Criterion criterion = Criterion.DestinationPort; criterion <= Criterion.SourcePorts && left.Count > 0; criterion++) Narrow(left, criterion, key);
        return left.Count > 0 ? left[0] : Default;
    }

    // Leaves the chains with the highest score; those that say nothing have the lowest that still matches.
    private static void Narrow(List<FilterChain> left, Criterion criterion, in ChainKey key)
    {
        Span<int> scores = left.Count <= 256 ? stackalloc int[left.Count] : new int[left.Count];
        int best = No;
        for (int i = 0; i < left.Count; i++)
        {
            scores[i] = Score(left[i].Config.Match, criterion, key);
            best = Math.Max(best, scores[i]);
        }
        if (best == No)
        {
            left.Clear();
            return;
        }
        int kept = 0;
        for (int i = 0; i < left.Count; i++) if (scores[i] == best) left[kept++] = left[i];
        left.RemoveRange(kept, left.Count - kept);
    }

    private static int Score(FilterChainMatchConfig match, Criterion criterion, in ChainKey key) => criterion switch
    {
        Criterion.DestinationPort => match.DestinationPort is not { } port ? Any : port == key.LocalPort ? 1 : No,
        Criterion.PrefixRanges => Prefix(match.PrefixRanges, key.Local),
        Criterion.ServerNames => Name(match.ServerNames, key.ServerName),
        Criterion.TransportProtocol => match.TransportProtocol.Length == 0 ? Any : match.TransportProtocol == key.TransportProtocol ? 1 : No,
        Criterion.ApplicationProtocols => Protocol(match.ApplicationProtocols, key.ApplicationProtocols),
        Criterion.DirectSourcePrefixRanges => Prefix(match.DirectSourcePrefixRanges, key.Direct),
        Criterion.SourceType => match.SourceType == SourceType.Any ? Any : (match.SourceType == SourceType.SameIpOrLoopback) == key.PeerIsHere ? 1 : No,
        Criterion.SourcePrefixRanges => Prefix(match.SourcePrefixRanges, key.Peer),
        _ => match.SourcePorts.IsEmpty ? Any : match.SourcePorts.Contains(key.PeerPort) ? 1 : No,
    };

    private static int Prefix(ImmutableArray<IPNetwork> ranges, IPAddress address)
    {
        if (ranges.IsEmpty) return Any;
        int best = No;
        foreach (IPNetwork range in ranges)
            if (range.BaseAddress.AddressFamily == address.AddressFamily && range.Contains(address)) best = Math.Max(best, range.PrefixLength + 1);
        return best;
    }

    private static int Name(ImmutableArray<string> names, string name)
    {
        if (names.IsEmpty) return Any;
        int best = No;
        foreach (string pattern in names)
        {
            if (pattern == name && name.Length > 0) return int.MaxValue;
            if (pattern.StartsWith("*.", StringComparison.Ordinal) && name.Length > pattern.Length - 1 && name.AsSpan().EndsWith(pattern.AsSpan(1), StringComparison.Ordinal))
                best = Math.Max(best, pattern.Length);
        }
        return best;
    }

    // The client's first choice that a chain names.
    private static int Protocol(ImmutableArray<string> wanted, string[] offered)
    {
        if (wanted.IsEmpty) return Any;
        for (int i = 0; i < offered.Length; i++) if (wanted.Contains(offered[i])) return int.MaxValue - i;
        return No;
    }

    // Envoy's order.
    private enum Criterion
    {
        DestinationPort,
        PrefixRanges,
        ServerNames,
        TransportProtocol,
        ApplicationProtocols,
        DirectSourcePrefixRanges,
        SourceType,
        SourcePrefixRanges,
        SourcePorts,
    }
}

/// <summary>What is known of a connection when its chain is picked.</summary>
internal readonly record struct ChainKey
{
    public ChainKey() { }

    public IPAddress Local { get; init; } = IPAddress.None;
    public int LocalPort { get; init; } = -1;
    public IPAddress Direct { get; init; } = IPAddress.None;
    public IPAddress Peer { get; init; } = IPAddress.None;
    public int PeerPort { get; init; } = -1;
    public string ServerName { get; init; } = "";
    public string TransportProtocol { get; init; } = "raw_buffer";
    public string[] ApplicationProtocols { get; init; } = [];
    public bool PeerIsHere { get; init; }
}
