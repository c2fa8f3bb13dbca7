// What README.md says Naru can do is what it can do, and what it says is not there yet is refused when somebody asks for it.
using System.Text.RegularExpressions;
using Naru.Kit;
using Naru.SystemTests.Local;
using Xunit;

namespace Naru.SystemTests;

public sealed partial class ReadmeTests
{
    /// <summary>The rows that say ✓, and the test program's class that would fail if it were not so.</summary>
    private static readonly Dictionary<string, string> s_held = new()
    {
        ["a whole mesh on a laptop, without Kubernetes, containers, root"] = "BookinfoMeshTests",
        ["HTTP/1.1, HTTP/2, gRPC, WebSocket, in any mix"] = "MixTests",
        ["TCP and UDP"] = "Layer4Tests",
        ["TLS and mTLS, certificates from files or SDS, changed while it runs"] = "SdsTests",
        ["splits, header matches, rewrites, redirects by rule"] = "RewriteTests",
        ["routes by what a body says: JSON, XML, forms, gRPC fields"] = "BodyMatchTests",
        ["timeouts and retries by rule, with budgets against storms"] = "RetryTests",
        ["hedged requests, mirrored requests"] = "MirrorTests",
        ["circuit breakers, outlier detection, active health checks"] = "OutlierTests",
        ["endpoints by locality, subset or hash; sessions that stick"] = "SubsetTests",
        ["fallbacks: a stale answer or another service where one is broken"] = "FallbackTests",
        ["which route a request takes, and why; unit tests of routes"] = "ExplainTests",
        ["faults on purpose: delays, aborts"] = "TrafficRuleTests",
        ["rate limits of one proxy"] = "InhabitantDetailTests",
        ["who may come in, at one proxy: RBAC with CEL, JWT, passwords, API keys, CSRF"] = "AccessTests",
        ["bodies packed and unpacked, bandwidth limited, gRPC bridged to HTTP/1"] = "PackedBodyTests",
        ["rate limits of all replicas together"] = "CallOutTests",
        ["call-outs of the proxy: `ext_authz`, `jwt_authn`"] = "CallOutTests",
        ["call-outs: `ext_proc`"] = "ExtProcTests",
        ["Envoy's bootstrap files, v3 and v2"] = "BootstrapReaderTests",
        ["Istio's YAML"] = "RestTests",
        ["xDS v3"] = "GrpcPeersTests",
        ["every refused file names line and remedy; every own answer a code"] = "ReasonTests",
        ["restart without a lost connection"] = "HotRestartTests",
        ["access logs, Prometheus"] = "AccessLogTests",
        ["tracing"] = "TracingTests",
        ["files of YARP, Ocelot, nginx and Envoy read in"] = "ComparedTests",
    };

