// The two heads of an exchange with what is changed in them: the request's, whose path and host are pseudo headers whatever the client
// speaks, and the answer's, whether it came from upstream or is our own.
using Naru.Http.Http1;
using Naru.Proxy.Io;
using Naru.Telemetry;

namespace Naru.Proxy.Http;

/// <summary>A request's fields. <c>:method</c>, <c>:scheme</c>, <c>:authority</c> (also <c>host</c>) and <c>:path</c>, with its query, are read like fields.</summary>
internal sealed class RequestHeaders(Exchange x) : HeadEdits
{
    private readonly LineBuffer _path = new(256), _authority = new(64);

    /// <summary>The path was changed: <see cref="Path"/> stands for what came in.</summary>
    public bool HasPath { get; private set; }

    /// <summary>The host was changed.</summary>
    public bool HasAuthority { get; private set; }

    /// <summary>The changed path, without its query.</summary>
    public ReadOnlySpan<byte> Path => _path.Written[.._pathLength];

    /// <summary>The changed path's query, without the question mark.</summary>
    public ReadOnlySpan<byte> Query => _path.Length > _pathLength ? _path.Written[(_pathLength + 1)..] : default;

    /// <summary>Both.</summary>
    public ReadOnlySpan<byte> PathAndQuery => _path.Written;

    /// <summary>The changed host.</summary>
    public ReadOnlySpan<byte> Authority => _authority.Written;

    private int _pathLength;
    private readonly byte[] _length = new byte[20];

    protected override Http1Head Head => x.Head;

    protected override ReadOnlySpan<byte> Bytes => x.Bytes;

    protected override bool Joins(ReadOnlySpan<byte> name) => InlineHeaders.OfRequest(name);

    /// <summary>Makes it ready for another request.</summary>
    public void Begin()
    {
        Clear();
        HasPath = HasAuthority = false;
    }

    /// <summary>Changes path and query.</summary>
    public void SetPath(scoped ReadOnlySpan<byte> path)
    {
        _path.Clear();
        _path.Append(path);
        int question = path.IndexOf((byte)'?');
        _pathLength = question < 0 ? path.Length : question;
        HasPath = true;
        x.HasQuery = question >= 0;
    }

    /// <summary>Changes host and port.</summary>
    public void SetAuthority(scoped ReadOnlySpan<byte> authority)
    {
        _authority.Clear();
        _authority.Append(authority);
        HasAuthority = true;
    }

    // So is the length of a body that a filter took in, or will change: what came with the head says another one, or none.
    protected override bool IsPseudo(ReadOnlySpan<byte> name) =>
        base.IsPseudo(name) || name.SequenceEqual("host"u8) || (x.RequestLength >= 0 && name.SequenceEqual("content-length"u8));

    protected override bool TryGetPseudo(ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        if (name.SequenceEqual(":path"u8)) value = x.PathAndQuery;
        else if (name.SequenceEqual(":authority"u8) || name.SequenceEqual("host"u8)) value = x.Authority;
        else if (name.SequenceEqual(":method"u8)) value = x.Method;
        else if (name.SequenceEqual(":scheme"u8)) value = x.IsHttps ? "https"u8 : "http"u8;
        else if (x.RequestLength >= 0 && x.RequestLength.TryFormat(_length, out int digits)) value = _length.AsSpan(0, digits);
        else value = default;
        return value.Length > 0;
    }

    protected override bool SetPseudo(ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value)
    {
        if (!MayBe(name, value)) return false;
        if (name.SequenceEqual(":path"u8)) SetPath(value);
        else if (name.SequenceEqual(":authority"u8) || name.SequenceEqual("host"u8)) SetAuthority(value);
        else return false;
        return true;
    }

    /// <summary>Whether a pseudo header may have a value. What a target may hold (RFC 9112 3.2): anything else would end the request line, and
    /// a fragment is no part of one.</summary>
    public static bool MayBe(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value) =>
        !value.IsEmpty && value.IndexOfAnyExceptInRange((byte)0x21, (byte)0x7e) < 0
        && (!name.SequenceEqual(":path"u8) || (value[0] == '/' && !value.Contains((byte)'#')));
}

/// <summary>An answer's fields, from the moment its head is there until it is written out.</summary>
internal sealed class ResponseHeaders(Exchange x) : HeadEdits
{
    private static readonly Http1Head s_none = new();
    private byte[] _status = new byte[3];
    private IoBuffer? _from, _held;

    /// <summary>The answer is being put together.</summary>
    public bool IsOpen { get; private set; }

    /// <summary>The answer is the proxy's own, not an endpoint's.</summary>
    public bool IsLocal { get; private set; }

    /// <summary>Formats know its status: of an answer of our own only once its first fields are there.</summary>
    public bool KnowsStatus { get; private set; } = true;

    protected override Http1Head Head => _from is null ? s_none : x.UpstreamHead;

    protected override ReadOnlySpan<byte> Bytes => _from is null ? default : _from.Filled[..x.UpstreamHead.Length];

    protected override bool Joins(ReadOnlySpan<byte> name) => InlineHeaders.OfResponse(name);

    /// <summary>Begins an answer from upstream, whose head is at the front of a buffer.</summary>
    public void Begin(IoBuffer from)
    {
        Clear();
        Release();
        WasHeld = false;
        _from = from;
        IsOpen = KnowsStatus = true;
        IsLocal = false;
    }

    /// <summary>The upstream's head in a buffer of its own, while the body behind it was taken in; null where it stands in its place.</summary>
    public IoBuffer? Held => _held;

    /// <summary>It did; until another answer begins.</summary>
    public bool WasHeld { get; private set; }

    /// <summary>Moves the upstream's head to a buffer of its own: what follows it can be read.</summary>
    public void Hold()
    {
        if (_held is not null || _from is not { } from) return;
        int length = x.UpstreamHead.Length;
        IoBuffer held = x.Worker.Buffers.Rent();
        if (held.Room < length) held = x.Worker.Buffers.Grow(held, length);
        held.Append(from.Filled[..length]);
        from.Start += length;
        _from = _held = held;
        WasHeld = true;
    }

    private void Release()
    {
        if (_held is { } held) x.Worker.Buffers.Return(held);
        _from = _held = null;
    }

    /// <summary>Begins an answer without a head from upstream.</summary>
    public void BeginOwn(bool isLocal)
    {
        Clear();
        Release();
        WasHeld = false;
        IsOpen = true;
        IsLocal = isLocal;
        KnowsStatus = !isLocal;
    }

    /// <summary>What comes from here on sees the status of the answer of our own.</summary>
    public void KnowStatus() => KnowsStatus = true;

    /// <summary>It was written out.</summary>
    public void End()
    {
        Release();
        IsOpen = IsLocal = false;
        KnowsStatus = true;
    }

    protected override bool TryGetPseudo(ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        value = default;
        // Of matchers: 4xx (Envoy: HttpResponseStatusCodeClassMatchInput).
        bool isClass = name.SequenceEqual(":status-class"u8);
        if ((!isClass && !name.SequenceEqual(":status"u8)) || !x.Status.TryFormat(_status, out int written)) return false;
        if (isClass) _status.AsSpan(1).Fill((byte)'x');
        value = _status.AsSpan(0, written);
        return true;
    }

    protected override bool SetPseudo(ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value)
    {
        if (!name.SequenceEqual(":status"u8) || !int.TryParse(value, out int status) || status is < 200 or > 599) return false;
        x.Status = status;
        return true;
    }
}
