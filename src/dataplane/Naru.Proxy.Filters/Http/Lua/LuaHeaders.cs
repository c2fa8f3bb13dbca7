// Headers and trailers as scripts see and change them (Envoy docs: Lua, header object API). What may not stand in a head, and what says
// how a message is framed, is the script's error.
using System.Text;
using Naru.Http.Headers;
using Naru.Proxy.Filters.Scripting;
using Naru.Proxy.Http;

namespace Naru.Proxy.Filters.Http.Lua;

internal sealed class LuaHeaders(LuaRun run, bool isTrailers) : LuaStreamObject(run)
{
    private static readonly string[] s_ofRequest = [":authority", ":path", ":method", ":scheme"];

    private const int LongestName = 1024;

    // One that is walked through is not changed.
    private bool _isWalked;

    private HeadEdits Edits => isTrailers ? Run.TrailerEdits : Run.Head;

    public static void Open(Methods methods)
    {
        methods.Add("get", static a => a.Thread.Give(Self(a).Get(Name(a), a.State)));
        methods.Add("getAtIndex", static a => a.Thread.Give(Self(a).At(Name(a), a.Int(2), a.State)));
        methods.Add("getNumValues", static a => a.Thread.Give(Self(a).Count(Name(a))));
        methods.Add("add", static a => Self(a).Change(a, adds: true));
        methods.Add("replace", static a => Self(a).Change(a, adds: false));
        methods.Add("remove", static a => Self(a).Remove(a));
        methods.Add("setHttp1ReasonPhrase", static a =>
        {
            _ = Self(a);
            throw new LuaException("setHttp1ReasonPhrase is not available: answers have the phrase of their status");
        });
        LuaLibrary.Add(methods.Meta, "__pairs", static a => Self(a).Walk(a));
    }

    private static LuaHeaders Self(LuaArguments a) => LuaMetatables.Self<LuaHeaders>(a);

    private static byte[] Name(LuaArguments a)
    {
        LuaString given = a.Text(1);
        if (given.Length > LongestName) throw new LuaException("a header's name is too long");
        // All fields are looked through.
        a.State.Spend(Self(a).Edits.FieldCount() / 4);
        byte[] name = given.Bytes.AsSpan().ToArray();
        foreach (ref byte c in name.AsSpan()) if (c is >= (byte)'A' and <= (byte)'Z') c |= 0x20;
        return name;
    }

    private static bool IsPseudo(ReadOnlySpan<byte> name) => name.Length > 0 && name[0] == (byte)':';

    private bool IsOne(ReadOnlySpan<byte> name) => IsPseudo(name) || (Run.IsRequest && !isTrailers && name.SequenceEqual("host"u8));

    private LuaValue Get(byte[] name, LuaState state)
    {
        HeadEdits edits = Edits;
        // The length of a body that somebody changed is no field.
        int first = IsOne(name) || name.AsSpan().SequenceEqual("content-length"u8) ? -1 : edits.Next(name);
        if (first < 0) return edits.TryGet(name, out ReadOnlySpan<byte> only) && IsKnown(name) ? state.String(only) : LuaValue.Nil;
        if (edits.Next(name, first + 1) < 0) return state.String(edits.Value(first));
        var joined = new List<byte>();
        for (int i = first; i >= 0; i = edits.Next(name, i + 1))
        {
            if (i != first) joined.Add((byte)',');
            joined.AddRange(edits.Value(i));
        }
        return state.String([.. joined]);
    }

    // What only matchers know is no header.
    private static bool IsKnown(ReadOnlySpan<byte> name) => !name.SequenceEqual(":status-class"u8);

    private LuaValue At(byte[] name, int index, LuaState state)
    {
        if (index < 0) return LuaValue.Nil;
        if (IsOne(name)) return index == 0 ? Get(name, state) : LuaValue.Nil;
        HeadEdits edits = Edits;
        for (int i = edits.Next(name); i >= 0; i = edits.Next(name, i + 1)) if (index-- == 0) return state.String(edits.Value(i));
        return LuaValue.Nil;
    }

    private int Count(byte[] name)
    {
        HeadEdits edits = Edits;
        if (IsOne(name)) return IsKnown(name) && edits.Has(name) ? 1 : 0;
        int count = 0;
        for (int i = edits.Next(name); i >= 0; i = edits.Next(name, i + 1)) count++;
        return count;
    }

    private void MayChange()
    {
        if (_isWalked) throw new LuaException("header map cannot be modified while iterating");
        if (isTrailers ? !Run.TrailersHere : !Run.HeadWaits) throw new LuaException("header map can no longer be modified");
        if (isTrailers) return;
        Run.HeadChanged = true;
    }

