// The table of admin commands: path, method, parameters, page. Everything that can be asked for stands in it once,
// and /help, the index page, 404 suggestions and 405 answers are read from it.
using System.Collections.Immutable;
using System.Net;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Host.Admin;

/// <summary>One admin command.</summary>
/// <param name="Path">Envoy's path.</param>
/// <param name="Help">One line.</param>
/// <param name="Changes">Whether it changes anything, so that only POST may ask for it.</param>
/// <param name="Parameters">Names of query parameters; others are refused.</param>
/// <param name="Page">Answers.</param>
internal sealed record AdminCommand(string Path, string Help, bool Changes, string[] Parameters, Func<IAdminTarget, AdminRequest, Task<AdminResponse>> Page);

/// <summary>Finds the command for a request and refuses what none takes.</summary>
internal sealed class AdminPages
{
    private static readonly StatSchema s_stats = new();
    private static readonly int s_first = s_stats.Counter("downstream_rq_1xx");
    private static readonly int[] s_others =
        [s_stats.Counter("downstream_rq_2xx"), s_stats.Counter("downstream_rq_3xx"), s_stats.Counter("downstream_rq_4xx"), s_stats.Counter("downstream_rq_5xx")];
    private readonly IAdminTarget _target;
    private readonly StatBlock _block;
    private readonly SortedDictionary<string, AdminCommand> _commands = new(StringComparer.Ordinal);

    // Of a command whose parameters are names that others gave.
    private static readonly string[] s_anyParameter = ["KEY"];

    private readonly ImmutableArray<StringMatcherConfig> _allowed;

    /// <param name="target">What is looked at.</param>
    /// <param name="allowed">Paths that are answered (<c>admin.allow_paths</c>); empty is all.</param>
    public AdminPages(IAdminTarget target, ImmutableArray<StringMatcherConfig>? allowed = null)
    {
        _allowed = allowed ?? [];
        _target = target;
        _block = target.Stats.Block("http.admin", s_stats);
        Add("/", "Admin home page", [], (_, _) => IndexPage.Answer(_commands.Values, target));
        Add("/help", "print out list of admin commands", [], (_, _) => Task.FromResult(AdminResponse.Text(HelpText())));
        Add("/ready", "print server state, return 200 if LIVE, otherwise return 503", [], ServerPages.Ready);
        Add("/server_info", "print server version/status information", [], ServerPages.Info);
        Add("/certs", "print certs on machine", [], ServerPages.Certificates);
        Add("/memory", "print current allocation/heap usage", [], ServerPages.Memory);
        Add("/ledger", "print what each worker has handed out and not got back", [], ServerPages.Ledger);
        Add("/hot_restart_version", "print the hot restart compatibility version", [], (_, _) => Task.FromResult(AdminResponse.Text("disabled")));
        Add("/stats", "print server stats", StatsPages.Parameters, StatsPages.Stats);
        Add("/stats/prometheus", "print server stats in prometheus format", StatsPages.Parameters, StatsPages.Prometheus);
        Add("/clusters", "upstream cluster status", ["format", "filter"], ClustersPage.Answer);
        Add("/listeners", "print listener info", ["format"], ListenersPage.Answer);
        Add("/config_dump", "dump current Envoy configs", ConfigDumpPage.Parameters, ConfigDumpPage.Answer);
        Change("/explain", "say what would become of a request, which is the body: {\"url\": \"http://HOST/PATH\"}", ["format"], ExplainPage.Answer);
        Add("/logging", "query logging levels; POST changes them", ["level", "paths", "main", "config", "admin", "upstream", "listener", "http"], ServerPages.Logging);
        Add("/runtime", "print runtime values", [], RuntimePages.Show);
        Change("/runtime_modify", "set runtime values, KEY=VALUE each; an empty value takes away what was set here", s_anyParameter, RuntimePages.Modify);
        Change("/reopen_logs", "reopen access logs", [], ServerPages.ReopenLogs);
        Change("/reset_counters", "reset all counters to zero", [], ServerPages.ResetCounters);
        Change("/healthcheck/fail", "cause the server to fail health checks", [], (t, _) => ServerPages.Health(t, failed: true));
        Change("/healthcheck/ok", "cause the server to pass health checks", [], (t, _) => ServerPages.Health(t, failed: false));
        Change("/drain_listeners", "drain listeners", ["graceful", "skip_exit", "inboundonly"], ServerPages.DrainListeners);
        Change("/quitquitquit", "exit the server", [], ServerPages.Quit);
    }

