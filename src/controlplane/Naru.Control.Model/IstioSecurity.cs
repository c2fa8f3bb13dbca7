// Reads Istio's security kinds. What only identities of peers could decide is refused as NARU-C520: no proxy here has a certificate of
// the mesh yet, and a rule that nobody enforces is worse than one that is refused. Who drives proxies that have them allows it.
using System.Collections.Immutable;
using System.Net;
using Google.Protobuf;
using Istio.Networking.V1Alpha3;
using Istio.Security.V1Beta1;
using Naru.Core;
using Naru.Yaml;
using static Naru.Control.Model.ManifestReader;
using Condition = Istio.Security.V1Beta1.Condition;

namespace Naru.Control.Model;

internal static partial class IstioReader
{
    /// <summary>Code of what needs identities of peers.</summary>
    public const string NeedsIdentity = "NARU-C520";
    /// <summary>Code of what proxies of Naru refuse and others take.</summary>
    public const string OfOthers = "NARU-C522";
    private const string DryRunAnnotation = "istio.io/dry-run";
    private const int LongestValue = 512;

    // Attributes that a connection without mutual TLS has no value for.
    private static readonly string[] s_peerKeys = ["source.principal", "source.namespace", "source.serviceAccount", "connection.sni"];
    private static readonly string[] s_plainKeys = ["source.ip", "remote.ip", "destination.ip", "destination.port",
        "request.auth.principal",
        "request.auth.audiences", "request.auth.presenter"];
    private static readonly string[] s_mapKeys = ["request.headers", "request.auth.claims"];

    public static AuthorizationSpec? Authorization(YamlMapping map, string subject, Diagnostics d)
    {
        if (map.Get("spec") is null or YamlScalar { IsNull: true })
            return new AuthorizationSpec(Sorted(null), [], PolicyAction.Allow, "", false);
        if (Bind<AuthorizationPolicy>(map, subject, d, out Reading? r) is not { } policy || r is null) return null;
        if (policy.Action == AuthorizationPolicy.Types.Action.Custom && policy.Provider is not { Name.Length: > 0 })
            r.Error("NARU-C204", "spec.provider.name is missing", r.Spec.Place, "name an extensionProvider of the mesh configuration");
        if (policy.Action == AuthorizationPolicy.Types.Action.Custom && policy.Rules.Count == 0)
            r.Error("NARU-C204", "a policy of action CUSTOM must have rules", r.Spec.Place);
        if (policy.Action == AuthorizationPolicy.Types.Action.Deny && policy.Rules.Count == 0 && r.Spec.Get("rules") is null)
            d.Warning("NARU-C521", "a policy of action DENY without rules denies nobody", r.Spec.Place, subject,
                "add rules, or use ALLOW without rules");
        YamlNode? said = (map.Get("metadata") as YamlMapping)?.Get("annotations");
        string dry = Text(said as YamlMapping, DryRunAnnotation) ?? "";
        if (dry.Length > 0 && dry is not ("true" or "false"))
            r.Error("NARU-C205", $"annotation {DryRunAnnotation} \"{Short(dry)}\" is neither true nor false", said!.Place);
        if (dry == "true" && policy.Action == AuthorizationPolicy.Types.Action.Audit)
            r.Error("NARU-C206", "a policy of action AUDIT cannot be tried only", said!.Place, $"remove the annotation {DryRunAnnotation}");
        return new AuthorizationSpec(SelectorOf(policy.Selector),
            [.. policy.Rules.Select((rule, i) => Access(rule, $"spec.rules[{i}]", r))],
            (PolicyAction)(int)policy.Action, policy.Provider?.Name ?? "", dry == "true");
    }

    private static ImmutableSortedDictionary<string, string> SelectorOf(Istio.Security.V1Beta1.WorkloadSelector? selector) =>
        Sorted(selector?.MatchLabels);

    private static AccessRule Access(Rule rule, string path, Reading r)
    {
        ImmutableArray<AccessSource> from =
            [.. rule.From.Select((f, i) => Source(f.Source ?? new Source(), $"{path}.from[{i}].source", r))];
        ImmutableArray<AccessOperation> to =
            [.. rule.To.Select((t, i) => Operation(t.Operation ?? new Operation(), $"{path}.to[{i}].operation", r))];
        return new AccessRule(from, to, [.. rule.When.Select((w, i) => When(w, $"{path}.when[{i}]", r))]);
    }

