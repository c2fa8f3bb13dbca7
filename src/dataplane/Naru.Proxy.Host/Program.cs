// naru-proxy: reads options, reads and judges the configuration, then serves. Exit codes: 0 ok, 1 could not, 2 wrong usage.
using System.Reflection;
using Envoy.Config.Bootstrap.V3;
using Naru.Core;
using Naru.Proxy.Config;

namespace Naru.Proxy.Host;

internal static class Program
{
    /// <summary>The product's version.</summary>
    public static string Version { get; } = typeof(Program).Assembly.GetName().Version?.ToString(3) ?? "0.0.0";

    private static async Task<int> Main(string[] arguments)
    {
        Extensions.Use();
        CommandLine? options = CommandLine.Parse(arguments, out IReadOnlyList<string> errors);
        if (options is null)
        {
            foreach (string error in errors) await Console.Error.WriteLineAsync($"naru-proxy: {error}").ConfigureAwait(false);
            await Console.Error.WriteLineAsync("naru-proxy --help lists the options").ConfigureAwait(false);
            return 2;
        }
        if (options.ShowHelp)
        {
            await Console.Out.WriteAsync(CommandLine.Usage).ConfigureAwait(false);
            return 0;
        }
        if (options.ShowVersion)
        {
            await Console.Out.WriteLineAsync($"naru-proxy {Version}").ConfigureAwait(false);
            return 0;
        }
        NativeHeap.Limit(Math.Max(2, options.Concurrency));
        if (options.Mode == RunMode.Validate) return await ReportAsync(options, Configuration.Validate(options)).ConfigureAwait(false);
        if (options.Mode == RunMode.Explain) return await Offline.RunAsync(options).ConfigureAwait(false);
        if (OpenLog(options) is not { } log) return 1;

        var found = new Diagnostics();
        (BootstrapConfig Config, Bootstrap Message)? loaded = Configuration.Load(options, found);
        foreach (Diagnostic diagnostic in found.Items)
            log.Write("config", diagnostic.Severity switch { Severity.Error => LogLevel.Error, Severity.Warning => LogLevel.Warning, _ => LogLevel.Info }, diagnostic.ToString());
        if (loaded is not { } ready || found.HasErrors)
        {
            log.Error("main", "the configuration cannot be used");
            return 1;
        }
        if (ready.Config.ApplicationLog is { } pattern) log.Pattern = pattern;
        log.Info("main", $"naru-proxy {Version}, {options.Concurrency} workers, node {(ready.Config.NodeId.Length > 0 ? ready.Config.NodeId : "without id")}");
        return await Composition.ServeAsync(options, ready.Config, ready.Message, log).ConfigureAwait(false);
    }

    private static ProxyLog? OpenLog(CommandLine options)
    {
        Stream output;
        try
        {
            output = options.LogPath is null ? Console.OpenStandardError() : new FileStream(options.LogPath, FileMode.Append, FileAccess.Write, FileShare.ReadWrite);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine($"naru-proxy: cannot open --log-path: {e.Message}");
            return null;
        }
        var log = new ProxyLog(options.LogLevel, output);
        foreach ((string component, LogLevel level) in options.ComponentLogLevels)
        {
            if (log.Set(component, level)) continue;
            Console.Error.WriteLine($"naru-proxy: there is no log component \"{component}\"; there are {string.Join(", ", log.Components.Select(c => c.Key))}");
            return null;
        }
        return log;
    }

    private static async Task<int> ReportAsync(CommandLine options, Diagnostics found)
    {
        foreach (Diagnostic diagnostic in found.Items.Where(d => d.Severity != Severity.Info)) await Console.Error.WriteLineAsync(diagnostic.ToString()).ConfigureAwait(false);
        if (found.HasErrors)
        {
            int errors = found.Items.Count(d => d.Severity == Severity.Error);
            await Console.Error.WriteLineAsync($"{options.ConfigPath ?? "configuration"}: {errors} error{(errors == 1 ? "" : "s")}").ConfigureAwait(false);
            return 1;
        }
        await Console.Out.WriteLineAsync($"configuration '{options.ConfigPath ?? "--config-yaml"}' OK").ConfigureAwait(false);
        return 0;
    }
}
