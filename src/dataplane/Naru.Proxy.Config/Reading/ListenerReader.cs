// envoy.config.listener.v3.Listener as a record: where it listens, what runs on a fresh connection, which chains it may take.
// Chains and filters are read elsewhere; refused here is what contradicts itself.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads listeners.</summary>
internal static class ListenerReader
{
    /// <summary>The record; null after an error that leaves none.</summary>
    public static ListenerConfig? Read(Scope scope, Listener listener)
    {
        FieldWalk.Check(scope);
        if (listener.ApiListener is not null) return null;
        AddressConfig? address = Address(scope, listener);
        UdpProxyConfig? udp = null;
        ImmutableArray<FilterChainConfig> chains = [];
        FilterChainConfig? last = null;
        ImmutableArray<ListenerFilterConfig> filters = [];
        if (IsUdp(listener))
        {
            udp = UdpListeners.Read(scope, listener);
            if (listener.AccessLog.Count > 0)
                scope.Error("access_log", "NARU-C113", "a UDP listener has no connections to log", "log sessions with access_log of udp_proxy");
            if (listener.FilterChainMatcher is not null)
                scope.Error("filter_chain_matcher", "NARU-C113", "a UDP listener has no filter chains", "remove it");
        }
        else
        {
            chains = FilterChains.Read(scope, listener);
            last = FilterChains.Default(scope, listener);
            if (listener.FilterChains.Count == 0 && listener.DefaultFilterChain is null)
            {
                scope.Error("filter_chains", "NARU-C101", "\"filter_chains\" is required", "add a filter chain with an HTTP connection manager or a TCP proxy");
            }
            filters = ListenerFilters.Read(scope, listener, chains);
        }
        if (MetadataReader.Read(listener.Metadata) is { } notes)
        {
            chains = [.. chains.Select(c => c with { ListenerMetadata = notes })];
            if (last is not null) last = last with { ListenerMetadata = notes };
        }
        if (address is null || (udp is null && chains.IsEmpty && last is null)) return null;
        return new ListenerConfig
        {
            Name = listener.Name.Length > 0 ? listener.Name : address.ToString(),
            Address = address,
            BufferLimit = listener.PerConnectionBufferLimitBytes ?? 1024 * 1024,
            AdditionalAddresses = Additional(scope, listener),
            FilterChains = chains,
            DefaultFilterChain = last,
            ChainMatcher = udp is null ? ChainMatchers.Read(scope, listener) : null,
            ListenerFilters = filters,
            ListenerFiltersTimeout = Values.Limit(scope, "listener_filters_timeout", listener.ListenerFiltersTimeout, TimeSpan.FromSeconds(15)),
            ContinueOnListenerFiltersTimeout = listener.ContinueOnListenerFiltersTimeout,
            UseOriginalDst = listener.UseOriginalDst ?? false,
            BindToPort = listener.BindToPort ?? listener.DeprecatedV1?.BindToPort ?? true,
            Transparent = listener.Transparent ?? false,
            Freebind = listener.Freebind ?? false,
            SocketOptions = SocketOptions.Read(scope, "socket_options", listener.SocketOptions),
            DrainModifyOnly = listener.DrainType == Listener.Types.DrainType.ModifyOnly,
            Backlog = Values.Count(scope, "tcp_backlog_size", listener.TcpBacklogSize, 0),
            Udp = udp,
            StatPrefix = listener.StatPrefix,
            AccessLogs = AccessLogs.All(scope, "access_log", listener.AccessLog),
            Direction = listener.TrafficDirection switch
            {
                Envoy.Config.Core.V3.TrafficDirection.Inbound => TrafficDirection.Inbound,
                Envoy.Config.Core.V3.TrafficDirection.Outbound => TrafficDirection.Outbound,
                _ => TrafficDirection.Unspecified,
            },
        };
    }

    private static bool IsUdp(Listener listener) => listener.Address?.SocketAddress is { Protocol: SocketAddress.Types.Protocol.Udp };

    private static AddressConfig? Address(Scope scope, Listener listener)
    {
        if (listener.InternalListener is null) return Addresses.Read(scope, "address", listener.Address, literalOnly: true, ofListener: true);
        if (listener.Address is not null) scope.Error("address", "NARU-C113", "an internal listener has no address: its name is one", "remove address");
        return Values.Required(scope, "name", listener.Name) ? new AddressConfig(listener.Name, 0) { Kind = AddressKind.Internal } : null;
    }

    private static ImmutableArray<AddressConfig> Additional(Scope scope, Listener listener)
    {
        var additional = ImmutableArray.CreateBuilder<AddressConfig>(listener.AdditionalAddresses.Count);
        bool udp = IsUdp(listener);
        for (int i = 0; i < listener.AdditionalAddresses.Count; i++)
        {
            AdditionalAddress more = listener.AdditionalAddresses[i];
            Scope at = scope.In("additional_addresses", i, more);
            if (more.Address?.SocketAddress is { } socket && socket.Protocol == SocketAddress.Types.Protocol.Udp != udp) at.Error("address", "NARU-C113", "the addresses of a listener are all TCP or all UDP", "use two listeners");
            if (Addresses.Read(at, "address", more.Address, literalOnly: true, ofListener: true) is { } other) additional.Add(other);
        }
        if (additional.Count > 0 && listener.InternalListener is not null) scope.Error("additional_addresses", "NARU-C113", "an internal listener has no address: its name is one", "remove additional_addresses");
        return additional.ToImmutable();
    }
}