    private static AccessSource Source(Source source, string path, Reading r)
    {
        var made = new AccessSource(Of(source.Principals, source.NotPrincipals), Of(source.RequestPrincipals, source.NotRequestPrincipals),
            Of(source.Namespaces, source.NotNamespaces), Of(source.ServiceAccounts, source.NotServiceAccounts),
            Of(source.IpBlocks, source.NotIpBlocks), Of(source.RemoteIpBlocks, source.NotRemoteIpBlocks));
        Place place = r.At(source);
        if (!made.Principals.IsEmpty) Identity(path + ".principals", place, r);
        if (!made.Namespaces.IsEmpty) Identity(path + ".namespaces", place, r);
        if (!made.ServiceAccounts.IsEmpty) Identity(path + ".serviceAccounts", place, r);
        if (made.Principals.IsEmpty && made.RequestPrincipals.IsEmpty && made.Namespaces.IsEmpty && made.ServiceAccounts.IsEmpty
            && made.IpBlocks.IsEmpty && made.RemoteIpBlocks.IsEmpty) r.Error("NARU-C204", $"{path} says nothing", place,
                "say who, or leave from out");
        Blocks(made.IpBlocks, path + ".ipBlocks", place, r);
        Blocks(made.RemoteIpBlocks, path + ".remoteIpBlocks", place, r);
        foreach (string ns in made.Namespaces.Values.Concat(made.Namespaces.NotValues))
        {
            if (!ns.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '*'))
                r.Error("NARU-C205", $"{path}.namespaces: \"{Short(ns)}\" is no namespace",
                    place, "write a name, or one with a * at an end");
        }
        foreach (string account in made.ServiceAccounts.Values.Concat(made.ServiceAccounts.NotValues))
        {
            if (account.Count(c => c == '/') > 1 || !account.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.' or '/'))
                r.Error("NARU-C205", $"{path}.serviceAccounts: \"{Short(account)}\" is no account", place, "write name or namespace/name");
        }
        Filled([made.Principals, made.RequestPrincipals, made.Namespaces, made.ServiceAccounts], path, place, r);
        return made;
    }

    private static void Identity(string path, Place place, Reading r) => r.Error(NeedsIdentity,
        $"{path} asks who a peer is, and proxies of this mesh have no certificates yet; nobody would enforce it", place,
        "leave it out, or allow it for proxies that have certificates with --allow-unenforced");

    private static AccessOperation Operation(Operation operation, string path, Reading r)
    {
        var made = new AccessOperation(Of(operation.Hosts, operation.NotHosts), Of(operation.Ports, operation.NotPorts),
            Of(operation.Methods, operation.NotMethods), Of(operation.Paths, operation.NotPaths));
        Place place = r.At(operation);
        if (made.Hosts.IsEmpty && made.Ports.IsEmpty && made.Methods.IsEmpty && made.Paths.IsEmpty)
            r.Error("NARU-C204", $"{path} says nothing", place, "say what, or leave to out");
        foreach (string port in made.Ports.Values.Concat(made.Ports.NotValues))
        {
            if (!(uint.TryParse(port, out uint number) && IsPort(number)))
                r.Error("NARU-C205", $"{path}.ports: \"{Short(port)}\" is no port", place);
        }
        foreach (string text in made.Paths.Values.Concat(made.Paths.NotValues))
        {
            if (text.Contains('{') && !IsTemplate(text))
                r.Error("NARU-C205", $"{path}.paths: \"{Short(text)}\" is no template",
                    place, "a whole segment may be {*} or, behind the others, {**}; the rest is what a path may hold");
        }
        Filled([made.Hosts, made.Methods, made.Paths], path, place, r);
        return made;
    }

    private const string OwnHeaderRemedy = "give the header a name that says nothing else";

    // RFC 9110 5.1.
    internal static bool IsToken(string name) =>
        name.Length is > 0 and < 16384 && name.All(c => char.IsAsciiLetterOrDigit(c) || "!#$%&'*+-.^_`|~".Contains(c,
            StringComparison.Ordinal));

    // One that the proxy writes for the service to read: neither the host nor what says how a message is framed.
    private static bool IsOwnHeader(string name) => IsToken(name) && name.ToLowerInvariant() is not ("host" or "content-length"
        or "transfer-encoding" or "connection" or "keep-alive" or "proxy-connection" or "upgrade");

