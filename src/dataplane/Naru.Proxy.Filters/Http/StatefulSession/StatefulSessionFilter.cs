// A request names the endpoint that its client had, and the answer says which one it has now where that is another. The name is the base64
// of the address, or, in cookies, of a message with the address and when it ends to hold (field 1 a text, field 2 seconds since 1970).
using System.Buffers.Text;
using Google.Protobuf;
using Naru.Proxy.Clusters;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.StatefulSession;

internal sealed class StatefulSessionFilter(SessionLevel own) : HttpFilter
{
    private const int LongestAddress = 64, LongestValue = 256;

    public override FilterStages Stages => FilterStages.RequestHead | FilterStages.ResponseHead;

    public override bool IsPure(object? said) => true;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        SessionLevel level = call.Route<SessionLevel>() ?? own;
        if (level.IsFor(call.Exchange.Path))
        {
            call.State.Object = level;
            bool given = level.IsCookie ? Cookies.TryGet(call.Request, level.Name, out ReadOnlySpan<byte> value)
                : call.Request.TryGet(level.Name, out value);
            Span<byte> bytes = stackalloc byte[LongestValue];
            if (given && value.Length <= LongestValue && Decoded(value, bytes) is >= 0 and int length
                && HostOverrides.TryParse(level.IsCookie ? AddressOf(bytes[..length]) : bytes[..length], out SockAddr address))
            {
                call.Exchange.Session = new SessionHost { IsKnown = true, IsStrict = level.IsStrict, Address = address };
            }
        }
        return new ValueTask<FilterVerdict>(FilterVerdict.Go);
    }

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        // Of an answer of ours nobody is bound to anybody; nor of a fallback's, whose endpoints are not those of the cluster that is
        // asked next.
        if (call.State.Object is SessionLevel level && call.Exchange is { Reason: null, Host: { } host, Fallback: not FallbackStep.Taken } x
            && !(x.Session.IsKnown && x.Session.Address.Equals(host.State.Address))) Tell(call, level, host);
        return new ValueTask<bool>(true);
    }

    private static void Tell(FilterCall call, SessionLevel level, Host host)
    {
        ReadOnlySpan<byte> address = host.State.DisplayBytes;
        if (address.Length > LongestAddress) return;
        LineBuffer line = call.Exchange.Scratch;
        line.Clear();
        Span<byte> message = stackalloc byte[LongestAddress + 16], text = stackalloc byte[LongestValue];
        if (!level.IsCookie)
        {
            Base64.EncodeToUtf8(address, text, out _, out int length);
            line.Append(text[..length]);
            call.Response.Set(level.Name, line.Written);
            return;
        }
        message[0] = 1 << 3 | (int)WireFormat.WireType.LengthDelimited;
        message[1] = (byte)address.Length;
        address.CopyTo(message[2..]);
        int end = 2 + address.Length;
        if (level.TtlSeconds > 0)
        {
            message[end++] = 2 << 3 | (int)WireFormat.WireType.Varint;
            for (ulong seconds = (ulong)(DateTimeOffset.UtcNow.ToUnixTimeSeconds() + level.TtlSeconds); ; seconds >>= 7)
            {
                message[end++] = (byte)(seconds < 128 ? seconds : seconds & 127 | 128);
                if (seconds < 128) break;
            }
        }
        Base64.EncodeToUtf8(message[..end], text, out _, out int written);
        line.Append(level.Name);
        line.Append("=\""u8);
        line.Append(text[..written]);
        line.Append((byte)'"');
        line.Append(level.Suffix);
        call.Response.Add("set-cookie"u8, line.Written);
    }

    // Padding may be missing. Negative where it is no base64.
    private static int Decoded(ReadOnlySpan<byte> value, Span<byte> into)
    {
        Span<byte> padded = stackalloc byte[LongestValue + 3];
        value.CopyTo(padded);
        int length = value.Length;
        while (length % 4 != 0) padded[length++] = (byte)'=';
        return Base64.DecodeFromUtf8(padded[..length], into, out _, out int written) == System.Buffers.OperationStatus.Done ? written : -1;
    }

    // Of the message; what is none is the address itself. Empty where its time is over.
    private static ReadOnlySpan<byte> AddressOf(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < 2 || bytes[0] != (1 << 3 | (int)WireFormat.WireType.LengthDelimited) || bytes[1] > bytes.Length - 2)
            return bytes;
        ReadOnlySpan<byte> address = bytes.Slice(2, bytes[1]), rest = bytes[(2 + bytes[1])..];
        if (rest.IsEmpty || rest[0] != (2 << 3 | (int)WireFormat.WireType.Varint)) return address;
        ulong ends = 0;
        for (int i = 1; i < rest.Length && i <= 9; i++)
        {
            ends |= (ulong)(rest[i] & 127) << (7 * (i - 1));
            if (rest[i] < 128) break;
        }
        return ends < (ulong)DateTimeOffset.UtcNow.ToUnixTimeSeconds() ? default : address;
    }
}
