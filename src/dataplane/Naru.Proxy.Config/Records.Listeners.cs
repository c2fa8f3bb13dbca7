// Listeners, their filter chains and the filters of layer 4, as the engine takes them. Words, defaults and units are Envoy's v3 API.
using System.Collections.Immutable;
using System.Net;
using Naru.Telemetry;

namespace Naru.Proxy.Config;

/// <summary>Kinds of address.</summary>
public enum AddressKind
{
    /// <summary>IP literal or DNS name, and a port.</summary>
    Socket,
    /// <summary>A Unix socket: <see cref="AddressConfig.Host"/> is its path; a leading <c>@</c> is the abstract namespace.</summary>
    Pipe,
    /// <summary>A listener inside of this process: <see cref="AddressConfig.Host"/> is its name.</summary>
    Internal,
}

/// <summary>A place to listen on or connect to: an IP literal or a name, and a port (0 lets the system choose, listeners only).</summary>
public sealed record AddressConfig(string Host, int Port)
{
    /// <summary>What it is.</summary>
    public AddressKind Kind { get; init; }

    /// <summary>Of an internal listener: tells endpoints of one listener apart; may be empty.</summary>
    public string EndpointId { get; init; } = "";

    /// <summary>Permissions of a Unix socket's file; 0 leaves them to the umask.</summary>
    public int PipeMode { get; init; }

    /// <summary>Whether an IPv6 wildcard takes IPv4 too (<c>ipv4_compat</c>).</summary>
    public bool Ipv4Compat { get; init; }

    /// <summary>File of the network namespace that a listener's socket is opened in; empty is this process's own.</summary>
    public string NetworkNamespace { get; init; } = "";

    /// <summary>The parsed literal, or null where <see cref="Host"/> is a DNS name or no socket address.</summary>
    public IPAddress? Ip { get; } = IPAddress.TryParse(Host, out IPAddress? ip) ? ip : null;

    /// <summary>As it stands in the names of stats: <c>host_port</c>.</summary>
    public string StatName => Kind == AddressKind.Socket ? $"{Host}_{Port}" : Host;

    /// <summary><c>host:port</c>, IPv6 in brackets; a Unix socket's path; an internal listener's as <c>envoy://NAME/ID</c>.</summary>
    public override string ToString() => Kind switch
    {
        AddressKind.Pipe => Host,
        AddressKind.Internal => $"envoy://{Host}/{EndpointId}",
        _ => Host.Contains(':') ? $"[{Host}]:{Port}" : $"{Host}:{Port}",
    };
}

