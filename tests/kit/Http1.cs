// Plain readings of HTTP/1 messages for tests: one strict (RFC 9112 to the letter), one sloppy (what careless servers do).
// Written apart from the product's codec on purpose: an oracle must not share its subject's mistakes.
using System.Text;

namespace Naru.Kit;

/// <summary>A header or trailer line exactly as it stood on the wire; <see cref="Value"/> without outer blanks.</summary>
public sealed record HeaderLine(string Name, string Value);

/// <summary>A message as it was read.</summary>
public sealed class HttpMessage
{
    /// <summary>Request line or status line.</summary>
    public required string StartLine { get; init; }

    /// <summary>Header lines in order, letter case kept.</summary>
    public required IReadOnlyList<HeaderLine> Headers { get; init; }

    /// <summary>Content, chunking removed.</summary>
    public byte[] Body { get; set; } = [];

    /// <summary>Trailer lines in order.</summary>
    public IReadOnlyList<HeaderLine> Trailers { get; set; } = [];

    /// <summary>Sizes of the chunks, the last (0) left out; empty where the content was not chunked.</summary>
    public IReadOnlyList<int> Chunks { get; set; } = [];

    /// <summary>Content as text, one char a byte.</summary>
    public string Text => Encoding.Latin1.GetString(Body);

    /// <summary>First word of a request line.</summary>
    public string Method => StartLine.Split(' ')[0];

    /// <summary>Second word of a request line.</summary>
    public string Target => StartLine.Split(' ')[1];

    /// <summary>Code of a status line.</summary>
    public int Status => int.Parse(StartLine.Split(' ')[1]);

    /// <summary>First value of a header, or null.</summary>
    public string? Header(string name) => Headers.FirstOrDefault(h => h.Name.Equals(name, StringComparison.OrdinalIgnoreCase))?.Value;

    /// <summary>All values of a header.</summary>
    public string[] All(string name) => [.. Headers.Where(h => h.Name.Equals(name, StringComparison.OrdinalIgnoreCase)).Select(h => h.Value)];

    /// <summary>Whether a header is there.</summary>
    public bool Has(string name) => Header(name) is not null;

    /// <inheritdoc/>
    public override string ToString() => StartLine + "\n" + string.Join("\n", Headers.Select(h => $"{h.Name}: {h.Value}")) + "\n\n" + Text;
}

/// <summary>A message was not what RFC 9112 allows.</summary>
public sealed class HttpFormatException(string message) : Exception(message);

/// <summary>Reads messages from bytes that come in pieces.</summary>
public sealed class HttpReader(Func<Memory<byte>, ValueTask<int>> read)
{
    private readonly byte[] _buffer = new byte[64 * 1024];
    private int _start;
    private int _end;

    /// <summary>Bytes read from the wire and not yet taken.</summary>
    public int Buffered => _end - _start;

    /// <summary>Next byte, or -1 at the end.</summary>
    public async ValueTask<int> ByteAsync()
    {
        if (_start == _end)
        {
            _start = 0;
            _end = await read(_buffer).ConfigureAwait(false);
            if (_end == 0) return -1;
        }
        return _buffer[_start++];
    }

    /// <summary>Up to <paramref name="target"/>.Length bytes; 0 at the end.</summary>
    public async ValueTask<int> SomeAsync(Memory<byte> target)
    {
        if (_start == _end) return await read(target).ConfigureAwait(false);
        int n = Math.Min(target.Length, _end - _start);
        _buffer.AsMemory(_start, n).CopyTo(target);
        _start += n;
        return n;
    }

    /// <summary>Exactly <paramref name="count"/> bytes.</summary>
    public async ValueTask<byte[]> ExactlyAsync(long count)
    {
        var bytes = new byte[count];
        int at = 0;
        while (at < bytes.Length)
        {
            int n = await SomeAsync(bytes.AsMemory(at)).ConfigureAwait(false);
            if (n == 0) throw new HttpFormatException($"ended after {at} of {count} bytes");
            at += n;
        }
        return bytes;
    }

    /// <summary>Everything to the end.</summary>
    public async ValueTask<byte[]> RestAsync()
    {
        using var all = new MemoryStream();
        var piece = new byte[16 * 1024];
        int n;
        while ((n = await SomeAsync(piece).ConfigureAwait(false)) > 0) all.Write(piece, 0, n);
        return all.ToArray();
    }