    // Istio: {*} is one segment, {**} any number of them and the last that is open; beside them stands what a path may hold
    // (AuthorizationPolicy, paths; Envoy: UriTemplateMatchConfig).
    private static bool IsTemplate(string path)
    {
        if (path[0] != '/' || path.Contains("//", StringComparison.Ordinal)) return false;
        string[] segments = path[1..].Split('/');
        int deep = Array.IndexOf(segments, "{**}"), open = Array.FindLastIndex(segments, s => s is "{*}" or "{**}");
        return (deep < 0 || deep == open) && path.Length - segments.Count(s => s is "{*}" or "{**}") * 2 <= 256
            && segments.All(s => s is "{*}" or "{**}" || s.All(c => char.IsAsciiLetterOrDigit(c) || "-._~%!$&'()+,;:@=".Contains(c,
                StringComparison.Ordinal)));
    }

    private static AccessCondition When(Condition condition, string path, Reading r)
    {
        Wanted values = Of(condition.Values, condition.NotValues);
        Place place = r.At(condition);
        int bracket = condition.Key.IndexOf('[');
        string head = bracket < 0 ? condition.Key : condition.Key[..bracket];
        string[] keys = bracket > 0 && condition.Key.EndsWith(']') ? condition.Key[(bracket + 1)..^1].Split("][") : [];
        bool good = head switch
        {
            "request.headers" => keys is [var name] && IsToken(name),
            "request.auth.claims" => keys.Length is > 0 and <= 8 && keys.All(k => k.Length > 0 && !k.Contains('[') && !k.Contains(']')),
            _ => false,
        };
        if (s_peerKeys.Contains(condition.Key)) Identity($"{path}.key {condition.Key}", r.At(condition, "key"), r);
        else if (!s_plainKeys.Contains(condition.Key) && !good)
        {
            r.Error(head.StartsWith("experimental.", StringComparison.Ordinal) ? "NARU-C201" : "NARU-C205",
                $"{path}.key \"{Short(condition.Key)}\" is no attribute that can be asked", r.At(condition, "key"),
                s_mapKeys.Contains(head) ? $"write {head}[NAME]" : Nearest.Suggestion(head,
                    s_plainKeys.Concat(s_peerKeys).Concat(s_mapKeys)));
        }
        if (values.IsEmpty) r.Error("NARU-C204", $"{path} has neither values nor notValues", place);
        if (condition.Key is "source.ip" or "remote.ip" or "destination.ip") Blocks(values, path, place, r);
        if (condition.Key == "destination.port" && values.Values.Concat(values.NotValues)
            .Any(v => !(uint.TryParse(v, out uint n) && IsPort(n))))
            r.Error("NARU-C205", $"{path}: destination.port wants ports", place);
        Filled([values], path, place, r);
        return new AccessCondition(condition.Key, values);
    }

    private static void Blocks(Wanted blocks, string path, Place place, Reading r)
    {
        foreach (string block in blocks.Values.Concat(blocks.NotValues))
        {
            int slash = block.IndexOf('/');
            bool good = AddressOf(slash < 0 ? block : block[..slash]) is { } address && (slash < 0
                || (int.TryParse(block[(slash + 1)..], System.Globalization.NumberStyles.None,
                    System.Globalization.CultureInfo.InvariantCulture, out int length)
                    && length <= (address.AddressFamily == System.Net.Sockets.AddressFamily.InterNetwork ? 32 : 128)));
            if (!good) r.Error("NARU-C205", $"{path}: \"{Short(block)}\" is no range of addresses", place,
                "write 10.0.0.0/8 or an address");
        }
    }

    // As proxies read them: no short forms of IPv4, no brackets, no scope.
    private static IPAddress? AddressOf(string text) => IPAddress.TryParse(text, out IPAddress? address)
        && (text.Contains(':') ? !text.Contains('[') && !text.Contains('%') : address.ToString() == text) ? address : null;

    private static void Filled(ReadOnlySpan<Wanted> all, string path, Place place, Reading r)
    {
        foreach (Wanted wanted in all)
        {
            if (wanted.Values.Concat(wanted.NotValues).Any(v => v.Length == 0)) r.Error("NARU-C205", $"{path}: a value is empty", place);
            // Some become patterns, which proxies bound.
            if (wanted.Values.Concat(wanted.NotValues).Any(v => v.Length > LongestValue))
                r.Error("NARU-C205", $"{path}: a value has more than {LongestValue} characters", place, "write several shorter ones");
        }
    }

    private static Wanted Of(IEnumerable<string> values, IEnumerable<string> not) => new([.. values], [.. not]);

