// Decides with the head of each message whether its body is packed, and packs it piece by piece: each piece leaves at once and can be read at
// once, so that a stream of events is not held back. What is decided, in which order, and what is counted of it is Envoy's.
using System.Text;
using Naru.Http.Codings;
using Naru.Http.Http1;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.Compressor;

internal sealed class CompressorFilter : HttpFilter
{
    private readonly PackSettings _settings;
    private readonly StatBlock _request, _response, _answers;

    // A route may pack in another way than the chain.
    private readonly Offer _own, _other;

    public CompressorFilter(PackSettings settings, FilterContext context)
    {
        _settings = settings;
        string name = $"compressor.{settings.Library.Name}.{settings.Library.StatName}";
        _request = context.Block($"{name}.request", PackStats.Schema);
        _response = context.Block(settings.IsLegacy ? name : $"{name}.response", PackStats.Schema);
        _answers = context.Block(name, AnswerPackStats.Schema);
        _own = new Offer(settings.Library.Coding, settings);
        _other = new Offer(settings.Library.Coding == PackCoding.Gzip ? PackCoding.Brotli : PackCoding.Gzip, settings);
    }

    public override FilterStages Stages =>
        FilterStages.RequestHead | FilterStages.RequestBody | FilterStages.ResponseHead | FilterStages.ResponseBody | FilterStages.End;

    public override bool IsPure(object? said) => true;

    private sealed class Offer(PackCoding coding, PackSettings settings) : IPackOffer
    {
        public PackCoding Coding => coding;

        public bool IsFirst => settings.IsFirst;

        public bool Packs(ReadOnlySpan<byte> contentType) => settings.Response.Packs(contentType);
    }

    // Of one exchange: made when the first of its bodies is packed.
    private sealed class Flow
    {
        public BodyPacker? Request, Response;
    }

