// Filter chains of a listener as records: what each is for, its filters, its transport socket. Refuses chains that a connection could
// match alike, as Envoy does, and partial wildcards.
using System.Collections.Immutable;
using System.Net;
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Google.Protobuf;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads filter chains.</summary>
internal static class FilterChains
{
    // Combinations of criteria that one chain may name; a thousand names times a hundred ports is a mistake.
    private const int MostCombinations = 100_000;

    /// <summary>The chains in order; those with errors are left out.</summary>
    public static ImmutableArray<FilterChainConfig> Read(Scope scope, Listener listener)
    {
        var chains = ImmutableArray.CreateBuilder<FilterChainConfig>(listener.FilterChains.Count);
        var taken = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int i = 0; i < listener.FilterChains.Count; i++)
        {
            Scope at = scope.In("filter_chains", i, listener.FilterChains[i]);
            FilterChainConfig? chain = Chain(at, listener.FilterChains[i], out FilterChainMatchConfig match);
            // What the listener's matcher leads to says nothing of itself.
            if (listener.FilterChainMatcher is null) IsDistinct(at, match, i, taken, listener);
            else chain = chain is null ? null : chain with { Match = new FilterChainMatchConfig() };
            if (chain is not null) chains.Add(chain);
        }
        return chains.ToImmutable();
    }

    /// <summary><c>default_filter_chain</c>, which matches whatever no other does; null where there is none, or after an error.</summary>
    public static FilterChainConfig? Default(Scope scope, Listener listener)
    {
        if (listener.DefaultFilterChain is not { } given) return null;
        Scope at = scope.In("default_filter_chain", given);
        FilterChainConfig? chain = Chain(at, given, out FilterChainMatchConfig match);
        if (given.FilterChainMatch is not null && Combinations(match) is not [""]) at.Error("filter_chain_match", "NARU-C113", "the default filter chain takes what no other chain matches", "remove filter_chain_match");
        return chain;
    }

    private static FilterChainConfig? Chain(Scope scope, FilterChain chain, out FilterChainMatchConfig match)
    {
        match = chain.FilterChainMatch is { } given ? Match(scope.In("filter_chain_match", given), given) : new FilterChainMatchConfig();
        DownstreamTlsConfig? tls = chain.TransportSocket is { } socket ? TransportSockets.OfChain(scope.In("transport_socket", socket), socket) : null;
        TimeSpan? handshake = Values.Limit(scope, "transport_socket_connect_timeout", chain.TransportSocketConnectTimeout, TimeSpan.FromSeconds(10));
        ImmutableArray<NetworkFilterConfig> filters = NetworkFilters.Read(scope, chain, out NetworkFilterConfig? terminal);
        if (terminal is null) return null;
        return new FilterChainConfig
        {
            Name = chain.Name,
            Match = match,
            Filters = filters,
            Terminal = terminal,
            Tls = tls,
            TransportSocketConnectTimeout = handshake,
            Frame = FrameOf(chain),
            FilterMetadata = MetadataReader.Read(chain.Metadata),
        };
    }

    // Everything but an HTTP connection manager at the end, which may change under a connection.
    private static string FrameOf(FilterChain chain)
    {
        FilterChain frame = chain.Clone();
        if (frame.Filters is [.., { TypedConfig: { } last } end] && EnvoyTypes.NameOf(last) == NetworkFilters.HttpManager) end.TypedConfig = new Google.Protobuf.WellKnownTypes.Any { TypeUrl = last.TypeUrl };
        return Digest.Of(frame);
    }

    private static FilterChainMatchConfig Match(Scope scope, FilterChainMatch match)
    {
        if (match.TransportProtocol is not ("" or "tls" or "raw_buffer"))
        {
            scope.Error("transport_protocol", "NARU-C113", $"the transport protocol \"{match.TransportProtocol}\" is never found here", "write tls or raw_buffer");
        }
        for (int i = 0; i < match.ApplicationProtocols.Count; i++) Values.Required(scope, $"application_protocols[{i}]", match.ApplicationProtocols[i]);
        if (!System.Enum.IsDefined((SourceType)(int)match.SourceType)) scope.Error("source_type", "NARU-C102", $"{(int)match.SourceType} is not a source_type");
        return new FilterChainMatchConfig
        {
            DestinationPort = match.DestinationPort is null ? null : Values.Count(scope, "destination_port", match.DestinationPort, 0, 1, 65535),
            PrefixRanges = Ranges(scope, "prefix_ranges", match.PrefixRanges),
            ServerNames = ServerNames(scope, match),
            TransportProtocol = match.TransportProtocol,
            ApplicationProtocols = [.. match.ApplicationProtocols.Distinct(StringComparer.Ordinal)],
            DirectSourcePrefixRanges = Ranges(scope, "direct_source_prefix_ranges", match.DirectSourcePrefixRanges),
            SourceType = (SourceType)(int)match.SourceType,
            SourcePrefixRanges = Ranges(scope, "source_prefix_ranges", match.SourcePrefixRanges),
            SourcePorts = Ports(scope, match),
        };
    }

    private static ImmutableArray<string> ServerNames(Scope scope, FilterChainMatch match)
    {
        var names = ImmutableArray.CreateBuilder<string>(match.ServerNames.Count);
        for (int i = 0; i < match.ServerNames.Count; i++)
        {
            string name = match.ServerNames[i].ToLowerInvariant();
            string rest = name.StartsWith("*.", StringComparison.Ordinal) ? name[2..] : name;
            if (name == "*") scope.Error($"server_names[{i}]", "NARU-C113", "\"*\" is not a server name", "leave server_names out to match every name");
            else if (rest.Contains('*', StringComparison.Ordinal)) scope.Error($"server_names[{i}]", "NARU-C113", $"\"{match.ServerNames[i]}\" has a wildcard within a label", "write a name, or *.suffix");
            else if (rest.Length is 0 or > 255 || rest.Any(c => c <= ' ' || c is '/' or ':')) scope.Error($"server_names[{i}]", "NARU-C102", $"\"{match.ServerNames[i]}\" is not a server name", "write a host name without port, or *.suffix");
            else if (!names.Contains(name)) names.Add(name);
        }
        return names.ToImmutable();
    }

    private static ImmutableArray<int> Ports(Scope scope, FilterChainMatch match)
    {
        var ports = ImmutableArray.CreateBuilder<int>(match.SourcePorts.Count);
        for (int i = 0; i < match.SourcePorts.Count; i++)
        {
            uint port = match.SourcePorts[i];
            if (port is 0 or > 65535) scope.Error($"source_ports[{i}]", "NARU-C102", $"{port} is not a port", "it may be 1 to 65535");
            else if (!ports.Contains((int)port)) ports.Add((int)port);
        }
        return ports.ToImmutable();
    }

    /// <summary>Address ranges; bits behind a prefix are dropped, as Envoy drops them.</summary>
    public static ImmutableArray<IPNetwork> Ranges(Scope scope, string field, IReadOnlyList<CidrRange> given)
    {
        var ranges = ImmutableArray.CreateBuilder<IPNetwork>(given.Count);
        for (int i = 0; i < given.Count; i++)
        {
            CidrRange range = given[i];
            Scope at = scope.In(field, i, range);
            if (!Values.Required(at, "address_prefix", range.AddressPrefix)) continue;
            if (!IPAddress.TryParse(range.AddressPrefix, out IPAddress? address) || range.AddressPrefix.Contains('%', StringComparison.Ordinal))
            {
                at.Error("address_prefix", "NARU-C107", $"\"{range.AddressPrefix}\" is not an IP address");
                continue;
            }
            byte[] bytes = address.GetAddressBytes();
            int length = Values.Count(at, "prefix_len", range.PrefixLen, 0, 0, bytes.Length * 8);
            for (int b = 0; b < bytes.Length; b++) bytes[b] &= (byte)(0xFF00 >> Math.Clamp(length - b * 8, 0, 8));
            var network = new IPNetwork(new IPAddress(bytes), length);
            if (!ranges.Contains(network)) ranges.Add(network);
        }
        return ranges.ToImmutable();
    }

    // Two chains clash where one connection would match both, and neither better than the other: each combination of criteria may
    // stand once.
    private static void IsDistinct(Scope scope, FilterChainMatchConfig match, int index, Dictionary<string, int> taken, Listener listener)
    {
        if (Combinations(match) is not { } combinations)
        {
            scope.Error("filter_chain_match", "NARU-C102", $"its criteria have more than {MostCombinations} combinations", "divide the chain");
            return;
        }
        foreach (string combination in combinations)
        {
            if (taken.TryAdd(combination, index)) continue;
            int other = taken[combination];
            string name = listener.FilterChains[other].Name is { Length: > 0 } named ? $"filter_chains[{other}] \"{named}\"" : $"filter_chains[{other}]";
            string what = combination.Length == 0 ? "matches every connection, too" : $"has the same rule, {combination}";
            scope.Error(listener.FilterChains[index].FilterChainMatch is null ? "" : "filter_chain_match", "NARU-C103", $"{name} {what}", "a connection must match one chain better than all others; change or remove one of them");
            return;
        }
    }

    private static List<string>? Combinations(FilterChainMatchConfig match)
    {
        List<string>? all = [""];
        Widen("destination_port", match.DestinationPort is { } port ? [port] : []);
        Widen("prefix_ranges", match.PrefixRanges.Select(r => (object)r));
        Widen("server_names", match.ServerNames);
        Widen("transport_protocol", match.TransportProtocol.Length > 0 ? [match.TransportProtocol] : []);
        Widen("application_protocols", match.ApplicationProtocols);
        Widen("direct_source_prefix_ranges", match.DirectSourcePrefixRanges.Select(r => (object)r));
        Widen("source_type", match.SourceType != SourceType.Any ? [match.SourceType] : []);
        Widen("source_prefix_ranges", match.SourcePrefixRanges.Select(r => (object)r));
        Widen("source_ports", match.SourcePorts.Select(p => (object)p));
        return all;

        void Widen(string field, IEnumerable<object> values)
        {
            if (all is null || !values.Any()) return;
            int count = values.Count();
            if ((long)all.Count * count > MostCombinations)
            {
                all = null;
                return;
            }
            all = [.. all.SelectMany(_ => values, (rule, value) => $"{(rule.Length > 0 ? rule + ", " : "")}{field} {value}")];
        }
    }
}