    public static PeerAuthenticationSpec? Peers(YamlMapping map, string subject, Diagnostics d)
    {
        if (Bind<PeerAuthentication>(map, subject, d, out Reading? r) is not { } peers || r is null) return null;
        r.Error(NeedsIdentity, "PeerAuthentication says how peers show who they are, and proxies of this mesh have no certificates yet",
            r.Spec.Place,
            "leave this object out, or allow it for proxies that have certificates with --allow-unenforced");
        if (peers.PortLevelMtls.Count > 0 && (peers.Selector?.MatchLabels.Count ?? 0) == 0)
            r.Error("NARU-C206", "spec.portLevelMtls needs spec.selector", r.At(peers, "port_level_mtls"), "say whose ports they are");
        foreach (uint port in peers.PortLevelMtls.Keys)
        {
            if (!IsPort(port)) r.Error("NARU-C205", $"spec.portLevelMtls: {port} is no port", r.At(peers, "port_level_mtls"));
        }
        return new PeerAuthenticationSpec(SelectorOf(peers.Selector), (PeerMode)(int)(peers.Mtls?.Mode ?? 0),
            peers.PortLevelMtls.ToImmutableSortedDictionary(p => (int)p.Key, p => (PeerMode)(int)p.Value.Mode));
    }

    public static RequestAuthenticationSpec? Requests(YamlMapping map, string subject, Diagnostics d)
    {
        if (Bind<RequestAuthentication>(map, subject, d, out Reading? r) is not { } requests || r is null) return null;
        return new RequestAuthenticationSpec(SelectorOf(requests.Selector),
            [.. requests.JwtRules.Select((rule, i) => Token(rule, $"spec.jwtRules[{i}]", r))]);
    }

    private static TokenRule Token(JWTRule rule, string path, Reading r)
    {
        Place place = r.At(rule);
        if (rule.Issuer.Length == 0) r.Error("NARU-C204", $"{path}.issuer is missing", place);
        if (rule.JwksUri.Length > 0 && rule.Jwks.Length > 0) r.Error("NARU-C206", $"{path}.jwks and jwksUri exclude each other", place);
        else if (rule.JwksUri.Length > 0)
            r.Error("NARU-C201", $"{path}.jwksUri is not supported yet", r.At(rule, "jwks_uri"), "put the keys into jwks");
        else if (rule.Jwks.Length == 0) r.Error("NARU-C204", $"{path}.jwks is missing", place, "add the keys of the issuer");
        string? fault = rule.Jwks.Length > 0 ? TokenKeys.Fault(rule.Jwks) : null;
        if (fault is not null)
            r.Error(OfOthers, $"{path}.jwks {fault}; a proxy would refuse its whole listener for it", r.At(rule, "jwks"),
                "write {\"keys\": [...]} with public keys of RSA (2048 to 8192 bits), P-256, P-384, P-521 or Ed25519");
        foreach (JWTHeader header in rule.FromHeaders)
        {
            if (header.Name.Length == 0) r.Error("NARU-C204", $"{path}.fromHeaders: a name is missing", r.At(header));
            else if (!IsToken(header.Name)) r.Error("NARU-C205", $"{path}.fromHeaders: \"{Short(header.Name)}\" is no header's name",
                r.At(header, "name"));
        }
        if (rule.FromParams.Any(p => p.Length == 0)) r.Error("NARU-C205", $"{path}.fromParams: a value is empty",
            r.At(rule, "from_params"));
        foreach (string cookie in rule.FromCookies.Where(c => c.Length == 0 || c.Trim(' ') != c || c.Any(x =>
            x is < ' ' or (char)127 or ';' or '=')))
            r.Error("NARU-C205", $"{path}.fromCookies: no cookie has the name \"{Short(cookie)}\"", r.At(rule, "from_cookies"),
                "write it without semicolons, equals signs and blanks around it");
        if (rule.OutputPayloadToHeader.Length > 0 && !IsOwnHeader(rule.OutputPayloadToHeader))
            r.Error("NARU-C205", $"{path}.outputPayloadToHeader \"{Short(rule.OutputPayloadToHeader)}\" is no header of its own",
                r.At(rule, "output_payload_to_header"), OwnHeaderRemedy);
        foreach (ClaimToHeader claim in rule.OutputClaimToHeaders)
        {
            if (claim.Header.Length == 0 || claim.Claim.Length == 0)
                r.Error("NARU-C204", $"{path}.outputClaimToHeaders needs header and claim", r.At(claim));
            else if (!IsOwnHeader(claim.Header))
                r.Error("NARU-C205", $"{path}.outputClaimToHeaders: \"{Short(claim.Header)}\" is no header of its own",
                    r.At(claim, "header"), OwnHeaderRemedy);
        }
        return new TokenRule
        {
            Issuer = rule.Issuer,
            Audiences = [.. rule.Audiences],
            Keys = rule.Jwks,
            IsChecked = fault is null,
            KeysUri = rule.JwksUri,
            Headers = [.. rule.FromHeaders.Select(h => (h.Name, h.Prefix))],
            Parameters = [.. rule.FromParams],
            Cookies = [.. rule.FromCookies],
            PayloadHeader = rule.OutputPayloadToHeader,
            Forward = rule.ForwardOriginalToken,
            ClaimHeaders = [.. rule.OutputClaimToHeaders.Select(c => (c.Header, c.Claim))],
            Timeout = Positive(rule.Timeout, rule, "timeout", path + ".timeout", r),
        };
    }

