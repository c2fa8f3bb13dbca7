// Spans as collectors take them: Zipkin's API version 2 in JSON and in protobuf (zipkin-api: zipkin2-api.yaml, zipkin.proto), and OTLP
// (opentelemetry-proto: trace.proto).
using System.Buffers.Binary;
using System.Net;
using System.Text;

namespace Naru.Telemetry;

/// <summary>Who makes spans, as Zipkin is told.</summary>
/// <param name="Service">The node's cluster.</param>
/// <param name="Address">Of this machine.</param>
/// <param name="IsShared">Both sides of a call are one span (<c>shared_span_context</c>).</param>
public sealed record ZipkinEndpoint(string Service, IPAddress Address, bool IsShared);

/// <summary>Writes spans.</summary>
public static class SpanFormats
{
    /// <summary>An object of JSON. Names stand in the order of their letters, as Envoy writes them.</summary>
    public static void WriteJson(SpanRecord span, ZipkinEndpoint endpoint, LineBuffer into)
    {
        long start = span.Start / 1000, end = span.End / 1000;
        bool server = span.Kind == SpanKind.Server;
        into.Append("{\"annotations\":["u8);
        foreach ((long time, string what) in span.Events) Annotation(time / 1000, what, into);
        Annotation(end, server ? "ss" : "cr", into);
        into.Truncate(into.Length - 1);
        into.Append("],\"duration\":"u8);
        into.Append(Math.Max(1, end - start));
        into.Append(",\"id\":\""u8);
        Id(span.Context.Span, into);
        into.Append(server ? "\",\"kind\":\"SERVER\",\"localEndpoint\":{\"ipv"u8 : "\",\"kind\":\"CLIENT\",\"localEndpoint\":{\"ipv"u8);
        into.Append(endpoint.Address.AddressFamily == System.Net.Sockets.AddressFamily.InterNetworkV6 ? "6\":\""u8 : "4\":\""u8);
        into.Append(Encoding.ASCII.GetBytes(endpoint.Address.ToString()));
        into.Append("\",\"port\":0,\"serviceName\":"u8);
        MetaValue.Quote(Encoding.UTF8.GetBytes(endpoint.Service), into);
        into.Append("},\"name\":"u8);
        MetaValue.Quote(Encoding.UTF8.GetBytes(span.Name), into);
        if (span.Context.Parent != 0)
        {
            into.Append(",\"parentId\":\""u8);
            Id(span.Context.Parent, into);
            into.Append((byte)'"');
        }
        if (server && endpoint.IsShared) into.Append(",\"shared\":true"u8);
        into.Append(",\"tags\":{"u8);
        bool first = true;
        foreach ((byte[] Name, int, int) tag in span.Tags())
        {
            // Zipkin has no empty tags.
            if (tag.Name.Length == 0 || span.Value(tag).IsEmpty) continue;
            if (!first) into.Append((byte)',');
            first = false;
            MetaValue.Quote(tag.Name, into);
            into.Append((byte)':');
            MetaValue.Quote(span.Value(tag), into);
        }
        into.Append("},\"timestamp\":"u8);
        into.Append(start);
        into.Append(",\"traceId\":\""u8);
        Span<byte> id = stackalloc byte[TraceContext.MostTraceId];
        into.Append(id[..span.Context.WriteTrace(id)]);
        into.Append("\"}"u8);
    }

    private static void Annotation(long micros, string what, LineBuffer into)
    {
        into.Append("{\"timestamp\":"u8);
        into.Append(micros);
        into.Append(",\"value\":\""u8);
        into.Append(Encoding.ASCII.GetBytes(what));
        into.Append("\"},"u8);
    }

    private static void Id(ulong id, LineBuffer into)
    {
        TraceContext.Hex(id, into.GetSpan(16));
        into.Advance(16);
    }

