// httpCall: a script asks another cluster, and waits for the answer or does not (Envoy docs: Lua, httpCall). What is asked is checked
// before anything of it is sent: names and values come from requests.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Clusters;
using Naru.Proxy.Filters.Scripting;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Filters.Http.Lua;

internal sealed class LuaCall(WeightedTarget target, CallOut call, long timeoutMs, bool keepsDoubles)
{
    // Of an answer, and of a question.
    private const int MostBody = 1024 * 1024;

    // Calls of one script on one worker for which nobody waits.
    private const int MostLoose = 256;

    // The client waits all the while, and the other service is asked each time.
    private const int MostOfMessage = 1000;

    /// <summary>handle:httpCall(cluster, headers, body, timeout or options, asynchronous).</summary>
    public static LuaOutcome Ask(LuaArguments a)
    {
        LuaRun run = LuaMetatables.Self<LuaHandle>(a).Run;
        if (a.Text(1).Length > 1024) throw new LuaException("http call cluster invalid. Must be configured");
        string name = a.Text(1).ToString();
        LuaTable fields = a.Table(2);
        byte[] body = a.TextOrNone(3)?.Bytes ?? [];
        if (body.Length > MostBody) throw new LuaException($"a body has {MostBody} bytes at most");
        bool isLoose, keepsDoubles = false, saysAddress = true;
        double timeout = 0;
        if (a[4].Ref is LuaTable options)
        {
            isLoose = Option(options, "asynchronous").IsTrue;
            keepsDoubles = Option(options, "return_duplicate_headers").IsTrue;
            saysAddress = Option(options, "send_xff") is not { IsNil: false, IsTrue: false };
            // Nothing is traced here, sampled or not.
            if (Option(options, "timeout_ms") is { IsNil: false } said && !said.TryNumber(out timeout))
                throw new LuaException("timeout_ms must be a number");
            LuaValue key = default;
            while (options.Next(key, out key, out _))
                if (key.Ref is not LuaString { } option || option.Length > 64 || !s_options.Contains(option.ToString()))
                    throw new LuaException($"httpCall has no option {key.Shown}");
        }
        else
        {
            timeout = a[4].IsNil ? 0 : a.Number(4);
            isLoose = a[5].IsTrue;
        }
        if (!(timeout >= 0)) throw new LuaException("http call timeout must be >= 0");
        long ms = (long)Math.Min(timeout, 3_600_000);
        if (run.Context.Clusters.Find(name) is not { Current: not null } slot)
            throw new LuaException("http call cluster invalid. Must be configured");
        if (isLoose && run.World.LooseCalls >= MostLoose) throw new LuaException($"{MostLoose} calls for which nobody waits are under way");
        if (!isLoose) LuaHandleApi.MustWait(a);
        if (++run.Calls > MostOfMessage) throw new LuaException($"a script makes {MostOfMessage} calls for one message at most");
        List<(string Name, byte[] Value)> all = LuaHandleApi.Fields(fields);
        byte[] method = Only(all, ":method"), path = Only(all, ":path"), host = Only(all, ":authority");
        foreach ((string field, byte[] value) in all)
        {
            if (field is ":method" or ":path" or ":authority" or ":scheme" or "content-length" or "host") continue;
            if (field[0] == ':') throw new LuaException($"a request has no {field}");
            LuaHandleApi.Check(field, value);
        }
        if (!Http1Head.IsToken(method) || method.AsSpan().SequenceEqual("CONNECT"u8)) throw new LuaException(":method cannot be this");
        if (!RequestHeaders.MayBe(":path"u8, path)) throw new LuaException(":path has characters that no path may have");
        if (!RequestHeaders.MayBe(":authority"u8, host)) throw new LuaException(":authority has characters that no host may have");
        var target = new WeightedTarget(slot, 1, null, null);
        var call = new CallOut(run.Call.Worker);
        call.Append(method);
        call.Append(" "u8);
        call.Append(path);
        call.Append(" HTTP/1.1\r\n"u8);
        call.AppendField("host"u8, host);
        foreach ((string field, byte[] value) in all)
            if (field[0] != ':' && field is not ("content-length" or "host")) call.AppendField(Encoding.Latin1.GetBytes(field), value);
        if (body.Length > 0)
        {
            call.Append("content-length: "u8);
            call.Append(body.Length);
            call.Append("\r\n"u8);
        }
        call.AppendOrigin(ms, saysAddress);
        call.Append("\r\n"u8);
        call.Append(body);
        if (isLoose)
        {
            LuaWorld world = run.World;
            world.LooseCalls++;
            call.Run(target, ms, MostBody, ended =>
            {
                world.LooseCalls--;
                ended.Dispose();
            });
            return a.Thread.None();
        }
        a.Thread.Waits = new LuaCall(target, call, ms, keepsDoubles);
        return LuaOutcome.Wait;
    }

