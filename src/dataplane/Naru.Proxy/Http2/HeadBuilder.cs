// Lays a decoded HTTP/2 field section out as an HTTP/1 head, so that routing, header rules and logs read one shape whatever the
// peer speaks. Refuses what RFC 9113 8.2 and 8.3 call malformed; counts crumbs and everything else against the limits.
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Hpack;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http2;

/// <summary>What a field section is.</summary>
internal enum SectionKind : byte
{
    Request,
    Response,
    Trailers,
}

/// <summary>Why a field section cannot be used.</summary>
internal enum SectionFault : byte
{
    None,
    /// <summary>A stream error of type PROTOCOL_ERROR (RFC 9113 8.1.1).</summary>
    Malformed,
    TooLarge,
    TooMany,
    /// <summary>A name with an underscore where none is wanted: well formed, and refused all the same.</summary>
    Underscore,
}

/// <summary>Takes fields as HPACK decodes them. Reusable: <see cref="Start"/> begins anew.</summary>
internal struct HeadBuilder : IHpackSink
{
    private const int MaxPseudo = 64;
    private SectionKind _kind;
    private IoBuffer _out;
    private Http1Head _head;
    private int _maxBytes, _maxFields;
    private int _bytes, _count;
    private int _start;
    private bool _begun;
    private IoBuffer _pseudo;
    /// <summary><c>:scheme</c> of a request is https.</summary>
    public bool SaysHttps { get; private set; }

    private int _method, _path, _authority, _scheme, _protocol;
    private int _methodLength, _pathLength, _authorityLength, _schemeLength, _protocolLength;
    private int _status;
    private IoBuffer? _cookie;
    private BufferPool _buffers;

    public SectionFault Fault { get; private set; }

    /// <summary>What Content-Length says, or -1.</summary>
    public long ContentLength { get; private set; }

    /// <summary>What becomes of names with underscores; dropped fields count against the limits all the same.</summary>
    public UnderscoreHeaders UnderscoreHeaders { private get; set; }

    /// <summary>Whether names stay behind that servers take for trusted ones (<see cref="TrustedHeaders.IsTwin"/>): of trailers, which no
    /// edge cleans otherwise.</summary>
    public bool DropsTwins { private get; set; }

    /// <summary>Who decodes: knows which fields must enter no table.</summary>
    public HpackDecoder? Decoder { private get; set; }

    /// <summary>How many fields with underscores were left out.</summary>
    public int Dropped { get; private set; }

    /// <summary>What was wrong, for logs.</summary>
    public string Why { get; private set; }

    /// <summary><c>:protocol</c> was given: extended CONNECT (RFC 8441).</summary>
    public readonly bool IsExtendedConnect => _protocolLength > 0;

    public readonly bool IsConnect => _methodLength == 7 && Pseudo(_method, 7).SequenceEqual("CONNECT"u8);

    public void Start(SectionKind kind, IoBuffer o, IoBuffer scratch, Http1Head head, BufferPool buffers, int maxBytes, int maxFields)
    {
        this = default;
        _kind = kind;
        _out = o;
        _pseudo = scratch;
        _pseudo.Clear();
        _head = head;
        _buffers = buffers;
        _maxBytes = maxBytes;
        _maxFields = maxFields;
        _start = o.End;
        _method = _path = _authority = _scheme = _protocol = -1;
        Why = "";
        ContentLength = -1;
        head.StartBuilt();
    }

    /// <summary>The buffer with the head; it may be a larger one than was given.</summary>
    public readonly IoBuffer Buffer => _out;

    /// <inheritdoc/>
    public bool OnField(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, KnownHeader id, bool wellFormed)
    {
        if (Fault != SectionFault.None) return false;
        _bytes += name.Length + value.Length + 4;
        if (_bytes > _maxBytes) return Refuse(SectionFault.TooLarge, "more header bytes than allowed");
        // The parsed head counts names in 16 bits.
        if (name.Length > ushort.MaxValue) return Refuse(SectionFault.TooLarge, "a name is longer than any may be");
        if (!wellFormed) return Malformed("a name is no lower-case token, or a value holds a control byte or begins or ends with a blank");
        if (Decoder is { NeverIndexed: true }) _head.MarkNeverIndexed(name);
        if (name[0] == ':') return OnPseudo(name, value);
        if (++_count > _maxFields) return Refuse(SectionFault.TooMany, "more header fields than allowed");
        if (!_begun && !Begin()) return false;
        return Add(name, value, id);
    }

