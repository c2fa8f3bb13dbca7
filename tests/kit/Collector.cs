// A collector of spans in Zipkin's JSON: keeps what it is told, and answers as it is told to.
using System.Text.Json;

namespace Naru.Kit;

/// <summary>A collector.</summary>
public sealed class Collector : IAsyncDisposable
{
    private readonly Cases _cases = new();

    /// <summary>Answers 202, or what is given.</summary>
    public Collector(CaseHandler? handler = null) => _cases.At("/api", async (connection, head) =>
    {
        await connection.Reader.RequestBodyAsync(head).ConfigureAwait(false);
        connection.Witness.Remember(head);
        if (handler is not null) await handler(connection, head).ConfigureAwait(false);
        else await connection.SendAsync("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").ConfigureAwait(false);
    });

    /// <summary>Where it listens.</summary>
    public int Port => _cases.Port;

    /// <summary>Requests that came.</summary>
    public IReadOnlyList<HttpMessage> Requests => _cases.Seen("/api");

    /// <summary>All spans that came whole.</summary>
    public IReadOnlyList<JsonElement> Spans =>
        [.. Requests.Where(r => r.Text.EndsWith(']')).SelectMany(r => JsonDocument.Parse(r.Text).RootElement.EnumerateArray().ToArray())];

    /// <summary>Waits for so many spans.</summary>
    public async Task<IReadOnlyList<JsonElement>> SpansAsync(int count)
    {
        await Waiting.UntilAsync(() => Spans.Count >= count, $"{count} spans").ConfigureAwait(false);
        return Spans;
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _cases.DisposeAsync();
}
