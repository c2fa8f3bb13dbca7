// A request that is to be explained, as admin page, command line and tests say it: one JSON object. What no request could be is refused here, by field.
using System.Collections.Immutable;
using System.Net;
using System.Text;
using System.Text.Json;
using Naru.Http.Http1;

namespace Naru.Proxy.Explain;

/// <summary>A request that nobody sends.</summary>
public sealed record ExplainRequest
{
    /// <summary>Most bytes of its head.</summary>
    public const int MostBytes = 60 * 1024;

    /// <summary>Method (default GET).</summary>
    public string Method { get; private init; } = "GET";

    /// <summary>Whether it comes over TLS.</summary>
    public bool IsSecure { get; private init; }

    /// <summary>Host, and port where one was written.</summary>
    public string Authority { get; private init; } = "";

    /// <summary>Host without its port.</summary>
    public string HostName { get; private init; } = "";

    /// <summary>Port of the URL; 80 or 443 where it names none.</summary>
    public int Port { get; private init; }

    /// <summary>Path and query; of CONNECT the authority.</summary>
    public string Target { get; private init; } = "/";

    /// <summary>Names and values in order.</summary>
    public ImmutableArray<(string Name, string Value)> Headers { get; private init; } = [];

    /// <summary>The listener by its name, <c>IP:PORT</c> or <c>PORT</c>; empty finds it by the URL.</summary>
    public string Listener { get; private init; } = "";

    /// <summary>Who seems to send it (default 127.0.0.1).</summary>
    public IPEndPoint Source { get; private init; } = new(IPAddress.Loopback, 0);

    /// <summary>SNI where that is not the URL's host.</summary>
    public string? ServerName { get; private init; }

    /// <summary>ALPN.</summary>
    public ImmutableArray<string> Protocols { get; private init; } = [];

    /// <summary>What chance says: for shares of routes and weights of clusters; null draws.</summary>
    public ulong? Random { get; private init; }

    private static readonly string[] s_fields = ["method", "url", "headers", "listener", "source", "sni", "alpn", "random"];
    private static readonly string[] s_texts = ["method", "url", "listener", "source", "sni"];

