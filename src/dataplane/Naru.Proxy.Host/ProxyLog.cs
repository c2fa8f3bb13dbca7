// The proxy's own log: one line an event on standard error, a level for each component that can be changed while it runs.
// Stands under everything in the host; parts below take an Action and know nothing of it. Lines are made safe for terminals.
using System.Collections.Concurrent;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Host;

/// <summary>Writes <c>[time][level][component] message</c>.</summary>
internal sealed class ProxyLog
{
    private static readonly string[] s_levels = ["trace", "debug", "info", "warning", "error", "critical", "off"];
    private static readonly LogPattern s_standard = LogPattern.OfText("[%Y-%m-%d %H:%M:%S.%e][%l][%n] %v", out _, local: false)!;

    private readonly Lock _gate = new();
    private readonly LineBuffer _line = new();
    private readonly Stream _output;
    private readonly ConcurrentDictionary<string, LogLevel> _components = new(StringComparer.Ordinal);

    public ProxyLog(LogLevel level, Stream output)
    {
        _output = output;
        foreach (string name in new[] { "main", "config", "admin", "upstream", "listener", "http", "lua" }) _components[name] = level;
    }

    /// <summary>How lines look (<c>application_log_config</c>); null is as ever.</summary>
    public LogPattern? Pattern { get; set; }

    /// <summary>Names of levels, from chatty to silent.</summary>
    public static IReadOnlyList<string> LevelNames => s_levels;

    /// <summary>Components and their levels, by name.</summary>
    public IReadOnlyList<KeyValuePair<string, LogLevel>> Components => [.. _components.OrderBy(c => c.Key, StringComparer.Ordinal)];

    /// <summary>Finds a level; Envoy's <c>warn</c> is <c>warning</c>.</summary>
    public static bool TryParseLevel(string text, out LogLevel level)
    {
        int index = Array.IndexOf(s_levels, text == "warn" ? "warning" : text);
        level = (LogLevel)Math.Max(index, 0);
        return index >= 0;
    }

    public static string NameOf(LogLevel level) => s_levels[(int)level];

    /// <summary>Sets the level of every component.</summary>
    public void SetAll(LogLevel level)
    {
        foreach (string name in _components.Keys) _components[name] = level;
    }

    /// <summary>Sets one component's level.</summary>
    /// <returns>False where there is no such component.</returns>
    public bool Set(string component, LogLevel level)
    {
        if (!_components.ContainsKey(component)) return false;
        _components[component] = level;
        return true;
    }

    public bool IsOn(string component, LogLevel level) => level >= _components.GetValueOrDefault(component, LogLevel.Info) && level != LogLevel.Off;

    public void Info(string component, string message) => Write(component, LogLevel.Info, message);

    public void Warning(string component, string message) => Write(component, LogLevel.Warning, message);

    public void Error(string component, string message) => Write(component, LogLevel.Error, message);

    /// <summary>A function that logs as one component.</summary>
    public Action<LogLevel, string> For(string component) => (level, message) => Write(component, level, message);

    public void Write(string component, LogLevel level, string message)
    {
        if (!IsOn(component, level)) return;
        lock (_gate)
        {
            _line.Clear();
            (Pattern ?? s_standard).Write(_line, DateTime.UtcNow, level, component, message);
            try
            {
                _output.Write(_line.Written);
                _output.Flush();
            }
            catch (IOException)
            {
                // nobody reads our standard error any more; serving goes on
            }
        }
    }
}
