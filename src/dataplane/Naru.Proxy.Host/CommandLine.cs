// The options of naru-proxy, parsed by hand: a parser library would cost start-up time and memory in every sidecar.
// Stands before everything; an option is honoured, or refused by name with the nearest one that exists.
using System.Globalization;
using Naru.Core;

namespace Naru.Proxy.Host;

/// <summary>What the process does.</summary>
internal enum RunMode
{
    /// <summary>Serves until told to stop.</summary>
    Serve,

    /// <summary>Reads the configuration, says what is wrong with it, ends.</summary>
    Validate,

    /// <summary>Explains requests that it reads from standard input, and serves nobody.</summary>
    Explain,
}

/// <summary>Parsed options, with Envoy's names and defaults.</summary>
internal sealed record CommandLine
{
    public string? ConfigPath { get; init; }
    public string? ConfigYaml { get; init; }
    public string? DumpPath { get; init; }
    public RunMode Mode { get; init; }
    public int Concurrency { get; init; } = Environment.ProcessorCount;
    public LogLevel LogLevel { get; init; } = LogLevel.Info;
    public IReadOnlyList<(string Component, LogLevel Level)> ComponentLogLevels { get; init; } = [];
    public string? LogPath { get; init; }
    public string? ServiceNode { get; init; }
    public string? ServiceCluster { get; init; }
    public string? ServiceZone { get; init; }
    public TimeSpan DrainTime { get; init; } = TimeSpan.FromSeconds(600);
    public TimeSpan ParentShutdownTime { get; init; } = TimeSpan.FromSeconds(900);
    public TimeSpan? FileFlushInterval { get; init; }
    public string? AdminAddressPath { get; init; }
    public int? BaseId { get; init; }
    public int RestartEpoch { get; init; }
    public bool SkipWithoutParent { get; init; }
    public bool DisableHotRestart { get; init; }
    public bool Explain { get; init; } = Environment.GetEnvironmentVariable("NARU_EXPLAIN") is "1" or "true";
    public bool ShowVersion { get; init; }
    public bool ShowHelp { get; init; }

    private static readonly (string Name, char Short, bool HasValue, string Help)[] s_options =
    [
        ("config-path", 'c', true, "file with the bootstrap (YAML or JSON)"),
        ("config-yaml", '\0', true, "bootstrap text, merged over the file"),
        ("mode", '\0', true, "serve (default), validate, or explain: requests from standard input, nobody is served"),
        ("dump", '\0', true, "with --mode explain: a config_dump in the place of a bootstrap"),
        ("concurrency", '\0', true, "worker threads (default: one a core)"),
        ("log-level", 'l', true, "trace, debug, info (default), warning, error, critical or off"),
        ("component-log-level", '\0', true, "levels of single components, e.g. config:debug,admin:warning"),
        ("log-path", '\0', true, "file for the log instead of standard error"),
        ("service-node", '\0', true, "node id, over the bootstrap's"),
        ("service-cluster", '\0', true, "node cluster, over the bootstrap's"),
        ("service-zone", '\0', true, "node zone, over the bootstrap's"),
        ("drain-time-s", '\0', true, "most seconds that connections get to end (default 600)"),
        ("parent-shutdown-time-s", '\0', true, "most seconds until a drained process ends (default 900)"),
        ("file-flush-interval-msec", '\0', true, "how long an access-log line may wait (default 200)"),
        ("admin-address-path", '\0', true, "file that the admin's address is written to"),
        ("base-id", '\0', true, "lets a next process take over from this one; another number for each proxy of a user on a machine"),
        ("restart-epoch", '\0', true, "0 (default), or one more than that of the process to take over from"),
        ("skip-hot-restart-on-no-parent", '\0', false, "start all the same where there is no process to take over from"),
        ("disable-hot-restart", '\0', false, "no other process may take over, whatever --base-id says"),
        ("explain", '\0', false, "tell clients on this machine why the proxy answers itself (or NARU_EXPLAIN=1)"),
        ("version", '\0', false, "print the version"),
        ("help", 'h', false, "print this"),
    ];

