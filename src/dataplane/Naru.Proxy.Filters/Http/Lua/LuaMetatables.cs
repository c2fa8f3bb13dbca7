// What scripts can ask of the proxy's objects, one table a kind. All of them can log.
using System.Text;
using Naru.Core;
using Naru.Proxy.Filters.Scripting;

namespace Naru.Proxy.Filters.Http.Lua;

/// <summary>An object of a run: good while that runs, and until it waits.</summary>
internal abstract class LuaStreamObject(LuaRun run) : LuaObject
{
    private readonly int _generation = run.Generation;

    public LuaRun Run => run;

    public override void Visit(LuaMarker marker) => marker.Hold(run, run.Held);

    /// <summary>It may be used.</summary>
    public virtual bool IsGood => run.IsRunning && run.Generation == _generation;
}

/// <summary>The handle itself, which stays good.</summary>
internal sealed class LuaHandle(LuaRun run) : LuaStreamObject(run)
{
    public override bool IsGood => Run.IsRunning;
}

internal sealed class LuaMetatables
{
    private readonly LuaState _state;

    public LuaMetatables(LuaState state)
    {
        _state = state;
        Handle = Kind(LuaHandleApi.Open);
        Headers = Kind(LuaHeaders.Open);
        Buffer = Kind(LuaBody.Open);
        Info = Kind(LuaInfo.Open);
        ConnectionInfo = Kind(LuaInfo.OpenConnection);
        Connection = Kind(LuaInfo.OpenSocket);
        Tls = Kind(LuaTls.Open);
        ParsedName = Kind(LuaTls.OpenName);
        Metadata = Kind(LuaMetadata.Open);
        DynamicMetadata = Kind(LuaMetadata.OpenDynamic);
        FilterState = Kind(LuaInfo.OpenState);
        Place = Kind(LuaMetadata.OpenPlace);
        PublicKey = Kind(static _ => { });
    }

    public LuaTable Handle { get; }

    public LuaTable Headers { get; }

    public LuaTable Buffer { get; }

    public LuaTable Info { get; }

    public LuaTable ConnectionInfo { get; }

    public LuaTable Connection { get; }

    public LuaTable Tls { get; }

    public LuaTable ParsedName { get; }

    public LuaTable Metadata { get; }

    public LuaTable DynamicMetadata { get; }

    public LuaTable FilterState { get; }

    public LuaTable Place { get; }

    public LuaTable PublicKey { get; }

    private LuaTable Kind(Action<Methods> open)
    {
        var meta = new LuaTable(_state);
        var methods = new LuaTable(_state);
        meta.Set("__index", methods);
        // Nobody looks into it, or changes it for others.
        meta.Set("__metatable", LuaValue.False);
        Log("logTrace", LogLevel.Trace);
        Log("logDebug", LogLevel.Debug);
        Log("logInfo", LogLevel.Info);
        Log("logWarn", LogLevel.Warning);
        Log("logErr", LogLevel.Error);
        Log("logCritical", LogLevel.Critical);
        open(new Methods(meta, methods));
        _state.Kept.Add(meta);
        return meta;

        void Log(string name, LogLevel level) => LuaLibrary.Add(methods, name, a =>
        {
            LuaStreamObject self = Self<LuaStreamObject>(a);
            byte[] text = a.Text(1).Bytes;
            a.State.Spend(CostOfLine(text.Length));
            Say(self.Run.World, level, text);
            return a.Thread.None();
        });
    }

    /// <summary>A line of the log is as long as so many instructions: one step writes no more than a few million bytes.</summary>
    public static int CostOfLine(int length) => 1000 + 4 * Math.Min(length, MostOfLine);

    private const int MostOfLine = 4096;

    /// <summary>Says what a script says.</summary>
    public static void Say(LuaWorld world, LogLevel level, byte[] text)
    {
        world.Host.Log(level, $"script log: {Encoding.UTF8.GetString(text.AsSpan(0, Math.Min(text.Length, MostOfLine)))}");
    }

    /// <summary>The object that is asked, which must be good.</summary>
    public static T Self<T>(LuaArguments a) where T : LuaStreamObject
    {
        T self = a.Object<T>(0, "object of the proxy");
        return self.IsGood ? self : throw new LuaException("object used outside of proper scope");
    }
}

/// <summary>Where methods of one kind of objects are put.</summary>
internal readonly record struct Methods(LuaTable Meta, LuaTable Table)
{
    public void Add(string name, LuaHostCode code) => LuaLibrary.Add(Table, name, code);

    /// <summary>One that is documented, and not here.</summary>
    public void Missing(string name, string why) =>
        LuaLibrary.Add(Table, name, _ => throw new LuaException($"{name} is not available: {why}"));
}
