// Unpacks bodies piece by piece, a buffer at a time, whatever comes of them: a body that grows beyond its ratio, that is broken or ends too
// early is answered for (a request's) or cut short (an answer's), and counted. Of a list of codings the first name is looked at, as in Envoy.
using System.Text;
using Naru.Http.Codings;
using Naru.Http.Http1;
using Naru.Proxy.Filters.Http.Compressor;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.Decompressor;

internal sealed class DecompressorFilter : HttpFilter
{
    private readonly UnpackSettings _settings;
    private readonly StatBlock _request, _response, _library;
    private readonly byte[] _packedTrailer, _unpackedTrailer;

    public DecompressorFilter(UnpackSettings settings, FilterContext context)
    {
        _settings = settings;
        string name = $"decompressor.{settings.Library.Name}.{settings.Library.StatName}";
        _request = context.Block($"{name}.request", UnpackStats.Schema);
        _response = context.Block($"{name}.response", UnpackStats.Schema);
        _library = context.Block($"{name}.decompressor_library", settings.Library.Coding == PackCoding.Gzip ? GzipStats.Schema : BrotliStats.Schema);
        string trailer = $"x-envoy-decompressor-{settings.Library.Name}-{settings.Library.StatName}".ToLowerInvariant();
        _packedTrailer = Encoding.UTF8.GetBytes($"{trailer}-compressed-bytes");
        _unpackedTrailer = Encoding.UTF8.GetBytes($"{trailer}-uncompressed-bytes");
    }

    private const FilterStages RequestStages = FilterStages.RequestBody | FilterStages.RequestTrailers;
    private const FilterStages ResponseStages = FilterStages.ResponseBody | FilterStages.ResponseTrailers;

    public override FilterStages Stages => FilterStages.RequestHead | RequestStages | FilterStages.ResponseHead | ResponseStages | FilterStages.End;

    public override bool IsPure(object? said) => true;

    // Of one exchange: made when the first of its bodies is unpacked.
    private sealed class Flow
    {
        public Body? Request, Response;
    }

