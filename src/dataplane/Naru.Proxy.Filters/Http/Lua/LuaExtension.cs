// envoy.filters.http.lua: how its configuration is read. A script is compiled and run once here, so that one that is none, fails when it
// is loaded, or asks for what there is not refuses the configuration.
using System.Collections.Immutable;
using System.Text;
using Envoy.Config.Core.V3;
using Envoy.Extensions.Filters.Http.Lua.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Naru.Proxy.Filters.Scripting;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.Lua;

/// <summary>Scripts that see and change requests and answers (Envoy docs: Lua).</summary>
public sealed class LuaExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.lua";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.Lua.V3.Lua.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => LuaPerRoute.Descriptor;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.config.filter.http.lua.v2.Lua";

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.lua.v3.Lua
          + inline_code source_codes default_source_code stat_prefix clear_route_cache
        envoy.extensions.filters.http.lua.v3.LuaPerRoute
          + disabled name source_code filter_context

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var filter = (Envoy.Extensions.Filters.Http.Lua.V3.Lua)message;
        if (filter.InlineCode.Length > 0 && filter.DefaultSourceCode is not null)
            scope.Error("inline_code", "NARU-C013", "\"default_source_code\" says that, too", "keep that one");
        var named = ImmutableDictionary.CreateBuilder<string, LuaScript>(StringComparer.Ordinal);
        foreach ((string name, DataSource source) in filter.SourceCodes.OrderBy(s => s.Key, StringComparer.Ordinal))
            if (Source(scope, $"source_codes[{name}]", source) is { } script) named[name] = script;
        return new LuaConfig
        {
            Standard = filter.InlineCode.Length > 0
                ? Script(scope, "inline_code", Encoding.UTF8.GetBytes(filter.InlineCode))
                : Source(scope, "default_source_code", filter.DefaultSourceCode),
            Named = named.ToImmutable(),
            StatPrefix = filter.StatPrefix,
            ClearsRouteCache = filter.ClearRouteCache ?? true,
        };
    }

    internal override object ReadRoute(Scope scope, IMessage message)
    {
        var entry = (LuaPerRoute)message;
        MetaValue? context = entry.FilterContext is { } given ? MetadataReader.Read(given) : null;
        switch (entry.OverrideCase)
        {
            case LuaPerRoute.OverrideOneofCase.Disabled:
                Values.Disabled(scope, entry.Disabled);
                return new LuaRouteConfig { Disabled = true };
            case LuaPerRoute.OverrideOneofCase.Name:
                Values.Required(scope, "name", entry.Name);
                return new LuaRouteConfig { Name = entry.Name, Context = context };
            case LuaPerRoute.OverrideOneofCase.SourceCode:
                return new LuaRouteConfig { Script = Source(scope, "source_code", entry.SourceCode), HasScript = true, Context = context };
            default:
                if (context is null)
                    scope.Error("", "NARU-C101", "the entry says nothing", "write disabled: true, name, source_code or filter_context");
                return new LuaRouteConfig { Context = context };
        }
    }

    private static LuaScript? Source(Scope scope, string field, DataSource? source)
    {
        if (DataSources.Read(scope, field, source) is not { } read) return null;
        byte[] bytes;
        try
        {
            if (read.File is { } path && new FileInfo(path).Length > LuaParser.MostBytes)
            {
                scope.Error(field, "NARU-C102", $"a script has {LuaParser.MostBytes} bytes at most");
                return null;
            }
            bytes = read.File is { } file ? File.ReadAllBytes(file) : [.. read.Inline];
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            scope.Error(field, "NARU-C104", $"cannot read \"{read.File}\": {fault.Message}");
            return null;
        }
        return Script(scope, field, bytes);
    }

    private static LuaScript? Script(Scope scope, string field, byte[] bytes)
    {
        LuaScript script;
        try
        {
            script = LuaScript.Compile(bytes, field);
        }
        catch (LuaSyntaxException fault)
        {
            scope.Error(field, "NARU-X201", $"the script cannot be compiled: {fault.Message}",
                $"look at line {fault.Line} of the script, in Lua 5.1");
            return null;
        }
        foreach ((string name, int line) in script.Globals)
        {
            if (!LuaLibrary.Absent.Contains(name) || script.Assigned.Contains(name)) continue;
            scope.Error(field, "NARU-X202", $"the script uses \"{name}\" in line {line}, which is not available",
                "scripts read no files and make no code of texts: put all of the script into the configuration");
            return null;
        }
        try
        {
            LuaWorld.Load(script, new LuaHost());
        }
        catch (LuaException fault)
        {
            scope.Error(field, "NARU-X203", $"the script fails when it is loaded: {fault.Message}",
                "what belongs to a request goes into its functions");
            return null;
        }
        return script;
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new LuaFilter((LuaConfig)settings, context);

    object IHttpFilterKind.CompileRoute(object settings, FilterContext context) => new LuaRoute((LuaRouteConfig)settings, context.Node);
}

/// <summary>What is written of the filter.</summary>
internal sealed record LuaConfig
{
    /// <summary>The script where no route names another; null for none.</summary>
    public LuaScript? Standard { get; init; }

    /// <summary>Those that routes may name.</summary>
    public ImmutableDictionary<string, LuaScript> Named { get; init; } = ImmutableDictionary<string, LuaScript>.Empty;

    public string StatPrefix { get; init; } = "";

    /// <summary>Routes are chosen again where a script changed a request's head.</summary>
    public bool ClearsRouteCache { get; init; } = true;
}

/// <summary>What is written of a route.</summary>
internal sealed record LuaRouteConfig
{
    public bool Disabled { get; init; }

    /// <summary>The name of a script; empty for none.</summary>
    public string Name { get; init; } = "";

    public LuaScript? Script { get; init; }

    public bool HasScript { get; init; }

    /// <summary>What its scripts may ask; null for nothing.</summary>
    public MetaValue? Context { get; init; }
}
