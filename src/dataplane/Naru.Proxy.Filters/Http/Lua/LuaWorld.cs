// A script on one worker: its globals, which live as long as the filter, and the functions that it has for requests and answers.
using Naru.Core;
using Naru.Proxy.Filters.Scripting;
using Naru.Proxy.Io;

namespace Naru.Proxy.Filters.Http.Lua;

/// <summary>What a world has of its proxy.</summary>
internal sealed record LuaHost
{
    public Action<LogLevel, string> Log { get; init; } = static (_, _) => { };

    public TimeProvider Time { get; init; } = TimeProvider.System;

    public Worker? Worker { get; init; }
}

internal sealed class LuaWorld
{
    private LuaWorld(LuaState state, LuaHost host)
    {
        (State, Host) = (state, host);
        Tables = new LuaMetatables(state);
    }

    public LuaState State { get; }

    public LuaHost Host { get; }

    /// <summary>Metatables of what scripts get of the proxy.</summary>
    public LuaMetatables Tables { get; }

    /// <summary>What is called with a request, and with an answer; nil for nothing.</summary>
    public LuaValue OnRequest { get; private set; }

    public LuaValue OnResponse { get; private set; }

    /// <summary>Calls under way for which nobody waits.</summary>
    public int LooseCalls { get; set; }

    /// <summary>One without a script.</summary>
    public static LuaWorld Empty() => new(new LuaState(new LuaLimits()), new LuaHost());

    /// <summary>Runs a script once.</summary>
    /// <exception cref="LuaException">It failed.</exception>
    public static LuaWorld Load(LuaScript script, LuaHost host)
    {
        var state = new LuaState(new LuaLimits()) { Time = host.Time };
        if (host.Worker is { } worker) state.Chance = () => worker.Random.Below(1 << 30) / (double)(1 << 30);
        LuaLibrary.Open(state);
        var world = new LuaWorld(state, host);
        LuaLibrary.Add(state.Globals, "print", a =>
        {
            var line = new List<byte>();
            for (int i = 0; i < a.Count; i++)
            {
                if (i > 0) line.Add((byte)'\t');
                byte[] text = LuaLibrary.Text(a.Thread, a[i]).Bytes;
                line.AddRange(text.AsSpan(0, Math.Min(text.Length, 4096)));
            }
            a.State.Spend(LuaMetatables.CostOfLine(line.Count));
            LuaMetatables.Say(world, LogLevel.Info, [.. line]);
            return a.Thread.None();
        });
        var resolution = new LuaTable(state);
        resolution.Set("MILLISECOND", LuaInfo.Millisecond);
        resolution.Set("MICROSECOND", LuaInfo.Microsecond);
        state.Globals.Set("EnvoyTimestampResolution", resolution);
        var main = new LuaThread(state, LuaValue.Of(new LuaClosure(script.Main, [])));
        state.Register(main);
        state.BeginStep();
        try
        {
            if (main.Resume() == LuaOutcome.Wait) throw new LuaException("a script does not wait while it is loaded");
        }
        finally
        {
            state.Unregister(main);
        }
        world.OnRequest = Function("envoy_on_request");
        world.OnResponse = Function("envoy_on_response");
        // What scripts assign to these names later is not looked at, as with Envoy; they stay reachable.
        var kept = new LuaTable(state);
        kept.Set(1, world.OnRequest);
        kept.Set(2, world.OnResponse);
        state.Kept.Add(kept);
        return world;

        LuaValue Function(string name) =>
            state.Globals.Get(LuaValue.Of(name)) is { Ref: LuaFunction } function ? function : LuaValue.Nil;
    }
}

/// <summary>A script of a filter or a route, for all workers.</summary>
internal sealed class LuaProgram(LuaScript script, NodeState node)
{
    private readonly Lock _gate = new();
    private volatile LuaWorld?[] _worlds = [];

    /// <summary>Its code names <c>setBytes</c>: pieces of bodies may be given other lengths.</summary>
    public bool SetsBytes { get; } = Names(script.Main, "setBytes");

    private static bool Names(LuaProto proto, string name) =>
        proto.Constants.Any(c => c.Ref is LuaString text && text.ToString() == name) || proto.Functions.Any(f => Names(f, name));

    /// <summary>Its world on a worker, made with its first use there.</summary>
    public LuaWorld Of(Worker worker)
    {
        LuaWorld?[] worlds = _worlds;
        return worker.Index < worlds.Length && worlds[worker.Index] is { } world ? world : Make(worker);
    }

    private LuaWorld Make(Worker worker)
    {
        LuaWorld world;
        try
        {
            world = LuaWorld.Load(script, new LuaHost { Log = node.Log, Time = node.Time, Worker = worker });
        }
        catch (LuaException e)
        {
            // It could be loaded when it was read: what it asks for is different now. It has no functions here.
            node.Log(LogLevel.Error, $"script log: {e.Message}");
            world = LuaWorld.Empty();
        }
        lock (_gate)
        {
            LuaWorld?[] more = new LuaWorld?[Math.Max(_worlds.Length, worker.Index + 1)];
            _worlds.CopyTo(more, 0);
            more[worker.Index] = world;
            _worlds = more;
        }
        return world;
    }
}

/// <summary>What holds at a route.</summary>
internal sealed class LuaRoute(LuaRouteConfig config, NodeState node)
{
    public bool Disabled => config.Disabled;

    public string Name => config.Name;

    public bool HasScript => config.HasScript;

    public LuaProgram? Program { get; } = config.Script is { } script ? new LuaProgram(script, node) : null;

    public Telemetry.MetaValue? Context => config.Context;
}