    private static readonly HashSet<string> s_options =
        ["asynchronous", "timeout_ms", "trace_sampled", "return_duplicate_headers", "send_xff"];

    private static LuaValue Option(LuaTable options, string name) => options.Get(LuaValue.Of(name));

    private static byte[] Only(List<(string Name, byte[] Value)> all, string name)
    {
        byte[]? only = null;
        foreach ((string field, byte[] value) in all)
        {
            if (field != name) continue;
            if (only is not null) throw new LuaException($"{name} is there twice");
            only = value;
        }
        return only ?? throw new LuaException("http call headers must include ':path', ':method', and ':authority'");
    }

    /// <summary>Asks, and has the script go on with the answer. False where the exchange was given up: then the run is over.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public async ValueTask<bool> RunAsync(LuaRun run)
    {
        try
        {
            if (!await call.RunAsync(run.Exchange, target, timeoutMs, MostBody))
            {
                run.End();
                return false;
            }
            run.GoOn(thread => Results(thread, run.World.State));
            return true;
        }
        finally
        {
            call.Dispose();
        }
    }

    private void Results(LuaThread thread, LuaState state)
    {
        var head = new LuaTable(state);
        SideAnswer answer = call.Answer;
        if (!call.IsAnswered)
        {
            // Where no answer came there is one of the proxy's own; one that was cut short, or is too long, is none.
            bool local = answer is { End: SideEnd.NoAnswer, Why: not null };
            byte[] text = Encoding.ASCII.GetBytes(local ? Reasons.Body(answer.Why!, false) : "upstream failure");
            head.Set(":status", LuaValue.Of(local ? answer.Status.ToString(System.Globalization.CultureInfo.InvariantCulture) : "503"));
            if (local && text.Length > 0)
            {
                head.Set("content-length", LuaValue.Of(text.Length.ToString(System.Globalization.CultureInfo.InvariantCulture)));
                head.Set("content-type", LuaValue.Of("text/plain"));
            }
            thread.Give(head, text.Length > 0 ? state.String(text) : LuaValue.Nil);
            return;
        }
        head.Set(":status", LuaValue.Of(answer.Status.ToString(System.Globalization.CultureInfo.InvariantCulture)));
        ReadOnlySpan<byte> lines = call.Head;
        int line = lines.IndexOf("\r\n"u8);
        while (line >= 0)
        {
            lines = lines[(line + 2)..];
            line = lines.IndexOf("\r\n"u8);
            int colon = lines.IndexOf((byte)':');
            if (line <= 0 || colon <= 0 || colon > line) continue;
            byte[] name = lines[..colon].ToArray();
            foreach (ref byte c in name.AsSpan()) if (c is >= (byte)'A' and <= (byte)'Z') c |= 0x20;
            Add(head, state, state.String(name), state.String(Http1Framing.Trim(lines[(colon + 1)..line])));
        }
        thread.Give(head, call.Body.Length > 0 ? state.String(call.Body) : LuaValue.Nil);
    }

    // Of several the last one counts, unless all are wanted.
    private void Add(LuaTable head, LuaState state, LuaString name, LuaString value)
    {
        LuaValue before = keepsDoubles ? head.Get(name) : LuaValue.Nil;
        if (before.IsNil)
        {
            head.Set(name, value);
            return;
        }
        if (before.AsTable is not { } several)
        {
            several = new LuaTable(state);
            several.Set(1, before);
            head.Set(name, several);
        }
        several.Set(several.Length + 1, value);
    }
}
