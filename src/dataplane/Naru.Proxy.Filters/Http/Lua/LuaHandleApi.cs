// What the stream handle can be asked (Envoy docs: Lua, stream handle API).
using System.Globalization;
using System.Net;
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Filters.Scripting;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Tls;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Filters.Http.Lua;

internal static class LuaHandleApi
{
    // Of an answer of a script's.
    private const int MostFields = 100;
    private const int MostFieldBytes = 64 * 1024;

    public static void Open(Methods methods)
    {
        methods.Add("headers", static a => Give(a, static run => run.HeaderObject()));
        methods.Add("body", Body);
        methods.Add("bodyChunks", Chunks);
        methods.Add("trailers", Trailers);
        methods.Add("httpCall", LuaCall.Ask);
        methods.Add("respond", Respond);
        methods.Add("metadata", static a =>
            Give(a, static run => new LuaMetadata(run, LuaMetadata.OfRoute(run)) { Metatable = run.World.Tables.Metadata }));
        methods.Add("streamInfo", static a => Give(a, static run => new LuaInfo(run) { Metatable = run.World.Tables.Info }));
        methods.Add("connection", static a => Give(a, static run => new LuaInfo(run) { Metatable = run.World.Tables.Connection }));
        methods.Add("connectionStreamInfo", static a =>
            Give(a, static run => new LuaInfo(run) { Metatable = run.World.Tables.ConnectionInfo }));
        methods.Add("route", static a =>
            Give(a, static run => new LuaPlace(run, LuaMetadata.OfRoute(run)) { Metatable = run.World.Tables.Place }));
        methods.Add("virtualHost", static a =>
            Give(a, static run => new LuaPlace(run, LuaMetadata.OfHost(run)) { Metatable = run.World.Tables.Place }));
        methods.Add("setUpstreamOverrideHost", Override);
        methods.Add("clearRouteCache", static a =>
        {
            LuaRun run = Run(a);
            if (run is { IsRequest: true, HeadWaits: true }) run.ClearsRoute = true;
            return a.Thread.None();
        });
        methods.Add("filterContext", static a =>
            a.Thread.Give(Run(a).FilterContext is { } context ? LuaMetadata.ToLua(a.State, context) : new LuaTable(a.State)));
        methods.Add("importPublicKey", ImportKey);
        methods.Add("verifySignature", Verify);
        methods.Add("base64Escape", static a =>
        {
            _ = Run(a);
            byte[] text = a.Text(1).Bytes;
            a.State.CheckSize((long)text.Length * 4 / 3 + 4);
            return a.Thread.Give(a.State.String(Encoding.ASCII.GetBytes(Convert.ToBase64String(text))));
        });
        methods.Add("timestamp", static a =>
            a.Thread.Give(Stamp(Run(a), a.Int(1, LuaInfo.Millisecond))));
        methods.Add("timestampString", static a =>
            a.Thread.Give(LuaValue.Of(Stamp(Run(a), a.Int(1, LuaInfo.Millisecond)).ToString(CultureInfo.InvariantCulture))));
    }

    private static LuaRun Run(LuaArguments a) => LuaMetatables.Self<LuaHandle>(a).Run;

    private static LuaOutcome Give(LuaArguments a, Func<LuaRun, LuaObject> make) => a.Thread.Give(LuaValue.Of(make(Run(a))));

    /// <summary>The script's own thread may stop here.</summary>
    public static void MustWait(LuaArguments a)
    {
        if (a.Thread.Resumer is not null) throw new LuaException("a coroutine of the script's own cannot wait for the proxy");
        if (!a.Thread.MayWait) throw new LuaException("attempt to yield across C-call boundary");
    }

    private static LuaOutcome Body(LuaArguments a)
    {
        LuaRun run = Run(a);
        bool always = a[1].IsTrue;
        if (run.IsStreamed) throw new LuaException("cannot call body() after body streaming has started");
        if (!run.HasBody || run.IsBuffered)
            return run.HasBytes || always ? a.Thread.Give(LuaValue.Of(run.WholeBody())) : a.Thread.Give(LuaValue.Nil);
        MustWait(a);
        a.Thread.Waits = new LuaWaitBody(always);
        return LuaOutcome.Wait;
    }

