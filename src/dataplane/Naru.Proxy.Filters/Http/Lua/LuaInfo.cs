// What scripts can ask of the stream and of its connection (Envoy docs: Lua, stream info object API, connection object API, SSL
// connection object API).
using System.Text;
using System.Text.Json;
using Naru.Proxy.Config;
using Naru.Proxy.Filters.Scripting;
using Naru.Proxy.Http;
using Naru.Proxy.Tls;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.Lua;

/// <summary>The stream, its connection, or what filters keep with it: the metatable says which.</summary>
internal sealed class LuaInfo(LuaRun run) : LuaStreamObject(run)
{
    public const int Millisecond = 0, Microsecond = 1;

    public static void Open(Methods methods)
    {
        Text(methods, "protocol", RequestText.Protocol);
        Text(methods, "routeName", RequestText.RouteName);
        Text(methods, "virtualClusterName", RequestText.VirtualClusterName);
        Text(methods, "downstreamLocalAddress", RequestText.DownstreamLocalAddress);
        Text(methods, "downstreamDirectLocalAddress", RequestText.DownstreamDirectLocalAddress);
        Text(methods, "downstreamRemoteAddress", RequestText.DownstreamRemoteAddress);
        Text(methods, "downstreamDirectRemoteAddress", RequestText.DownstreamDirectRemoteAddress);
        Text(methods, "requestedServerName", RequestText.RequestedServerName);
        methods.Add("dynamicMetadata", static a => Dynamic(a, isOfConnection: false));
        methods.Add("dynamicTypedMetadata", NoTypes);
        methods.Add("filterState", static a =>
        {
            LuaInfo self = LuaMetatables.Self<LuaInfo>(a);
            return a.Thread.Give(LuaValue.Of(new LuaInfo(self.Run) { Metatable = self.Run.World.Tables.FilterState }));
        });
        methods.Add("downstreamSslConnection", Ssl);
        methods.Add("drainConnectionUponCompletion", static a =>
        {
            Exchange x = LuaMetatables.Self<LuaInfo>(a).Run.Exchange;
            if (x.SpeaksHttp2) throw new LuaException("drainConnectionUponCompletion is not available over HTTP/2");
            x.KeepAlive = false;
            return a.Thread.None();
        });
    }

    public static void OpenConnection(Methods methods)
    {
        methods.Add("dynamicMetadata", static a => Dynamic(a, isOfConnection: true));
        methods.Add("dynamicTypedMetadata", NoTypes);
    }

    public static void OpenSocket(Methods methods) => methods.Add("ssl", Ssl);

    public static void OpenState(Methods methods) => methods.Add("get", static a =>
    {
        IRequestInfo x = LuaMetatables.Self<LuaInfo>(a).Run.Exchange;
        byte[] name = a.Text(1).Bytes;
        if (!x.TryGetState(name, out ReadOnlySpan<byte> value)) return a.Thread.Give(LuaValue.Nil);
        return a.Thread.Give(a.TextOrNone(2) is { } field ? Field(a.State, x.TypedState(name), field) : a.State.String(value));
    });

    private static LuaValue Field(LuaState state, ReadOnlySpan<byte> json, LuaString field)
    {
        if (json.IsEmpty) return LuaValue.Nil;
        try
        {
            using JsonDocument document = JsonDocument.Parse(json.ToArray());
            if (document.RootElement.ValueKind != JsonValueKind.Object
                || !document.RootElement.TryGetProperty(field.Bytes, out JsonElement value)) return LuaValue.Nil;
            return state.String(Encoding.UTF8.GetBytes(value.ValueKind == JsonValueKind.String ? value.GetString()! : value.GetRawText()));
        }
        catch (JsonException)
        {
            return LuaValue.Nil;
        }
    }

    private static void Text(Methods methods, string name, RequestText what) => methods.Add(name, a =>
    {
        IRequestInfo x = LuaMetatables.Self<LuaInfo>(a).Run.Exchange;
        return a.Thread.Give(a.State.String(x.Text(what)));
    });

    private static LuaOutcome Dynamic(LuaArguments a, bool isOfConnection)
    {
        LuaRun run = LuaMetatables.Self<LuaInfo>(a).Run;
        return a.Thread.Give(LuaValue.Of(new LuaDynamicMetadata(run, isOfConnection) { Metatable = run.World.Tables.DynamicMetadata }));
    }

    // No metadata has a type here.
    private static LuaOutcome NoTypes(LuaArguments a)
    {
        _ = LuaMetatables.Self<LuaInfo>(a);
        _ = a.Text(1);
        return a.Thread.Give(LuaValue.Nil);
    }

    private static LuaOutcome Ssl(LuaArguments a)
    {
        LuaRun run = LuaMetatables.Self<LuaInfo>(a).Run;
        return a.Thread.Give(run.Exchange.Connection?.Tls is { } session
            ? LuaValue.Of(new LuaTls(run, session) { Metatable = run.World.Tables.Tls }) : LuaValue.Nil);
    }
}