    /// <summary>A line that ends with CRLF, without it; null when the peer ended before its first byte.</summary>
    public async ValueTask<string?> LineAsync()
    {
        var line = new StringBuilder();
        while (true)
        {
            int b = await ByteAsync().ConfigureAwait(false);
            if (b < 0) return line.Length == 0 ? null : throw new HttpFormatException($"ended inside the line \"{line}\"");
            if (b == '\n')
            {
                if (line.Length == 0 || line[^1] != '\r') throw new HttpFormatException($"bare LF after \"{line}\"");
                return line.ToString(0, line.Length - 1);
            }
            if (line.Length > 0 && line[^1] == '\r') throw new HttpFormatException($"bare CR in \"{line}\"");
            line.Append((char)b);
        }
    }

    /// <summary>The head of the next message, or null when the peer closed between messages.</summary>
    public async ValueTask<HttpMessage?> HeadAsync()
    {
        string? start = await LineAsync().ConfigureAwait(false);
        if (start is null) return null;
        return new HttpMessage { StartLine = start, Headers = await FieldsAsync().ConfigureAwait(false) };
    }

    /// <summary>A whole request, strictly; null when the peer closed between requests.</summary>
    public async ValueTask<HttpMessage?> RequestAsync()
    {
        HttpMessage? message = await HeadAsync().ConfigureAwait(false);
        if (message is null) return null;
        await RequestBodyAsync(message).ConfigureAwait(false);
        return message;
    }

    /// <summary>Content of a request whose head was read.</summary>
    public async ValueTask RequestBodyAsync(HttpMessage message)
    {
        string[] words = message.StartLine.Split(' ');
        if (words.Length != 3 || words[2] is not ("HTTP/1.1" or "HTTP/1.0")) throw new HttpFormatException($"request line \"{message.StartLine}\"");
        await BodyAsync(message, untilEnd: false).ConfigureAwait(false);
    }

    /// <summary>A whole response to <paramref name="method"/>; 1xx other than 101 are returned as messages of their own.</summary>
    public async ValueTask<HttpMessage?> ResponseAsync(string method = "GET")
    {
        HttpMessage? message = await HeadAsync().ConfigureAwait(false);
        if (message is null) return null;
        if (!message.StartLine.StartsWith("HTTP/1.", StringComparison.Ordinal)) throw new HttpFormatException($"status line \"{message.StartLine}\"");
        int status = message.Status;
        if (status < 200 || status is 204 or 304 || method == "HEAD" || (method == "CONNECT" && status < 300)) return message;
        await BodyAsync(message, untilEnd: true).ConfigureAwait(false);
        return message;
    }

    private async ValueTask BodyAsync(HttpMessage message, bool untilEnd)
    {
        string[] lengths = message.All("content-length");
        string[] codings = message.All("transfer-encoding");
        if (codings.Length > 0)
        {
            if (lengths.Length > 0) throw new HttpFormatException("both Content-Length and Transfer-Encoding");
            if (codings.Length > 1 || !codings[0].Equals("chunked", StringComparison.OrdinalIgnoreCase)) throw new HttpFormatException($"Transfer-Encoding \"{string.Join("|", codings)}\"");
            await ChunksAsync(message).ConfigureAwait(false);
        }
        else if (lengths.Length > 0)
        {
            if (lengths.Length > 1 || !lengths[0].All(char.IsAsciiDigit) || !long.TryParse(lengths[0], out long length)) throw new HttpFormatException($"Content-Length \"{string.Join("|", lengths)}\"");
            message.Body = await ExactlyAsync(length).ConfigureAwait(false);
        }
        else if (untilEnd)
        {
            message.Body = await RestAsync().ConfigureAwait(false);
        }
    }

    private async ValueTask ChunksAsync(HttpMessage message)
    {
        using var body = new MemoryStream();
        var sizes = new List<int>();
        while (true)
        {
            string line = await LineAsync().ConfigureAwait(false) ?? throw new HttpFormatException("ended before the last chunk");
            string size = line.Split(';')[0];
            if (size.Length is 0 or > 8 || !size.All(char.IsAsciiHexDigit)) throw new HttpFormatException($"chunk size \"{line}\"");
            int length = Convert.ToInt32(size, 16);
            if (length == 0) break;
            sizes.Add(length);
            body.Write(await ExactlyAsync(length).ConfigureAwait(false));
            if (await LineAsync().ConfigureAwait(false) != "") throw new HttpFormatException("no CRLF after a chunk");
        }
        message.Trailers = await FieldsAsync().ConfigureAwait(false);
        message.Body = body.ToArray();
        message.Chunks = sizes;
    }