    private static readonly LuaHostFunction s_next = new("bodyChunks iterator", static a =>
    {
        LuaRun run = Run(a);
        if (run.Ended) return a.Thread.Give(LuaValue.Nil);
        MustWait(a);
        a.Thread.Waits = new LuaWaitChunk();
        return LuaOutcome.Wait;
    });

    private static LuaOutcome Chunks(LuaArguments a)
    {
        LuaRun run = Run(a);
        if (run.IsStreamed || run.IsBuffered) throw new LuaException("cannot call bodyChunks after body processing has begun");
        run.IsStreamed = run.HasBody;
        return a.Thread.Give(LuaValue.Of(s_next), a[0], LuaValue.Nil);
    }

    private static LuaOutcome Trailers(LuaArguments a)
    {
        LuaRun run = Run(a);
        if (run.TrailersHere) return a.Thread.Give(LuaValue.Of(run.TrailerObject()));
        if (run.Ended) return a.Thread.Give(LuaValue.Nil);
        MustWait(a);
        run.IsStreamed = true;
        a.Thread.Waits = new LuaWaitTrailers();
        return LuaOutcome.Wait;
    }

    private static LuaOutcome Respond(LuaArguments a)
    {
        LuaRun run = Run(a);
        if (!run.IsRequest) throw new LuaException("respond() not currently supported in the response path");
        if (!run.HeadWaits) throw new LuaException("respond() cannot be called if headers have been continued");
        LuaTable fields = a.Table(1);
        byte[] body = a.TextOrNone(2)?.Bytes ?? [];
        if (body.Length > BodyPipe.MostHeld) throw new LuaException($"a body has {BodyPipe.MostHeld} bytes at most");
        MustWait(a);
        LuaValue said = fields.Get(LuaValue.Of(":status"));
        if (!said.TryNumber(out double status) || status != Math.Floor(status) || status is < 200 or > 599)
            throw new LuaException(":status must be between 200-599");
        var lines = new StringBuilder();
        foreach ((string name, byte[] value) in Fields(fields))
        {
            if (name is ":status" or "content-length") continue;
            if (name[0] == ':') throw new LuaException($"an answer has no {name}");
            Check(name, value);
            lines.Append(name).Append(": ").Append(Encoding.Latin1.GetString(value)).Append("\r\n");
        }
        Reason reason = FilterReasons.ScriptAnswered with { Status = (int)status };
        run.Answer = new FilterAnswer(reason, "", lines.ToString())
        {
            Bytes = Http1Framing.IsContentless((int)status) ? [] : body,
            IsWhole = true,
        };
        a.Thread.Waits = new LuaWaitRespond();
        return LuaOutcome.Wait;
    }

    /// <summary>Fields of a table: texts, or tables of texts.</summary>
    public static List<(string Name, byte[] Value)> Fields(LuaTable table)
    {
        var all = new List<(string, byte[])>();
        int bytes = 0;
        LuaValue key = default;
        while (table.Next(key, out key, out LuaValue value))
        {
            if (key.Ref is not LuaString { Length: > 0 and <= 1024 } named) throw new LuaException("names of headers are strings");
            string name = Encoding.Latin1.GetString(named.Bytes).ToLowerInvariant();
            if (value.Ref is LuaTable several)
            {
                for (int i = 1; i <= several.Length; i++) Add(name, several.Get(i));
            }
            else
            {
                Add(name, value);
            }
        }
        return all;

        void Add(string name, in LuaValue value)
        {
            byte[] text = (value.ToText() ?? throw new LuaException($"the value of {name} must be a string or a table of strings")).Bytes;
            bytes += name.Length + text.Length;
            if (all.Count >= MostFields || bytes > MostFieldBytes)
                throw new LuaException($"a message has {MostFields} headers at most, of {MostFieldBytes} bytes");
            all.Add((name, text));
        }
    }

