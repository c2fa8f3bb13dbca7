// One call on its way: which method it is of, what path and query said, and what is held of either side. Its owner is the filter, by the slot
// of the request; what is held goes back at the end.
using System.Text;
using Naru.Http.Bodies;
using Naru.Http.Transcoding;
using Naru.Proxy.Io;

namespace Naru.Proxy.Filters.Http.GrpcJsonTranscoder;

internal sealed class TranscodedCall(TranscoderRules rules, TranscodedMethod method)
{
    // A message of bytes is no longer than servers take unasked.
    private const int MostBytesMessage = 1024 * 1024;

    [ThreadStatic]
    private static ByteSink? t_out;

    [ThreadStatic]
    private static ByteSink? t_scratch;

    /// <summary>How it is transcoded.</summary>
    public TranscoderRules Rules => rules;

    /// <summary>What it calls.</summary>
    public TranscodedMethod Method => method;

    /// <summary>What path and query say of fields; of a stream its first message has them.</summary>
    public List<FieldBinding> Bindings { get; } = [];

    /// <summary>Parameters of the query that no field has.</summary>
    public List<(string Name, byte[] Value)> Unknown { get; } = [];

    /// <summary>The content type of the request; empty for none.</summary>
    public byte[] ContentType { get; set; } = [];

    /// <summary>The whole request, and the whole answer, as they go on; null where it is none, or went.</summary>
    public IoBuffer? WholeRequest, Whole;

    /// <summary>What of streams could not be read yet; null for nothing.</summary>
    public IoBuffer? PendingRequest, Pending;

    /// <summary>Messages of the request, and of the answer. Both may be on their way at once.</summary>
    public int Requests, Messages;

    /// <summary>The request was read whole: its own body does not go on.</summary>
    public bool IsRequestWhole;

    /// <summary>The answer passes as it is.</summary>
    public bool PassesAnswer;

    /// <summary>The answer has gone on whole: its own body does not.</summary>
    public bool IsAnswerWhole;

    /// <summary>Values of the request's stream.</summary>
    public JsonSplitter Split;

    private static ByteSink Out
    {
        get
        {
            ByteSink sink = t_out ??= new ByteSink();
            sink.Clear();
            return sink;
        }
    }

    private static ByteSink Scratch
    {
        get
        {
            ByteSink sink = t_scratch ??= new ByteSink();
            sink.Clear();
            return sink;
        }
    }

    /// <summary>A buffer with bytes behind what stands in it.</summary>
    public static IoBuffer Add(Worker worker, IoBuffer? buffer, ReadOnlySpan<byte> bytes)
    {
        buffer ??= worker.Buffers.Rent();
        if (buffer.Room < bytes.Length)
        {
            buffer.Compact();
            if (buffer.Room < bytes.Length) buffer = worker.Buffers.Grow(buffer, Math.Max(bytes.Length, buffer.Count));
        }
        buffer.Append(bytes);
        return buffer;
    }

    /// <summary>One message of JSON becomes one of gRPC, behind what stands in a buffer.</summary>
    public bool Request(Worker worker, ReadOnlySpan<byte> json, ref IoBuffer? into, out string fault)
    {
        ByteSink sink = Out;
        IReadOnlyList<FieldBinding> bindings = Requests++ == 0 ? Bindings : [];
        if (!JsonToProto.Write(json, method.Declared.Input, method.Body, bindings, rules.Json, sink, Scratch, out fault)) return false;
        Frame(worker, sink, ref into);
        return true;
    }

    /// <summary>Bytes become a message that holds them (google.api.HttpBody): several, where they are many and may be.</summary>
    public bool RequestBytes(Worker worker, ReadOnlySpan<byte> bytes, ref IoBuffer? into, out string fault)
    {
        fault = "";
        bool first = true;
        while (first || !bytes.IsEmpty)
        {
            ReadOnlySpan<byte> piece = method.Declared.ClientStreams ? bytes[..Math.Min(bytes.Length, MostBytesMessage)] : bytes;
            bytes = bytes[piece.Length..];
            ByteSink sink = Out;
            bool opens = Requests++ == 0;
            // What path and query say stands beside the field that holds the bytes.
            if (opens && !JsonToProto.Write(default, method.Declared.Input, null, Bindings, rules.Json, sink, Scratch, out fault)) return false;
            int open = -1;
            if (method.Body is { } field)
            {
                sink.Tag(field.Number, 2);
                open = sink.Open();
            }
            if (opens && ContentType.Length > 0)
            {
                sink.Tag(1, 2);
                sink.Counted(ContentType);
            }
            if (!piece.IsEmpty)
            {
                sink.Tag(2, 2);
                sink.Counted(piece);
            }
            if (opens && Unknown.Count > 0) Captured(sink);
            if (open >= 0) sink.Close(open);
            Frame(worker, sink, ref into);
            first = false;
        }
        return true;
    }