    private bool OnPseudo(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        if (_begun || _kind == SectionKind.Trailers) return Malformed("a pseudo header stands behind a field or in trailers");
        if (_kind == SectionKind.Response)
        {
            if (!name.SequenceEqual(":status"u8) || _status != 0 || value.Length != 3) return Malformed("a response has one :status of three digits");
            foreach (byte b in value)
            {
                if (!char.IsAsciiDigit((char)b)) return Malformed(":status is no number");
                _status = _status * 10 + b - '0';
            }
            return _status >= 100 || Malformed(":status is no status");
        }
        return name.Length switch
        {
            7 when name.SequenceEqual(":method"u8) => Keep(value, ref _method, ref _methodLength) && (Http1Head.IsToken(value) || Malformed(":method is no token")),
            5 when name.SequenceEqual(":path"u8) => Keep(value, ref _path, ref _pathLength),
            7 when name.SequenceEqual(":scheme"u8) => Keep(value, ref _scheme, ref _schemeLength),
            10 when name.SequenceEqual(":authority"u8) => Keep(value, ref _authority, ref _authorityLength)
                && (value.IndexOfAnyExceptInRange((byte)0x21, (byte)0x7e) < 0 || Malformed(":authority holds a byte that no authority has")),
            9 when name.SequenceEqual(":protocol"u8) => Keep(value, ref _protocol, ref _protocolLength) && (Http1Head.IsToken(value) || Malformed(":protocol is no token")),
            _ => Malformed("a pseudo header is not known"),
        };
    }

    private bool Keep(ReadOnlySpan<byte> value, ref int start, ref int length)
    {
        if (start >= 0) return Malformed("a pseudo header is repeated");
        if (_pseudo.Room < value.Length) _pseudo = _buffers.Grow(_pseudo);
        start = _pseudo.End;
        length = value.Length;
        _pseudo.Append(value);
        return true;
    }

    private readonly unsafe ReadOnlySpan<byte> Pseudo(int start, int length) => start < 0 ? default : new ReadOnlySpan<byte>(_pseudo.Memory + start, length);

    // The first line, once every pseudo header is known.
    private bool Begin()
    {
        _begun = true;
        switch (_kind)
        {
            case SectionKind.Trailers:
                return true;
            case SectionKind.Response:
                if (_status == 0) return Malformed("a response has no :status");
                if (!Ensure(32)) return false;
                Append("HTTP/1.1 "u8);
                _status.TryFormat(_out.Free, out int n);
                _out.End += n;
                Append(" \r\n"u8);
                _head.BuiltResponse(_status, _out.End - _start);
                return true;
        }
        ReadOnlySpan<byte> path = Pseudo(_path, _pathLength);
        ReadOnlySpan<byte> authority = Pseudo(_authority, _authorityLength);
        ReadOnlySpan<byte> method = Pseudo(_method, _methodLength);
        // RFC 9110 4.2.1: an http URI without a host is invalid.
        if (_authority >= 0 && authority.IsEmpty) return Malformed(":authority is empty");
        if (method.IsEmpty) return Malformed("a request has no :method");
        bool connect = IsConnect;
        if (connect && _protocol < 0)
        {
            // RFC 9113 8.5: only :method and :authority.
            if (_scheme >= 0 || _path >= 0 || authority.IsEmpty) return Malformed("CONNECT has :method and :authority, nothing else");
            path = authority;
        }
        else
        {
            if (_protocol >= 0 && !connect) return Malformed(":protocol goes with CONNECT");
            if (_scheme < 0 || path.IsEmpty) return Malformed("a request needs :scheme and :path");
            ReadOnlySpan<byte> scheme = Pseudo(_scheme, _schemeLength);
            if (!scheme.SequenceEqual("http"u8) && !scheme.SequenceEqual("https"u8)) return Malformed(":scheme is neither http nor https");
            SaysHttps = scheme.Length == 5;
            bool star = path.SequenceEqual("*"u8) && method.SequenceEqual("OPTIONS"u8);
            if (path[0] != '/' && !star) return Malformed(":path does not start with a slash");
            if (path.IndexOfAnyExceptInRange((byte)0x21, (byte)0x7e) >= 0 || path.Contains((byte)'#')) return Malformed(":path holds a byte that no path has");
        }
        if (!Ensure(method.Length + path.Length + authority.Length + _protocolLength + 128)) return false;
        int methodStart = _out.End - _start;
        // What extended CONNECT asks for is what Upgrade asks for in HTTP/1 (RFC 8441 5).
        int methodLength = connect && _protocol >= 0 ? 3 : method.Length;
        Append(connect && _protocol >= 0 ? "GET"u8 : method);
        Append(" "u8);
        int target = _out.End - _start;
        Append(path);
        Append(" HTTP/1.1\r\n"u8);
        _head.BuiltRequest(methodStart, methodLength, target, path.Length, _out.End - _start);
        if (!authority.IsEmpty) Write("host"u8, authority, KnownHeader.Host);
        if (_protocol >= 0)
        {
            Write("connection"u8, "Upgrade"u8, KnownHeader.Connection);
            Write("upgrade"u8, Pseudo(_protocol, _protocolLength), KnownHeader.Upgrade);
        }
        return true;
    }