    private async ValueTask<List<HeaderLine>> FieldsAsync()
    {
        var fields = new List<HeaderLine>();
        while (true)
        {
            string line = await LineAsync().ConfigureAwait(false) ?? throw new HttpFormatException("ended inside the header");
            if (line.Length == 0) return fields;
            int colon = line.IndexOf(':');
            if (colon <= 0 || line[0] is ' ' or '\t' || !line.AsSpan(0, colon).ToString().All(IsToken)) throw new HttpFormatException($"header line \"{line}\"");
            string value = line[(colon + 1)..].Trim(' ', '\t');
            if (value.Any(c => c < ' ' && c != '\t' || c == 127)) throw new HttpFormatException($"header value \"{line}\"");
            fields.Add(new HeaderLine(line[..colon], value));
        }
    }

    private static bool IsToken(char c) => char.IsAsciiLetterOrDigit(c) || "!#$%&'*+-.^_`|~".Contains(c);
}

/// <summary>Counts the requests in recorded bytes, once strictly and once as a careless server would.</summary>
public static class RequestCount
{
    /// <summary>By RFC 9112; a fault ends the count with its description.</summary>
    public static async Task<(int Count, string? Fault)> StrictAsync(byte[] bytes)
    {
        using var stream = new MemoryStream(bytes);
        var reader = new HttpReader(memory => stream.ReadAsync(memory));
        int count = 0;
        try
        {
            while (await reader.RequestAsync().ConfigureAwait(false) is not null) count++;
            return (count, null);
        }
        catch (HttpFormatException e)
        {
            return (count, e.Message);
        }
    }

    /// <summary>As careless servers read: LF ends a line, blanks around names are cut, folded lines are joined, <c>chunked</c> anywhere in
    /// Transfer-Encoding counts, the last Content-Length wins and is read up to its first non-digit.</summary>
    public static int Sloppy(byte[] bytes)
    {
        string text = Encoding.Latin1.GetString(bytes);
        int at = 0;
        int count = 0;
        while (at < text.Length)
        {
            string? start = Line(text, ref at);
            if (start is null) break;
            if (start.Trim().Length == 0) continue;
            if (!start.Contains("HTTP/", StringComparison.OrdinalIgnoreCase)) break;
            count++;
            long length = 0;
            bool chunked = false;
            string? line;
            while ((line = Line(text, ref at)) is not null && line.Length > 0)
            {
                string name = line.Split(':')[0].Trim().Replace('_', '-').ToLowerInvariant();
                string value = line.Contains(':') ? line[(line.IndexOf(':') + 1)..].Trim() : "";
                if (name == "content-length" && long.TryParse(new string([.. value.TrimStart('+').TakeWhile(char.IsAsciiDigit)]), out long n)) length = n;
                if (name == "transfer-encoding" && value.Contains("chunked", StringComparison.OrdinalIgnoreCase)) chunked = true;
            }
            if (chunked) SkipChunks(text, ref at);
            else at = (int)Math.Min(text.Length, at + length);
        }
        return count;
    }

    private static void SkipChunks(string text, ref int at)
    {
        while (Line(text, ref at) is { } line)
        {
            string digits = new([.. line.Trim().TakeWhile(char.IsAsciiHexDigit)]);
            if (digits.Length is 0 or > 15) return;
            long size = Convert.ToInt64(digits, 16);
            if (size == 0)
            {
                while (Line(text, ref at) is { Length: > 0 })
                {
                    // Trailers are skipped.
                }
                return;
            }
            at = (int)Math.Min(text.Length, at + size);
            if (at < text.Length && text[at] is '\r' or '\n') _ = Line(text, ref at);
        }
    }

    private static string? Line(string text, ref int at)
    {
        if (at >= text.Length) return null;
        int end = text.IndexOf('\n', at);
        if (end < 0) end = text.Length;
        string line = text[at..end].TrimEnd('\r');
        at = Math.Min(text.Length, end + 1);
        return line;
    }
}
