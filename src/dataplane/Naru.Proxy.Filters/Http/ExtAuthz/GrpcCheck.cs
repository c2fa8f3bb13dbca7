// The service is asked by gRPC (envoy.service.auth.v3.Authorization/Check): all that is known of the request as attributes, an answer that says
// OK or not, and what is to be changed.
using System.Globalization;
using System.Text;
using Envoy.Config.Core.V3;
using Envoy.Service.Auth.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config.Reading;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.Tls;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;
using Peer = Envoy.Service.Auth.V3.AttributeContext.Types.Peer;

namespace Naru.Proxy.Filters.Http.ExtAuthz;

internal sealed class GrpcCheck(ExtAuthzConfig config, ClusterDirectory clusters)
{
    private readonly GrpcMethod _method = new(config.Grpc!, clusters, "/envoy.service.auth.v3.Authorization/Check");
    private readonly FieldChoice _fields = new(config);

    /// <summary>The question.</summary>
    public CallOut Ask(Exchange x, ExtAuthzRouteConfig? route, ReadOnlySpan<byte> body, bool? partial, bool asBytes)
    {
        var context = new AttributeContext
        {
            Source = PeerOf(x.Connection, ClientAddress.Of(x), isSource: true, config.SendsCertificate),
            Destination = PeerOf(x.Connection, x.Connection.LocalAddress(), isSource: false, sendsCertificate: false),
            Request = new AttributeContext.Types.Request { Time = Timestamp.FromDateTime(((IRequestInfo)x).StartTime), Http = Http(x, body, partial, asBytes) },
            MetadataContext = MetadataMessages.Of(x.DynamicMetadata, config.Namespaces),
            RouteMetadataContext = MetadataMessages.Of(x.Route?.Config.FilterMetadata, config.RouteNamespaces),
        };
        if (x.RequestHeaders.TryGet("x-envoy-downstream-service-cluster"u8, out ReadOnlySpan<byte> service))
            context.Source.Service = MetadataMessages.Text(service);
        if (route is not null) foreach ((string key, string value) in route.Extensions) context.ContextExtensions[key] = value;
        if (config.SendsTls && x.Connection.Tls is { } tls) context.TlsSession = new AttributeContext.Types.TLSSession { Sni = tls.Sni ?? "" };
        return _method.Call(x, new CheckRequest { Attributes = context }.ToByteArray());
    }

    public ValueTask<bool> RunAsync(CallOut call, Exchange x) => _method.RunAsync(call, x);

    /// <summary>One side of a connection, as the service is told of it.</summary>
    /// <param name="connection">The client's.</param>
    /// <param name="address">Of this side.</param>
    /// <param name="isSource">The client's side.</param>
    /// <param name="sendsCertificate">With its certificate.</param>
    public static Peer PeerOf(ListenerConnection connection, SockAddr address, bool isSource, bool sendsCertificate)
    {
        var peer = new Peer { Address = AddressOf(address) };
        if (connection.Tls is not { } tls) return peer;
        // Anybody can write a certificate with a name.
        bool named = !isSource || tls.IsPeerVerified;
        foreach (TlsFact what in named ? (ReadOnlySpan<TlsFact>)[TlsFact.UriSan, TlsFact.DnsSan, TlsFact.Subject] : [])
        {
            string said = MetadataMessages.Text(tls.Fact(isSource, what));
            if (said.Length == 0) continue;
            // The first of several.
            peer.Principal = what == TlsFact.Subject ? said : said.Split(',')[0];
            break;
        }
        if (sendsCertificate) peer.Certificate = MetadataMessages.Text(tls.Fact(peer: true, TlsFact.Certificate));
        return peer;
    }

    private static Address AddressOf(SockAddr address)
    {
        if (address.IsUnix) return new Address { Pipe = new Pipe { Path = address.ToString() } };
        Span<byte> bytes = stackalloc byte[16];
        int length = ClientAddress.AddressBytes(address, bytes);
        string text = length == 0 ? "" : new System.Net.IPAddress(bytes[..length]).ToString();
        return new Address { SocketAddress = new SocketAddress { Address = text, PortValue = (uint)address.Port } };
    }