    // Envoy has these and we do not; the reason is better than "unknown".
    private static readonly Dictionary<string, string> s_refused = new(StringComparer.Ordinal)
    {
        ["use-dynamic-base-id"] = "give --base-id a number of your own",
        ["base-id-path"] = "give --base-id a number of your own",
        ["log-format"] = "the log has one format",
        ["log-format-escaped"] = "log lines are always escaped",
        ["drain-strategy"] = "connections are told to close at once and get the drain time to do so",
        ["allow-unknown-static-fields"] = "unknown fields are always refused by name",
        ["reject-unknown-dynamic-fields"] = "unknown fields are always refused by name",
        ["ignore-unknown-dynamic-fields"] = "unknown fields are always refused by name",
        ["disable-extensions"] = "extensions are chosen when the proxy is built",
        ["cpuset-threads"] = "use --concurrency; the default follows the cores that the process may use",
        ["local-address-ip-version"] = "the family follows the addresses in the configuration",
        ["stats-tag"] = "it is not supported yet",
        ["skip-deprecated-logs"] = "there are no deprecation logs",
        ["enable-core-dump"] = "use ulimit -c",
        ["enable-fine-grain-logging"] = "use --component-log-level",
    };

    /// <summary>Text of <c>--help</c>.</summary>
    public static string Usage
    {
        get
        {
            var text = new System.Text.StringBuilder("naru-proxy -c FILE [options]\n\n");
            foreach ((string name, char letter, bool hasValue, string help) in s_options)
            {
                string left = (letter == '\0' ? "    " : $"-{letter}, ") + "--" + name + (hasValue ? " X" : "");
                text.Append("  ").Append(left.PadRight(36)).Append(help).Append('\n');
            }
            return text.ToString();
        }
    }

    /// <summary>Parses arguments.</summary>
    /// <returns>Null where <paramref name="errors"/> says why.</returns>
    public static CommandLine? Parse(IReadOnlyList<string> arguments, out IReadOnlyList<string> errors)
    {
        var made = new CommandLine();
        var wrong = new List<string>();
        for (int i = 0; i < arguments.Count; i++)
        {
            string argument = arguments[i];
            if (!TryName(argument, out string name, out string? value, out bool hasValue, wrong)) continue;
            if (hasValue && value is null)
            {
                if (i + 1 >= arguments.Count) { wrong.Add($"{argument} wants a value"); continue; }
                value = arguments[++i];
            }
            if (!hasValue && value is not null) { wrong.Add($"--{name} takes no value"); continue; }
            made = made.With(name, value ?? "", wrong);
        }
        if (wrong.Count == 0 && !made.ShowVersion && !made.ShowHelp && made.ConfigPath is null && made.ConfigYaml is null && made.DumpPath is null)
            wrong.Add("nothing to run: give -c FILE or --config-yaml TEXT");
        if (made.DumpPath is not null && made.Mode != RunMode.Explain) wrong.Add("--dump is for --mode explain: nothing can be served from a dump, which has no keys");
        errors = wrong;
        return wrong.Count == 0 ? made : null;
    }