/// <summary><c>envoy.config.listener.v3.Listener</c>.</summary>
public sealed record ListenerConfig
{
    /// <summary>Unique name.</summary>
    public required string Name { get; init; }
    /// <summary>Where it listens.</summary>
    public required AddressConfig Address { get; init; }
    /// <summary>Bytes of a request's body that are kept for a further try or a copy (<c>per_connection_buffer_limit_bytes</c>, default
    /// 1 MiB); 0 is any number.</summary>
    public uint BufferLimit { get; init; } = 1024 * 1024;
    /// <summary>Further addresses (<c>additional_addresses</c>).</summary>
    public ImmutableArray<AddressConfig> AdditionalAddresses { get; init; } = [];
    /// <summary>Chains a connection is matched against; empty for UDP.</summary>
    public ImmutableArray<FilterChainConfig> FilterChains { get; init; } = [];
    /// <summary>Taken when none of <see cref="FilterChains"/> matches.</summary>
    public FilterChainConfig? DefaultFilterChain { get; init; }
    /// <summary>Says by name which of <see cref="FilterChains"/> is for a connection (<c>filter_chain_matcher</c>), in place of what the
    /// chains say of themselves; null has none.</summary>
    public MatcherConfig<ChainNameConfig>? ChainMatcher { get; init; }
    /// <summary>Run in order on a new connection, before a chain is picked.</summary>
    public ImmutableArray<ListenerFilterConfig> ListenerFilters { get; init; } = [];
    /// <summary>How long listener filters may take (default 15 s); null is for ever.</summary>
    public TimeSpan? ListenerFiltersTimeout { get; init; } = TimeSpan.FromSeconds(15);
    /// <summary>Goes on with what is known when the time is up; else the connection is closed.</summary>
    public bool ContinueOnListenerFiltersTimeout { get; init; }
    /// <summary>Hands connections on to the listener of their original destination (<c>use_original_dst</c>).</summary>
    public bool UseOriginalDst { get; init; }
    /// <summary>False: no socket of its own; connections come from one with <see cref="UseOriginalDst"/>.</summary>
    public bool BindToPort { get; init; } = true;
    /// <summary>IP_TRANSPARENT (TPROXY).</summary>
    public bool Transparent { get; init; }
    /// <summary>IP_FREEBIND.</summary>
    public bool Freebind { get; init; }
    /// <summary>Set on its sockets.</summary>
    public ImmutableArray<SocketOptionConfig> SocketOptions { get; init; } = [];
    /// <summary><c>drain_type: MODIFY_ONLY</c>: does not drain when the health check fails on purpose.</summary>
    public bool DrainModifyOnly { get; init; }
    /// <summary><c>connection_balance_config</c> is not needed: the kernel spreads (SO_REUSEPORT). <c>tcp_backlog_size</c>; 0 is ours.</summary>
    public int Backlog { get; init; }
    /// <summary>UDP: the proxy that serves its datagrams.</summary>
    public UdpProxyConfig? Udp { get; init; }
    /// <summary>A line for each connection, whatever became of it (<c>access_log</c>).</summary>
    public ImmutableArray<AccessLogConfig> AccessLogs { get; init; } = [];
    /// <summary>Stats prefix; the address where it is empty.</summary>
    public string StatPrefix { get; init; } = "";
    /// <summary><c>traffic_direction</c>.</summary>
    public TrafficDirection Direction { get; init; }

    /// <summary><see cref="Address"/> and the additional ones.</summary>
    public IEnumerable<AddressConfig> AllAddresses => AdditionalAddresses.Prepend(Address);

    /// <summary>Every chain, the default one last.</summary>
    public IEnumerable<FilterChainConfig> AllChains => DefaultFilterChain is { } last ? FilterChains.Append(last) : FilterChains;

    /// <summary>Every secret that its chains name, those of HTTP filters and of inline routes too.</summary>
    public IEnumerable<SecretReferenceConfig> SecretReferences =>
        AllChains.SelectMany(c => c.Tls?.SecretReferences ?? []).Concat(FilterSecrets);

    /// <summary>Those that filters read.</summary>
    public IEnumerable<SecretReferenceConfig> FilterSecrets =>
        IHasSecrets.Of(HttpManagers.SelectMany(m => m.HttpFilters).Select(f => f.Settings))
            .Concat(HttpManagers.SelectMany(m => m.InlineRoutes).SelectMany(r => r.SecretReferences));

    /// <summary>Every HTTP filter in its chains whose configuration is discovered.</summary>
    public IEnumerable<HttpFilterConfig> DiscoveredFilters =>
        HttpManagers.SelectMany(m => m.HttpFilters).Where(f => f.Discovery is not null);

    /// <summary>Every connection manager in its chains.</summary>
    public IEnumerable<HttpConnectionManagerConfig> HttpManagers => AllChains.Select(c => c.Terminal).OfType<HttpConnectionManagerConfig>();
}

/// <summary>Which way a listener's traffic goes, as its owner says.</summary>
public enum TrafficDirection
{
    /// <summary>Not said.</summary>
    Unspecified,
    /// <summary>To the workload.</summary>
    Inbound,
    /// <summary>From the workload.</summary>
    Outbound,
}