    /// <summary>What may stand in a head, and does not say how the message is framed.</summary>
    public static void Check(string name, ReadOnlySpan<byte> value)
    {
        if (!Http1Head.IsToken(Encoding.Latin1.GetBytes(name))) throw new LuaException("a header has an invalid name");
        if (name is "transfer-encoding" or "connection" or "keep-alive" or "proxy-connection" or "upgrade" or "te" or "trailer")
            throw new LuaException($"{name} cannot be set: it belongs to the connection");
        if (!Http1Head.IsFieldValue(value)) throw new LuaException($"the value of {name} has characters that no header may have");
    }

    private static LuaOutcome Override(LuaArguments a)
    {
        LuaRun run = Run(a);
        if (!run.IsRequest || !run.HeadWaits)
            throw new LuaException("setUpstreamOverrideHost is for requests whose headers have not been continued");
        string host = a.Text(1).Length > 64 ? "" : Encoding.Latin1.GetString(a.Text(1).Bytes);
        if (!IPEndPoint.TryParse(host, out IPEndPoint? end) || (end.Port == 0 && !IPAddress.TryParse(host, out _)))
            throw new LuaException("host is not a valid IP address");
        SockAddr address = SockAddr.From(end.Address, end.Port).Unmapped;
        run.Exchange.Session = new SessionHost { IsKnown = true, IsStrict = a[2].IsTrue, Address = address };
        return a.Thread.None();
    }

    private sealed class LuaKey(PublicKey? key) : LuaObject
    {
        public PublicKey? Key => key;

        // What the library of keys has of it.
        public override void Visit(LuaMarker marker)
        {
            if (key is not null) marker.Hold(key, 2048);
        }
    }

    private static LuaOutcome ImportKey(LuaArguments a)
    {
        LuaRun run = Run(a);
        ReadOnlySpan<byte> der = First(a, 1);
        // Longer ones take too long to ask.
        PublicKey? key = der.Length is 0 or > 2048 ? null : PublicKey.Of(der);
        a.State.Charge(4096);
        a.State.Spend(5_000);
        return a.Thread.Give(LuaValue.Of(new LuaKey(key) { Metatable = run.World.Tables.PublicKey }));
    }

    // A string with its length behind it.
    private static ReadOnlySpan<byte> First(LuaArguments a, int index)
    {
        byte[] bytes = a.Text(index).Bytes;
        int length = a.Int(index + 1, bytes.Length);
        return length >= 0 && length <= bytes.Length ? bytes.AsSpan(0, length) : throw a.Wrong(index + 1, "longer than the string");
    }

    private static LuaOutcome Verify(LuaArguments a)
    {
        _ = Run(a);
        string hash = a.Text(1).Length > 32 ? LuaValue.Of(a.Text(1)).Shown : a.Text(1).ToString();
        PublicKey? key = (a[2].Ref as LuaKey ?? throw a.Wrong(2, "public key expected")).Key;
        ReadOnlySpan<byte> signature = First(a, 3), data = First(a, 5);
        int digest = hash.ToUpperInvariant() switch
        {
            "SHA1" => 160,
            "SHA224" => 224,
            "SHA256" => 256,
            "SHA384" => 384,
            "SHA512" => 512,
            _ => 0,
        };
        // As long as some thousand instructions, whatever the key.
        a.State.Spend(20_000 + data.Length / 4);
        if (digest == 0) return a.Thread.Give(LuaValue.False, LuaValue.Of($"{hash} is not supported."));
        if (key is null) return a.Thread.Give(LuaValue.False, LuaValue.Of("Failed to initialize digest verify."));
        return key.Verifies(digest, data, signature)
            ? a.Thread.Give(LuaValue.True, LuaString.Empty)
            : a.Thread.Give(LuaValue.False, LuaValue.Of("Failed to verify digest. Error code: 0"));
    }

    private static double Stamp(LuaRun run, int resolution)
    {
        long ticks = (run.World.Host.Time.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks;
        return resolution switch
        {
            LuaInfo.Millisecond => Math.Floor(ticks / (double)TimeSpan.TicksPerMillisecond),
            LuaInfo.Microsecond => Math.Floor(ticks / (double)TimeSpan.TicksPerMicrosecond),
            _ => throw new LuaException("timestamp format must be MILLISECOND or MICROSECOND"),
        };
    }
}