    private bool Add(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, KnownHeader id)
    {
        if (UnderscoreHeaders != UnderscoreHeaders.Allow && name.Contains((byte)'_'))
        {
            if (UnderscoreHeaders != UnderscoreHeaders.Drop) return Refuse(SectionFault.Underscore, "a field name has an underscore");
            Dropped++;
            return true;
        }
        if (DropsTwins && id == KnownHeader.Other && TrustedHeaders.IsTwin(name)) return true;
        switch (id)
        {
            case KnownHeader.Connection or KnownHeader.KeepAlive or KnownHeader.ProxyConnection or KnownHeader.TransferEncoding or KnownHeader.Upgrade:
                return Malformed("a field belongs to HTTP/1 connections (RFC 9113 8.2.2)");
            case KnownHeader.Te when !Ascii.EqualsIgnoreCase(value, "trailers"u8):
                return Malformed("TE says more than trailers");
            case KnownHeader.Host when _kind == SectionKind.Request && value.IsEmpty:
                return Malformed("Host is empty");
            case KnownHeader.Host when _kind == SectionKind.Request && _authority >= 0:
                return value.SequenceEqual(Pseudo(_authority, _authorityLength)) || Malformed("Host differs from :authority");
            case KnownHeader.ContentLength:
                if (ContentLength >= 0 || !Http1Framing.TryParseLength(value, out long length)) return Malformed("Content-Length is repeated or no plain number");
                ContentLength = length;
                break;
            case KnownHeader.Other when name.Length == 6 && _kind == SectionKind.Request && name.SequenceEqual("cookie"u8):
                return AddCrumb(value);
        }
        if (!Ensure(name.Length + value.Length + 8)) return false;
        Write(name, value, id);
        return true;
    }

    // RFC 9113 8.2.3: crumbs become one field again, since nothing behind us may be expected to join them.
    private bool AddCrumb(ReadOnlySpan<byte> value)
    {
        // An empty crumb says nothing, and would leave a blank at the end.
        if (value.IsEmpty) return true;
        _cookie ??= _buffers.Rent();
        if (_cookie.Room < 2 + value.Length && _cookie.Count + 2 + value.Length <= _maxBytes) _cookie = _buffers.Grow(_cookie, 2 + value.Length);
        if (_cookie.Room < 2 + value.Length) return Refuse(SectionFault.TooLarge, "more cookie bytes than allowed");
        if (!_cookie.IsEmpty) _cookie.Append("; "u8);
        _cookie.Append(value);
        return true;
    }

    private void Write(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, KnownHeader id)
    {
        int start = _out.End - _start;
        Span<byte> line = _out.Free[..(name.Length + value.Length + 4)];
        name.CopyTo(line);
        line[name.Length] = (byte)':';
        line[name.Length + 1] = (byte)' ';
        value.CopyTo(line[(name.Length + 2)..]);
        line[^2] = (byte)'\r';
        line[^1] = (byte)'\n';
        _out.End += line.Length;
        _head.BuiltField(start, name.Length, value.Length, id);
    }

    /// <summary>Ends the section; whether it may be used is in <see cref="Fault"/>.</summary>
    public void End()
    {
        if (Fault == SectionFault.None && !_begun) Begin();
        if (_cookie is not null)
        {
            if (Fault == SectionFault.None && Ensure(_cookie.Count + 16)) Write("cookie"u8, _cookie.Filled, KnownHeader.Other);
            _buffers.Return(_cookie);
            _cookie = null;
        }
        if (Fault != SectionFault.None || !Ensure(2)) return;
        Append("\r\n"u8);
        _head.BuiltEnd(_out.End - _start);
    }

    /// <summary>The scratch buffer, which may have become a larger one.</summary>
    public readonly IoBuffer Scratch => _pseudo;

    private readonly void Append(ReadOnlySpan<byte> bytes) => _out.Append(bytes);

    private bool Ensure(int bytes)
    {
        if (_out.Room >= bytes) return true;
        if (_out.Capacity == BufferPool.Small) _out = _buffers.Grow(_out);
        return _out.Room >= bytes || Refuse(SectionFault.TooLarge, "more header bytes than fit");
    }

    private bool Malformed(string why) => Refuse(SectionFault.Malformed, why);

    private bool Refuse(SectionFault fault, string why)
    {
        Fault = fault;
        Why = why;
        return false;
    }
}
