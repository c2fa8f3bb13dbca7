// Reads the mesh configuration as Istio keeps it: ConfigMap istio-system/istio, YAML in its key "mesh". Teams bring the whole of theirs, so
// a field that is not read is named by a warning and the others are honoured; one that decides who may do what is refused by name.
using System.Collections.Immutable;
using System.Globalization;
using Naru.Core;
using Naru.Yaml;
using static Naru.Control.Model.ManifestReader;

namespace Naru.Control.Model;

/// <summary>Reads the mesh configuration.</summary>
public static partial class MeshConfigReader
{
    internal const string Namespace = "istio-system", Name = "istio";

    private static readonly string[] s_fields = ["enableAutoMtls", "enableTracing", "outboundTrafficPolicy", "trustDomain",
        "trustDomainAliases", "extensionProviders", "connectTimeout", "rootNamespace", "pathNormalization", "defaultConfig",
        "accessLogFile", "accessLogFormat", "accessLogEncoding", "tcpKeepalive", "protocolDetectionTimeout", "h2UpgradePolicy",
        "meshMTLS", "tlsDefaults", "defaultHttpRetryPolicy", "localityLbSetting", "dnsRefreshRate", "defaultServiceExportTo", "defaultVirtualServiceExportTo",
        "defaultDestinationRuleExportTo", "inboundTrafficPolicy", "proxyListenPort", "proxyInboundListenPort", "proxyHttpPort"];

    // Which certificates count and by which TLS.
    private static readonly string[] s_access = ["caCertificates", "certificates", "ca",
        "verifyCertificateAtClient"];

    private static readonly string[] s_http = ["service", "port", "timeout", "failOpen", "statusOnError", "pathPrefix", "clearRouteCache",
        "includeRequestHeadersInCheck", "includeHeadersInCheck", "includeAdditionalHeadersInCheck", "includeRequestBodyInCheck",
        "headersToUpstreamOnAllow", "headersToDownstreamOnDeny", "headersToDownstreamOnAllow"];

    private static readonly string[] s_grpc = ["service", "port", "timeout", "failOpen", "statusOnError", "clearRouteCache",
        "includeRequestBodyInCheck"];

    private static readonly string[] s_body = ["maxRequestBytes", "allowPartialMessage", "packAsBytes"];

    private static readonly string[] s_headers = ["includeRequestHeadersInCheck", "includeHeadersInCheck", "headersToUpstreamOnAllow",
        "headersToDownstreamOnDeny", "headersToDownstreamOnAllow"];

    // Of the connection, of the body, or of whoever asks.
    private static readonly string[] s_notSent = ["content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "upgrade",
        "host", "te", "expect", "trailer"];

