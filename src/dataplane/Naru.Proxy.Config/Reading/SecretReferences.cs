// Whether every secret that TLS contexts and filters of a bootstrap name can be had: static ones are there, and of the kind that is read;
// sources of the others lead somewhere.
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
            if (clusters.FirstOrDefault(c => c.Name == name) is not { } cluster) continue;
            foreach (SecretReferenceConfig reference in cluster.SecretReferences) One(clusterAt, "transport_socket", reference);
            foreach (SecretReferenceConfig reference in cluster.FilterSecrets) IsText(clusterAt, "typed_extension_protocol_options", reference);
        }
        for (int i = 0; i < resources.Listeners.Count; i++)
        {
            string name = resources.Listeners[i].Name;
            Scope listenerAt = at.In("listeners", i, resources.Listeners[i]);
            if (listeners.FirstOrDefault(l => l.Name == (name.Length > 0 ? name : l.Address.ToString())) is not { } listener) continue;
            foreach (SecretReferenceConfig reference in listener.SecretReferences) One(listenerAt, "filter_chains", reference);
            foreach (SecretReferenceConfig reference in listener.FilterSecrets) IsText(listenerAt, "filter_chains", reference);
        }

        void IsText(Scope holder, string field, SecretReferenceConfig reference)
        {
            if (reference.Source is null && secrets.FirstOrDefault(s => s.Name == reference.Name) is { Generic: null })
                holder.Error(field, "NARU-C113", $"the secret \"{reference.Name}\" is no generic_secret, and a filter reads no other");
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