    private sealed record Body(BodyUnpacker Unpacker)
    {
        public long Taken, Given;
    }

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        if (_settings.Advertises && _settings.Response.IsOn && !Accepts(call.Request))
            call.Request.Join("accept-encoding"u8, _settings.Library.Token(), ","u8);
        if (call.Exchange.Framing.Body == BodyKind.None || call.Exchange.IsUpgrade) return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        if (Begin(call.Request, _settings.Request, _request.Shard(call.Worker.Index)) is { } body)
        {
            call.State.Object = new Flow { Request = body };
            call.ChangesRequestLength();
            call.Want(RequestStages);
        }
        return new ValueTask<FilterVerdict>(FilterVerdict.Go);
    }

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        if (call.Response.IsLocal || !call.HasResponseBody || call.Exchange.Status == 101) return new ValueTask<bool>(true);
        if (Begin(call.Response, _settings.Response, _response.Shard(call.Worker.Index)) is { } body)
        {
            Flow flow = call.State.Object as Flow ?? new Flow();
            flow.Response = body;
            call.State.Object = flow;
            call.ChangesResponseLength();
            call.Want(ResponseStages);
        }
        return new ValueTask<bool>(true);
    }

    private bool Accepts(HeadEdits head)
    {
        for (int i = head.Next("accept-encoding"u8); i >= 0; i = head.Next("accept-encoding"u8, i + 1))
            if (Http1Framing.ListHas(head.Value(i), _settings.Library.Token())) return true;
        return false;
    }

    // Takes the coding off the head; null where the body stays as it is.
    private Body? Begin(HeadEdits head, UnpackDirection direction, long[] stats)
    {
        if (direction.IsOn && (direction.DespiteNoTransform || !CompressorFilter.HasNoTransform(head))
            && head.TryGet("content-encoding"u8, out ReadOnlySpan<byte> codings))
        {
            int comma = codings.IndexOf((byte)',');
            if (Ascii.EqualsIgnoreCase(Http1Framing.Trim(comma < 0 ? codings : codings[..comma]), _settings.Library.Token()))
            {
                int first = head.Next("content-encoding"u8);
                ReadOnlySpan<byte> rest = comma < 0 ? default : Http1Framing.Trim(codings[(comma + 1)..]);
                if (rest.IsEmpty) head.Drop(first);
                else SetFirst(head, first, rest);
                stats[UnpackStats.Unpacked]++;
                return new Body(_settings.Library.Begin());
            }
        }
        stats[UnpackStats.Left]++;
        return null;
    }

    // Further lines stay behind it.
    private static void SetFirst(HeadEdits head, int first, ReadOnlySpan<byte> rest)
    {
        byte[] left = rest.ToArray();
        for (int i = head.Next("content-encoding"u8, first + 1); i >= 0; i = head.Next("content-encoding"u8, i + 1))
            left = [.. left, .. ", "u8, .. head.Value(i)];
        head.Set("content-encoding"u8, left);
    }

    public override ValueTask<BodyVerdict> OnRequestBodyAsync(FilterCall call, BodyPiece piece) => new(
        call.State.Object is Flow { Request: { } body } && Unpack(call, body, piece, _request) is { } fault ? Refused(call, fault) : BodyVerdict.Go);

    public override ValueTask<BodyVerdict> OnResponseBodyAsync(FilterCall call, BodyPiece piece)
    {
        if (call.State.Object is not Flow { Response: { } body } || Unpack(call, body, piece, _response) is not { } fault)
            return new ValueTask<BodyVerdict>(BodyVerdict.Go);
        return new ValueTask<BodyVerdict>(Refused(call, fault == UnpackFault.Grows ? FilterReasons.AnswerGrows : FilterReasons.AnswerNotPacked));
    }

    private static BodyVerdict Refused(FilterCall call, UnpackFault fault) =>
        Refused(call, fault == UnpackFault.Grows ? FilterReasons.RequestGrows : FilterReasons.RequestNotPacked);

    private static BodyVerdict Refused(FilterCall call, Reason reason)
    {
        call.Refuse(reason);
        return BodyVerdict.Answer;
    }

    private enum UnpackFault : byte
    {
        Broken,
        Cut,
        Grows,
    }

    private UnpackFault? Unpack(FilterCall call, Body body, BodyPiece piece, StatBlock stats)
    {
        IoBuffer into = piece.Rent(0);
        CodingStep step = body.Unpacker.Unpack(piece.Bytes, into.Free, out int taken, out int written);
        into.End += written;
        body.Taken += taken;
        body.Given += written;
        long[] shard = stats.Shard(call.Worker.Index);
        shard[UnpackStats.BytesIn] += taken;
        shard[UnpackStats.BytesOut] += written;
        UnpackFault? fault = step == CodingStep.Broken ? UnpackFault.Broken
            : body.Given > body.Taken * _settings.Library.MostRatio ? UnpackFault.Grows
            : piece.End && step == CodingStep.Empty && !body.Unpacker.IsWhole ? UnpackFault.Cut : null;
        if (fault is { } found)
        {
            long[] library = _library.Shard(call.Worker.Index);
            if (_settings.Library.Coding == PackCoding.Gzip) library[found == UnpackFault.Cut ? GzipStats.Buffer : GzipStats.Data]++;
            else library[found == UnpackFault.Grows ? BrotliStats.Overflow : BrotliStats.Error]++;
            if (found == UnpackFault.Grows) shard[UnpackStats.Grows]++;
            piece.Become(into);
            piece.Trim(0);
        }
        else if (step == CodingStep.Full)
        {
            piece.Emit(into, taken);
        }
        else
        {
            piece.Become(into);
        }
        return fault;
    }

    // Envoy docs: decompressor. HTTP/1 would carry them to those who asked for none.
    public override ValueTask OnRequestTrailersAsync(FilterCall call, BodyPiece last)
    {
        if (call.State.Object is Flow { Request: { } body } && call.Exchange.UpstreamIsHttp2) Tell(call.RequestTrailers, body);
        return default;
    }

    public override ValueTask OnResponseTrailersAsync(FilterCall call, BodyPiece last)
    {
        if (call.State.Object is Flow { Response: { } body } && call.Exchange.SpeaksHttp2) Tell(call.ResponseTrailers, body);
        return default;
    }

    private void Tell(TrailerEdits trailers, Body body)
    {
        trailers.Set(_packedTrailer, body.Taken);
        trailers.Set(_unpackedTrailer, body.Given);
    }

    public override void OnEnd(FilterCall call)
    {
        if (call.State.Object is not Flow flow) return;
        flow.Request?.Unpacker.Dispose();
        flow.Response?.Unpacker.Dispose();
        call.State.Object = null;
    }
}

/// <summary>Of a direction.</summary>
internal static class UnpackStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Unpacked = Schema.Counter("decompressed");
    public static readonly int Left = Schema.Counter("not_decompressed");
    public static readonly int BytesOut = Schema.Counter("total_uncompressed_bytes");
    public static readonly int BytesIn = Schema.Counter("total_compressed_bytes");

    // Not Envoy's: it gives out what it has, as if that were all.
    public static readonly int Grows = Schema.Counter("ratio_exceeded");
}

/// <summary>What zlib complained about; a ratio that is exceeded is an error of the data, as in Envoy.</summary>
internal static class GzipStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Data = Schema.Counter("zlib_data_error");
    public static readonly int Buffer = Schema.Counter("zlib_buf_error");
}

/// <summary>What brotli complained about.</summary>
internal static class BrotliStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Error = Schema.Counter("brotli_error");
    public static readonly int Overflow = Schema.Counter("brotli_output_overflow");
}
