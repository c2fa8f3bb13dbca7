// A request as matchers see it: spans on the bytes it came in, nothing copied.
using Naru.Http.Http1;

namespace Naru.Proxy.Routing;

/// <summary>The parts of a request that routing looks at. Valid while the request's buffer stays put.</summary>
internal readonly ref struct RequestView
{
    public required ReadOnlySpan<byte> Bytes { get; init; }
    public required Http1Head Head { get; init; }
    public required ReadOnlySpan<byte> Method { get; init; }

    /// <summary>Host and port as the client wrote them.</summary>
    public required ReadOnlySpan<byte> Authority { get; init; }

    /// <summary>Without query, normalized where the manager says so.</summary>
    public required ReadOnlySpan<byte> Path { get; init; }

    /// <summary>Without the question mark; empty without one.</summary>
    public required ReadOnlySpan<byte> Query { get; init; }

    public required bool HasQuery { get; init; }

    /// <summary>TLS downstream: <c>:scheme</c>.</summary>
    public required bool IsHttps { get; init; }

    /// <summary>CONNECT: <see cref="Path"/> means nothing.</summary>
    public required bool IsConnect { get; init; }

    /// <summary>A pseudo header or the first field of a name (lower case); false when there is none.</summary>
    public bool TryGetHeader(ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        if (name[0] == ':')
        {
            if (name.SequenceEqual(":method"u8)) value = Method;
            else if (name.SequenceEqual(":authority"u8)) value = Authority;
            else if (name.SequenceEqual(":path"u8)) value = Path;
            else if (name.SequenceEqual(":scheme"u8)) value = IsHttps ? "https"u8 : "http"u8;
            else
            {
                value = default;
                return false;
            }
            return true;
        }
        if (name.SequenceEqual("host"u8))
        {
            value = Authority;
            return true;
        }
        int index = Head.IndexOf(Bytes, name);
        value = index < 0 ? default : Http1Head.Value(Bytes, Head.Fields[index]);
        return index >= 0;
    }
}