/// <summary><c>envoy.config.listener.v3.FilterChain</c>.</summary>
public sealed record FilterChainConfig
{
    /// <summary>Its metadata, by namespace; null for none.</summary>
    public MetaValue? FilterMetadata { get; init; }
    /// <summary>The same of its listener.</summary>
    public MetaValue? ListenerMetadata { get; init; }
    /// <summary>For stats and explanations; may be empty.</summary>
    public string Name { get; init; } = "";
    /// <summary>What it is for.</summary>
    public FilterChainMatchConfig Match { get; init; } = new();
    /// <summary>Filters before the last, in order.</summary>
    public ImmutableArray<NetworkFilterConfig> Filters { get; init; } = [];
    /// <summary>The last filter: <see cref="HttpConnectionManagerConfig"/>, <see cref="TcpProxyConfig"/>, <see cref="EchoConfig"/> or
    /// <see cref="NetworkDirectResponseConfig"/>.</summary>
    public required NetworkFilterConfig Terminal { get; init; }
    /// <summary>TLS; null is plain text.</summary>
    public DownstreamTlsConfig? Tls { get; init; }
    /// <summary>It has TLS, which was left out because nobody is served (<c>--mode explain</c>).</summary>
    public bool IsTlsLeftOut { get; init; }
    /// <summary>Digest of everything in the resource but an HTTP connection manager at the end: chains whose frame stays the same keep
    /// their connections when the listener changes. Empty: compared field by field, where arrays are equal only when they are the same.</summary>
    public string Frame { get; init; } = "";
    /// <summary>How long the handshake may take. Envoy has no default; ours is 10 s (decision 0003's reasoning). null is for ever.</summary>
    public TimeSpan? TransportSocketConnectTimeout { get; init; } = TimeSpan.FromSeconds(10);
}

/// <summary><c>envoy.config.listener.v3.FilterChainMatch</c>; empty and null parts match anything. Criteria are compared in the order
/// of these properties, each leaving only the most specific matches (Envoy: FilterChainMatch).</summary>
public sealed record FilterChainMatchConfig
{
    /// <summary>Destination port, after original_dst.</summary>
    public int? DestinationPort { get; init; }
    /// <summary>Destination address; the longest prefix wins.</summary>
    public ImmutableArray<IPNetwork> PrefixRanges { get; init; } = [];
    /// <summary>SNI, lower case: exact, or <c>*.suffix</c>; exact wins, then the longest suffix.</summary>
    public ImmutableArray<string> ServerNames { get; init; } = [];
    /// <summary><c>tls</c> or <c>raw_buffer</c>.</summary>
    public string TransportProtocol { get; init; } = "";
    /// <summary>ALPN or sniffed: <c>h2</c>, <c>http/1.1</c>, <c>h2c</c> …</summary>
    public ImmutableArray<string> ApplicationProtocols { get; init; } = [];
    /// <summary>The peer's address as the socket has it.</summary>
    public ImmutableArray<IPNetwork> DirectSourcePrefixRanges { get; init; } = [];
    /// <summary>Local, external or any.</summary>
    public SourceType SourceType { get; init; }
    /// <summary>The peer's address, after proxy_protocol.</summary>
    public ImmutableArray<IPNetwork> SourcePrefixRanges { get; init; } = [];
    /// <summary>The peer's port.</summary>
    public ImmutableArray<int> SourcePorts { get; init; } = [];
}

/// <summary><c>FilterChainMatch.source_type</c>.</summary>
public enum SourceType
{
    /// <summary>Any.</summary>
    Any,
    /// <summary>From this machine, to itself.</summary>
    SameIpOrLoopback,
    /// <summary>From elsewhere.</summary>
    External,
}

/// <summary>A listener filter.</summary>
public abstract record ListenerFilterConfig
{
    /// <summary>Connections for these ports (their original destination's) pass it by (<c>filter_disabled</c>); null for none.</summary>
    public PortRanges? Except { get; init; }
}

/// <summary>Ranges of ports, each from its start to before its end. Equal ranges are equal.</summary>
public sealed record PortRanges(ImmutableArray<(int Start, int End)> Ranges)
{
    /// <summary>Whether it is one of them.</summary>
    public bool Has(int port)
    {
        foreach ((int start, int end) in Ranges)
        {
            if (port >= start && port < end) return true;
        }
        return false;
    }

    /// <inheritdoc/>
    public bool Equals(PortRanges? other) => other is not null && Ranges.AsSpan().SequenceEqual(other.Ranges.AsSpan());

