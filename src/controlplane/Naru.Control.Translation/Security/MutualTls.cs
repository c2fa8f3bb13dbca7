// Certificates of the mesh: what a server's chains and a client's clusters say about TLS. Secrets come from the agent beside a proxy
// (cluster sds-grpc), or by ADS where a gateway reads them from Kubernetes.
using System.Collections.Immutable;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Extensions.TransportSockets.RawBuffer.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Envoy.Type.Matcher.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Model;
using Naru.Control.Registries;

namespace Naru.Control.Translation;

internal static class MutualTls
{
    private const string TlsName = "envoy.transport_sockets.tls", RawName = "envoy.transport_sockets.raw_buffer", Agent = "sds-grpc";

    private static readonly string[] s_ciphers = ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-GCM-SHA256"];

    private static TlsParameters Versions(TlsFloor? floor = null)
    {
        var made = new TlsParameters
        {
            TlsMinimumProtocolVersion = floor is { MinVersion: > 0 } ? (TlsParameters.Types.TlsProtocol)floor.MinVersion
                : TlsParameters.Types.TlsProtocol.Tlsv12,
            TlsMaximumProtocolVersion = TlsParameters.Types.TlsProtocol.Tlsv13,
        };
        if (floor is null) return made;
        made.CipherSuites.AddRange(floor.Ciphers);
        made.EcdhCurves.AddRange(floor.Curves);
        return made;
    }

    /// <summary>A secret of the agent beside the proxy.</summary>
    private static SdsSecretConfig OfAgent(string name, bool waits = true)
    {
        var source = new ApiConfigSource
        {
            ApiType = ApiConfigSource.Types.ApiType.Grpc,
            TransportApiVersion = ApiVersion.V3,
            SetNodeOnFirstMessageOnly = true
        };
        source.GrpcServices.Add(new GrpcService { EnvoyGrpc = new GrpcService.Types.EnvoyGrpc { ClusterName = Agent } });
        return new SdsSecretConfig
        {
            Name = name,
            SdsConfig = new ConfigSource
            {
                ApiConfigSource = source,
                ResourceApiVersion = ApiVersion.V3,
                InitialFetchTimeout = waits
                ? new Duration() : null
            },
        };
    }

    private static SdsSecretConfig OfKubernetes(string name) => new()
    {
        Name = "kubernetes://" + name,
        SdsConfig = new ConfigSource { Ads = new AggregatedConfigSource(), ResourceApiVersion = ApiVersion.V3 },
    };

    private static TransportSocket Tls(Google.Protobuf.IMessage context) => new() { Name = TlsName, TypedConfig = Any.Pack(context) };

    private static CommonTlsContext.Types.CombinedCertificateValidationContext Validation(SdsSecretConfig root,
        IEnumerable<StringMatcher> names)
    {
        var inline = new CertificateValidationContext();
#pragma warning disable CS0612 // the older field is what every proxy reads
        inline.MatchSubjectAltNames.AddRange(names);
#pragma warning restore CS0612
        return new CommonTlsContext.Types.CombinedCertificateValidationContext
        {
            DefaultValidationContext = inline,
            ValidationContextSdsSecretConfig = root
        };
    }

    // ---- servers ----

    /// <summary>The TLS of a chain of a sidecar.</summary>
    public static TransportSocket Server(MeshConfigSpec mesh, bool tcp)
    {
        TlsParameters parameters = Versions(mesh.MeshTls);
        if (parameters.CipherSuites.Count == 0) parameters.CipherSuites.AddRange(s_ciphers);
        var common = new CommonTlsContext
        {
            TlsParams = parameters,
            CombinedValidationContext = Validation(OfAgent("ROOTCA"),
                mesh.TrustDomainAliases.Prepend(mesh.TrustDomain).Distinct().Select(d => new StringMatcher { Prefix = $"spiffe://{d}/" })),
        };
        if (tcp) common.AlpnProtocols.Add("istio-peer-exchange");
        common.AlpnProtocols.AddRange(["h2", "http/1.1"]);
        common.TlsCertificateSdsSecretConfigs.Add(OfAgent("default"));
        return Tls(new DownstreamTlsContext { CommonTlsContext = common, RequireClientCertificate = true });
    }