    private PackingLibrary Library(PackOverrides? said) => said?.Library ?? _settings.Library;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        PackOverrides? said = call.Route<PackOverrides>();
        Exchange x = call.Exchange;
        PackingLibrary library = Library(said);
        bool isOff = said is { IsOff: true };
        if (!isOff && _settings.Response.IsOn)
        {
            call.State.Number = AcceptedCodings.Of(call.Request).Value;
            x.PackOffers.Add(library.Coding == _own.Coding ? _own : _other);
            if (said?.RemovesAccept ?? _settings.RemovesAccept) call.Request.Remove("accept-encoding"u8);
        }
        long[] stats = _request.Shard(call.Worker.Index);
        if (!isOff && IsPacked(call, stats))
        {
            stats[PackStats.Packed]++;
            call.Request.Set("content-encoding"u8, library.Token());
            call.ChangesRequestLength();
            call.State.Object = new Flow { Request = library.Begin() };
            call.Want(FilterStages.RequestBody);
        }
        else
        {
            stats[PackStats.NotPacked]++;
        }
        return new ValueTask<FilterVerdict>(FilterVerdict.Go);
    }

    private bool IsPacked(FilterCall call, long[] stats)
    {
        Exchange x = call.Exchange;
        PackDirection direction = _settings.Request;
        return direction.IsOn && x.Framing.Body != BodyKind.None && !x.IsUpgrade
            && IsLongEnough(direction, x.Framing.Body == BodyKind.Length ? x.Framing.ContentLength : -1, stats)
            && direction.Packs(TypeOf(call.Request)) && !call.Request.Has("content-encoding"u8) && !HasNoTransform(call.Request);
    }

    private static bool IsLongEnough(PackDirection direction, long length, long[] stats)
    {
        if (length < 0 || length >= direction.Least) return true;
        stats[PackStats.TooShort]++;
        return false;
    }

    private static ReadOnlySpan<byte> TypeOf(HeadEdits head) => head.TryGet("content-type"u8, out ReadOnlySpan<byte> type) ? type : default;

    /// <summary>Whether somebody forbids to change the content (RFC 9111 5.2).</summary>
    internal static bool HasNoTransform(HeadEdits head)
    {
        for (int i = head.Next("cache-control"u8); i >= 0; i = head.Next("cache-control"u8, i + 1))
            if (Http1Framing.ListHas(head.Value(i), "no-transform"u8)) return true;
        return false;
    }

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        Exchange x = call.Exchange;
        PackOverrides? said = call.Route<PackOverrides>();
        long[] stats = _response.Shard(call.Worker.Index);
        // What follows such a head is no body.
        if (said is { IsOff: true } || !_settings.Response.IsOn || x.Status == 101 || (x.IsConnect && x.Status is >= 200 and < 300))
        {
            stats[PackStats.NotPacked]++;
            return new ValueTask<bool>(true);
        }
        PackingLibrary library = Library(said);
        long length = LengthOf(call);
        bool isLong = IsLongEnough(_settings.Response, length, stats);
        string what = isLong ? "" : "ContentLengthTooSmall";
        bool mayBe = isLong && MayBe(call, ref what);
        if (isLong && call.HasResponseBody && IsChosen(call, library) && mayBe)
        {
            if (_settings.TellsStatus) what = length < 0 ? "Compressed" : $"Compressed;OriginalLength={length}";
            Strip(call.Response);
            call.Response.Set("content-encoding"u8, library.Token());
            call.ChangesResponseLength();
            stats[PackStats.Packed]++;
            Flow flow = call.State.Object as Flow ?? new Flow();
            flow.Response = library.Begin();
            call.State.Object = flow;
            call.Want(FilterStages.ResponseBody);
        }
        else
        {
            stats[PackStats.NotPacked]++;
        }
        if (_settings.TellsStatus && what.Length > 0) Tell(call, library, what);
        // Whoever keeps it for others has to know that it could have been packed.
        if (mayBe) Vary(call.Response);
        return new ValueTask<bool>(true);
    }

    private static long LengthOf(FilterCall call)
    {
        if (call.Response.IsLocal) return call.Exchange.OwnLength;
        return call.Response.TryGet("content-length"u8, out ReadOnlySpan<byte> text) && Http1Framing.TryParseLength(text, out long length) ? length : -1;
    }

    // The answer is one that is packed, whoever asks for it.
    private bool MayBe(FilterCall call, ref string what)
    {
        ResponseHeaders head = call.Response;
        if (!_settings.Response.Packs(TypeOf(head)))
        {
            what = "ContentTypeNotAllowed";
            return false;
        }
        if (HasNoTransform(head)) return false;
        if (_settings.LeavesEtags && head.Has("etag"u8))
        {
            _answers.Shard(call.Worker.Index)[AnswerPackStats.Etag]++;
            what = "EtagNotAllowed";
            return false;
        }
        if (head.Has("content-encoding"u8)) return false;
        if (!_settings.LeavesStatus.Contains(call.Exchange.Status)) return true;
        what = "StatusCodeNotAllowed";
        return false;
    }

    // Which of the chain's filters packs it, and whether one does.
    private bool IsChosen(FilterCall call, PackingLibrary library)
    {
        var accepted = new AcceptedCodings(call.State.Number);
        long[] stats = _answers.Shard(call.Worker.Index);
        if (!accepted.IsPresent)
        {
            stats[AnswerPackStats.NoAccept]++;
            return false;
        }
        CodingChoice choice = accepted.Choose(call.Exchange.PackOffers, TypeOf(call.Response), out PackCoding coding);
        bool own = choice is CodingChoice.Named or CodingChoice.Wildcard && coding == library.Coding;
        stats[choice switch
        {
            CodingChoice.Named => own ? AnswerPackStats.Used : AnswerPackStats.Overshadowed,
            CodingChoice.Identity => AnswerPackStats.Identity,
            CodingChoice.Wildcard => AnswerPackStats.Wildcard,
            _ => AnswerPackStats.NotValid,
        }]++;
        return own;
    }

    // A strong one says that the bytes are the same.
    private static void Strip(ResponseHeaders head)
    {
        if (!head.TryGet("etag"u8, out ReadOnlySpan<byte> etag)) return;
        bool isWeak = etag.Length > 1 && (etag[0] | 0x20) == 'w' && etag[1] == '/';
        if (!isWeak) head.Remove("etag"u8);
    }

    private static void Vary(ResponseHeaders head)
    {
        for (int i = head.Next("vary"u8); i >= 0; i = head.Next("vary"u8, i + 1))
            if (Http1Framing.ListHas(head.Value(i), "accept-encoding"u8) || Http1Framing.ListHas(head.Value(i), "*"u8)) return;
        head.Join("vary"u8, "Accept-Encoding"u8, ", "u8);
    }

    // Envoy docs: compressor, compression status header.
    private static void Tell(FilterCall call, PackingLibrary library, string what)
    {
        string token = library.Coding == PackCoding.Gzip ? "gzip" : "br";
        call.Response.Join("x-envoy-compression-status"u8, Encoding.ASCII.GetBytes($"{token};{what}"), ","u8);
    }

    public override ValueTask<BodyVerdict> OnRequestBodyAsync(FilterCall call, BodyPiece piece)
    {
        if (call.State.Object is Flow { Request: { } packer }) Pack(packer, piece, _request.Shard(call.Worker.Index));
        return new ValueTask<BodyVerdict>(BodyVerdict.Go);
    }

    public override ValueTask<BodyVerdict> OnResponseBodyAsync(FilterCall call, BodyPiece piece)
    {
        if (call.State.Object is Flow { Response: { } packer }) Pack(packer, piece, _response.Shard(call.Worker.Index));
        return new ValueTask<BodyVerdict>(BodyVerdict.Go);
    }

    private static void Pack(BodyPacker packer, BodyPiece piece, long[] stats)
    {
        IoBuffer into = piece.Rent(0);
        CodingStep step = packer.Pack(piece.Bytes, into.Free, piece.End ? PackUntil.Ended : PackUntil.Flushed, out int taken, out int written);
        into.End += written;
        stats[PackStats.Unpacked] += taken;
        stats[PackStats.Bytes] += written;
        if (step == CodingStep.Full) piece.Emit(into, taken);
        else piece.Become(into);
    }

    public override void OnEnd(FilterCall call)
    {
        if (call.State.Object is not Flow flow) return;
        flow.Request?.Dispose();
        flow.Response?.Dispose();
        call.State.Object = null;
    }
}

/// <summary>Of a direction.</summary>
internal static class PackStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Packed = Schema.Counter("compressed");
    public static readonly int NotPacked = Schema.Counter("not_compressed");
    public static readonly int Unpacked = Schema.Counter("total_uncompressed_bytes");
    public static readonly int Bytes = Schema.Counter("total_compressed_bytes");
    public static readonly int TooShort = Schema.Counter("content_length_too_small");
}

/// <summary>Of answers alone.</summary>
internal static class AnswerPackStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int NoAccept = Schema.Counter("no_accept_header");
    public static readonly int Identity = Schema.Counter("header_identity");
    public static readonly int Used = Schema.Counter("header_compressor_used");
    public static readonly int Overshadowed = Schema.Counter("header_compressor_overshadowed");
    public static readonly int Wildcard = Schema.Counter("header_wildcard");
    public static readonly int NotValid = Schema.Counter("header_not_valid");
    public static readonly int Etag = Schema.Counter("not_compressed_etag");
}
