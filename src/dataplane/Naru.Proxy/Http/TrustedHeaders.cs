// Which headers of a request are believed (Envoy: HTTP header sanitizing, x-forwarded-*, x-envoy-*): what only we or a trusted peer may
// say is taken from strangers, and what we know about the client is said in its place. Stands before routing: what a client made up must
// choose no route and pass no filter.
using System.Net.NetworkInformation;
using System.Net.Sockets;
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Explain;
using Naru.Proxy.Filters;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

internal static class TrustedHeaders
{
    // What an internal client may say, and nobody else: what it asks of the router, and some that are passed on. Without their x-envoy-.
    private static readonly byte[][] s_internalOnly =
    [
        .. RequestLimits.Consumed.ToArray().Select(name => name["x-envoy-".Length..]),
        "expected-rq-timeout-ms"u8.ToArray(), "force-trace"u8.ToArray(), "ip-tags"u8.ToArray(), "original-url"u8.ToArray(),
    ];

    /// <summary>Whether a stranger stands at the other end: a client from outside, where the connection is trusted for its address.</summary>
    public static bool IsEdge(Exchange x) => x.Manager.Config.UseRemoteAddress && !ClientAddress.IsInternal(x);

    /// <summary>Cleans the head and says in it what is known about the client. Called once, before anybody looks for a route.</summary>
    public static void Clean(Exchange x)
    {
        HttpManager manager = x.Manager;
        HttpConnectionManagerConfig config = manager.Config;
        RequestHeaders head = x.RequestHeaders;
        bool isInternal = ClientAddress.IsInternal(x), edge = config.UseRemoteAddress && !isInternal;
        bool looksAtOthers = edge || x.Framing.ConnectionNamesFields;
        int proto = -1, requestId = -1, addresses = 0, vias = 0;
        ReadOnlySpan<byte> bytes = x.Bytes;
        ReadOnlySpan<HeaderField> fields = x.Head.Fields;
        // Early mutations have changed the head already: what they left is looked at, wherever it stands.
        bool early = manager.EarlyMutations is not null;
        for (int i = early ? head.Next() : 0; early ? i >= 0 : i < fields.Length; i = early ? head.Next(i + 1) : i + 1)
        {
            KnownHeader id = early ? head.Id(i) : fields[i].Id;
            switch (id)
            {
                case KnownHeader.Other:
                    if (!looksAtOthers) continue;
                    ReadOnlySpan<byte> name = head.Name(i);
                    if ((x.Framing.ConnectionNamesFields && IsNamedByConnection(x, bytes, name)) || (edge && IsTwin(name))) head.Drop(i);
                    break;
                case KnownHeader.Internal:
                    if (Ascii.EqualsIgnoreCase(head.Name(i), Explanation.Header))
                    {
                        Explanation.Ask(x, head.Value(i));
                        head.Drop(i);
                    }
                    else if (edge || IsForInternal(head.Name(i), isInternal)) head.Drop(i);
                    break;
                case KnownHeader.XForwardedProto:
                    proto = i;
                    break;
                case KnownHeader.XForwardedHost:
                    if (DropsForwarded(x)) head.Drop(i);
                    break;
                case KnownHeader.XForwardedPort:
                    if (DropsForwarded(x) || ReplacesPort(x)) head.Drop(i);
                    break;
                case KnownHeader.XForwardedClientCert:
                    if (!ClientCertHeader.Keeps(x)) head.Drop(i);
                    break;
                case KnownHeader.XForwardedFor:
                    addresses++;
                    break;
                case KnownHeader.Via:
                    vias++;
                    break;
                case KnownHeader.XRequestId:
                    if (head.Value(i).Length > 0) requestId = i;
                    break;
            }
        }
        ReadOnlySpan<byte> scheme = IsAimedAtHttps(x, config) ? "https"u8 : "http"u8;
        if (proto < 0) head.AddOwn("x-forwarded-proto"u8, scheme, KnownHeader.XForwardedProto);
        else if (DropsForwardedProto(x)) head.Set("x-forwarded-proto"u8, scheme);
        else scheme = head.Value(proto);
        if (config.SchemeToOverwrite.Length > 0) OverwriteScheme(x, head, config.SchemeToOverwrite);
        else if (!x.SpeaksHttp2 && !x.TargetHasScheme) x.IsHttps = IsHttps(scheme, x.IsHttps);
        if (config.AddUserAgent) SayNode(head, manager.Node!);
        if (manager.KnowsClients) SayClient(x, head, isInternal, addresses > 0);
        else if (addresses > 1) head.Join("x-forwarded-for"u8, default, ","u8);
        bool makeId = config.GenerateRequestId && (requestId < 0 || (edge && !config.PreserveExternalRequestId));
        if (makeId) RequestId.Set(head, x.Worker, anew: requestId < 0);
        if (manager.Via.Length == 0) return;
        if (vias == 0) head.AddOwn("via"u8, manager.Via, KnownHeader.Via);
        else head.Join("via"u8, manager.Via, ", "u8);
    }