    /// <summary>The rows that say "not yet": who asks is told so. A command of <c>naru</c>, an object for the control plane, or a bootstrap.</summary>
    private static readonly Dictionary<string, string> s_refused = new()
    {
        ["HTTP/3"] = "static_resources: { listeners: [ { name: a, address: { socket_address: { protocol: UDP, address: 127.0.0.1, port_value: 0 } }, udp_listener_config: { quic_options: {} } } ] }",
        ["mTLS between services by itself, certificates included"] = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: { name: a }\nspec: { mtls: { mode: STRICT } }",
        ["who may call whom in the mesh, by Istio's policies"] = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: a }\nspec: { rules: [ { from: [ { source: { principals: [ a ] } } ] } ] }",
        ["installed on Kubernetes, sidecars injected"] = "naru install",
        ["a web console"] = "naru dashboard",
    };

    [Fact]
    public async Task The_table_of_verbs_is_what_help_lists()
    {
        ProcessResult help = await ChildProcess.RunAsync(Programs.Naru(), ["--help"]);
        Assert.True(help.ExitCode == 0, help.All);
        Assert.All(help.Output.Split('\n'), l => Assert.InRange(l.Length, 0, 120));
        string[] lines = help.Output.Split('\n');
        string[] listed = [.. lines.SkipWhile(l => !l.StartsWith("Commands:", StringComparison.Ordinal)).Skip(1).TakeWhile(l => l.StartsWith("  ", StringComparison.Ordinal))
            .Select(l => l.Trim().Split(' ', ',', '<')[0] is "ps" ? "status" : l.Trim().Split(' ', ',', '<')[0])];
        string[] told = [.. Verb().Matches(await File.ReadAllTextAsync(Repository.At("README.md"))).Select(m => m.Groups[1].Value)];
        Assert.Equal(listed.Order(StringComparer.Ordinal), told.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task What_the_table_of_features_claims_is_held_by_a_test()
    {
        Dictionary<string, string> rows = await FeaturesAsync();
        Assert.Equal(rows.Where(r => r.Value is not ("not yet" or "–")).Select(r => r.Key).Order(), s_held.Keys.Order());
        string[] tests = [.. Directory.EnumerateFiles(Repository.At("tests"), "*Tests.cs", SearchOption.AllDirectories).Select(f => Path.GetFileNameWithoutExtension(f))];
        Assert.Empty(s_held.Values.Except(tests));
    }

    [Fact]
    public async Task What_is_not_there_yet_is_refused_by_name()
    {
        Dictionary<string, string> rows = await FeaturesAsync();
        Assert.Equal(rows.Where(r => r.Value == "not yet").Select(r => r.Key).Order(), s_refused.Keys.Order());
        using var folder = new TempFolder();
        foreach ((string row, string asked) in s_refused)
        {
            ProcessResult answer = await AskAsync(folder, asked);
            Assert.True(answer.ExitCode is not 0, $"{row}: it is there now; say so in README.md\n{answer.All}");
            Assert.Matches("yet|not supported|there is no", answer.Error);
        }
    }

    [Fact]
    public async Task The_picture_shows_every_pod_of_Bookinfo()
    {
        string picture = await File.ReadAllTextAsync(Repository.At("docs", "pictures", "demo.svg"));
        string manifests = await File.ReadAllTextAsync(Repository.At("samples", "bookinfo", "platform", "kube", "bookinfo.yaml"));
        string[] pods = [.. Deployment().Matches(manifests).Select(m => $">{m.Groups[1].Value} {m.Groups[2].Value}<")];
        Assert.NotEmpty(pods);
        Assert.All(pods, p => Assert.Contains(p, picture));
    }

    private static Task<ProcessResult> AskAsync(TempFolder folder, string asked)
    {
        if (asked.StartsWith("naru ", StringComparison.Ordinal)) return LocalMesh.RunAsync(folder, asked.Split(' ')[1..]);
        string file = folder.Write("asked.yaml", asked + "\n");
        return asked.StartsWith("apiVersion", StringComparison.Ordinal)
            ? LocalMesh.RunAsync(folder, "validate", file)
            : ChildProcess.RunAsync(ProxyProcess.Executable(), ["--mode", "validate", "-c", file]);
    }

    private static string Filter(string type) => Bootstraps.One(1, filters: $$"""
        - { name: asked, typed_config: { "@type": type.googleapis.com/{{type}} } }
        """);

    /// <summary>First column of the table, and what it says of Naru.</summary>
    private static async Task<Dictionary<string, string>> FeaturesAsync()
    {
        string text = await File.ReadAllTextAsync(Repository.At("README.md"));
        return text.Split('\n').SkipWhile(l => !l.StartsWith("| | Naru |", StringComparison.Ordinal)).Skip(2).TakeWhile(l => l.StartsWith('|'))
            .Select(l => l.Split('|')).ToDictionary(c => c[1].Trim(), c => c[2].Trim());
    }

    [GeneratedRegex(@"^\| `naru ([a-z-]+)", RegexOptions.Multiline)]
    private static partial Regex Verb();

    [GeneratedRegex(@"kind: Deployment\s+metadata:\s+name: (\w+)-(v\d+)")]
    private static partial Regex Deployment();
}