    internal static MeshConfigSpec? Read(YamlMapping map, string subject, Diagnostics d)
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
        foreach (YamlEntry entry in (mesh.Get("defaultConfig") as YamlMapping)?.Entries ?? [])
        {
            // Whose address and certificate a client's are.
            if (entry.Key == "gatewayTopology") at.Later("defaultConfig.gatewayTopology, which decides about access,", "remove the field");
            else if (entry.Key != "proxyHeaders") at.Unread($"defaultConfig.{Short(entry.Key)}");
        }
        var outbound = mesh.Get("outboundTrafficPolicy") as YamlMapping;
        string mode = Text(outbound, "mode") ?? "ALLOW_ANY";
        if (mode is not ("ALLOW_ANY" or "REGISTRY_ONLY"))
            at.Wrong($"outboundTrafficPolicy.mode {Short(mode)}", "use ALLOW_ANY or REGISTRY_ONLY");
        foreach (YamlEntry entry in outbound?.Entries.Where(e => e.Key != "mode") ?? [])
            at.Unread($"outboundTrafficPolicy.{Short(entry.Key)}");
        string inbound = Text(mesh.Get("inboundTrafficPolicy") as YamlMapping, "mode") ?? "PASSTHROUGH",
            upgrade = Text(mesh, "h2UpgradePolicy") ?? "DO_NOT_UPGRADE";
        if (inbound is not ("PASSTHROUGH" or "LOCALHOST")) at.Wrong($"inboundTrafficPolicy.mode {Short(inbound)}", "use PASSTHROUGH or LOCALHOST");
        if (upgrade is not ("UPGRADE" or "DO_NOT_UPGRADE")) at.Wrong($"h2UpgradePolicy {Short(upgrade)}", "use UPGRADE or DO_NOT_UPGRADE");
        return new MeshConfigSpec
        {
            MeshTls = Floor(mesh, "meshMTLS", at),
            OtherTls = Floor(mesh, "tlsDefaults", at),
            InboundToLocalhost = inbound == "LOCALHOST",
            Paths = Paths(mesh, at),
            Keepalive = Keepalive(mesh, at),
            DetectionTimeout = Text(mesh, "protocolDetectionTimeout") is "0s" or "0ms" ? TimeSpan.Zero
                : at.Time(mesh, "protocolDetectionTimeout") ?? TimeSpan.Zero,
            Http2Upgrade = upgrade == "UPGRADE",
            Retries = Retries(mesh, at),
            Locality = Locality(mesh, at),
            DnsRefresh = at.Time(mesh, "dnsRefreshRate") ?? MeshConfigSpec.None.DnsRefresh,
            ServiceExports = Exports(mesh, "defaultServiceExportTo", at),
            VirtualServiceExports = Exports(mesh, "defaultVirtualServiceExportTo", at),
            DestinationRuleExports = Exports(mesh, "defaultDestinationRuleExportTo", at),
            OutboundPort = Port(mesh, "proxyListenPort", MeshConfigSpec.None.OutboundPort, at),
            InboundPort = Port(mesh, "proxyInboundListenPort", MeshConfigSpec.None.InboundPort, at),
            HttpProxyPort = Port(mesh, "proxyHttpPort", 0, at),
            Log = Log(mesh, at),
            Headers = Headers((mesh.Get("defaultConfig") as YamlMapping)?.Get("proxyHeaders") as YamlMapping, at),
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
            string where = $"extensionProviders {Short(name)}: ";
            if (service.Length > 0 && !IstioReader.IsHost(service[(service.IndexOf('/') + 1)..], wildcards: false))
                at.Wrong($"{where}service \"{Short(service)}\" is no host", "name a host of the mesh");
            var body = said.Get("includeRequestBodyInCheck") as YamlMapping;
            if (body is not null) at.Known(body, s_body, $"{where}includeRequestBodyInCheck.");
            string prefix = Text(said, "pathPrefix") ?? "";
            if (prefix.Length > 0 && (prefix[0] != '/' || prefix.AsSpan().ContainsAnyExceptInRange('!', '~')))
                at.Wrong($"{where}pathPrefix \"{Short(prefix)}\" is no beginning of a path", "begin with a slash, in ASCII");
            foreach (string list in s_headers)
            {
                if (Strings(said, list).Any(h => !IstioReader.IsToken(h)))
                    at.Wrong($"{where}{list} has what is no header's name", "write names; a * may stand at an end");
            }
            foreach (YamlEntry entry in (said.Get("includeAdditionalHeadersInCheck") as YamlMapping)?.Entries ?? [])
            {
                if (!IstioReader.IsToken(entry.Key) || s_notSent.Contains(entry.Key.ToLowerInvariant()))
                    at.Wrong($"{where}includeAdditionalHeadersInCheck: \"{Short(entry.Key)}\" is not sent for others", "remove it");
                if (entry.Value is not YamlScalar { IsNull: false } value || value.Value.Length > 16384
                    || value.Value.AsSpan().IndexOfAny("\r\n\0%") >= 0)
                    at.Wrong($"{where}includeAdditionalHeadersInCheck.{Short(entry.Key)} is no value of a header", "write text without line ends and percent signs");
            }
            yield return new AuthorizerSpec
            {
                Name = name,
                Grpc = grpc,
                Service = service[(service.IndexOf('/') + 1)..],
                Port = port,
                Timeout = at.Time(said, "timeout") ?? TimeSpan.FromSeconds(600),
                FailOpen = at.Flag(said, "failOpen", where),
                ClearRouteCache = at.Flag(said, "clearRouteCache", where),
                PathPrefix = prefix,
                StatusOnError = (int)at.Number(said, "statusOnError", where, 200, 599),
                IncludeHeaders = [.. Strings(said, "includeRequestHeadersInCheck").Concat(Strings(said, "includeHeadersInCheck"))],
                AddHeaders = (said.Get("includeAdditionalHeadersInCheck") as YamlMapping)?.Entries
                    .ToImmutableSortedDictionary(e => e.Key, e => (e.Value as YamlScalar)?.Value ?? "", StringComparer.Ordinal)
                    ?? ImmutableSortedDictionary<string, string>.Empty,
                UpstreamOnAllow = Strings(said, "headersToUpstreamOnAllow"),
                DownstreamOnDeny = Strings(said, "headersToDownstreamOnDeny"),
                DownstreamOnAllow = Strings(said, "headersToDownstreamOnAllow"),
                MaxBody = body is null ? 0 : at.Number(body, "maxRequestBytes", $"{where}includeRequestBodyInCheck.", 1, 1 << 30),
                PartialBody = body is not null && at.Flag(body, "allowPartialMessage", where),
                PackAsBytes = body is not null && at.Flag(body, "packAsBytes", where),
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

        public void Identity(string what) => D.Error(IstioReader.NeedsIdentity,
            $"data.mesh: {what} is about TLS of the mesh, and proxies of this mesh have no certificates yet", Place, Subject,
            "remove the field, or allow it for proxies that have certificates with --allow-unenforced");

        public void Wrong(string what, string remedy) => D.Error("NARU-C205", $"data.mesh: {what}", Place, Subject, remedy);

        public bool Flag(YamlMapping map, string key, string path)
        {
            if (Text(map, key) is not { } text) return false;
            if (text is not ("true" or "false")) Wrong($"{path}{key} {Short(text)} is neither true nor false", "write true or false");
            return text == "true";
        }

        /// <summary>0 where nothing is said.</summary>
        public uint Number(YamlMapping map, string key, string path, uint least, uint most)
        {
            if (Text(map, key) is not { } text) return 0;
            if (uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out uint number) && number >= least
                && number <= most) return number;
            Wrong($"{path}{key} {Short(text)} is not between {least} and {most}", "write such a number");
            return 0;
        }

        public TimeSpan? Time(YamlMapping map, string key)
        {
            if (Text(map, key) is not { } text) return null;
            if (TimeOf(text) is { } time) return time;
            Wrong($"{key} {Short(text)} is no time", "write 2s");
            return null;
        }
    }
}