    private AttributeContext.Types.HttpRequest Http(Exchange x, ReadOnlySpan<byte> body, bool? partial, bool asBytes)
    {
        var http = new AttributeContext.Types.HttpRequest
        {
            Id = x.Worker.Random.Next().ToString(CultureInfo.InvariantCulture),
            Method = MetadataMessages.Text(x.Method),
            Path = MetadataMessages.Text(x.PathAndQuery),
            Host = MetadataMessages.Text(x.Authority),
            Scheme = x.IsHttps ? "https" : "http",
            Protocol = Encoding.ASCII.GetString(((IRequestInfo)x).Text(RequestText.Protocol)),
        };
        if (config.SendsRawHeaders) http.HeaderMap = new HeaderMap();
        foreach (string pseudo in (ReadOnlySpan<string>)[":authority", ":path", ":method", ":scheme"])
        {
            byte[] name = Encoding.ASCII.GetBytes(pseudo);
            if (_fields.Tells(name) && x.RequestHeaders.TryGet(name, out ReadOnlySpan<byte> value)) Add(http, name, value);
        }
        if (config.SendsRawHeaders) AddEach(http, x.RequestHeaders);
        else foreach ((byte[] name, byte[] value) in _fields.Joined(x)) Add(http, name, value);
        if (partial is not { } cut) return http;
        http.Size = body.Length;
        Add(http, "x-envoy-auth-partial-body"u8, cut ? "true"u8 : "false"u8);
        if (asBytes) http.RawBody = ByteString.CopyFrom(body);
        else http.Body = MetadataMessages.Text(body);
        return http;
    }

    private void AddEach(AttributeContext.Types.HttpRequest http, RequestHeaders head)
    {
        for (int i = head.Next(); i >= 0; i = head.Next(i + 1))
        {
            byte[] name = Encoding.ASCII.GetBytes(Encoding.ASCII.GetString(head.Name(i)).ToLowerInvariant());
            if (!name.AsSpan().SequenceEqual("host"u8) && _fields.Tells(name)) Add(http, name, head.Value(i));
        }
    }

    private static void Add(AttributeContext.Types.HttpRequest http, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        if (http.HeaderMap is { } map) map.Headers.Add(new HeaderValue { Key = MetadataMessages.Text(name), RawValue = ByteString.CopyFrom(value) });
        else http.Headers[MetadataMessages.Text(name)] = MetadataMessages.Text(value);
    }

    /// <summary>What was answered.</summary>
    public CheckAnswer Read(CallOut call)
    {
        var answer = new CheckAnswer();
        if (GrpcMethod.Read(call, CheckResponse.Parser) is not { } response) return answer;
        // A message that says nothing lets nobody in, as where it says no.
        bool ok = response.Status is { Code: 0 };
        answer.Outcome = ok ? CheckOutcome.Ok : CheckOutcome.Denied;
        Struct? metadata = response.DynamicMetadata;
        if (ok && response.OkResponse is { } good)
        {
            metadata = good.DynamicMetadata ?? metadata;
            foreach (HeaderValueOption option in good.Headers)
                answer.Fields.Add(Edit(option, option.Append == true ? FieldChange.Join : FieldChange.Set));
            foreach (HeaderValueOption option in good.ResponseHeadersToAdd) answer.AnswerFields.Add(Edit(option, OfAnswer(option)));
            answer.Removed.AddRange(good.HeadersToRemove.Select(n => n.ToLowerInvariant()));
            answer.QuerySet.AddRange(good.QueryParametersToSet.Select(q => (q.Key, q.Value)));
            answer.QueryRemoved.AddRange(good.QueryParametersToRemove);
        }
        else if (!ok && response.DeniedResponse is { } denied)
        {
            if (denied.Status is { } status && (int)status.Code is >= 200 and <= 599) answer.Status = (int)status.Code;
            answer.Body = denied.Body.Length == 0 ? [] : Encoding.UTF8.GetBytes(denied.Body);
            foreach (HeaderValueOption option in denied.Headers) if (option.Append != true) answer.Fields.Add(Edit(option, FieldChange.Set));
        }
        if (metadata is { Fields.Count: > 0 }) answer.Metadata = MetadataReader.Read(metadata);
        return answer;
    }

    private static FieldEdit Edit(HeaderValueOption option, FieldChange change)
    {
        HeaderValue header = option.Header ?? new HeaderValue();
        return new FieldEdit(header.Key.ToLowerInvariant(), header.RawValue.IsEmpty ? Encoding.UTF8.GetBytes(header.Value) : header.RawValue.ToByteArray(), change);
    }

    private static FieldChange OfAnswer(HeaderValueOption option) => option.Append is { } append ? append ? FieldChange.Add : FieldChange.Set
        : option.AppendAction switch
        {
            HeaderValueOption.Types.HeaderAppendAction.AddIfAbsent => FieldChange.AddIfAbsent,
            HeaderValueOption.Types.HeaderAppendAction.OverwriteIfExists => FieldChange.SetIfThere,
            _ => FieldChange.Set,
        };
}
