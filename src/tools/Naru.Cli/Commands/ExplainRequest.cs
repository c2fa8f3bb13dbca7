// naru explain [METHOD] URL: what would become of a request, said by the proxy's own code: by the gateway of the mesh, a workload's sidecar, any proxy's
// admin, or by naru-proxy started on a bootstrap or a config_dump. Nothing is sent.
using System.CommandLine;
using System.Text.Json;
using Naru.Inspect;

namespace Naru.Cli.Commands;

/// <summary>The options of explaining requests; <c>naru test</c> asks with the same.</summary>
internal sealed class ProxyOptions
{
    public Option<string?> From { get; } = new("--from") { HelpName = "WORKLOAD", Description = "Ask the proxy of this pod, Deployment, service or gateway (default: the gateway)" };
    public Option<string?> Admin { get; } = new("--admin") { HelpName = "IP:PORT", Description = "Ask the proxy with this admin address" };
    public Option<string?> Config { get; } = new("--config", "-c") { HelpName = "FILE", Description = "Start naru-proxy on this bootstrap: no socket is opened" };
    public Option<string?> Dump { get; } = new("--dump") { HelpName = "FILE", Description = "The same on a config_dump, Naru's or Envoy's" };
    public Option<string?> Namespace { get; } = new("--namespace", "-n") { HelpName = "NAMESPACE", Description = "Namespace of WORKLOAD" };
    public Option<string> Mesh { get; } = Where.MeshOption();

    // Where the gateway was asked because nobody else was named: the services that pods ask through their own sidecars, and one such pod.
    private IReadOnlyList<ServiceStatus> _services = [];
    private string _caller = "";

    /// <summary>What to do instead, where the gateway is asked for a name that is one for pods only; else null.</summary>
    public string? Remark(string url)
    {
        string whole = url.Contains("://", StringComparison.Ordinal) ? url : $"http://{url}";
        if (_caller.Length == 0 || !Uri.TryCreate(whole, UriKind.Absolute, out Uri? asked)) return null;
        string host = asked.Host.TrimEnd('.').ToLowerInvariant();
        ServiceStatus? service = _services.FirstOrDefault(s => host == s.Address || (host == s.Name && s.Namespace == "default")
            || host == $"{s.Name}.{s.Namespace}" || host.StartsWith($"{s.Name}.{s.Namespace}.svc", StringComparison.Ordinal));
        return service is null ? null
            : $"the gateway was asked, and {asked.Host} is a name for pods; how one of them gets there: --from {_caller}";
    }

    public ProxyOptions() => From.CompletionSources.Add(Completions.Workloads);

    public void AddTo(Command command)
    {
        foreach (Option option in (Option[])[From, Admin, Config, Dump, Namespace, Mesh]) command.Add(option);
    }

    /// <summary>Who is asked; null where the options contradict each other, which was said then.</summary>
    public async Task<Explaining?> OpenAsync(ParseResult parsed, CancellationToken cancel)
    {
        Option[] given = [.. new Option[] { From, Admin, Config, Dump }.Where(o => parsed.GetResult(o) is { Implicit: false })];
        if (given.Length > 1)
        {
            Screen.Say($"{given[0].Name} and {given[1].Name} exclude each other: one proxy is asked");
            return null;
        }
        if (parsed.GetValue(Config) is { } config) return Offline("-c", config);
        if (parsed.GetValue(Dump) is { } dump) return Offline("--dump", dump);
        if (parsed.GetValue(Admin) is { } admin)
        {
            string address = admin.StartsWith("http://", StringComparison.Ordinal) ? admin[7..].TrimEnd('/') : admin;
            if (!System.Net.IPEndPoint.TryParse(address, out System.Net.IPEndPoint? at) || at.Port == 0)
            {
                Screen.Say($"--admin: \"{admin}\" is no IP:PORT");
                return null;
            }
            return new Explaining.Running(address, $"the proxy at {address}");
        }
        return await OfMeshAsync(parsed.GetValue(Mesh)!, parsed.GetValue(From), parsed.GetValue(Namespace), cancel).ConfigureAwait(false);
    }

    private static Explaining.Started Offline(string option, string file)
    {
        if (!File.Exists(file)) throw new FileNotFoundException($"there is no file {file}", file);
        return new Explaining.Started([.. Where.Proxy(), "--mode", "explain", option, file]);
    }

