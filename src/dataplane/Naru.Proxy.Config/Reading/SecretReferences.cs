// Whether every secret that TLS contexts of a bootstrap name can be had: static ones are there, sources of the others lead somewhere.
using System.Collections.Immutable;
using Envoy.Config.Bootstrap.V3;
using Naru.Core;

namespace Naru.Proxy.Config.Reading;

/// <summary>Checks references to secrets.</summary>
internal static class SecretReferences
{
    /// <summary>Reports <c>NARU-C104</c> for a secret that is nowhere, and what <see cref="SourceCheck"/> finds.</summary>
    public static void Check(
        Scope scope, Bootstrap message, ImmutableArray<ClusterConfig> clusters, ImmutableArray<ListenerConfig> listeners, ImmutableArray<SecretConfig> secrets, SourceCheck sources)
    {
        if (message.StaticResources is not { } resources) return;
        Scope at = scope.In("static_resources", resources);
        for (int i = 0; i < resources.Clusters.Count; i++)
        {
            string name = resources.Clusters[i].Name;
            Scope clusterAt = at.In("clusters", i, resources.Clusters[i]);
            foreach (SecretReferenceConfig reference in clusters.FirstOrDefault(c => c.Name == name)?.SecretReferences ?? []) One(clusterAt, "transport_socket", reference);
        }
        for (int i = 0; i < resources.Listeners.Count; i++)
        {
            string name = resources.Listeners[i].Name;
            Scope listenerAt = at.In("listeners", i, resources.Listeners[i]);
            foreach (SecretReferenceConfig reference in listeners.FirstOrDefault(l => l.Name == (name.Length > 0 ? name : l.Address.ToString()))?.SecretReferences ?? []) One(listenerAt, "filter_chains", reference);
        }

        void One(Scope holder, string field, SecretReferenceConfig reference)
        {
            if (reference.Source is { } source) sources.Check(holder, field, source);
            else if (!secrets.Any(s => s.Name == reference.Name))
            {
                holder.Error(field, "NARU-C104", $"there is no secret \"{reference.Name}\"", Nearest.Suggestion(reference.Name, secrets.Select(s => s.Name)) ?? "add it to static_resources.secrets, or give it an sds_config");
            }
        }
    }
}