/// <summary>The TLS of a connection.</summary>
internal sealed class LuaTls(LuaRun run, TlsSession session) : LuaStreamObject(run)
{
    public static void Open(Methods methods)
    {
        methods.Add("peerCertificatePresented", static a => a.Thread.Give(LuaValue.Of(Session(a).Peer is not null)));
        methods.Add("peerCertificateValidated", static a => a.Thread.Give(LuaValue.Of(Session(a).IsPeerVerified)));
        Names(methods, "uriSanLocalCertificate", peer: false, SanType.Uri);
        Names(methods, "uriSanPeerCertificate", peer: true, SanType.Uri);
        Names(methods, "dnsSansLocalCertificate", peer: false, SanType.Dns);
        Names(methods, "dnsSansPeerCertificate", peer: true, SanType.Dns);
        Fact(methods, "sha256PeerCertificateDigest", peer: true, TlsFact.Fingerprint256);
        Fact(methods, "serialNumberPeerCertificate", peer: true, TlsFact.Serial);
        Fact(methods, "issuerPeerCertificate", peer: true, TlsFact.Issuer);
        Fact(methods, "subjectPeerCertificate", peer: true, TlsFact.Subject);
        Fact(methods, "subjectLocalCertificate", peer: false, TlsFact.Subject);
        Fact(methods, "urlEncodedPemEncodedPeerCertificate", peer: true, TlsFact.Certificate);
        Fact(methods, "sessionId", peer: true, TlsFact.SessionId);
        Fact(methods, "ciphersuiteString", peer: true, TlsFact.Cipher);
        Fact(methods, "tlsVersion", peer: true, TlsFact.Version);
        methods.Add("validFromPeerCertificate", static a => a.Thread.Give(Seconds(Session(a).Peer?.NotBefore)));
        methods.Add("expirationPeerCertificate", static a => a.Thread.Give(Seconds(Session(a).Peer?.NotAfter)));
        methods.Add("parsedSubjectPeerCertificate", static a =>
        {
            LuaTls self = LuaMetatables.Self<LuaTls>(a);
            return a.Thread.Give(self.Of.Peer is { } peer
                ? LuaValue.Of(new LuaParsedName(self.Run, peer.Subject) { Metatable = self.Run.World.Tables.ParsedName }) : LuaValue.Nil);
        });
        methods.Missing("urlEncodedPemEncodedPeerCertificateChain", "only the peer's own certificate is kept");
        methods.Missing("oidsPeerCertificate", "extensions of certificates are not kept");
        methods.Missing("oidsLocalCertificate", "extensions of certificates are not kept");
        methods.Missing("ciphersuiteId", "ciphers are known by their names");
    }

    public static void OpenName(Methods methods)
    {
        methods.Add("commonName", static a =>
        {
            List<string> names = LuaMetatables.Self<LuaParsedName>(a).All("CN");
            return a.Thread.Give(LuaValue.Of(names.Count > 0 ? names[0] : ""));
        });
        methods.Add("organizationName", static a =>
        {
            var table = new LuaTable(a.State);
            List<string> names = LuaMetatables.Self<LuaParsedName>(a).All("O");
            for (int i = 0; i < names.Count; i++) table.Set(i + 1, LuaValue.Of(names[i]));
            return a.Thread.Give(table);
        });
    }

    private TlsSession Of => session;

    private static TlsSession Session(LuaArguments a) => LuaMetatables.Self<LuaTls>(a).Of;

    private static void Fact(Methods methods, string name, bool peer, TlsFact what) =>
        methods.Add(name, a => a.Thread.Give(a.State.String(Session(a).Fact(peer, what))));

    private static void Names(Methods methods, string name, bool peer, SanType type) => methods.Add(name, a =>
    {
        TlsSession session = Session(a);
        var table = new LuaTable(a.State);
        int count = 0;
        foreach (SubjectAltName one in (peer ? session.Peer : session.Own)?.Names ?? [])
            if (one.Type == type) table.Set(++count, LuaValue.Of(one.Value));
        return a.Thread.Give(table);
    });

    private static double Seconds(DateTime? at) =>
        at is { } time ? Math.Floor((time.ToUniversalTime() - DateTime.UnixEpoch).TotalSeconds) : 0;
}

/// <summary>A subject, in its parts (RFC 2253).</summary>
internal sealed class LuaParsedName(LuaRun run, string subject) : LuaStreamObject(run)
{
    /// <summary>Values of a kind, in the order of the certificate.</summary>
    public List<string> All(string kind)
    {
        var all = new List<string>();
        var part = new StringBuilder();
        for (int i = 0; i <= subject.Length; i++)
        {
            if (i < subject.Length && subject[i] == '\\' && i + 1 < subject.Length)
            {
                i++;
                if (i + 1 < subject.Length && char.IsAsciiHexDigit(subject[i]) && char.IsAsciiHexDigit(subject[i + 1]))
                {
                    part.Append((char)Convert.ToInt32(subject.Substring(i, 2), 16));
                    i++;
                }
                else
                {
                    part.Append(subject[i]);
                }
            }
            else if (i == subject.Length || subject[i] is ',' or '+')
            {
                string text = part.ToString();
                part.Clear();
                if (text.StartsWith(kind + "=", StringComparison.Ordinal)) all.Insert(0, text[(kind.Length + 1)..]);
            }
            else
            {
                part.Append(subject[i]);
            }
        }
        return all;
    }
}