    // By the port that the client had aimed at, where somebody told it; else by the connection (Envoy: forward_proto_config).
    private static bool IsAimedAtHttps(Exchange x, HttpConnectionManagerConfig config) =>
        config.ForwardProto is { } ports && x.Connection?.Info?.Destination is { } aimed && ports.TryGetValue(aimed.Port, out bool secure)
            ? secure : x.IsFromTls;

    // Envoy: scheme_header_transformation.
    private static void OverwriteScheme(Exchange x, RequestHeaders head, string scheme)
    {
        x.IsHttps = scheme.Length == 5;
        head.Set("x-forwarded-proto"u8, x.IsHttps ? "https"u8 : "http"u8);
    }

    // Envoy: add_user_agent.
    private static void SayNode(RequestHeaders head, NodeState node)
    {
        head.Set("x-envoy-downstream-service-cluster"u8, node.Cluster);
        if (!head.TryGet("user-agent"u8, out ReadOnlySpan<byte> agent) || agent.IsEmpty) head.Set("user-agent"u8, node.Cluster);
        if (node.Id.Length > 0) head.Set("x-envoy-downstream-service-node"u8, node.Id);
    }

    // What is no scheme leaves the connection's own.
    private static bool IsHttps(ReadOnlySpan<byte> scheme, bool connection) =>
        Ascii.EqualsIgnoreCase(scheme, "https"u8) || (connection && !Ascii.EqualsIgnoreCase(scheme, "http"u8));

    // Its address, whether it is one of us, its port and certificate.
    private static void SayClient(Exchange x, RequestHeaders head, bool isInternal, bool hasAddresses)
    {
        HttpConnectionManagerConfig config = x.Manager.Config;
        Span<byte> text = stackalloc byte[64];
        int port = config.AppendXForwardedPort ? x.Connection.Local.Port : 0;
        if (port > 0 && !head.Has(KnownHeader.XForwardedPort)) head.Set("x-forwarded-port"u8, port);
        if (config.UseRemoteAddress && !config.SkipXffAppend)
        {
            SockAddr peer = x.Connection.Peer;
            byte[]? machine = ClientAddress.IsLoopback(peer) ? Machine : null;
            head.Join("x-forwarded-for"u8, machine ?? text[..peer.FormatAddress(text)], ","u8);
        }
        else if (hasAddresses)
        {
            head.Join("x-forwarded-for"u8, default, ","u8);
        }
        if (isInternal)
        {
            head.AddOwn("x-envoy-internal"u8, "true"u8, KnownHeader.Internal);
        }
        else if (config.UseRemoteAddress && !ClientAddress.Of(x).IsUnix)
        {
            head.AddOwn("x-envoy-external-address"u8, text[..ClientAddress.Of(x).FormatAddress(text)], KnownHeader.Internal);
        }
        ReadOnlySpan<byte> certificate = ClientCertHeader.Own(x);
        if (certificate.Length > 0) head.Join("x-forwarded-client-cert"u8, certificate, ","u8);
    }

    /// <summary>An address of this machine that others may know it by: a peer on loopback is told by it (Envoy: x-forwarded-for). Null for none.</summary>
    public static byte[]? Machine => s_machine.Value;

    private static readonly Lazy<byte[]?> s_machine = new(static () => NetworkInterface.GetAllNetworkInterfaces()
        .Where(i => i.OperationalStatus == OperationalStatus.Up && i.NetworkInterfaceType != NetworkInterfaceType.Loopback)
        .SelectMany(i => i.GetIPProperties().UnicastAddresses)
        .Where(a => a.Address.AddressFamily == AddressFamily.InterNetwork)
        .Select(a => Encoding.ASCII.GetBytes(a.Address.ToString()))
        .FirstOrDefault());

