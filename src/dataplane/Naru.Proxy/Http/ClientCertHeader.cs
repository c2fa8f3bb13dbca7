// x-forwarded-client-cert: who the client of a mutual TLS connection is, told to the upstream (Envoy: HTTP connection manager,
// forward_client_cert_details). What a client without a certificate says about itself is not passed on unless that is asked for.
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Tls;

namespace Naru.Proxy.Http;

internal static class ClientCertHeader
{
    /// <summary>Whether the header the client sent goes on: a client that proved nothing tells nothing about others.</summary>
    public static bool Keeps(Exchange x) => x.Manager.Config.ForwardClientCert switch
    {
        ClientCertForwarding.AlwaysForwardOnly => true,
        ClientCertForwarding.ForwardOnly or ClientCertForwarding.AppendForward => x.Connection.Tls is { IsPeerVerified: true },
        _ => false,
    };

    /// <summary>What the proxy says itself, or empty. Made once for a connection.</summary>
    public static ReadOnlySpan<byte> Own(Exchange x)
    {
        HttpConnectionManagerConfig config = x.Manager.Config;
        if (config.ForwardClientCert is not (ClientCertForwarding.AppendForward or ClientCertForwarding.SanitizeSet)) return default;
        if (x.Connection.Tls is not { Peer: { } peer } tls) return default;
        if (tls.ClientCertHeader is { } made && tls.ClientCertHeaderFor == (int)config.ClientCertDetails) return made;
        tls.ClientCertHeaderFor = (int)config.ClientCertDetails;
        return tls.ClientCertHeader = Encoding.UTF8.GetBytes(Text(peer, tls, config.ClientCertDetails));
    }

    internal static string Text(CertificateInfo peer, TlsSession tls, ClientCertDetails details)
    {
        var text = new StringBuilder();
        if (tls.Own?.First(SanType.Uri) is { Length: > 0 } own) Add(text, "By", own);
        Add(text, "Hash", Convert.ToHexStringLower(peer.Sha256.AsSpan()));
        if ((details & ClientCertDetails.Cert) != 0) AddQuoted(text, "Cert", Uri.EscapeDataString(peer.Pem));
        if ((details & ClientCertDetails.Chain) != 0) AddQuoted(text, "Chain", Uri.EscapeDataString(tls.PeerChainPem()));
        if ((details & ClientCertDetails.Subject) != 0) AddQuoted(text, "Subject", peer.Subject.Replace("\\\"", "\"", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal));
        if ((details & ClientCertDetails.Uri) != 0) AddNames(text, "URI", peer, SanType.Uri, empty: true);
        if ((details & ClientCertDetails.Dns) != 0) AddNames(text, "DNS", peer, SanType.Dns, empty: false);
        return text.ToString();
    }

    private static void AddNames(StringBuilder text, string key, CertificateInfo peer, SanType type, bool empty)
    {
        bool any = false;
        foreach (SubjectAltName name in peer.Names)
        {
            if (name.Type != type) continue;
            any = true;
            Add(text, key, name.Value);
        }
        if (!any && empty) Add(text, key, "");
    }

    // A value with a separator in it would add elements of its own.
    private static void Add(StringBuilder text, string key, string value)
    {
        if (value.AsSpan().IndexOfAny(",;=\"") >= 0)
        {
            AddQuoted(text, key, value.Replace("\"", "\\\"", StringComparison.Ordinal));
            return;
        }
        Separate(text).Append(key).Append('=').Append(value);
    }

    private static void AddQuoted(StringBuilder text, string key, string value) => Separate(text).Append(key).Append("=\"").Append(value).Append('"');

    private static StringBuilder Separate(StringBuilder text) => text.Length > 0 ? text.Append(';') : text;
}