    // Envoy: UnknownQueryParams, in an Any among the extensions of the body.
    private void Captured(ByteSink sink)
    {
        sink.Tag(3, 2);
        int any = sink.Open();
        sink.Tag(1, 2);
        sink.Counted("type.googleapis.com/envoy.extensions.filters.http.grpc_json_transcoder.v3.UnknownQueryParams"u8);
        sink.Tag(2, 2);
        int all = sink.Open();
        foreach (IGrouping<string, (string Name, byte[] Value)> named in Unknown.GroupBy(u => u.Name, StringComparer.Ordinal))
        {
            sink.Tag(1, 2);
            int entry = sink.Open();
            sink.Tag(1, 2);
            sink.Counted(Encoding.UTF8.GetBytes(named.Key));
            sink.Tag(2, 2);
            int values = sink.Open();
            foreach ((string _, byte[] value) in named)
            {
                sink.Tag(1, 2);
                sink.Counted(Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(value)));
            }
            sink.Close(values);
            sink.Close(entry);
        }
        sink.Close(all);
        sink.Close(any);
    }

    private static void Frame(Worker worker, ByteSink sink, ref IoBuffer? into)
    {
        int total = sink.Total + ProtoBody.Prefix;
        into ??= worker.Buffers.Rent();
        if (into.Room < total) into = worker.Buffers.Grow(into, total);
        ProtoBody.WritePrefix(into.Free, sink.Total);
        sink.CopyTo(into.Free[ProtoBody.Prefix..]);
        into.End += total;
        sink.Clear();
    }

    /// <summary>One message of an answer becomes JSON, behind what stands in a buffer. Of google.api.HttpBody it is what that holds.</summary>
    public bool Answer(Worker worker, ReadOnlySpan<byte> message, long most, ref IoBuffer? into, out string fault)
    {
        if (method.GivesBytes)
        {
            fault = "";
            if (!TryBytes(message, out _, out ReadOnlySpan<byte> data))
            {
                fault = $"The answer is no {method.Declared.Output.FullName}.";
                return false;
            }
            Messages++;
            into = Add(worker, into, data);
            return true;
        }
        ByteSink sink = Out;
        bool streams = method.Declared.ServerStreams;
        if (streams && rules.Stream == StreamForm.Events) sink.Add("data: "u8);
        else if (streams && rules.Stream == StreamForm.List) sink.Add(Messages == 0 ? (byte)'[' : (byte)',');
        // Names of enumerations and of fields are longer than their numbers.
        most = Math.Min(most * 8, Array.MaxLength / 4);
        if (!ProtoToJson.Write(message, method.Declared.Output, method.Answer, streams ? rules.StreamPrint : rules.Print, sink, most, out fault)) return false;
        if (streams && rules.Stream == StreamForm.Events) sink.Add("\n\n"u8);
        else if (streams && rules.Stream == StreamForm.Lines) sink.Add((byte)'\n');
        Messages++;
        into = Add(worker, into, sink.Written);
        sink.Clear();
        return true;
    }

    /// <summary>What stands behind the last message of a stream.</summary>
    public ReadOnlySpan<byte> StreamEnd => rules.Stream != StreamForm.List || method.GivesBytes ? default : Messages == 0 ? "[]"u8 : "]"u8;

    /// <summary>The content type and the bytes that an answer holds.</summary>
    public bool TryBytes(ReadOnlySpan<byte> message, out ReadOnlySpan<byte> type, out ReadOnlySpan<byte> data)
    {
        type = data = default;
        int at = 0;
        if (method.Answer is { } field)
        {
            ReadOnlySpan<byte> held = default;
            while (at < message.Length)
            {
                if (!ProtoWire.Next(message, ref at, out int number, out int wireType, out ReadOnlySpan<byte> value)) return false;
                if (number == field.Number && wireType == 2) held = value;
            }
            message = held;
            at = 0;
        }
        while (at < message.Length)
        {
            if (!ProtoWire.Next(message, ref at, out int number, out int wireType, out ReadOnlySpan<byte> value)) return false;
            if (wireType != 2) continue;
            if (number == 1) type = value;
            else if (number == 2) data = value;
        }
        return true;
    }

    /// <summary>A gRPC status as JSON (google.rpc.Status): the one in the details, where there are any, else made of code and message. False
    /// where it holds what the descriptors lack.</summary>
    public bool Status(Worker worker, int code, ReadOnlySpan<byte> message, ReadOnlySpan<byte> details)
    {
        if (rules.Status is not { } shape) return false;
        ByteSink status = Scratch;
        if (details.IsEmpty || !ProtoText.TryBase64(details, status) || !IsStatus(status.Written))
        {
            status.Clear();
            status.Tag(1, 0);
            status.Varint((ulong)(long)code);
            byte[] text = UrlText.Decode(message, UrlUnescape.All, plusIsBlank: false);
            if (text.Length > 0)
            {
                status.Tag(2, 2);
                // What is no UTF-8 becomes what says so.
                status.Counted(Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(text)));
            }
        }
        ByteSink sink = Out;
        if (!ProtoToJson.Write(status.Written, shape, null, rules.Print, sink, BodyPipe.MostHeld, out _)) return false;
        Return(worker, ref Whole);
        Whole = Add(worker, null, sink.Written);
        return true;
    }

    private static bool IsStatus(ReadOnlySpan<byte> bytes)
    {
        int at = 0;
        while (at < bytes.Length) if (!ProtoWire.Next(bytes, ref at, out _, out _, out _)) return false;
        return true;
    }

    /// <summary>An answer begins, of the first try or of another.</summary>
    public void BeginAnswer() => (Messages, IsAnswerWhole) = (0, false);

    /// <summary>What is held goes back.</summary>
    public void Drop(Worker worker)
    {
        Return(worker, ref WholeRequest);
        Return(worker, ref Whole);
        Return(worker, ref PendingRequest);
        Return(worker, ref Pending);
    }

    /// <summary>So does one of them.</summary>
    public static void Return(Worker worker, ref IoBuffer? buffer)
    {
        if (buffer is not null) worker.Buffers.Return(buffer);
        buffer = null;
    }
}