    /// <summary>Whether an <c>x-envoy-*</c> field of a client that is not at the edge stays behind: nobody says of itself that it is
    /// internal, and what is asked of the router internal clients may ask.</summary>
    private static bool IsForInternal(ReadOnlySpan<byte> name, bool isInternal)
    {
        if (name.Length < 9 || (name[2] | 0x20) != 'e') return false;
        ReadOnlySpan<byte> rest = name[8..];
        if (Ascii.EqualsIgnoreCase(rest, "internal"u8)) return true;
        if (isInternal) return false;
        foreach (byte[] internalOnly in s_internalOnly) if (Ascii.EqualsIgnoreCase(rest, internalOnly)) return true;
        return false;
    }

    // Connection may take a field away only where it does not identify, route or trace the request.
    private static bool IsNamedByConnection(Exchange x, ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> name)
    {
        bool named = false;
        foreach (ref readonly HeaderField field in x.Head.Fields)
            if (field.Id == KnownHeader.Connection && Http1Framing.ListHas(Http1Head.Value(bytes, field), name)) named = true;
        return named && !IsProtected(name);
    }

    /// <summary>Whether what a client says about scheme, host and port before us is taken away: nobody in front of us is trusted.</summary>
    public static bool DropsForwarded(Exchange x) => x.Manager.Config is { UseRemoteAddress: true, XffNumTrustedHops: 0 } && IsEdge(x);

    /// <summary>Whether our port stands in for what <c>x-forwarded-port</c> says (Envoy: append_x_forwarded_port).</summary>
    public static bool ReplacesPort(Exchange x) => x.Manager.Config is { AppendXForwardedPort: true, UseRemoteAddress: true, XffNumTrustedHops: 0 };

    /// <summary>Whether a name is one of those that servers take for a trusted one, or for one that frames messages, since they read
    /// underscores as hyphens.</summary>
    public static bool IsTwin(ReadOnlySpan<byte> name)
    {
        if (Ascii.EqualsIgnoreCase(name, "transfer_encoding"u8) || Ascii.EqualsIgnoreCase(name, "content_length"u8)) return true;
        if (name.Length < 8 || (name[0] | 0x20) != 'x' || name.Length > 64 || !name.Contains((byte)'_')) return false;
        Span<byte> hyphens = stackalloc byte[name.Length];
        name.Replace(hyphens, (byte)'_', (byte)'-');
        return KnownHeaders.Of(hyphens) != KnownHeader.Other;
    }

    /// <summary>Whether <c>Connection</c> must not take a field away. What identifies, routes or traces a request it may not: a client must
    /// not be able to delete what a proxy in front has said about it.</summary>
    public static bool IsProtected(ReadOnlySpan<byte> name) => name.Length switch
    {
        2 => Ascii.EqualsIgnoreCase(name, "b3"u8),
        6 => Ascii.EqualsIgnoreCase(name, "cookie"u8) || Ascii.EqualsIgnoreCase(name, "origin"u8),
        7 => Ascii.EqualsIgnoreCase(name, "baggage"u8),
        9 => Ascii.EqualsIgnoreCase(name, "forwarded"u8) || Ascii.EqualsIgnoreCase(name, "x-real-ip"u8),
        10 => Ascii.EqualsIgnoreCase(name, "tracestate"u8),
        11 => Ascii.EqualsIgnoreCase(name, "traceparent"u8),
        13 when Ascii.EqualsIgnoreCase(name, "authorization"u8) => true,
        _ => StartsWith(name, "x-forwarded-"u8) || StartsWith(name, "content-"u8) || StartsWith(name, "x-b3-"u8) || StartsWith(name, "x-client-"u8)
            || StartsWith(name, "x-datadog-"u8) || StartsWith(name, "x-amzn-trace-id"u8) || StartsWith(name, "x-ot-span-context"u8) || StartsWith(name, "grpc-"u8),
    };

    private static bool StartsWith(ReadOnlySpan<byte> name, ReadOnlySpan<byte> lower) => name.Length >= lower.Length && Ascii.EqualsIgnoreCase(name[..lower.Length], lower);

    /// <summary>The scheme is the connection's, whatever a client says, unless trusted proxies stand in front.</summary>
    public static bool DropsForwardedProto(Exchange x) => x.Manager.Config is { UseRemoteAddress: true, XffNumTrustedHops: 0 };

    /// <summary>Whether the request has such a field.</summary>
    public static bool Has(this Exchange x, KnownHeader id)
    {
        foreach (ref readonly HeaderField field in x.Head.Fields) if (field.Id == id) return true;
        return false;
    }
}
