// Makes every TLS context of a configuration once and throws it away, for --mode validate: certificates that do not fit their keys,
// wrong passwords, unknown ciphers. What SDS is still to bring is not waited for.
using Naru.Core;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Tls;

/// <summary>Judges TLS without serving it.</summary>
public static class TlsCheck
{
    /// <summary>Reports <c>NARU-P104</c> for each secret, listener and cluster whose TLS cannot be made.</summary>
    /// <param name="secrets">Secrets that are there, the bootstrap's.</param>
    /// <param name="record">A <see cref="BootstrapConfig"/>, <see cref="ListenerConfig"/>, <see cref="ClusterConfig"/> or <see cref="SecretConfig"/>; others pass.</param>
    /// <param name="place">Where it stands.</param>
    /// <param name="diagnostics">Takes the complaints.</param>
    public static void Check(IEnumerable<SecretConfig> secrets, object record, Place place, Diagnostics diagnostics)
    {
        using var store = new TlsContextStore(static _ => { });
        var found = new Diagnostics();
        // Static secrets are judged with the bootstrap, not again with each resource that names them.
        foreach (SecretConfig secret in secrets) store.SetSecret(secret, record is BootstrapConfig ? found : new Diagnostics());
        StatBlock stats = new StatRegistry(1).Block("validate", TlsStats.Schema);
        switch (record)
        {
            case BootstrapConfig bootstrap:
                foreach (ClusterConfig cluster in bootstrap.Clusters) Check(store, cluster, stats, found);
                foreach (ListenerConfig listener in bootstrap.Listeners) Check(store, listener, stats, found);
                break;
            case ClusterConfig cluster: Check(store, cluster, stats, found); break;
            case ListenerConfig listener: Check(store, listener, stats, found); break;
            case SecretConfig secret: store.SetSecret(secret, found); break;
        }
        foreach (Diagnostic fault in found.Items) diagnostics.Add(fault with { Place = place });
    }

    private static void Check(TlsContextStore store, ClusterConfig cluster, StatBlock stats, Diagnostics found)
    {
        ClusterTransports.Make(store, cluster, stats, found);
    }

    private static void Check(TlsContextStore store, ListenerConfig listener, StatBlock stats, Diagnostics found)
    {
        int index = 0;
        foreach (FilterChainConfig chain in listener.AllChains)
        {
            string name = chain.Name.Length > 0 ? $"filter chain {chain.Name}" : $"filter_chains[{index}]";
            if (chain.Tls is { } tls) store.Server($"listener {listener.Name}, {name}", tls, stats, found);
            index++;
        }
    }
}