    /// <summary>One of <c>ListOfSpans.spans</c>.</summary>
    public static void WriteZipkin(SpanRecord span, ZipkinEndpoint endpoint, ProtoWriter into)
    {
        bool server = span.Kind == SpanKind.Server;
        Span<byte> id = stackalloc byte[16];
        int mark = into.Begin(1);
        span.Context.WriteTraceBytes(id);
        into.Bytes(1, span.Context.High == 0 ? id[8..] : id);
        if (span.Context.Parent != 0) into.Bytes(2, Bytes(span.Context.Parent, id));
        into.Bytes(3, Bytes(span.Context.Span, id));
        into.Number(4, server ? 2 : 1);
        into.Text(5, span.Name);
        into.Fixed64(6, (ulong)(span.Start / 1000));
        into.Number(7, Math.Max(1, span.End / 1000 - span.Start / 1000));
        int local = into.Begin(8);
        into.Text(1, endpoint.Service);
        byte[] address = endpoint.Address.GetAddressBytes();
        into.Bytes(address.Length == 4 ? 2 : 3, address);
        into.End(local);
        foreach ((long time, string what) in span.Events) ProtoAnnotation(time, what, into);
        ProtoAnnotation(span.End, server ? "ss" : "cr", into);
        foreach ((byte[] Name, int, int) tag in span.Tags())
        {
            if (tag.Name.Length == 0 || span.Value(tag).IsEmpty) continue;
            int pair = into.Begin(11);
            into.Text(1, tag.Name);
            into.Text(2, span.Value(tag));
            into.End(pair);
        }
        into.Number(13, server && endpoint.IsShared ? 1 : 0);
        into.End(mark);
    }

    private static void ProtoAnnotation(long nanos, string what, ProtoWriter into)
    {
        int mark = into.Begin(10);
        into.Fixed64(1, (ulong)(nanos / 1000));
        into.Text(2, what);
        into.End(mark);
    }

    private static Span<byte> Bytes(ulong id, Span<byte> into)
    {
        BinaryPrimitives.WriteUInt64BigEndian(into, id);
        return into[..8];
    }

    /// <summary>One of <c>ScopeSpans.spans</c>.</summary>
    public static void WriteOtlp(SpanRecord span, ProtoWriter into)
    {
        Span<byte> id = stackalloc byte[16];
        int mark = into.Begin(2);
        span.Context.WriteTraceBytes(id);
        into.Bytes(1, id);
        into.Bytes(2, Bytes(span.Context.Span, id));
        into.Text(3, span.State);
        if (span.Context.Parent != 0) into.Bytes(4, Bytes(span.Context.Parent, id));
        into.Text(5, span.Name);
        into.Number(6, span.Kind == SpanKind.Server ? 2 : 3);
        into.Fixed64(7, (ulong)span.Start);
        into.Fixed64(8, (ulong)span.End);
        foreach ((byte[] Name, int, int) tag in span.Tags()) Attribute(9, tag.Name, span.Value(tag), into);
        if (span.Status != SpanStatus.None)
        {
            int status = into.Begin(15);
            into.Number(3, span.Status == SpanStatus.Error ? 2 : 0);
            into.End(status);
        }
        // The low byte is that of traceparent; whether the span above is another program's is known (trace.proto: SpanFlags).
        into.Fixed32(16, 0x101u | (span.Context.HasRemoteParent ? 0x200u : 0));
        into.End(mark);
    }

    /// <summary>A <c>KeyValue</c> whose value is a text.</summary>
    public static void Attribute(int field, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, ProtoWriter into)
    {
        int pair = into.Begin(field);
        into.Text(1, name);
        int any = into.Begin(2);
        into.Text(1, value, always: true);
        into.End(any);
        into.End(pair);
    }

    /// <summary>The same.</summary>
    public static void Attribute(int field, string name, string value, ProtoWriter into) =>
        Attribute(field, Encoding.UTF8.GetBytes(name), Encoding.UTF8.GetBytes(value), into);
}