    /// <summary>Reads one; null with a fault that names the field.</summary>
    /// <param name="json">One JSON object, UTF-8.</param>
    /// <param name="fault">One sentence.</param>
    public static ExplainRequest? Parse(ReadOnlyMemory<byte> json, out string fault)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = 4 });
            return Read(document.RootElement, out fault);
        }
        catch (JsonException e)
        {
            fault = $"no JSON object with \"url\": {e.Message}";
        }
        catch (InvalidOperationException)
        {
            // A string with half of a character in it.
            fault = "a string is no text";
        }
        return null;
    }

    private static ExplainRequest? Read(JsonElement root, out string fault)
    {
        fault = "";
        if (root.ValueKind != JsonValueKind.Object)
        {
            fault = "no JSON object with \"url\"";
            return null;
        }
        foreach (JsonProperty property in root.EnumerateObject())
        {
            if (s_fields.Contains(property.Name)) continue;
            fault = $"there is no field \"{property.Name}\"; there are {string.Join(", ", s_fields)}";
            return null;
        }
        foreach (string name in s_texts)
            if (root.TryGetProperty(name, out JsonElement given) && given.ValueKind is not (JsonValueKind.String or JsonValueKind.Null)) return Refuse(out fault, name, "is no text");
        string? Text(string name) => root.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
        var made = new ExplainRequest { Listener = Text("listener") ?? "", ServerName = Text("sni")?.ToLowerInvariant() };
        string method = Text("method") ?? "GET";
        if (!Http1Head.IsToken(Encoding.Latin1.GetBytes(method)) || method.Length > 64) return Refuse(out fault, "method", "is no method");
        made = made with { Method = method };
        if (Text("url") is not { } url) return Refuse(out fault, "url", "is missing; write http://HOST[:PORT]/PATH");
        if (Url(made, url, out fault) is not { } located) return null;
        made = located;
        if (Lines(root, out ImmutableArray<(string, string)> headers) is { } wrong) return Refuse(out fault, "headers", wrong);
        made = made with { Headers = headers };
        if (headers.FirstOrDefault(h => h.Item1 is "host" or ":authority") is (_, { } host))
            made = made with { Authority = host, Headers = [.. headers.Where(h => h.Item1 is not ("host" or ":authority"))] };
        if (Text("source") is { } source)
        {
            if (!IPEndPoint.TryParse(source, out IPEndPoint? from)) return Refuse(out fault, "source", "is no IP[:PORT]");
            made = made with { Source = from };
        }
        if (root.TryGetProperty("alpn", out JsonElement alpn))
        {
            if (alpn.ValueKind != JsonValueKind.Array || alpn.EnumerateArray().Any(a => a.ValueKind != JsonValueKind.String)) return Refuse(out fault, "alpn", "is no list of protocols");
            made = made with { Protocols = [.. alpn.EnumerateArray().Select(a => a.GetString()!)] };
        }
        if (!root.TryGetProperty("random", out JsonElement random) || random.ValueKind == JsonValueKind.Null) return made;
        return random.ValueKind == JsonValueKind.Number && random.TryGetUInt64(out ulong number) ? made with { Random = number } : Refuse(out fault, "random", "is no number from 0 on");
    }

    private static ExplainRequest? Refuse(out string fault, string field, string what)
    {
        fault = $"{field}: {what}";
        return null;
    }

    private static ExplainRequest? Url(ExplainRequest made, string url, out string fault)
    {
        int scheme = url.IndexOf("://", StringComparison.Ordinal);
        string name = scheme < 0 ? "http" : url[..scheme].ToLowerInvariant();
        if (name is not ("http" or "https")) return Refuse(out fault, "url", $"has the scheme {name}; there are http and https");
        string rest = scheme < 0 ? url : url[(scheme + 3)..];
        int end = rest.IndexOfAny(['/', '?', '#']);
        string authority = end < 0 ? rest : rest[..end], target = end < 0 ? "/" : rest[end..];
        if (target.StartsWith('?')) target = "/" + target;
        int fragment = target.IndexOf('#');
        if (fragment >= 0) target = target[..fragment];
        if (authority.Length == 0) return Refuse(out fault, "url", "names no host; write http://HOST[:PORT]/PATH");
        if ((authority + target).Any(c => c is <= ' ' or > '~')) return Refuse(out fault, "url", "has characters that no target may hold; percent-encode them (RFC 3986 2.1)");
        int colon = authority.LastIndexOf(':');
        bool hasPort = colon > authority.LastIndexOf(']');
        int port = name == "https" ? 443 : 80;
        if (hasPort && !(int.TryParse(authority[(colon + 1)..], out port) && port is > 0 and < 65536)) return Refuse(out fault, "url", "has no port from 1 to 65535 behind its colon");
        fault = "";
        string host = hasPort ? authority[..colon] : authority;
        return made with
        {
            IsSecure = name == "https",
            Authority = authority,
            HostName = host.Trim('[', ']').ToLowerInvariant(),
            Port = port,
            Target = made.Method == "CONNECT" ? $"{host}:{port}" : target.Length == 0 ? "/" : target,
        };
    }

    private static string? Lines(JsonElement root, out ImmutableArray<(string Name, string Value)> headers)
    {
        headers = [];
        if (!root.TryGetProperty("headers", out JsonElement lines) || lines.ValueKind == JsonValueKind.Null) return null;
        if (lines.ValueKind != JsonValueKind.Array) return "is no list of \"name: value\"";
        var read = ImmutableArray.CreateBuilder<(string, string)>();
        int bytes = 0;
        foreach (JsonElement line in lines.EnumerateArray())
        {
            if (line.ValueKind != JsonValueKind.String || line.GetString() is not { } text || text.IndexOf(':', 1 < text.Length ? 1 : 0) is var colon && colon < 1)
                return $"[{read.Count}] is no \"name: value\"";
            string name = text[..colon].Trim().ToLowerInvariant(), value = text[(colon + 1)..].Trim(' ', '\t');
            if (name != ":authority" && !Http1Head.IsToken(Encoding.UTF8.GetBytes(name))) return $"[{read.Count}] has no name of a header before its colon";
            if (!Http1Head.IsFieldValue(Encoding.UTF8.GetBytes(value))) return $"[{read.Count}] ({name}) has a value with a line end, or another byte that no header may hold";
            bytes += text.Length + 4;
            if (bytes > MostBytes) return $"are more than {MostBytes} bytes";
            read.Add((name, value));
        }
        headers = read.ToImmutable();
        return null;
    }

    /// <summary>Its head as HTTP/1 has it.</summary>
    internal byte[] Head()
    {
        var text = new StringBuilder($"{Method} {Target} HTTP/1.1\r\nhost: {Authority}\r\n");
        // It has no body: what frames one would have somebody wait for it.
        foreach ((string name, string value) in Headers)
            if (name is not ("content-length" or "transfer-encoding" or "expect")) text.Append(name).Append(": ").Append(value).Append("\r\n");
        return Encoding.UTF8.GetBytes(text.Append("\r\n").ToString());
    }
}
