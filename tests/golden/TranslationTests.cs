// YAML in, resources out: each folder under cases/ is read beside cases/mesh, translated for several nodes, and compared with
// the JSON files that lie in it. NARU_GOLDEN=write writes them anew; then read the difference before you commit it.
using System.Reflection;
using System.Text;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Registries;
using Naru.Control.Sources;
using Naru.Control.Translation;
using Xunit;

namespace Naru.GoldenTests;

public sealed class TranslationTests
{
    private static readonly string Folder = typeof(TranslationTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().First(a => a.Key == "CasesFolder").Value!;
    private static readonly bool Write = Environment.GetEnvironmentVariable("NARU_GOLDEN") == "write";

    private static readonly JsonFormatter Json = new(JsonFormatter.Settings.Default.WithIndentation("  ").WithTypeRegistry(Translator.Types));

    private static readonly Dictionary<string, string> Nodes = new()
    {
        ["sidecar"] = """
            {"INTERCEPTION_MODE":"NONE","HTTP_PROXY_PORT":"15080","NAMESPACE":"default","INSTANCE_IPS":"127.7.1.1","NARU_VIP_OCTET":1,
             "NARU_APP_PORTS":{"9080":41233},"LABELS":{"app":"productpage","version":"v1"}}
            """,
        ["gateway"] = """
            {"INTERCEPTION_MODE":"NONE","NAMESPACE":"istio-system","INSTANCE_IPS":"127.0.0.1","NARU_PORT_MAP":{"8080":18080},
             "LABELS":{"app":"istio-ingressgateway","istio":"ingressgateway"}}
            """,
        ["local"] = """
            {"INTERCEPTION_MODE":"NONE","NAMESPACE":"istio-system","INSTANCE_IPS":"127.0.0.1","NARU_PORT_MAP":{"8080":18080},
             "NARU_FRONT_PAGE":"/run/naru/page.sock","NARU_ACCESS_LOG":"/run/naru/gateway.requests.log",
             "LABELS":{"app":"istio-ingressgateway","istio":"ingressgateway"}}
            """,
        ["intercepted"] = """{"NAMESPACE":"default","INSTANCE_IPS":"127.7.2.1","LABELS":{"app":"reviews","version":"v1"}}""",
        ["ours"] = """{"NAMESPACE":"default","INSTANCE_IPS":"127.7.2.1","LABELS":{"app":"reviews","version":"v1"}}""",
        ["edge"] = """{"NAMESPACE":"istio-system","INSTANCE_IPS":"127.0.0.1","LABELS":{"app":"istio-ingressgateway","istio":"ingressgateway"}}""",
        ["grpc"] = """{"GENERATOR":"grpc","NAMESPACE":"default"}""",
    };

    public static NodeInfo Node(string name)
    {
        string id = name switch
        {
            "gateway" or "local" or "edge" => "router~127.0.0.1~gateway-1.istio-system~istio-system.svc.cluster.local",
            "grpc" => "client-1",
            "intercepted" or "ours" => "sidecar~127.7.2.1~reviews-v1-1.default~default.svc.cluster.local",
            _ => "sidecar~127.7.1.1~productpage-v1-1.default~default.svc.cluster.local",
        };
        NodeInfo node = NodeInfo.TryParse(new Envoy.Config.Core.V3.Node
        {
            Id = id,
            Cluster = "test",
            Metadata = Struct.Parser.ParseJson(Nodes[name]),
            UserAgentName = name is "ours" or "edge" ? "naru-proxy" : ""
        },
                out string? error) ?? throw new InvalidOperationException(error);
        return node;
    }

    public static Snapshot Read(string @case)
    {
        using var files = new Files(Path.Combine(Folder, "mesh"), Path.Combine(Folder, @case));
        return Registry.Build(files.State, Snapshot.Empty);
    }

    /// <summary>The rules of any folder in the mesh of all cases.</summary>
    public static Snapshot ReadFolder(string folder)
    {
        using var files = new Files(Path.Combine(Folder, "mesh"), folder);
        return Registry.Build(files.State, Snapshot.Empty);
    }

    // What the nodes of a case are; everything but EDS and clusters of the first case is in the others too, so it is written once.
    [Theory]
    [InlineData("gateway", "gateway", "lds,rds")]
    [InlineData("local-gateway", "local", "lds,rds")]
    [InlineData("all-v1", "sidecar", "cds,eds,lds,rds")]
    [InlineData("all-v1", "intercepted", "lds,rds")]
    [InlineData("all-v1", "ours", "lds")]
    [InlineData("all-v1", "grpc", "cds,eds,lds,rds")]
    [InlineData("split-50-50", "sidecar", "rds")]
    [InlineData("split-90-10", "sidecar", "rds")]
    [InlineData("canary", "sidecar", "rds")]
    [InlineData("canary", "grpc", "rds")]
    [InlineData("broken-among-good", "sidecar", "rds")]
    [InlineData("everything", "sidecar", "rds")]
    [InlineData("traffic", "sidecar", "cds,rds")]
    [InlineData("traffic", "grpc", "rds")]
    [InlineData("service-entries", "sidecar", "cds,eds,lds,rds")]
    [InlineData("same-endpoint", "sidecar", "cds,rds")]
    [InlineData("same-endpoint", "grpc", "cds,rds")]
    public void Rules_become_the_resources_that_lie_beside_them(string @case, string node, string types)
    {
        Snapshot snapshot = Read(@case);
        ResourceSet made = Translator.Translate(snapshot, Node(node));
        foreach (string type in types.Split(','))
        {
            string url = type switch { "cds" => TypeUrls.Cluster, "eds" => TypeUrls.ClusterLoadAssignment, "lds" => TypeUrls.Listener, _ => TypeUrls.RouteConfiguration };
            var text = new StringBuilder("[\n");
            text.AppendJoin(",\n", made.Of(url).InOrder.Select(r => Json.Format(r.Message))).Append("\n]\n");
            Compare(Path.Combine(Folder, @case, $"{node}.{type}.json"), text.ToString());
        }
        Compare(Path.Combine(Folder, @case, "diagnostics.txt"), string.Concat(snapshot.Diagnostics.Select(d => d.ToString().Replace(Folder + "/", "", StringComparison.Ordinal) + "\n")));
    }

    [Theory]
    [InlineData("sidecar")]
    [InlineData("gateway")]
    [InlineData("local")]
    [InlineData("intercepted")]
    [InlineData("grpc")]
    public void The_same_snapshot_gives_the_same_bytes(string node)
    {
        ResourceSet first = Translator.Translate(Read("everything"), Node(node)), second = Translator.Translate(Read("everything"), Node(node));
        foreach (string type in TypeUrls.PushOrder)
        {
            Assert.Equal(first.Of(type).Version, second.Of(type).Version);
            Assert.Equal(first.Of(type).InOrder.Select(r => (r.Name, r.Packed.Value)), second.Of(type).InOrder.Select(r => (r.Name, r.Packed.Value)));
        }
    }

    [Theory]
    [InlineData("gateway", "gateway")]
    [InlineData("local-gateway", "local")]
    [InlineData("canary", "sidecar")]
    [InlineData("everything", "sidecar")]
    [InlineData("traffic", "sidecar")]
    [InlineData("service-entries", "sidecar")]
    [InlineData("same-endpoint", "sidecar")]
    [InlineData("service-entries", "gateway")]
    public void The_data_plane_takes_every_resource(string @case, string node)
    {
        ResourceSet made = Translator.Translate(Read(@case), Node(node));
        foreach (Resource resource in TypeUrls.PushOrder.SelectMany(t => made.Of(t).InOrder))
        {
            var diagnostics = new Naru.Core.Diagnostics();
            object? record = Naru.Proxy.Config.ResourceReader.Read(resource.Message.Descriptor.Parser.ParseFrom(resource.Packed.Value), diagnostics);
            Assert.True(record is not null && !diagnostics.Items.Any(d => d.Severity != Naru.Core.Severity.Info), $"{resource.Name}: {string.Join("\n", diagnostics.Items)}");
        }
    }

    [Fact]
    public void An_endpoint_that_comes_or_goes_changes_only_its_assignments()
    {
        Snapshot before = Read("all-v1");
        Naru.Control.Model.ConfigObject pod = before.Config.Objects[new("Pod", "default", "reviews-v3-1")];
        Snapshot after = Registry.Build(before.Config with { Objects = before.Config.Objects.Remove(pod.Key) }, before);
        foreach (string node in Nodes.Keys)
        {
            ResourceSet old = Translator.Translate(before, Node(node)), now = Translator.Translate(after, Node(node));
            Assert.Same(old.Of(TypeUrls.Cluster), now.Of(TypeUrls.Cluster));
            Assert.Same(old.Of(TypeUrls.Listener), now.Of(TypeUrls.Listener));
            Assert.Same(old.Of(TypeUrls.RouteConfiguration), now.Of(TypeUrls.RouteConfiguration));
            IEnumerable<string> changed = now.Of(TypeUrls.ClusterLoadAssignment).InOrder.Where(r => !ReferenceEquals(r, old.Of(TypeUrls.ClusterLoadAssignment)[r.Name])).Select(r => r.Name);
            Assert.All(changed, name => Assert.EndsWith("|reviews.default.svc.cluster.local", name));
            Assert.Empty(((Envoy.Config.Endpoint.V3.ClusterLoadAssignment)now.Of(TypeUrls.ClusterLoadAssignment)["outbound|9080|v3|reviews.default.svc.cluster.local"].Message).Endpoints);
        }
    }

    [Fact]
    public void A_changed_rule_changes_only_the_versions_of_routes()
    {
        ResourceSet before = Translator.Translate(Read("split-90-10"), Node("sidecar")), after = Translator.Translate(Read("canary"), Node("sidecar"));
        Assert.Equal(before.Of(TypeUrls.Cluster).Version, after.Of(TypeUrls.Cluster).Version);
        Assert.Equal(before.Of(TypeUrls.ClusterLoadAssignment).Version, after.Of(TypeUrls.ClusterLoadAssignment).Version);
        Assert.Equal(before.Of(TypeUrls.Listener).Version, after.Of(TypeUrls.Listener).Version);
        Assert.NotEqual(before.Of(TypeUrls.RouteConfiguration)["9080"].Version, after.Of(TypeUrls.RouteConfiguration)["9080"].Version);
    }

    private static void Compare(string path, string made)
    {
        // The formatter's spacing is not ours; the file's is.
        string text = made.Replace("\r\n", "\n", StringComparison.Ordinal);
        if (Write) File.WriteAllText(path, text);
        Assert.True(File.Exists(path), $"{path} is missing; run with NARU_GOLDEN=write and read what it holds");
        Assert.Equal(File.ReadAllText(path), text);
    }

    private sealed class Files : IDisposable
    {
        private readonly FileSource _source;

        public Files(params string[] folders) => _source = new FileSource(folders.SelectMany(f => Directory.EnumerateFiles(f, "*.yaml").Order(StringComparer.Ordinal)), new FileSourceOptions { Watch = false });

        public ConfigState State => _source.Current;

        public void Dispose() => _source.DisposeAsync().AsTask().GetAwaiter().GetResult();
    }
}
