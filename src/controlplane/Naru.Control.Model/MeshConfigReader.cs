// Reads the mesh configuration as Istio keeps it: ConfigMap istio-system/istio, YAML in its key "mesh". Teams bring the whole of theirs, so
// a field that is not read is named by a warning and the others are honoured; one that decides who may do what is refused by name.
using System.Collections.Immutable;
using System.Globalization;
using Naru.Core;
using Naru.Yaml;
using static Naru.Control.Model.ManifestReader;

namespace Naru.Control.Model;

internal static class MeshConfigReader
{
    public const string Namespace = "istio-system", Name = "istio";

    private static readonly string[] s_fields = ["enableAutoMtls", "enableTracing", "outboundTrafficPolicy", "trustDomain",
        "trustDomainAliases", "extensionProviders", "connectTimeout", "rootNamespace", "pathNormalization", "defaultConfig"];

    // Which certificates count and by which TLS.
    private static readonly string[] s_access = ["meshMTLS", "tlsDefaults", "caCertificates", "certificates", "ca",
        "verifyCertificateAtClient"];

    private static readonly string[] s_http = ["service", "port", "timeout", "failOpen", "statusOnError", "pathPrefix", "clearRouteCache",
        "includeRequestHeadersInCheck", "includeHeadersInCheck", "includeAdditionalHeadersInCheck", "includeRequestBodyInCheck",
        "headersToUpstreamOnAllow", "headersToDownstreamOnDeny", "headersToDownstreamOnAllow"];

    private static readonly string[] s_grpc = ["service", "port", "timeout", "failOpen", "statusOnError", "clearRouteCache",
        "includeRequestBodyInCheck"];

    public static MeshConfigSpec? Read(YamlMapping map, string subject, Diagnostics d)
    {
        if ((map.Get("data") as YamlMapping)?.Get("mesh") is not YamlScalar { IsNull: false } text)
        {
            d.Error("NARU-C204", "data.mesh is missing", map.Place, subject, "put the mesh configuration there as YAML");
            return null;
        }
        var faults = new Diagnostics();
        List<YamlNode> documents = [.. YamlReader.ReadAll(text.Value, null, faults)];
        foreach (Diagnostic fault in faults.Items) d.Error(fault.Code, $"data.mesh: {fault.Message}", text.Place, subject, fault.Remedy);
        if (documents is not [YamlMapping mesh])
        {
            if (documents is [] or [YamlScalar]) return new MeshConfigSpec();
            d.Error("NARU-C210", "data.mesh must be one mapping", text.Place, subject);
            return null;
        }
        var at = new Reader(subject, text.Place, d);
        foreach (YamlEntry entry in mesh.Entries.Where(e => !s_fields.Contains(e.Key)))
        {
            if (s_access.Contains(entry.Key)) at.Later($"{Short(entry.Key)}, which decides about access,", "remove the field");
            else if (Nearest.Suggestion(entry.Key, s_fields) is { } meant) at.Unknown(Short(entry.Key), meant);
            else at.Unread(Short(entry.Key));
        }
        if (Text(mesh, "enableTracing") is "true") at.Unread("enableTracing: true");
        if (Text(mesh, "rootNamespace") is { } root && root != Namespace) at.Later($"rootNamespace {Short(root)}", $"use {Namespace}");
        if (mesh.Get("pathNormalization") is YamlMapping paths && Text(paths, "normalization") is { } way and not ("BASE" or "DEFAULT"))
            at.Later($"pathNormalization {Short(way)}, which decides about access,", "use BASE");
        foreach (YamlEntry entry in (mesh.Get("defaultConfig") as YamlMapping)?.Entries ?? [])
        {
            // Whose address and certificate a client's are.
            if (entry.Key == "gatewayTopology") at.Later("defaultConfig.gatewayTopology, which decides about access,", "remove the field");
            else at.Unread($"defaultConfig.{Short(entry.Key)}");
        }
        var outbound = mesh.Get("outboundTrafficPolicy") as YamlMapping;
        string mode = Text(outbound, "mode") ?? "ALLOW_ANY";
        if (mode is not ("ALLOW_ANY" or "REGISTRY_ONLY"))
            at.Wrong($"outboundTrafficPolicy.mode {Short(mode)}", "use ALLOW_ANY or REGISTRY_ONLY");
        foreach (YamlEntry entry in outbound?.Entries.Where(e => e.Key != "mode") ?? [])
            at.Unread($"outboundTrafficPolicy.{Short(entry.Key)}");
        return new MeshConfigSpec
        {
            AutoMtls = Text(mesh, "enableAutoMtls") is not "false",
            RegistryOnly = mode == "REGISTRY_ONLY",
            TrustDomain = Text(mesh, "trustDomain") is { Length: > 0 } domain ? domain : "cluster.local",
            TrustDomainAliases = Strings(mesh, "trustDomainAliases"),
            ConnectTimeout = at.Time(mesh, "connectTimeout"),
            Authorizers = [.. Providers(mesh, at)],
        };
    }