    private async Task<Explaining?> OfMeshAsync(string mesh, string? wanted, string? ns, CancellationToken cancel)
    {
        MeshLocation location = Where.Mesh(mesh);
        using var runner = new RunnerClient(location.Socket);
        MeshStatus status = await runner.StatusAsync(cancel).ConfigureAwait(false);
        PodStatus[] pods = [.. status.Pods.Where(p => p.ProxyPid > 0 && (ns is null || p.Namespace == ns))];
        PodStatus? found = wanted is null
            ? pods.FirstOrDefault(p => p.Workload.Contains("gateway", StringComparison.Ordinal)) ?? pods.FirstOrDefault()
            : pods.FirstOrDefault(p => p.Name == wanted || p.Workload == wanted) ?? pods.FirstOrDefault(p => LogFiles.Means(wanted, p.Name));
        if (wanted is null && found is not null && found.Workload.Contains("gateway", StringComparison.Ordinal))
        {
            _services = status.Services;
            _caller = pods.FirstOrDefault(p => p != found)?.Workload.Replace("run ", "", StringComparison.Ordinal) ?? "";
        }
        if (found is not null) return new Explaining.Running($"{found.Address}:{Naru.Local.AddressPlan.AdminPort}", $"the proxy of {found.Name}");
        string[] names = [.. pods.Select(p => p.Workload).Distinct().Order(StringComparer.Ordinal)];
        Screen.Say(names.Length == 0 ? $"no proxy runs in mesh {mesh}{(ns is null ? "" : $", namespace {ns}")}"
            : $"--from: no pod, Deployment or service with a proxy is called \"{wanted}\"; {Core.Nearest.Suggestion(wanted ?? "", names) ?? $"there are {string.Join(", ", names)}"}");
        return null;
    }
}

internal static class ExplainRequestVerb
{
    private static readonly string[] s_methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];

    /// <summary>Whether words mean a request: an address, perhaps with a method in front; a kind has neither colon nor slash.</summary>
    public static bool IsMeant(string[] words) => words is [var only] ? IsUrl(only) || IsMethod(only) : words is [_, _] && (IsUrl(words[1]) || IsMethod(words[0]));

    private static bool IsUrl(string word) => word.Contains('/') || word.Contains(':');

    private static bool IsMethod(string word) => s_methods.Contains(word);

    public static async Task<int> RunAsync(string[] words, ParseResult parsed, ProxyOptions proxy, RequestOptions options, bool json, CancellationToken cancel)
    {
        if (words is [var alone] && IsMethod(alone))
        {
            Screen.Say($"explain {alone} what? `naru explain {alone} http://HOST/PATH`");
            return Exit.Usage;
        }
        string method = words.Length == 2 ? words[0].ToUpperInvariant() : "GET", url = words[^1];
        if (await proxy.OpenAsync(parsed, cancel).ConfigureAwait(false) is not { } asked) return Exit.Usage;
        await using (asked)
        {
            ExplainAnswer answer = await asked.AskAsync(options.Body(parsed, method, url), json ? "json" : "text", cancel).ConfigureAwait(false);
            if (answer.Fault is not null && !answer.IsUsage)
            {
                Screen.Say(answer.Fault);
                return Exit.Failed;
            }
            foreach (string complaint in await asked.EndAsync().ConfigureAwait(false)) Screen.Say(complaint);
            if (answer.Fault is { } fault)
            {
                Screen.Say(fault);
                return Exit.Usage;
            }
            if (json) Screen.Json(answer.Json!.Value);
            else Console.Write(answer.Text);
            if (proxy.Remark(url) is { } remark) Screen.Say(remark);
            return Exit.Ok;
        }
    }
}

/// <summary>What of a request is said by options.</summary>
internal sealed class RequestOptions
{
    public Option<string[]> Headers { get; } = new("--header", "-H") { HelpName = "'NAME: VALUE'", Description = "A header; may be given several times", Arity = new ArgumentArity(1, 200), AllowMultipleArgumentsPerToken = false };
    public Option<string?> Listener { get; } = new("--listener") { HelpName = "NAME", Description = "The listener it comes to: name, IP:PORT or PORT (else by the URL)" };
    public Option<string?> Source { get; } = new("--source") { HelpName = "IP[:PORT]", Description = "Who seems to send it (default 127.0.0.1)" };
    public Option<string?> ServerName { get; } = new("--sni") { HelpName = "NAME", Description = "SNI, where that is not the URL's host" };
    public Option<ulong?> Random { get; } = new("--random") { HelpName = "N", Description = "What chance says, for weights and shares" };

    public void AddTo(Command command)
    {
        foreach (Option option in (Option[])[Headers, Listener, Source, ServerName, Random]) command.Add(option);
    }

    /// <summary>The request as the proxy reads it.</summary>
    public Dictionary<string, object> Body(ParseResult parsed, string method, string url)
    {
        var body = new Dictionary<string, object> { ["method"] = method, ["url"] = url };
        if (parsed.GetValue(Headers) is { Length: > 0 } headers) body["headers"] = headers;
        if (parsed.GetValue(Listener) is { } listener) body["listener"] = listener;
        if (parsed.GetValue(Source) is { } source) body["source"] = source;
        if (parsed.GetValue(ServerName) is { } sni) body["sni"] = sni;
        if (parsed.GetValue(Random) is { } random) body["random"] = random;
        return body;
    }
}
