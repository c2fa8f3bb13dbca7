// What a process of the mesh finds in its environment.
using System.Collections.Immutable;
using System.Text.Json;
using Naru.Local;
using Naru.Local.Manifests;
using Naru.Local.Processes;
using Xunit;

namespace Naru.UnitTests.Local;

public sealed class PodEnvironmentTests
{
    private static readonly PodIdentity s_pod = new("web-v1-abcde", "default", "127.3.9.1", 9, "web", new Dictionary<string, string> { ["app"] = "web" });

    private static ServiceManifest Service(string name, string ns, params ServicePort[] ports) => new() { Name = name, Namespace = ns, Ports = [.. ports] };

    private static Dictionary<string, string> Build(params EnvironmentVariable[] variables)
    {
        var plan = new AddressPlan(3);
        ServiceManifest[] services = [Service("shop-cart", "default", new ServicePort("http", 9080, ""), new ServicePort("http-admin", 9090, "")), Service("hidden", "other", new ServicePort("", 1, ""))];
        foreach (ServiceManifest service in services) plan.TakeService(service.Key);
        return PodEnvironment.Build(new Dictionary<string, string> { ["PATH"] = "/bin", ["PORT"] = "1" }, s_pod,
            [KeyValuePair.Create(new ContainerPort("main", 8000), 21_000), KeyValuePair.Create(new ContainerPort("", 8001), 21_001)], variables, services, plan);
    }

    [Fact]
    public void Peers_are_announced_as_Kubernetes_does_at_this_pods_own_addresses()
    {
        Dictionary<string, string> all = Build();
        Assert.Equal("127.3.9.2", all["SHOP_CART_SERVICE_HOST"]);
        Assert.Equal("9080", all["SHOP_CART_SERVICE_PORT"]);
        Assert.Equal("9090", all["SHOP_CART_SERVICE_PORT_HTTP_ADMIN"]);
        Assert.DoesNotContain("HIDDEN_SERVICE_HOST", all.Keys);
    }

    [Fact]
    public void The_process_is_told_its_ports_its_identity_and_its_proxy()
    {
        Dictionary<string, string> all = Build();
        Assert.Equal("21000", all["PORT"]);
        Assert.Equal("21000", all["PORT_MAIN"]);
        Assert.Equal("21001", all["PORT_8001"]);
        Assert.Equal(("web-v1-abcde", "default", "127.3.9.1"), (all["POD_NAME"], all["POD_NAMESPACE"], all["POD_IP"]));
        Assert.Equal("http://127.3.9.1:15080", all["http_proxy"]);
        Assert.Equal(all["http_proxy"], all["HTTP_PROXY"]);
        Assert.Equal("localhost,.localhost,127.0.0.1,127.0.0.0/8,::1", all["NO_PROXY"]);
        Assert.Equal("/bin", all["PATH"]);
    }

    [Fact]
    public void Whoever_wants_his_own_proxy_keeps_it_and_his_own_exceptions_stay()
    {
        var inherited = new Dictionary<string, string> { ["http_proxy"] = "http://mine:1", ["no_proxy"] = "corp.example, localhost" };
        Dictionary<string, string> ours = PodEnvironment.Build(inherited, s_pod, [], [], [], new AddressPlan(3));
        Assert.Equal("localhost,.localhost,127.0.0.1,127.0.0.0/8,::1,corp.example", ours["no_proxy"]);
        Dictionary<string, string> own = PodEnvironment.Build(inherited, s_pod, [], [], [], new AddressPlan(3), names: false);
        Assert.Equal(("http://mine:1", "corp.example, localhost"), (own["http_proxy"], own["no_proxy"]));
        Assert.DoesNotContain("HTTP_PROXY", own.Keys);
    }

    [Fact]
    public void What_a_ConfigMap_holds_has_no_references()
    {
        Assert.Equal("$(POD_NAME)", Build(new EnvironmentVariable("X", "$(POD_NAME)", null) { Literal = true })["X"]);
    }

