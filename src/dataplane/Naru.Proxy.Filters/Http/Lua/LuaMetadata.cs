// Metadata as scripts see and set it (Envoy docs: Lua, metadata object API and dynamic metadata object API).
using System.Text;
using Naru.Proxy.Filters.Scripting;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.Lua;

/// <summary>A map of fixed metadata.</summary>
internal sealed class LuaMetadata(LuaRun run, MetaValue? map) : LuaStreamObject(run)
{
    private const int MostDepth = 16, MostItems = 10_000;
    private static readonly byte[] s_canonical = "envoy.filters.http.lua"u8.ToArray();

    /// <summary>What the route says to this filter.</summary>
    public static MetaValue? OfRoute(LuaRun run) => Own(run, run.Exchange.Route?.Config.FilterMetadata);

    /// <summary>What the virtual host does.</summary>
    public static MetaValue? OfHost(LuaRun run) => Own(run, run.Exchange.VirtualHost?.Config.FilterMetadata);

    private static MetaValue? Own(LuaRun run, MetaValue? all) =>
        all?.Find(Encoding.UTF8.GetBytes(run.Context.Name)) is { Kind: MetaKind.Map } own ? own
        : all?.Find(s_canonical) is { Kind: MetaKind.Map } canonical ? canonical : null;

    public static void Open(Methods methods)
    {
        methods.Add("get", static a =>
        {
            LuaMetadata self = LuaMetatables.Self<LuaMetadata>(a);
            // Nothing, which is less than nil, as recorded with Envoy.
            return self.Map?.Find(a.Text(1).Bytes) is { } value ? a.Thread.Give(ToLua(a.State, value)) : a.Thread.None();
        });
        LuaLibrary.Add(methods.Meta, "__pairs", static a => Walk(a, LuaMetatables.Self<LuaMetadata>(a).Map));
    }

    private MetaValue? Map => map;

    public static void OpenPlace(Methods methods) => methods.Add("metadata", static a =>
    {
        LuaPlace self = LuaMetatables.Self<LuaPlace>(a);
        return a.Thread.Give(LuaValue.Of(new LuaMetadata(self.Run, self.Map) { Metatable = self.Run.World.Tables.Metadata }));
    });

    public static void OpenDynamic(Methods methods)
    {
        methods.Add("get", static a =>
            LuaMetatables.Self<LuaDynamicMetadata>(a).All?.Find(a.Text(1).Bytes) is { } value
                ? a.Thread.Give(ToLua(a.State, value)) : a.Thread.None());
        methods.Add("set", static a =>
        {
            LuaDynamicMetadata self = LuaMetatables.Self<LuaDynamicMetadata>(a);
            if (self.IsOfConnection) throw new LuaException("metadata of a connection cannot be set");
            byte[] name = a.Text(1).Bytes, key = a.Text(2).Bytes;
            int bytes = name.Length + key.Length + 32;
            MetaValue value = ToMetadata(a.Any(3), ref bytes, 0);
            self.Run.CountMetadata(bytes);
            a.State.Spend(bytes / 4);
            self.Run.Exchange.SetMetadata(name, MetaValue.Empty.With(key, value));
            return a.Thread.None();
        });
        LuaLibrary.Add(methods.Meta, "__pairs", static a => Walk(a, LuaMetatables.Self<LuaDynamicMetadata>(a).All));
    }

    private static LuaOutcome Walk(LuaArguments a, MetaValue? map)
    {
        int at = 0;
        return a.Thread.Give(LuaValue.Of(new LuaHostFunction("pairs iterator", b =>
        {
            if (map is null || at >= map.Items.Length) return b.Thread.Give(LuaValue.Nil);
            int here = at++;
            return b.Thread.Give(b.State.String(map.NameOf(here)), ToLua(b.State, map.Items[here]));
        })), a[0], LuaValue.Nil);
    }

    /// <summary>A value of metadata for a script: its own copy.</summary>
    public static LuaValue ToLua(LuaState state, MetaValue value)
    {
        state.Spend(1);
        switch (value.Kind)
        {
            case MetaKind.Number: return LuaValue.Of(value.Number);
            case MetaKind.Text: return state.String(value.Text);
            case MetaKind.Bool: return LuaValue.Of(value.IsTrue);
            case MetaKind.List:
                {
                    var list = new LuaTable(state);
                    for (int i = 0; i < value.Items.Length; i++) list.Set(i + 1, ToLua(state, value.Items[i]));
                    return list;
                }
            case MetaKind.Map:
                {
                    var table = new LuaTable(state);
                    for (int i = 0; i < value.Items.Length; i++) table.Set(state.String(value.NameOf(i)), ToLua(state, value.Items[i]));
                    return table;
                }
            default: return LuaValue.Nil;
        }
    }

    private static MetaValue ToMetadata(in LuaValue value, ref int bytes, int depth)
    {
        bytes += 24;
        switch (value.Ref)
        {
            case null: return MetaValue.Null;
            case LuaString text:
                bytes += text.Length;
                return MetaValue.Of((ReadOnlySpan<byte>)text.Bytes);
            case LuaTable table:
                {
                    if (depth >= MostDepth) throw new LuaException("a table of metadata is too deep");
                    int count = table.Length;
                    var names = new List<(byte[] Name, MetaValue Value)>();
                    var items = new List<MetaValue>();
                    LuaValue key = default;
                    while (table.Next(key, out key, out LuaValue item))
                    {
                        if (names.Count + items.Count >= MostItems || bytes > 1024 * 1024)
                            throw new LuaException("a table of metadata is too large");
                        MetaValue made = ToMetadata(item, ref bytes, depth + 1);
                        if (key.IsNumber && count > 0 && items.Count < count && names.Count == 0) items.Add(made);
                        else if (key.ToText() is { } name) names.Add((name.Bytes, made));
                        else throw new LuaException("keys of metadata are strings or numbers");
                        bytes += 24;
                    }
                    if (names.Count == 0 && items.Count > 0) return MetaValue.List(items);
                    MetaValue map = MetaValue.Empty;
                    for (int i = 0; i < items.Count; i++) map = map.With(LuaNumbers.Format(i + 1), items[i]);
                    foreach ((byte[] name, MetaValue one) in names) map = map.With(name, one);
                    return map;
                }
            case LuaFunction or LuaThread or LuaObject:
                throw new LuaException($"a {value.TypeName} is no value of metadata");
            default: return value.IsNumber ? MetaValue.Of(value.Num) : MetaValue.Of(value.IsTrue);
        }
    }
}

/// <summary>A route or a virtual host.</summary>
internal sealed class LuaPlace(LuaRun run, MetaValue? map) : LuaStreamObject(run)
{
    public MetaValue? Map => map;
}

/// <summary>Metadata of the request, or of its connection, by namespace.</summary>
internal sealed class LuaDynamicMetadata(LuaRun run, bool isOfConnection) : LuaStreamObject(run)
{
    public bool IsOfConnection => isOfConnection;

    public MetaValue? All => isOfConnection ? Run.Exchange.Connection?.Info?.Metadata : Run.Exchange.DynamicMetadata;
}
