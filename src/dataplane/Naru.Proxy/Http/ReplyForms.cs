// In which form an answer of our own is given: what the request's content type and Accept ask for.
using System.Globalization;
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Http1;
using Naru.Telemetry;

namespace Naru.Proxy.Http;

/// <summary>Forms of answers.</summary>
internal enum ReplyForm
{
    /// <summary>A status, and perhaps a body.</summary>
    Http,

    /// <summary>A gRPC status in a trailers-only answer of HTTP status 200.</summary>
    Grpc,

    /// <summary>A gRPC status beside the HTTP status: the answer to a gRPC-Web call that is translated here.</summary>
    GrpcWeb,
}

internal static class ReplyForms
{
    public static ReplyForm Of(Exchange x)
    {
        if (x.Head.Length == 0) return ReplyForm.Http;
        return x.Web != GrpcWebForm.None ? ReplyForm.GrpcWeb : IsGrpc(x) ? ReplyForm.Grpc : ReplyForm.Http;
    }

    /// <summary>Whether <c>application/problem+json</c> (RFC 9457) is what the client would rather read.</summary>
    public static bool WantsProblem(Exchange x)
    {
        if (Of(x) != ReplyForm.Http || x.Head.Length == 0) return false;
        int accept = x.Head.IndexOf(x.Bytes, "accept"u8);
        return accept >= 0 && PrefersJson(Http1Head.Value(x.Bytes, x.Head.Fields[accept]));
    }

    /// <summary>Whether a page of HTML is what the client would rather read.</summary>
    public static bool WantsPage(Exchange x)
    {
        if (Of(x) != ReplyForm.Http || x.Head.Length == 0) return false;
        int accept = x.Head.IndexOf(x.Bytes, "accept"u8);
        return accept >= 0 && PrefersHtml(Http1Head.Value(x.Bytes, x.Head.Fields[accept]));
    }

    /// <summary>Whether the request is a gRPC call: <c>application/grpc</c>, alone or with a suffix; with a parameter it is none (Envoy).</summary>
    public static bool IsGrpc(Exchange x) => IsGrpc(ContentType(x));

    /// <summary>The same of a content type.</summary>
    public static bool IsGrpc(ReadOnlySpan<byte> type) => GrpcCodes.IsGrpc(type);

    /// <summary>The request's content type, or nothing.</summary>
    public static ReadOnlySpan<byte> ContentType(Exchange x)
    {
        foreach (ref readonly HeaderField field in x.Head.Fields)
            if (field.Id == KnownHeader.ContentType) return Http1Head.Value(x.Bytes, field);
        return default;
    }

    /// <summary>Whether JSON is asked for by name, and plain text or HTML not more (RFC 9110 12.5.1).</summary>
    public static bool PrefersJson(ReadOnlySpan<byte> accept)
    {
        int json = 0, text = 0;
        foreach (Range range in accept.Split((byte)','))
        {
            ReadOnlySpan<byte> type = Type(accept[range], out int quality);
            if (Ascii.EqualsIgnoreCase(type, "application/json"u8) || Ascii.EqualsIgnoreCase(type, "application/problem+json"u8)) json = Math.Max(json, quality);
            else if (type.Length > 5 && Ascii.EqualsIgnoreCase(type[..5], "text/"u8)) text = Math.Max(text, quality);
        }
        return json > 0 && json >= text;
    }

    /// <summary>Whether HTML is asked for by name, and plain text not more; between equals the first named.</summary>
    public static bool PrefersHtml(ReadOnlySpan<byte> accept)
    {
        int html = 0, text = 0;
        bool first = true;
        foreach (Range range in accept.Split((byte)','))
        {
            ReadOnlySpan<byte> type = Type(accept[range], out int quality);
            if (Ascii.EqualsIgnoreCase(type, "text/html"u8) || Ascii.EqualsIgnoreCase(type, "application/xhtml+xml"u8))
            {
                first = html > 0 ? first : text == 0;
                html = Math.Max(html, quality);
            }
            else if (Ascii.EqualsIgnoreCase(type, "text/plain"u8)) text = Math.Max(text, quality);
        }
        return html > 0 && (html > text || (html == text && first));
    }

    private static ReadOnlySpan<byte> Type(ReadOnlySpan<byte> given, out int quality)
    {
        ReadOnlySpan<byte> item = Http1Framing.Trim(given);
        int semicolon = item.IndexOf((byte)';');
        quality = semicolon < 0 ? 1000 : Quality(item[semicolon..]);
        return semicolon < 0 ? item : Http1Framing.Trim(item[..semicolon]);
    }

    // In thousandths; what is no quality counts as 1.
    private static int Quality(ReadOnlySpan<byte> parameters)
    {
        foreach (Range range in parameters.Split((byte)';'))
        {
            ReadOnlySpan<byte> one = Http1Framing.Trim(parameters[range]);
            if (one.Length < 3 || (one[0] | 0x20) != 'q' || one[1] != '=') continue;
            return double.TryParse(one[2..], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double q) && q is >= 0 and <= 1 ? (int)(q * 1000) : 1000;
        }
        return 1000;
    }

    /// <summary>The problem as JSON; <paramref name="said"/> is code and sentence in printable ASCII.</summary>
    public static byte[] Problem(Exchange x, Reason reason, string said, Failure? failure = null)
    {
        string detail = said[reason.Code.Length..].TrimStart();
        string more = failure is null ? ""
            : $",\"service\":{Quoted(failure.Service)},\"summary\":{Quoted($"{failure.Title}. {failure.Hint}")}"
                + $",\"next\":[{string.Join(',', failure.Next.Select(Quoted))}]";
        return Encoding.UTF8.GetBytes(
            $"{{\"type\":\"about:blank\",\"title\":\"{Reasons.Phrase(x.Status)}\",\"status\":{x.Status},\"code\":\"{reason.Code}\","
            + $"\"detail\":{Quoted(detail)},\"flags\":\"{FlagsOf(x)}\"{more}}}\n");
    }

    /// <summary>The response flags, <c>-</c> for none.</summary>
    public static string FlagsOf(Exchange x)
    {
        var flags = new LineBuffer();
        ResponseFlagNames.Append(x.Flags, flags);
        return Encoding.ASCII.GetString(flags.Written);
    }

    // Names of configuration and printable ASCII: neither holds controls.
    private static string Quoted(string text) => $"\"{text.Replace("\\", "\\\\").Replace("\"", "\\\"")}\"";

    /// <summary>The gRPC status of an HTTP status.</summary>
    public static int GrpcStatus(int status) => GrpcCodes.OfHttp(status);

    /// <summary>A body percent-encoded as <c>grpc-message</c> is (gRPC over HTTP/2, "Responses"), without the line end at its end.</summary>
    public static string GrpcMessage(ReadOnlySpan<byte> message)
    {
        if (message.EndsWith("\n"u8)) message = message[..^1];
        var text = new StringBuilder(message.Length);
        foreach (byte b in message)
        {
            if (b is >= 0x20 and <= 0x7e and not (byte)'%') text.Append((char)b);
            else text.Append(CultureInfo.InvariantCulture, $"%{b:X2}");
        }
        return text.ToString();
    }
}