    /// <summary>The TLS of a gateway's server.</summary>
    public static TransportSocket Gateway(ServerTls tls, MeshConfigSpec mesh)
    {
        if (tls.Mesh)
        {
            // Whoever is of the mesh.
            var own = new CommonTlsContext
            {
                AlpnProtocols = { "h2", "http/1.1" },
                CombinedValidationContext = Validation(OfAgent("ROOTCA"), [])
            };
            own.TlsCertificateSdsSecretConfigs.Add(OfAgent("default"));
            own.TlsParams = Said(tls, null);
            return Tls(new DownstreamTlsContext { CommonTlsContext = own, RequireClientCertificate = true });
        }
        bool kubernetes = tls.Credential.Length > 0;
        var common = new CommonTlsContext { AlpnProtocols = { "h2", "http/1.1" } };
        common.TlsCertificateSdsSecretConfigs.Add(kubernetes ? OfKubernetes(tls.Credential)
            : OfAgent($"file-cert:{tls.Certificate}~{tls.Key}", waits: false));
        common.TlsParams = Said(tls, mesh.OtherTls);
        if (tls.Clients != ClientCertificate.None)
        {
            common.CombinedValidationContext = Validation(kubernetes ? OfKubernetes(tls.Credential + "-cacert")
                : OfAgent("file-root:" + tls.Ca, waits: false),
                tls.Names.Select(n => new StringMatcher { Exact = n }));
            common.CombinedValidationContext.DefaultValidationContext.VerifyCertificateSpki.AddRange(tls.Spki);
            common.CombinedValidationContext.DefaultValidationContext.VerifyCertificateHash.AddRange(tls.Hashes);
        }
        return Tls(new DownstreamTlsContext
        {
            CommonTlsContext = common,
            RequireClientCertificate = tls.Clients == ClientCertificate.Required
        });
    }

    // What a server says, else what the mesh has for all such; null where neither does.
    private static TlsParameters? Said(ServerTls tls, TlsFloor? floor)
    {
        int least = tls.MinVersion > 0 ? tls.MinVersion : floor?.MinVersion ?? 0;
        ImmutableArray<string> ciphers = tls.Ciphers.IsEmpty && floor is not null ? floor.Ciphers : tls.Ciphers;
        if (least == 0 && tls.MaxVersion == 0 && ciphers.IsEmpty && floor is not { Curves.Length: > 0 }) return null;
        var made = new TlsParameters
        {
            TlsMinimumProtocolVersion = (TlsParameters.Types.TlsProtocol)least,
            TlsMaximumProtocolVersion = (TlsParameters.Types.TlsProtocol)tls.MaxVersion,
            CipherSuites = { ciphers },
        };
        if (floor is not null) made.EcdhCurves.AddRange(floor.Curves);
        return made;
    }

    /// <summary>Mode of a workload's port: that of the workload's own object, else of its namespace, else of the mesh; port 0 is any
    /// other.</summary>
    public static PeerMode ModeOf(MeshLayout layout, string ns, ImmutableSortedDictionary<string, string> labels, int port)
    {
        PeerAuthenticationSpec? workload = null, space = null, mesh = null;
        foreach (ConfigObject item in layout.Security)
        {
            if (item.Spec is not PeerAuthenticationSpec spec) continue;
            bool root = item.Key.Namespace == AccessPolicies.RootNamespace;
            if (item.Key.Namespace == ns && spec.Selector.Count > 0 && HostNames.Matches(spec.Selector, labels)) workload ??= spec;
            else if (item.Key.Namespace == ns && spec.Selector.Count == 0 && !root) space ??= spec;
            else if (root && spec.Selector.Count == 0) mesh ??= spec;
        }
        if (port > 0 && workload?.Ports.GetValueOrDefault(port) is { } own and not PeerMode.Unset) return own;
        foreach (PeerAuthenticationSpec? level in (ReadOnlySpan<PeerAuthenticationSpec?>)[workload, space, mesh])
        {
            if (level is { Mode: not PeerMode.Unset }) return level.Mode;
        }
        return PeerMode.Permissive;
    }

    // ---- clients ----

    /// <summary>Whether an endpoint says that it can, and its policy does not forbid it.</summary>
    public static bool Can(MeshLayout layout, MeshEndpoint endpoint)
    {
        if (endpoint.Labels.GetValueOrDefault("security.istio.io/tlsMode") != "istio") return false;
        int dot = endpoint.Workload.LastIndexOf('.');
        return dot < 0 || ModeOf(layout, endpoint.Workload[(dot + 1)..], endpoint.Labels, endpoint.Port) != PeerMode.Disable;
    }

    /// <summary>Identities of the workloads of a service.</summary>
    public static string[] Names(Snapshot snapshot, MeshService service)
    {
        IEnumerable<string> accounts = service.Ports.SelectMany(p => snapshot.Endpoints.GetValueOrDefault((service.Hostname, p.Number), []))
            .Select(e => e.Account).Where(a => a.Length > 0).Distinct();
        MeshConfigSpec mesh = snapshot.Layout.Mesh;
        return [.. accounts.SelectMany(a => mesh.TrustDomainAliases.Prepend(mesh.TrustDomain).Distinct()
            .Select(d => $"spiffe://{d}/ns/{a.Replace("/", "/sa/", StringComparison.Ordinal)}")).Order(StringComparer.Ordinal)];
    }