    [Theory]
    [InlineData("plain", "plain")]
    [InlineData("http://$(SHOP_CART_SERVICE_HOST):1/", "http://127.3.9.2:1/")]
    [InlineData("$(UNKNOWN) $$(POD_NAME) $(POD_NAME)", "$(UNKNOWN) $(POD_NAME) web-v1-abcde")]
    [InlineData("$(open", "$(open")]
    public void References_to_variables_are_replaced(string written, string read) => Assert.Equal(read, Build(new EnvironmentVariable("X", written, null))["X"]);

    [Theory]
    [InlineData("metadata.name", "web-v1-abcde")]
    [InlineData("metadata.labels['app']", "web")]
    [InlineData("status.podIP", "127.3.9.1")]
    [InlineData("spec.serviceAccountName", "web")]
    public void Fields_of_the_pod_can_be_asked_for(string field, string read)
    {
        Assert.True(PodEnvironment.KnowsField(field));
        Assert.Equal(read, Build(new EnvironmentVariable("X", null, field))["X"]);
    }

    [Fact]
    public void A_process_that_keeps_dying_waits_longer_each_time_up_to_a_bound_and_is_forgiven_after_a_good_life()
    {
        var backOff = new BackOff();
        TimeSpan[] waits = [.. Enumerable.Range(0, 9).Select(_ => backOff.Next(TimeSpan.FromSeconds(1)))];
        Assert.Equal([0, 0.5, 1, 2, 4, 8, 16, 30, 30], waits.Select(w => w.TotalSeconds));
        Assert.Equal(TimeSpan.Zero, backOff.Next(TimeSpan.FromMinutes(1)));
    }

    [Fact]
    public void A_bootstrap_says_who_the_proxy_is_and_where_its_control_plane_is()
    {
        using JsonDocument json = JsonDocument.Parse(Bootstrap.Write(new ProxyIdentity
        {
            Type = "sidecar",
            Pod = s_pod,
            Workload = "web-v1",
            InstanceAddresses = "127.3.9.1",
            AppPorts = [KeyValuePair.Create(8000, 21_000)],
            AppAddresses = [KeyValuePair.Create(8000, "::1")],
        }, "127.3.0.1", mayBindLowPorts: false));
        JsonElement node = json.RootElement.GetProperty("node");
        Assert.Equal("sidecar~127.3.9.1~web-v1-abcde.default~default.svc.cluster.local", node.GetProperty("id").GetString());
        JsonElement metadata = node.GetProperty("metadata");
        Assert.Equal(21_000, metadata.GetProperty("NARU_APP_PORTS").GetProperty("8000").GetInt32());
        Assert.Equal("::1", metadata.GetProperty("NARU_APP_ADDRESSES").GetProperty("8000").GetString());
        Assert.Equal(9, metadata.GetProperty("NARU_VIP_OCTET").GetInt32());
        Assert.Equal("NONE", metadata.GetProperty("INTERCEPTION_MODE").GetString());
        Assert.Equal("true", metadata.GetProperty("UNPRIVILEGED_POD").GetString());
    }

    [Fact]
    public void State_is_written_whole_and_only_when_it_changed()
    {
        using var folder = new Kit.TempFolder();
        var writer = new StateWriter(folder.Root);
        var pod = new PodState { Name = "web-1", Namespace = "default", Address = "127.3.9.1", Labels = s_pod.Labels, Ports = [new ContainerPort("main", 8000)], Ready = true };
        writer.Put(pod);
        string file = Assert.Single(Directory.GetFiles(folder.Root));
        DateTime written = File.GetLastWriteTimeUtc(file);
        writer.Put(pod);
        Assert.Equal(written, File.GetLastWriteTimeUtc(file));
        writer.Put(pod with { Ready = false, Terminating = DateTimeOffset.UnixEpoch });
        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(file));
        Assert.Equal("False", json.RootElement.GetProperty("status").GetProperty("conditions")[0].GetProperty("status").GetString());
        Assert.Equal("1970-01-01T00:00:00Z", json.RootElement.GetProperty("metadata").GetProperty("deletionTimestamp").GetString());
        writer.RemovePod("default", "web-1");
        Assert.Empty(Directory.GetFiles(folder.Root));
    }
}
