// All listeners by their addresses and names, for those who hand connections on to another one: use_original_dst, internal listeners.
// Replaced whole by the main thread; any thread may look.
using System.Collections.Immutable;
using System.Net;
using Naru.Proxy.Config;
using Naru.Proxy.Io;

namespace Naru.Proxy.Listeners;

internal sealed class ListenerDirectory
{
    private volatile ImmutableDictionary<SockAddr, Listener> _byAddress = ImmutableDictionary<SockAddr, Listener>.Empty;

    /// <summary>Takes over what there is now.</summary>
    public void Replace(IEnumerable<Listener> listeners)
    {
        ImmutableDictionary<SockAddr, Listener>.Builder all = ImmutableDictionary.CreateBuilder<SockAddr, Listener>();
        foreach (Listener listener in listeners)
            foreach (AddressConfig address in listener.Config.AllAddresses)
                if (address.NetworkNamespace.Length == 0) all[SockAddr.From(address)] = listener;
        _byAddress = all.ToImmutable();
    }

    /// <summary>The listener of an address, else that of any address with the port.</summary>
    public Listener? For(SockAddr destination)
    {
        ImmutableDictionary<SockAddr, Listener> all = _byAddress;
        if (all.TryGetValue(destination, out Listener? exact)) return exact;
        IPAddress any = destination.Family == Sys.AF_INET6 ? IPAddress.IPv6Any : IPAddress.Any;
        return all.GetValueOrDefault(SockAddr.From(any, destination.Port));
    }

    /// <summary>The internal listener of a name.</summary>
    public Listener? Internal(in SockAddr name) => _byAddress.GetValueOrDefault(name);
}