    /// <summary>What a cluster of the mesh says about TLS.</summary>
    /// <param name="rule">Of its rule; null where that says nothing.</param>
    /// <param name="names">Identities of its workloads.</param>
    /// <param name="http2">Whether it is spoken to in HTTP/2.</param>
    public static void Client(Cluster cluster, Snapshot snapshot, NodeInfo node, MeshService service, int port, string subset,
        ClientTls? rule,
        Func<string[]> names, bool http2)
    {
        // No certificate of the mesh, no secret: whoever allowed that was told that it is plain.
        if (node.IsOurs) return;
        string sni = $"outbound_.{port}_.{subset}_.{service.Hostname}";
        if (rule is null)
        {
            if (!snapshot.Layout.Mesh.AutoMtls || service.External || node.IsGrpc) return;
            cluster.TransportSocketMatches.Add(new Cluster.Types.TransportSocketMatch
            {
                Name = "tlsMode-istio",
                Match = new Struct { Fields = { ["tlsMode"] = Value.ForString("istio") } },
                TransportSocket = Mesh(names(), sni, http2),
            });
            cluster.TransportSocketMatches.Add(new Cluster.Types.TransportSocketMatch
            {
                Name = "tlsMode-disabled",
                Match = new Struct(),
                TransportSocket = new TransportSocket { Name = RawName, TypedConfig = Any.Pack(new RawBuffer()) },
            });
            return;
        }
        switch (rule.Mode)
        {
            case ClientTlsMode.Disable:
                return;
            case ClientTlsMode.IstioMutual:
                cluster.TransportSocket = Mesh(rule.Names.IsEmpty ? names() : [.. rule.Names], rule.Sni.Length > 0 ? rule.Sni : sni, http2);
                return;
            default:
                if (Given(rule, node, http2, snapshot.Layout.Mesh) is { } socket) cluster.TransportSocket = socket;
                return;
        }
    }

    private static TransportSocket Mesh(string[] names, string sni, bool http2)
    {
        var common = new CommonTlsContext
        {
            TlsParams = Versions(),
            CombinedValidationContext = Validation(OfAgent("ROOTCA"), names.Select(n => new StringMatcher { Exact = n })),
        };
        common.AlpnProtocols.AddRange(["istio-peer-exchange", "istio"]);
        if (http2) common.AlpnProtocols.Add("h2");
        common.TlsCertificateSdsSecretConfigs.Add(OfAgent("default"));
        return Tls(new UpstreamTlsContext { CommonTlsContext = common, Sni = sni });
    }

    /// <summary>Whether a rule has the proxy take the name from the request and hold the certificate against it.</summary>
    public static (bool Sni, bool Names) FromRequest(ClientTls? rule, NodeInfo node) =>
        node.IsOurs || rule is not { Mode: ClientTlsMode.Simple or ClientTlsMode.Mutual } || Ignored(rule, node) ? (false, false)
        : (rule.Sni.Length == 0, rule.Sni.Length == 0 && rule.Names.IsEmpty && rule.Insecure != true);

    // A sidecar has no right to read secrets for a rule that is for everybody.
    private static bool Ignored(ClientTls rule, NodeInfo node) => rule.Credential.Length > 0 && node.Type == NodeType.Sidecar;

    private static TransportSocket? Given(ClientTls rule, NodeInfo node, bool http2, MeshConfigSpec mesh)
    {
        if (Ignored(rule, node)) return null;
        var common = new CommonTlsContext { TlsParams = Versions(mesh.OtherTls) };
        bool kubernetes = rule.Credential.Length > 0;
        if (rule.Mode == ClientTlsMode.Mutual)
            common.TlsCertificateSdsSecretConfigs.Add(kubernetes ? OfKubernetes(rule.Credential)
                : OfAgent($"file-cert:{rule.Certificate}~{rule.Key}", waits: false));
        if (rule.Insecure == true) common.ValidationContext = new CertificateValidationContext();
        else
        {
            SdsSecretConfig root = kubernetes ? OfKubernetes(rule.Credential + "-cacert")
                : OfAgent("file-root:" + (rule.Ca.Length > 0 ? rule.Ca : "system"), waits: false);
            common.CombinedValidationContext = Validation(root, rule.Names.Select(n => new StringMatcher { Exact = n }));
            if (rule.Crl.Length > 0) common.CombinedValidationContext.DefaultValidationContext.Crl = new DataSource { Filename = rule.Crl };
        }
        if (http2) common.AlpnProtocols.Add("h2");
        return Tls(new UpstreamTlsContext { CommonTlsContext = common, Sni = rule.Sni });
    }
}
