// What a request can say about the TLS of its two connections: whose certificate, and which fact of it.
namespace Naru.Telemetry;

/// <summary>Whose TLS facts are asked for.</summary>
public enum TlsParty
{
    /// <summary>The client.</summary>
    DownstreamPeer,
    /// <summary>This proxy towards the client.</summary>
    DownstreamLocal,
    /// <summary>The endpoint.</summary>
    UpstreamPeer,
    /// <summary>This proxy towards the endpoint.</summary>
    UpstreamLocal,
}

/// <summary>A fact of a certificate, or of the connection it was used on. Lists are joined by commas.</summary>
public enum TlsFact
{
    /// <summary>URI names.</summary>
    UriSan,
    /// <summary>DNS names.</summary>
    DnsSan,
    /// <summary>IP addresses.</summary>
    IpSan,
    /// <summary>E-mail addresses.</summary>
    EmailSan,
    /// <summary>Subject, RFC 2253.</summary>
    Subject,
    /// <summary>Issuer, RFC 2253.</summary>
    Issuer,
    /// <summary>SHA-256 of the certificate, lower-case hexadecimal.</summary>
    Fingerprint256,
    /// <summary>Serial number, lower-case hexadecimal.</summary>
    Serial,
    /// <summary>The certificate, URL-encoded PEM.</summary>
    Certificate,
    /// <summary>When it begins, ISO 8601.</summary>
    ValidFrom,
    /// <summary>When it ends, ISO 8601.</summary>
    ValidTo,
    /// <summary>Session id, hexadecimal.</summary>
    SessionId,
    /// <summary>OpenSSL's name of the suite.</summary>
    Cipher,
    /// <summary><c>TLSv1.3</c> and the like.</summary>
    Version,
}