    private static bool TryName(string argument, out string name, out string? value, out bool hasValue, List<string> wrong)
    {
        name = "";
        value = null;
        hasValue = false;
        if (argument.StartsWith("--", StringComparison.Ordinal) && argument.Length > 2)
        {
            int equals = argument.IndexOf('=');
            name = equals < 0 ? argument[2..] : argument[2..equals];
            value = equals < 0 ? null : argument[(equals + 1)..];
        }
        else if (argument.Length >= 2 && argument[0] == '-' && argument[1] != '-')
        {
            char letter = argument[1];
            name = s_options.FirstOrDefault(o => o.Short == letter && letter != '\0').Name ?? "";
            if (name.Length == 0) { wrong.Add($"unknown option -{letter}"); return false; }
            value = argument.Length > 2 ? argument[2..].TrimStart('=') : null;
        }
        else
        {
            wrong.Add($"\"{argument}\" is not an option; the configuration file is given with -c");
            return false;
        }
        string wanted = name;
        foreach ((string known, _, bool takes, _) in s_options)
        {
            if (known != wanted) continue;
            hasValue = takes;
            return true;
        }
        if (s_refused.TryGetValue(wanted, out string? reason)) wrong.Add($"--{wanted} is not supported: {reason}");
        else wrong.Add($"unknown option --{wanted}{(Nearest.To(wanted, s_options.Select(o => o.Name)) is { } near ? $"; did you mean --{near}?" : "")}");
        return false;
    }

    private CommandLine With(string name, string value, List<string> wrong)
    {
        switch (name)
        {
            case "config-path": return this with { ConfigPath = value };
            case "config-yaml": return this with { ConfigYaml = value };
            case "mode":
                if (value is "serve" or "validate" or "explain")
                    return this with { Mode = value == "serve" ? RunMode.Serve : value == "validate" ? RunMode.Validate : RunMode.Explain };
                wrong.Add($"--mode is serve, validate or explain, not \"{value}\"");
                return this;
            case "concurrency":
                return Number(name, value, 0, 1024, wrong) is { } workers ? this with { Concurrency = workers == 0 ? Environment.ProcessorCount : workers } : this;
            case "log-level":
                if (ProxyLog.TryParseLevel(value, out LogLevel level)) return this with { LogLevel = level };
                wrong.Add($"--log-level is one of {string.Join(", ", ProxyLog.LevelNames)}, not \"{value}\"");
                return this;
            case "component-log-level": return this with { ComponentLogLevels = [.. Components(value, wrong)] };
            case "log-path": return this with { LogPath = value };
            case "service-node": return this with { ServiceNode = value };
            case "service-cluster": return this with { ServiceCluster = value };
            case "service-zone": return this with { ServiceZone = value };
            case "drain-time-s": return Number(name, value, 0, 86400, wrong) is { } drain ? this with { DrainTime = TimeSpan.FromSeconds(drain) } : this;
            case "parent-shutdown-time-s": return Number(name, value, 0, 86400, wrong) is { } end ? this with { ParentShutdownTime = TimeSpan.FromSeconds(end) } : this;
            case "file-flush-interval-msec": return Number(name, value, 1, 600_000, wrong) is { } flush ? this with { FileFlushInterval = TimeSpan.FromMilliseconds(flush) } : this;
            case "admin-address-path": return this with { AdminAddressPath = value };
            case "dump": return this with { DumpPath = value };
            case "explain": return this with { Explain = true };
            case "version": return this with { ShowVersion = true };
            case "help": return this with { ShowHelp = true };
            case "base-id": return Number(name, value, 0, int.MaxValue, wrong) is { } id ? this with { BaseId = id } : this;
            case "restart-epoch": return Number(name, value, 0, int.MaxValue, wrong) is { } epoch ? this with { RestartEpoch = epoch, BaseId = BaseId ?? 0 } : this;
            case "skip-hot-restart-on-no-parent": return this with { SkipWithoutParent = true };
            default: return this with { DisableHotRestart = true };
        }
    }

    private static IEnumerable<(string, LogLevel)> Components(string value, List<string> wrong)
    {
        foreach (string item in value.Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] pair = item.Split(':');
            if (pair.Length == 2 && ProxyLog.TryParseLevel(pair[1], out LogLevel level)) yield return (pair[0], level);
            else wrong.Add($"--component-log-level is COMPONENT:LEVEL,…, and \"{item}\" is not");
        }
    }

    private static int? Number(string name, string value, int least, int most, List<string> wrong)
    {
        if (int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= least && number <= most) return number;
        wrong.Add($"--{name} is a number from {least} to {most}, not \"{value}\"");
        return null;
    }
}
