// How the API writes: JSON always, errors as {"error": …}, diagnostics in one shape everywhere.
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Naru.Core;

namespace Naru.Control.Host.Api;

/// <summary>Writes answers.</summary>
internal static class Answers
{
    // What JSON asks for is escaped, so that quotes can be read; and what a page would take for markup, whoever serves it as one.
    private static readonly JsonWriterOptions s_writing = new() { Indented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>A JSON document, written by <paramref name="write"/>.</summary>
    public static async Task JsonAsync(HttpContext context, int status, Action<Utf8JsonWriter> write)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        var buffer = new System.Buffers.ArrayBufferWriter<byte>();
        await using (var writer = new Utf8JsonWriter(buffer, s_writing)) write(writer);
        // Outside of strings JSON has neither.
        string text = Encoding.UTF8.GetString(buffer.WrittenSpan).Replace("<", "\\u003C", StringComparison.Ordinal).Replace(">", "\\u003E", StringComparison.Ordinal);
        byte[] bytes = Encoding.UTF8.GetBytes(text + "\n");
        context.Response.ContentLength = bytes.Length;
        if (!HttpMethods.IsHead(context.Request.Method)) await context.Response.Body.WriteAsync(bytes, context.RequestAborted).ConfigureAwait(false);
    }

    /// <summary>An error in one sentence.</summary>
    public static Task ErrorAsync(HttpContext context, int status, string text) => JsonAsync(context, status, w =>
    {
        w.WriteStartObject();
        w.WriteString("error", text);
        w.WriteEndObject();
    });

    /// <summary>Plain text.</summary>
    public static Task TextAsync(HttpContext context, int status, string text, string type = "text/plain; charset=utf-8")
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = type;
        return context.Response.WriteAsync(text, Encoding.UTF8, context.RequestAborted);
    }

    /// <summary><c>"diagnostics": […]</c>.</summary>
    public static void Write(this Utf8JsonWriter w, IEnumerable<Diagnostic> diagnostics, string name = "diagnostics")
    {
        w.WriteStartArray(name);
        foreach (Diagnostic d in diagnostics)
        {
            w.WriteStartObject();
            w.WriteString("code", d.Code);
            w.WriteString("severity", NameOf(d.Severity));
            w.WriteString("message", d.Message);
            if (d.Place.File is not null) w.WriteString("file", d.Place.File);
            w.WriteNumber("line", d.Place.Line);
            w.WriteNumber("column", d.Place.Column);
            if (d.Subject is not null) w.WriteString("subject", d.Subject);
            if (d.Remedy is not null) w.WriteString("remedy", d.Remedy);
            w.WriteEndObject();
        }
        w.WriteEndArray();
    }

    /// <summary>error, warning or info.</summary>
    public static string NameOf(Severity severity) => severity switch { Severity.Error => "error", Severity.Warning => "warning", _ => "info" };
}