    private static IEnumerable<AuthorizerSpec> Providers(YamlMapping mesh, Reader at)
    {
        foreach (YamlMapping provider in (mesh.Get("extensionProviders") as YamlSequence)?.Items.OfType<YamlMapping>() ?? [])
        {
            string name = Text(provider, "name") ?? "";
            if (name.Length == 0) at.Wrong("extensionProviders: a name is missing", "name each");
            bool grpc = provider.Get("envoyExtAuthzGrpc") is not null;
            if (provider.Get(grpc ? "envoyExtAuthzGrpc" : "envoyExtAuthzHttp") is not YamlMapping said)
            {
                // One that is told something; a policy that asks it is refused where it names it.
                foreach (YamlEntry entry in provider.Entries.Where(e => e.Key != "name"))
                    at.Unread($"extensionProviders {Short(name)}: {Short(entry.Key)}");
                continue;
            }
            at.Known(said, grpc ? s_grpc : s_http, $"extensionProviders {Short(name)}: ");
            string service = Text(said, "service") ?? "";
            if (service.Length == 0) at.Wrong($"extensionProviders {Short(name)}: service is missing", "name a host of the mesh");
            if (!int.TryParse(Text(said, "port"), NumberStyles.None, CultureInfo.InvariantCulture, out int port) || port is < 1 or > 65535)
                at.Wrong($"extensionProviders {Short(name)}: port is missing or none", "say its port");
            var body = said.Get("includeRequestBodyInCheck") as YamlMapping;
            yield return new AuthorizerSpec
            {
                Name = name,
                Grpc = grpc,
                Service = service[(service.IndexOf('/') + 1)..],
                Port = port,
                Timeout = at.Time(said, "timeout") ?? TimeSpan.FromSeconds(600),
                FailOpen = Text(said, "failOpen") == "true",
                ClearRouteCache = Text(said, "clearRouteCache") == "true",
                PathPrefix = Text(said, "pathPrefix") ?? "",
                StatusOnError = int.TryParse(Text(said, "statusOnError"), out int status) ? status : 0,
                IncludeHeaders = [.. Strings(said, "includeRequestHeadersInCheck").Concat(Strings(said, "includeHeadersInCheck"))],
                AddHeaders = (said.Get("includeAdditionalHeadersInCheck") as YamlMapping)?.Entries
                    .ToImmutableSortedDictionary(e => e.Key, e => (e.Value as YamlScalar)?.Value ?? "", StringComparer.Ordinal)
                    ?? ImmutableSortedDictionary<string, string>.Empty,
                UpstreamOnAllow = Strings(said, "headersToUpstreamOnAllow"),
                DownstreamOnDeny = Strings(said, "headersToDownstreamOnDeny"),
                DownstreamOnAllow = Strings(said, "headersToDownstreamOnAllow"),
                MaxBody = uint.TryParse(Text(body, "maxRequestBytes"), out uint most) ? most : 0,
                PartialBody = Text(body, "allowPartialMessage") == "true",
                PackAsBytes = Text(body, "packAsBytes") == "true",
            };
        }
    }

    private static ImmutableArray<string> Strings(YamlMapping map, string key) =>
        [.. (map.Get(key) as YamlSequence)?.Items.OfType<YamlScalar>().Select(s => s.Value) ?? []];

    // What is wrong stands inside a text of another document: all is reported where that text begins.
    private sealed record Reader(string Subject, Place Place, Diagnostics D)
    {
        public void Known(YamlMapping map, string[] fields, string path)
        {
            foreach (YamlEntry entry in map.Entries)
            {
                if (!fields.Contains(entry.Key))
                    Unknown(path + Short(entry.Key), Nearest.Suggestion(entry.Key, fields) ?? "remove the field");
            }
        }

        public void Unknown(string what, string remedy) => D.Error("NARU-C201", $"data.mesh: {what} is not supported", Place, Subject,
            remedy);

        public void Unread(string what) => D.Warning("NARU-C201", $"data.mesh: {what} is not read yet; all else is honoured", Place,
            Subject);

        public void Later(string what, string remedy) => D.Error("NARU-C201", $"data.mesh: {what} is not supported yet", Place, Subject,
            remedy);

        public void Wrong(string what, string remedy) => D.Error("NARU-C205", $"data.mesh: {what}", Place, Subject, remedy);

        public TimeSpan? Time(YamlMapping map, string key)
        {
            if (Text(map, key) is not { } text) return null;
            (string number, double unit) = text.EndsWith("ms", StringComparison.Ordinal) ? (text[..^2], 0.001) : (text.TrimEnd('s'), 1);
            if (text.EndsWith('s') && double.TryParse(number, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture,
                out double seconds)
                && seconds * unit is >= 0.001 and <= 9_200_000_000) return TimeSpan.FromSeconds(seconds * unit);
            Wrong($"{key} {Short(text)} is no time", "write 2s");
            return null;
        }
    }
}
