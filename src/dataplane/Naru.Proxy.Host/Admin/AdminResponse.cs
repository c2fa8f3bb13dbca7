// An answer of the admin: a status and a body that is there already or comes in pieces.
using System.Buffers;
using System.Text;
using System.Text.Json;
using Naru.Telemetry;

namespace Naru.Proxy.Host.Admin;

/// <summary>What a page gives back.</summary>
internal sealed class AdminResponse
{
    public const string Plain = "text/plain; charset=UTF-8";
    public const string Json = "application/json";
    public const string Html = "text/html; charset=UTF-8";

    /// <summary>Prometheus' own name for its text format.</summary>
    public const string Prometheus = "text/plain; version=0.0.4; charset=utf-8";

    public int Status { get; init; } = 200;
    public string ContentType { get; init; } = Plain;

    /// <summary>Value of <c>Allow</c>, with 405.</summary>
    public string? Allow { get; init; }

    /// <summary>The whole body, or the first piece.</summary>
    public LineBuffer Body { get; init; } = new();

    /// <summary>Fills <see cref="Body"/> again and again, where the body comes in pieces.</summary>
    public IEnumerable<bool>? Pieces { get; init; }

    /// <summary>Runs when the last byte was sent.</summary>
    public Action? Afterwards { get; init; }

    public static AdminResponse Text(string text, int status = 200)
    {
        var made = new AdminResponse { Status = status };
        made.Body.Append(Encoding.UTF8.GetBytes(text));
        return made;
    }

    /// <summary>JSON with two spaces of indentation and escaped angle brackets, whatever a browser makes of it.</summary>
    public static AdminResponse WriteJson(Action<Utf8JsonWriter> write, int status = 200)
    {
        var made = new AdminResponse { Status = status, ContentType = Json };
        using (var writer = new Utf8JsonWriter((IBufferWriter<byte>)made.Body, new JsonWriterOptions { Indented = true, IndentSize = 1 })) write(writer);
        made.Body.Append((byte)'\n');
        return made;
    }

    public static string Reason(int status) => status switch
    {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    };
}
