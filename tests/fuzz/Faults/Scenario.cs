// One exchange through a simulated proxy, with a client and a backend of either version, and what came of it.
using System.Text;
using Naru.FuzzTests.Simulation;
using Naru.Kit;
using Naru.Proxy.Config;

namespace Naru.FuzzTests.Faults;

/// <summary>What the client asks for.</summary>
internal enum Kind : byte
{
    /// <summary>A short answer to a request without a body.</summary>
    Get,
    /// <summary>A short body, here with its head.</summary>
    Post,
    /// <summary>A long body, in parts.</summary>
    Upload,
    /// <summary>A long answer with a length.</summary>
    Download,
    /// <summary>An answer in chunks, with trailers.</summary>
    Chunked,
    /// <summary>A backend that first answers 503, and a policy that tries again.</summary>
    Retry,
    /// <summary>A WebSocket, a few bytes each way.</summary>
    Upgrade,
}

/// <summary>What is tried.</summary>
/// <param name="Kind">Which exchange.</param>
/// <param name="Down">The client speaks HTTP/2.</param>
/// <param name="Up">The backend speaks HTTP/2.</param>
/// <param name="Reused">The backend's connection, and all that pools hold, had an exchange before.</param>
internal sealed record Scenario(Kind Kind, bool Down, bool Up, bool Reused)
{
    private const int Long = 100_000;
    private static readonly byte[] s_long = [.. Enumerable.Range(0, Long).Select(i => (byte)('a' + i % 26))];

    public override string ToString() => $"{Kind} h{(Down ? 2 : 1)}->h{(Up ? 2 : 1)}{(Reused ? " reused" : "")}";

    public static IEnumerable<Scenario> All =>
        from kind in Enum.GetValues<Kind>()
        from down in new[] { false, true }
        from up in new[] { false, true }
        from reused in new[] { false, true }
        where kind != Kind.Upgrade || (!down && !up)
        select new Scenario(kind, down, up, reused);

    /// <summary>A proxy for it.</summary>
    public SimWorld World() => new(
        SimWorld.Manager(route => Kind != Kind.Retry ? route : route with { RetryPolicy = new RetryPolicyConfig { On = RetryOn.FiveXx, NumRetries = 1 } }),
        SimWorld.Cluster(Up));

    /// <summary>Runs it once.</summary>
    /// <param name="world">The proxy, new.</param>
    /// <param name="failAt">Which of the proxy's calls fails; 0 is none.</param>
    /// <param name="how">How it does.</param>
    public Result Run(SimWorld world, int failAt = 0, Fault how = Fault.None)
    {
        var backend = new Backend(world, Up);
        if (Reused)
        {
            foreach (string path in new[] { "/get", "/chunked" })
            {
                Answer warm = Ask(world, path, out SimSocket used);
                if (warm.Status != 200) throw new LawViolated($"warming up was answered {warm}");
                used.Close();
                world.Quiet();
            }
            world.Lines.Clear();
        }
        SimKernel kernel = world.Kernel;
        (kernel.FailAt, kernel.How) = (failAt, how);
        kernel.Watch();
        var result = new Result { Scenario = this, How = how };
        SimSocket client = world.Connect();
        kernel.OnFail = () => result.At(client, world, kernel.Made![^1], backend);
        Task<Answer> asked = Down ? AskHttp2Async(world, client) : AskHttp1Async(world, client);
        world.Run(asked, $"{this}, {how} at {failAt}");
        result.Answer = asked.Result;
        result.Calls = kernel.Made!;
        kernel.Unwatch();
        kernel.OnFail = null;
        // What came of it is in the log when its client, too, has gone.
        result.StillOpen = client is { IsEnded: false, WasReset: false };
        client.Close();
        world.Quiet();
        // A connection that nothing goes through any more ends by time alone.
        for (int i = 0; i < 5000 && world.Owed().Length > 0; i++) world.Wait(100);
        result.Owed = world.Owed();
        result.Lines = [.. world.Lines];
        result.Bugs = [.. world.Bugs];
        result.BackendFaults = [.. kernel.ServerFaults.Select(e => e.Message)];
        // Whatever happened is nobody else's loss.
        result.Next = Ask(world, "/get", out SimSocket next);
        next.Close();
        world.Quiet();
        return result;
    }

    private Answer Ask(SimWorld world, string path, out SimSocket client)
    {
        client = world.Connect();
        Task<Answer> asked = Down ? GetHttp2Async(client, path) : GetHttp1Async(client, path);
        world.Run(asked, $"a plain request for {path}");
        return asked.Result;
    }