    /// <inheritdoc/>
    public override int GetHashCode() => Ranges.Length == 0 ? 0 : HashCode.Combine(Ranges.Length, Ranges[0]);
}

/// <summary><c>envoy.filters.listener.tls_inspector</c>: SNI and ALPN from the ClientHello.</summary>
public sealed record TlsInspectorConfig : ListenerFilterConfig;

/// <summary><c>envoy.filters.listener.http_inspector</c>: tells HTTP/1 and HTTP/2 in plain text from anything else.</summary>
public sealed record HttpInspectorConfig : ListenerFilterConfig;

/// <summary><c>envoy.filters.listener.original_dst</c>: the address before the kernel's redirection.</summary>
public sealed record OriginalDstFilterConfig : ListenerFilterConfig;

/// <summary><c>envoy.filters.listener.original_src</c>: upstream connections come from the client's address.</summary>
/// <param name="BindPort">Its port too.</param>
/// <param name="Mark">SO_MARK of those connections; 0 is none.</param>
public sealed record OriginalSrcConfig(bool BindPort, uint Mark) : ListenerFilterConfig;

/// <summary><c>envoy.filters.listener.proxy_protocol</c>.</summary>
/// <param name="AllowWithoutHeader"><c>allow_requests_without_proxy_protocol</c>.</param>
/// <param name="Version1">Version 1 is taken (not in <c>disallowed_versions</c>).</param>
/// <param name="Version2">Version 2 is taken.</param>
public sealed record ProxyProtocolFilterConfig(bool AllowWithoutHeader, bool Version1 = true, bool Version2 = true) : ListenerFilterConfig
{
    /// <summary>Which values of version 2 are kept with the connection (<c>rules</c>).</summary>
    public ImmutableArray<ProxyValueRuleConfig> Rules { get; init; } = [];

    /// <summary>Part of stat names: <c>proxy_proto.&lt;stat_prefix&gt;</c>.</summary>
    public string StatPrefix { get; init; } = "";
}

/// <summary>A value of a PROXY header that becomes metadata of its connection.</summary>
/// <param name="Type">Its type.</param>
/// <param name="Namespace">Of the metadata.</param>
/// <param name="Key">Within it.</param>
public sealed record ProxyValueRuleConfig(byte Type, string Namespace, string Key);

/// <summary>A token bucket.</summary>
public sealed record TokenBucketConfig(int MaxTokens, int TokensPerFill, TimeSpan FillInterval);

/// <summary><c>envoy.filters.listener.local_ratelimit</c>.</summary>
public sealed record ListenerRateLimitConfig(string StatPrefix, TokenBucketConfig Bucket) : ListenerFilterConfig
{
    /// <summary>Whether it is on.</summary>
    public RuntimeSwitchConfig Switch { get; init; } = RuntimeSwitchConfig.On;
}

/// <summary><c>RuntimeFeatureFlag</c>.</summary>
/// <param name="IsOn">What holds where no layer of the runtime has the key.</param>
/// <param name="Key">The key; empty for none.</param>
public sealed record RuntimeSwitchConfig(bool IsOn, string Key)
{
    /// <summary>Always on.</summary>
    public static RuntimeSwitchConfig On { get; } = new(true, "");
}

/// <summary>A network filter.</summary>
public abstract record NetworkFilterConfig;

/// <summary><c>envoy.filters.network.tcp_proxy</c>.</summary>
public sealed record TcpProxyConfig : NetworkFilterConfig
{
    /// <summary>Part of stat names: <c>tcp.&lt;stat_prefix&gt;.</c>.</summary>
    public required string StatPrefix { get; init; }
    /// <summary>Weighted targets; a plain <c>cluster</c> is one with weight 1.</summary>
    public required ImmutableArray<WeightedClusterConfig> Clusters { get; init; }
    /// <summary>Which endpoints it is for, where its cluster has subsets; null says nothing.</summary>
    public SubsetMatchConfig? MetadataMatch { get; init; }
    /// <summary>No byte either way (default 1 h); null is never.</summary>
    public TimeSpan? IdleTimeout { get; init; } = TimeSpan.FromHours(1);
    /// <summary>Default 1.</summary>
    public int MaxConnectAttempts { get; init; } = 1;
    /// <summary>Longest life of a downstream connection; null is for ever.</summary>
    public TimeSpan? MaxDownstreamConnectionDuration { get; init; }
    /// <summary><c>hash_policy.source_ip</c>: the same client goes to the same endpoint, as far as the balancer hashes.</summary>
    public bool HashSourceIp { get; init; }
    /// <summary>Tunnels over CONNECT; null does not.</summary>
    public TunnelingConfig? Tunneling { get; init; }
    /// <summary>A line for each connection.</summary>
    public ImmutableArray<AccessLogConfig> AccessLogs { get; init; } = [];
}