    private LuaOutcome Change(LuaArguments a, bool adds)
    {
        byte[] name = Name(a), value = a.Text(2).Bytes;
        // An own limit: what scripts add is sent on, and nobody counts it later.
        if (Edits.AddedBytes + name.Length + value.Length > MostBytes)
            throw new LuaException($"a script adds {MostBytes} bytes of headers at most");
        MayChange();
        string text = Encoding.Latin1.GetString(name);
        if (!isTrailers && IsOne(name))
        {
            if (adds) throw new LuaException($"{text} cannot be added: replace it");
            if (!(Run.IsRequest ? RequestHeaders.MayBe(name, value) && Edits.Set(name, value) : Edits.Set(name, value)))
                throw new LuaException($"{text} cannot be set to this value");
            return a.Thread.None();
        }
        if (text == "content-length" && !isTrailers)
        {
            // It is that of the body, whatever is said.
            return a.Thread.None();
        }
        LuaHandleApi.Check(text, value);
        if (isTrailers && (IsPseudo(name) || text is "content-length" or "host")) throw new LuaException($"{text} is no trailer");
        if (!(adds ? Edits.Add(name, value) : Edits.Set(name, value))) throw new LuaException($"{text} cannot be set");
        if (isTrailers) Run.NoteTrailers(adds, name, value);
        return a.Thread.None();
    }

    private const int MostBytes = 64 * 1024;

    private LuaOutcome Remove(LuaArguments a)
    {
        byte[] name = Name(a);
        MayChange();
        string text = Encoding.Latin1.GetString(name);
        if (!isTrailers && IsOne(name)) throw new LuaException($"{text} cannot be removed");
        if (!isTrailers && text == "content-length")
        {
            // Asks for a body of any length.
            Run.LengthMayChange = true;
            return a.Thread.None();
        }
        Edits.Remove(name);
        if (isTrailers) Run.NoteTrailers(false, name, null);
        return a.Thread.None();
    }

    private LuaOutcome Walk(LuaArguments a)
    {
        if (_isWalked) throw new LuaException("cannot create a second iterator before completing the first");
        _isWalked = true;
        int pseudo = isTrailers ? s_ofRequest.Length : 0, at = 0;
        return a.Thread.Give(LuaValue.Of(new LuaHostFunction("pairs iterator", b =>
        {
            if (!IsGood) throw new LuaException("object used outside of proper scope");
            HeadEdits edits = Edits;
            while (pseudo < s_ofRequest.Length)
            {
                string name = Run.IsRequest ? s_ofRequest[pseudo] : ":status";
                pseudo = Run.IsRequest ? pseudo + 1 : s_ofRequest.Length;
                if (edits.TryGet(Encoding.ASCII.GetBytes(name), out ReadOnlySpan<byte> value))
                    return b.Thread.Give(LuaValue.Of(name), b.State.String(value));
            }
            for (int i = edits.Next(at); i >= 0; i = edits.Next(i + 1))
            {
                at = i + 1;
                if (!isTrailers && edits.Id(i) is KnownHeader.Host or KnownHeader.TransferEncoding or KnownHeader.Connection
                    or KnownHeader.KeepAlive or KnownHeader.ProxyConnection) continue;
                byte[] name = edits.Name(i).ToArray();
                foreach (ref byte c in name.AsSpan()) if (c is >= (byte)'A' and <= (byte)'Z') c |= 0x20;
                return b.Thread.Give(b.State.String(name), b.State.String(edits.Value(i)));
            }
            at = int.MaxValue;
            _isWalked = false;
            return b.Thread.Give(LuaValue.Nil);
        })
        { Holds = [this] }), a[0], LuaValue.Nil);
    }
}

/// <summary>A body, or a piece of one, as scripts see and change it (Envoy docs: Lua, buffer API).</summary>
internal sealed class LuaBody(LuaRun run, BodyPiece? piece) : LuaStreamObject(run)
{
    public static void Open(Methods methods)
    {
        methods.Add("length", static a => a.Thread.Give(LuaMetatables.Self<LuaBody>(a).Length));
        methods.Add("getBytes", static a =>
        {
            LuaBody self = LuaMetatables.Self<LuaBody>(a);
            int from = a.Int(1), length = a.Int(2);
            if (from < 0 || length < 0 || (long)from + length > self.Length)
                throw new LuaException("index/length must be >= 0 and (index + length) must be <= buffer size");
            return a.Thread.Give(self.Piece is { } piece
                ? a.State.String(piece.Bytes.Slice(from, length)) : self.Run.BodyBytes(from, length));
        });
        methods.Add("setBytes", static a =>
        {
            LuaBody self = LuaMetatables.Self<LuaBody>(a);
            byte[] bytes = a.Text(1).Bytes;
            if (self.Piece is { } piece) self.Run.SetPiece(piece, bytes);
            else if (self.Run.HeadWaits) self.Run.SetBody(bytes);
            else throw new LuaException("the body has gone on");
            return a.Thread.Give(bytes.Length);
        });
    }

    private BodyPiece? Piece => piece;

    private long Length => piece is not null ? piece.Bytes.Length : Run.BodyLength;
}
