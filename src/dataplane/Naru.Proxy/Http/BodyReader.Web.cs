// The body reader's gRPC-Web part: base64 of a request is decoded as it comes, an answer gets its trailers as a last frame and, in the
// text form, becomes base64 piece by piece, so that a message never waits for the next one.
using System.Buffers.Text;
using Naru.Http.Http1;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

internal sealed partial class BodyReader
{
    private static readonly Http1Head s_noTrailers = new();
    private GrpcWebForm _web;
    private bool _decodes;
    private Base64Stream _base64;
    private IoBuffer? _out;
    private bool _fromOut, _rawDone, _framed;
    private int _rawStart, _rawLeft;

    /// <summary>The current piece's first byte.</summary>
    public unsafe byte* PieceBytes => (_fromOut ? _out!.Memory : _from.Memory) + PieceStart;

    /// <summary>Whether pieces are not the bytes that came.</summary>
    public bool IsForWeb => _web != GrpcWebForm.None;

    /// <summary>From here on the body is base64 that is to be decoded.</summary>
    public void DecodeBase64() => _decodes = true;

    /// <summary>From here on the body is read as a gRPC-Web client wants it.</summary>
    public void ForWeb(GrpcWebForm form)
    {
        _web = form;
        _rawDone = Done;
        Done = false;
    }

    /// <summary>Gives back what the translation needed.</summary>
    public void EndWeb()
    {
        if (_out is not null) _worker.Buffers.Return(_out);
        _out = null;
        _fromOut = false;
    }

    private void ResetWeb()
    {
        _web = GrpcWebForm.None;
        _decodes = _fromOut = _rawDone = _framed = false;
        _rawLeft = 0;
        _base64 = default;
    }

    // A piece may hold less than one byte's worth of digits: then the next one is asked for.
    private unsafe BodyEvent NextDecoded()
    {
        while (true)
        {
            BodyEvent found = NextRaw();
            if (found == BodyEvent.End && !_base64.IsWhole) return BodyEvent.Refused;
            if (found != BodyEvent.Data) return found;
            if (!_base64.Decode(new Span<byte>(_from.Memory + PieceStart, PieceLength), out int length)) return BodyEvent.Refused;
            if (Done && !_base64.IsWhole) return BodyEvent.Refused;
            PieceLength = length;
            if (length > 0) return BodyEvent.Data;
        }
    }

    private unsafe BodyEvent NextForWeb()
    {
        if (Done) return BodyEvent.End;
        if (_rawLeft > 0) return Encode();
        BodyEvent found = _rawDone ? BodyEvent.End : NextRaw();
        _rawDone |= Done;
        Done = false;
        _fromOut = false;
        switch (found)
        {
            case BodyEvent.Data when _web == GrpcWebForm.Text:
                _rawStart = PieceStart;
                _rawLeft = PieceLength;
                return Encode();
            case BodyEvent.End when !_framed && ReceivedTrailers.Count > 0:
                _framed = true;
                return TrailerFrame();
            case BodyEvent.End:
                Done = true;
                return found;
            default:
                return found;
        }
    }

    private unsafe BodyEvent Encode()
    {
        _out ??= _worker.Buffers.Rent();
        int take = Math.Min(_rawLeft, _out.Capacity / 4 * 3);
        Base64.EncodeToUtf8(new ReadOnlySpan<byte>(_from.Memory + _rawStart, take), new Span<byte>(_out.Memory, _out.Capacity), out _, out int written);
        _rawStart += take;
        _rawLeft -= take;
        return OutPiece(written);
    }

    private unsafe BodyEvent TrailerFrame()
    {
        ReadOnlySpan<byte> bytes = TrailerBytes;
        int most = GrpcWeb.TrailerFrameSize(ReceivedTrailers, bytes);
        if (_out is null || _out.Capacity < most * 2)
        {
            EndWeb();
            _out = most * 2 <= BufferPool.Small ? _worker.Buffers.Rent() : _worker.Buffers.RentLarge();
        }
        var into = new Span<byte>(_out.Memory, _out.Capacity);
        // Trailers are limited far below what the large buffer holds.
        if (most * 4 / 3 + 4 > into.Length) return BodyEvent.Refused;
        int length = GrpcWeb.WriteTrailerFrame(ReceivedTrailers, bytes, into);
        if (_web == GrpcWebForm.Text) Base64.EncodeToUtf8InPlace(into, length, out length);
        return OutPiece(length);
    }

    private BodyEvent OutPiece(int length)
    {
        _fromOut = true;
        PieceStart = 0;
        PieceLength = length;
        return BodyEvent.Data;
    }
}