/// <summary><c>TcpProxy.tunneling_config</c>.</summary>
/// <param name="Hostname">Target of CONNECT; may hold command operators (<c>%REQUESTED_SERVER_NAME%:443</c>).</param>
/// <param name="UsePost">POST instead of CONNECT.</param>
/// <param name="HeadersToAdd">Headers of the request.</param>
/// <param name="PostPath">Path of a POST.</param>
public sealed record TunnelingConfig(string Hostname, bool UsePost, ImmutableArray<HeaderValueConfig> HeadersToAdd, string PostPath = "/");

/// <summary><c>envoy.filters.network.connection_limit</c>.</summary>
public sealed record ConnectionLimitConfig(string StatPrefix, long MaxConnections, TimeSpan Delay) : NetworkFilterConfig
{
    /// <summary>Whether it is on.</summary>
    public RuntimeSwitchConfig Switch { get; init; } = RuntimeSwitchConfig.On;
}

/// <summary><c>envoy.filters.network.local_ratelimit</c>.</summary>
public sealed record NetworkRateLimitConfig(string StatPrefix, TokenBucketConfig Bucket) : NetworkFilterConfig
{
    /// <summary>Whether it is on.</summary>
    public RuntimeSwitchConfig Switch { get; init; } = RuntimeSwitchConfig.On;
}

/// <summary><c>envoy.filters.network.direct_response</c>.</summary>
public sealed record NetworkDirectResponseConfig(ImmutableArray<byte> Response) : NetworkFilterConfig;

/// <summary><c>envoy.filters.network.echo</c>.</summary>
public sealed record EchoConfig : NetworkFilterConfig;

/// <summary><c>envoy.filters.network.sni_cluster</c>: the cluster is the one named like the SNI.</summary>
public sealed record SniClusterConfig : NetworkFilterConfig;

/// <summary>A network filter that is an extension.</summary>
/// <param name="Kind">The extension.</param>
/// <param name="Settings">What it read.</param>
public sealed record NetworkExtensionConfig(Extensions.NetworkFilterExtension Kind, object Settings) : NetworkFilterConfig;

/// <summary><c>envoy.filters.udp_listener.udp_proxy</c>.</summary>
public sealed record UdpProxyConfig
{
    /// <summary>Part of stat names: <c>udp.&lt;stat_prefix&gt;.</c>.</summary>
    public required string StatPrefix { get; init; }
    /// <summary>Where datagrams go.</summary>
    public required string Cluster { get; init; }
    /// <summary>A session without a datagram either way (default 1 min).</summary>
    public TimeSpan IdleTimeout { get; init; } = TimeSpan.FromMinutes(1);
    /// <summary>Sends from the client's address (needs CAP_NET_ADMIN).</summary>
    public bool UseOriginalSrcIp { get; init; }
    /// <summary><c>hash_policies</c>: source_ip.</summary>
    public bool HashSourceIp { get; init; }
    /// <summary><c>hash_policies</c>: a fixed key.</summary>
    public string HashKey { get; init; } = "";
    /// <summary>Picks an endpoint for each datagram (<c>use_per_packet_load_balancing</c>).</summary>
    public bool PerPacket { get; init; }
    /// <summary>Largest datagram (default 1500 bytes).</summary>
    public int MaxDatagramSize { get; init; } = 1500;
    /// <summary>A line for each session.</summary>
    public ImmutableArray<AccessLogConfig> AccessLogs { get; init; } = [];
}
