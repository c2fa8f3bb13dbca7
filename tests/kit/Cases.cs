// One witness for many tests behind one proxy: each test registers what its own path does, so that pooled connections
// may be shared without tests meeting each other.
using System.Collections.Concurrent;

namespace Naru.Kit;

/// <summary>What a case does with a request whose head was read. It reads the content itself, answers, and may close.</summary>
public delegate Task CaseHandler(WitnessConnection connection, HttpMessage head);

/// <summary>A witness that dispatches by the first part of the path.</summary>
public sealed class Cases : IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, CaseHandler> _handlers = new();
    private int _next;

    /// <summary>Starts it.</summary>
    public Cases() => Witness = new Witness(ServeAsync);

    /// <summary>The server below.</summary>
    public Witness Witness { get; }

    /// <summary>Its port.</summary>
    public int Port => Witness.Port;

    /// <summary>A fresh path, for example <c>/case7</c>, whose requests (also of paths below it) go to the handler.</summary>
    public string Add(CaseHandler handler)
    {
        string path = "/case" + Interlocked.Increment(ref _next);
        _handlers[path] = handler;
        return path;
    }

    /// <summary>Requests of a path that the test names itself.</summary>
    public void At(string path, CaseHandler handler) => _handlers[path] = handler;

    /// <summary>A fresh path that reads the whole request and answers these bytes.</summary>
    public string Answer(string bytes, bool thenClose = false) => Add(async (connection, head) =>
    {
        await connection.Reader.RequestBodyAsync(head).ConfigureAwait(false);
        await connection.SendAsync(bytes).ConfigureAwait(false);
        if (thenClose) connection.Close();
    });

    /// <summary>A fresh path that echoes the whole request as the body of a 200.</summary>
    public string Echo() => Add(EchoAsync);

    /// <summary>Requests below a path that arrived whole.</summary>
    public IReadOnlyList<HttpMessage> Seen(string path) => [.. Witness.Requests.Where(r => Path(r.Target) == path)];

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => Witness.DisposeAsync();

    private static string Path(string target)
    {
        int end = target.IndexOfAny(['/', '?', '#'], Math.Min(1, target.Length));
        return end < 0 ? target : target[..end];
    }

    private static async Task EchoAsync(WitnessConnection connection, HttpMessage head)
    {
        await connection.Reader.RequestBodyAsync(head).ConfigureAwait(false);
        connection.Witness.Remember(head);
        string text = head.ToString();
        await connection.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {text.Length}\r\n\r\n{(head.Method == "HEAD" ? "" : text)}").ConfigureAwait(false);
    }

    private async Task ServeAsync(WitnessConnection connection)
    {
        while (await connection.Reader.HeadAsync().ConfigureAwait(false) is { } head)
        {
            string target = head.StartLine.Split(' ') is [_, var t, ..] ? t : "";
            CaseHandler handler = _handlers.GetValueOrDefault(Path(target), EchoAsync);
            await handler(connection, head).ConfigureAwait(false);
        }
    }
}