    private static ServerTls? ServerTlsOf(Server server, string protocol, string path, Reading r)
    {
        if (server.Tls is not { } tls)
        {
            if (protocol == "HTTPS") r.Error("NARU-C204", $"{path}.tls is missing for a port of HTTPS", r.At(server),
                "add tls with mode SIMPLE and a certificate");
            return null;
        }
        r.Error(NeedsIdentity, $"{path}.tls needs certificates, and proxies of this mesh have none yet", r.At(tls),
            "remove the field and use HTTP, or allow it for proxies that have certificates with --allow-unenforced");
        ClientCertificate? clients = tls.Mode switch
        {
            ServerTLSSettings.Types.TLSmode.Simple => ClientCertificate.None,
            ServerTLSSettings.Types.TLSmode.Mutual => ClientCertificate.Required,
            ServerTLSSettings.Types.TLSmode.IstioMutual => ClientCertificate.Required,
            ServerTLSSettings.Types.TLSmode.OptionalMutual => ClientCertificate.Optional,
            _ => null,
        };
        if (protocol == "HTTPS" && clients is null)
            r.Error("NARU-C201", $"{path}.tls.mode {tls.Mode} is not supported yet", r.At(tls, "mode"),
                "use SIMPLE, MUTUAL, OPTIONAL_MUTUAL or ISTIO_MUTUAL");
        bool mesh = tls.Mode == ServerTLSSettings.Types.TLSmode.IstioMutual;
        if (protocol == "HTTPS" && !mesh && tls.CredentialName.Length == 0 && (tls.ServerCertificate.Length == 0
            || tls.PrivateKey.Length == 0))
            r.Error("NARU-C204", $"{path}.tls needs credentialName, or serverCertificate and privateKey", r.At(tls));
        return new ServerTls
        {
            Redirect = tls.HttpsRedirect,
            Mesh = mesh,
            Clients = clients ?? ClientCertificate.None,
            Certificate = tls.ServerCertificate,
            Key = tls.PrivateKey,
            Ca = tls.CaCertificates,
            Credential = tls.CredentialName,
            Names = [.. tls.SubjectAltNames],
            Spki = [.. tls.VerifyCertificateSpki],
            Hashes = [.. tls.VerifyCertificateHash],
            MinVersion = (int)tls.MinProtocolVersion,
            MaxVersion = (int)tls.MaxProtocolVersion,
            Ciphers = [.. tls.CipherSuites],
        };
    }

    private static ClientTls? Tls(ClientTLSSettings? tls, string path, Reading r)
    {
        if (tls is null) return null;
        r.Error(NeedsIdentity, $"{path} needs certificates, and proxies of this mesh have none yet", r.At(tls),
            "remove the field, or allow it for proxies that have certificates with --allow-unenforced");
        if (tls.Mode == ClientTLSSettings.Types.TLSmode.Mutual && tls.CredentialName.Length == 0
            && (tls.ClientCertificate.Length == 0 || tls.PrivateKey.Length == 0))
            r.Error("NARU-C204", $"{path}: MUTUAL needs clientCertificate and privateKey, or credentialName", r.At(tls));
        return new ClientTls
        {
            Mode = (ClientTlsMode)(int)tls.Mode,
            Certificate = tls.ClientCertificate,
            Key = tls.PrivateKey,
            Ca = tls.CaCertificates,
            Crl = tls.CaCrl,
            Credential = tls.CredentialName,
            Names = [.. tls.SubjectAltNames],
            Sni = tls.Sni,
            Insecure = tls.InsecureSkipVerify,
        };
    }
}
