// One exchange through any mix of versions: the client speaks HTTP/1 or 2, so does the backend, and a test says what it sends and
// sees in words that both have.
using System.Text;
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Http2;

/// <summary>A message as it arrived. Names in lower case; pseudo fields and what frames a message in HTTP/1 are left out.</summary>
internal sealed record Arrived(string Start, IReadOnlyList<HeaderLine> Fields, byte[] Body, IReadOnlyList<HeaderLine> Trailers, IReadOnlyList<int> Interim)
{
    public string Text => Encoding.Latin1.GetString(Body);

    public int Status => int.Parse(Start);

    public string? Field(string name) => Fields.FirstOrDefault(f => f.Name == name)?.Value;

    public string[] All(string name) => [.. Fields.Where(f => f.Name == name).Select(f => f.Value)];

    public string? Trailer(string name) => Trailers.FirstOrDefault(f => f.Name == name)?.Value;

    public override string ToString() => $"{Start}\n{string.Join('\n', Fields.Select(f => $"{f.Name}: {f.Value}"))}\n\n{(Body.Length > 1000 ? $"{Body.Length} bytes" : Text)}";

    public static Arrived Of(HttpMessage message, bool request) => new(
        request ? $"{message.Method} {message.Target} {message.Header("host")}" : message.Status.ToString(),
        [.. message.Headers.Select(h => new HeaderLine(h.Name.ToLowerInvariant(), h.Value)).Where(h => h.Name is not ("host" or "transfer-encoding"))],
        message.Body, [.. message.Trailers.Select(h => new HeaderLine(h.Name.ToLowerInvariant(), h.Value))], []);

    public static Arrived Of(Http2Message message, bool request) => new(
        request ? $"{message.Method} {message.Path} {message.Header(":authority")}" : message.Status.ToString(),
        [.. message.Head.Where(h => h.Name[0] != ':')], message.Body, message.Trailers ?? [],
        [.. message.Interim.Select(i => int.Parse(i[0].Value))]);
}

/// <summary>What a backend answers.</summary>
internal sealed record Reply(int Status, byte[]? Body = null, (string Name, string Value)[]? Fields = null, (string Name, string Value)[]? Trailers = null);

/// <summary>A pair of versions over a fixture.</summary>
internal sealed class Mix(Http2Fixture fixture, int down, int up)
{
    public static TheoryData<int, int> All => new() { { 1, 2 }, { 2, 1 }, { 2, 2 } };

    public ProxyProcess Proxy => up == 1 ? fixture.ToHttp1 : fixture.ToHttp2;

    /// <summary>A path whose requests are kept and answered so, once they are whole.</summary>
    public string On(Func<Arrived, Reply> answer) => up == 1
        ? fixture.Http1.Add(async (c, head) =>
        {
            await c.Reader.RequestBodyAsync(head);
            Reply reply = answer(Arrived.Of(head, request: true));
            var text = new StringBuilder($"HTTP/1.1 {reply.Status} X\r\n");
            foreach ((string name, string value) in reply.Fields ?? []) text.Append($"{name}: {value}\r\n");
            bool bodyless = head.Method == "HEAD" || reply.Status is 204 or 304;
            if (reply.Trailers is { } trailers)
            {
                text.Append($"Transfer-Encoding: chunked\r\n\r\n");
                await c.SendAsync(text.ToString());
                if (reply.Body is { Length: > 0 } content)
                {
                    await c.SendAsync($"{content.Length:x}\r\n");
                    await c.SendAsync(content);
                    await c.SendAsync("\r\n");
                }
                await c.SendAsync("0\r\n" + string.Concat(trailers.Select(t => $"{t.Name}: {t.Value}\r\n")) + "\r\n");
                return;
            }
            if (!bodyless) text.Append($"Content-Length: {reply.Body?.Length ?? 0}\r\n");
            await c.SendAsync(text + "\r\n");
            if (!bodyless && reply.Body is { } body) await c.SendAsync(body);
        })
        : fixture.Http2.Add(async (peer, request) =>
        {
            await peer.EndAsync(request.Id);
            Reply reply = answer(Arrived.Of(request, request: true));
            bool bodyless = request.Method == "HEAD" || reply.Status is 204 or 304;
            await Http2Backend.AnswerAsync(peer, request, [(":status", reply.Status.ToString()), .. reply.Fields ?? []], bodyless ? null : reply.Body ?? [], reply.Trailers);
        });

    /// <summary>Sends a request and reads the answer to its end.</summary>
    public async Task<Arrived> ExchangeAsync(string method, string path, (string Name, string Value)[]? fields = null, byte[]? body = null, (string Name, string Value)[]? trailers = null)
    {
        if (down == 2)
        {
            using Http2Peer client = await Http2Peer.ConnectAsync(Proxy.Address);
            int id = await client.OpenAsync(method, path, fields, end: body is null && trailers is null);
            Task sending = Task.CompletedTask;
            if (body is not null) sending = client.BodyAsync(id, body, end: trailers is null);
            await sending;
            if (trailers is not null) await client.HeadersAsync(id, trailers, end: true);
            Http2Message answer = await client.EndAsync(id);
            Assert.True(answer.Ended, answer.ToString());
            return Arrived.Of(answer, request: false);
        }
        using RawClient old = await Proxy.ConnectAsync();
        string head = $"{method} {path} HTTP/1.1\r\nHost: x\r\n{string.Concat((fields ?? []).Select(f => $"{f.Name}: {f.Value}\r\n"))}";
        if (trailers is not null)
        {
            await old.SendAsync(head + "Transfer-Encoding: chunked\r\n\r\n");
            if (body is { Length: > 0 })
            {
                await old.SendAsync($"{body.Length:x}\r\n");
                await old.SendAsync(body);
                await old.SendAsync("\r\n");
            }
            await old.SendAsync("0\r\n" + string.Concat(trailers.Select(t => $"{t.Name}: {t.Value}\r\n")) + "\r\n");
        }
        else
        {
            await old.SendAsync(head + (body is null ? "\r\n" : $"Content-Length: {body.Length}\r\n\r\n"));
            if (body is not null) await old.SendAsync(body);
        }
        return Arrived.Of(await old.ResponseAsync(method), request: false);
    }
}