    public IReadOnlyCollection<AdminCommand> Commands => _commands.Values;

    /// <summary>Answers, and counts that (<c>http.admin</c>).</summary>
    public async Task<AdminResponse> AnswerAsync(AdminRequest request)
    {
        AdminResponse response = await FindAsync(request).ConfigureAwait(false);
        _block.Add(s_first + Math.Clamp(response.Status / 100, 1, 5) - 1);
        return response;
    }

    private Task<AdminResponse> FindAsync(AdminRequest request)
    {
        if (!_allowed.IsEmpty && !_allowed.Any(a => Fits(a, request.Path)))
            return Done(AdminResponse.Text($"The path {Printable(request.Path)} is not allowed here.\n", 403));
        if (!_commands.TryGetValue(request.Path, out AdminCommand? command))
        {
            string? nearest = Nearest.To(request.Path, _commands.Keys);
            return Done(AdminResponse.Text($"There is no admin command {Printable(request.Path)}.{(nearest is null ? "" : $" Did you mean {nearest}?")}\n\ninvalid path. {HelpText()}", 404));
        }
        bool writes = request.Method == "POST";
        bool loggingChange = command.Path == "/logging" && request.Parameters.Count > 0;
        if (!(writes || (request.Method is "GET" or "HEAD" && !command.Changes && !loggingChange)))
        {
            string allow = command.Changes || loggingChange ? "POST" : "GET, HEAD, POST";
            return Done(new AdminResponse { Status = 405, Allow = allow, Body = AdminResponse.Text($"Method {request.Method} not allowed, {allow} required.").Body });
        }
        foreach ((string name, _) in request.Parameters)
        {
            // Which loggers there are the page itself says.
            if (command.Parameters == s_anyParameter || command.Path == "/logging" || command.Parameters.Contains(name)) continue;
            string known = command.Parameters.Length == 0 ? "It takes none." : $"It takes {string.Join(", ", command.Parameters)}.";
            return Done(AdminResponse.Text($"{command.Path} has no parameter \"{Printable(name)}\". {known}\n", 400));
        }
        return command.Page(_target, request);
    }

    private static bool Fits(StringMatcherConfig matcher, string path)
    {
        StringComparison how = matcher.IgnoreCase ? StringComparison.OrdinalIgnoreCase : StringComparison.Ordinal;
        return matcher.Kind switch
        {
            StringMatchKind.Exact => path.Equals(matcher.Value, how),
            StringMatchKind.Prefix => path.StartsWith(matcher.Value, how),
            StringMatchKind.Suffix => path.EndsWith(matcher.Value, how),
            StringMatchKind.Contains => path.Contains(matcher.Value, how),
            _ => matcher.Regex!.IsMatch(path),
        };
    }

    /// <summary>What strangers sent, fit for a line of plain text.</summary>
    internal static string Printable(string text) => new([.. text.Take(200).Select(c => char.IsControl(c) || c > '~' ? '?' : c)]);

    internal static string Html(string text) => WebUtility.HtmlEncode(text);

    internal static Task<AdminResponse> Done(AdminResponse response) => Task.FromResult(response);

    private string HelpText()
    {
        var text = new System.Text.StringBuilder("admin commands are:\n");
        foreach (AdminCommand command in _commands.Values)
        {
            text.Append("  ").Append(command.Path).Append(command.Changes ? " (POST): " : ": ").Append(command.Help).Append('\n');
            if (command.Parameters.Length > 0) text.Append("      parameters: ").AppendJoin(", ", command.Parameters).Append('\n');
        }
        return text.ToString();
    }

    private void Add(string path, string help, string[] parameters, Func<IAdminTarget, AdminRequest, Task<AdminResponse>> page) =>
        _commands[path] = new AdminCommand(path, help, false, parameters, page);

    private void Change(string path, string help, string[] parameters, Func<IAdminTarget, AdminRequest, Task<AdminResponse>> page) =>
        _commands[path] = new AdminCommand(path, help, true, parameters, page);
}