    private static async Task<Answer> GetHttp1Async(SimSocket client, string path)
    {
        client.Send($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        return await AnswerAsync(client).ConfigureAwait(false);
    }

    private static async Task<Answer> GetHttp2Async(SimSocket client, string path)
    {
        var peer = new SimHttp2(client, server: false);
        peer.Start();
        SimStream stream = peer.Open("GET", path);
        await peer.UntilAsync(() => stream.IsOver).ConfigureAwait(false);
        return Answer.Of(stream);
    }

    private async Task<Answer> AskHttp1Async(SimWorld world, SimSocket client)
    {
        switch (Kind)
        {
            case Kind.Get: client.Send("GET /get HTTP/1.1\r\nHost: x\r\n\r\n"); break;
            case Kind.Retry: client.Send("GET /retry HTTP/1.1\r\nHost: x\r\n\r\n"); break;
            case Kind.Download: client.Send("GET /down HTTP/1.1\r\nHost: x\r\n\r\n"); break;
            case Kind.Chunked: client.Send("GET /chunked HTTP/1.1\r\nHost: x\r\n\r\n"); break;
            case Kind.Post: client.Send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"); break;
            case Kind.Upload:
                client.Send($"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {Long}\r\n\r\n");
                for (int i = 0; i < Long; i += Long / 4)
                {
                    await world.PauseAsync().ConfigureAwait(false);
                    client.Send(s_long.AsSpan(i, Long / 4));
                }
                break;
            case Kind.Upgrade:
                client.Send("GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
                Answer switched = await AnswerAsync(client).ConfigureAwait(false);
                if (switched.Status != 101) return switched;
                client.Send("ping");
                try
                {
                    string echoed = Encoding.Latin1.GetString(await client.Reader.ExactlyAsync(4).ConfigureAwait(false));
                    return switched with { Body = echoed };
                }
                catch (Exception e) when (e is HttpFormatException or SimResetException)
                {
                    return switched with { IsCut = true };
                }
        }
        return await AnswerAsync(client).ConfigureAwait(false);
    }

    private static async Task<Answer> AnswerAsync(SimSocket client)
    {
        try
        {
            HttpMessage? answer = await client.Reader.ResponseAsync().ConfigureAwait(false);
            return answer is null ? default : new Answer(answer.Status, answer.Text, false, answer.Trailers.Count);
        }
        catch (SimResetException)
        {
            return new Answer(StatusOf(client), "", true, 0);
        }
        catch (HttpFormatException)
        {
            return new Answer(StatusOf(client), "", true, 0);
        }
    }

    private static int StatusOf(SimSocket client) =>
        Encoding.Latin1.GetString(client.Received).Split(' ') is [_, var code, ..] && int.TryParse(code, out int status) ? status : 0;

    private async Task<Answer> AskHttp2Async(SimWorld world, SimSocket client)
    {
        var peer = new SimHttp2(client, server: false);
        peer.Start();
        SimStream stream;
        switch (Kind)
        {
            case Kind.Get: stream = peer.Open("GET", "/get"); break;
            case Kind.Retry: stream = peer.Open("GET", "/retry"); break;
            case Kind.Download: stream = peer.Open("GET", "/down"); break;
            case Kind.Chunked: stream = peer.Open("GET", "/chunked"); break;
            case Kind.Post:
                stream = peer.Open("POST", "/echo", end: false);
                await peer.BodyAsync(stream, "hello"u8.ToArray()).ConfigureAwait(false);
                break;
            default:
                stream = peer.Open("POST", "/echo", end: false);
                for (int i = 0; i < Long; i += Long / 4)
                {
                    await world.PauseAsync().ConfigureAwait(false);
                    if (!await peer.BodyAsync(stream, s_long.AsMemory(i, Long / 4), end: i + Long / 4 == Long).ConfigureAwait(false)) break;
                }
                break;
        }
        await peer.UntilAsync(() => stream.IsOver).ConfigureAwait(false);
        return Answer.Of(stream);
    }

    /// <summary>What a backend answers with.</summary>
    public static string BodyOf(string path) => path switch
    {
        "/down" => Encoding.Latin1.GetString(s_long),
        "/chunked" => "first second",
        _ => "ok",
    };

    /// <summary>The body that the client is to get.</summary>
    public string Expected => Kind switch
    {
        Kind.Post => "hello",
        Kind.Upload => Encoding.Latin1.GetString(s_long),
        Kind.Download => BodyOf("/down"),
        Kind.Chunked => BodyOf("/chunked"),
        Kind.Upgrade => "ping",
        _ => "ok",
    };
}

/// <summary>What a client got.</summary>
/// <param name="Status">0 for nothing.</param>
/// <param name="Body">Of a whole answer.</param>
/// <param name="IsCut">It began and was cut, visibly.</param>
/// <param name="Trailers">How many.</param>
internal readonly record struct Answer(int Status, string Body, bool IsCut, int Trailers)
{
    public static Answer Of(SimStream stream) => new(stream.Status, stream.Ended ? Encoding.Latin1.GetString(stream.Body.ToArray()) : "", !stream.Ended && stream.Status > 0, stream.Trailers.Count);

    public override string ToString() => Status == 0 ? "nothing" : IsCut ? $"{Status} cut" : $"{Status} whole";
}
