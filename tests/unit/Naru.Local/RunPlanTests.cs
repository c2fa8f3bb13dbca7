// What runs in place of containers: of a run file, of the manifest, of ours, a stand-in or nothing; and what is said where that is unclear.
using Naru.Core;
using Naru.Kit;
using Naru.Local.Manifests;
using Xunit;

namespace Naru.UnitTests.Local;

public sealed class RunPlanTests
{
    private static readonly RunOptions s_options = new() { Bookinfo = "/opt/a b/bookinfo", Naru = ["/opt/naru"], Again = "naru up shop" };

    private static string Deployment(string name, string container, string ns = "default") => $$"""
        ---
        apiVersion: apps/v1
        kind: Deployment
        metadata: { name: {{name}}, namespace: {{ns}} }
        spec:
          selector: { matchLabels: { app: {{name}} } }
          template:
            metadata: { labels: { app: {{name}}, version: v7 } }
            spec:
              volumes: [{ name: tmp, emptyDir: {} }]
              containers:
              - {{container}}
              - { name: istio-proxy, image: docker.io/istio/proxyv2 }

        """;

    private static string Service(string name, string ports) => $$"""
        ---
        apiVersion: v1
        kind: Service
        metadata: { name: {{name}} }
        spec: { selector: { app: {{name}} }, ports: {{ports}} }

        """;

    private static RunPlan Plan(string text, RunOptions options) => RunPlan.Make(ManifestReader.ReadText(text, "/m/all.yaml"), options);

    private static RunPlan Plan(TempFolder folder, string text, string run, RunOptions? options = null)
    {
        folder.Write("all.yaml", text);
        folder.Write("naru.run.yaml", run);
        return RunPlan.Make(ManifestReader.Read([folder.Root]), options ?? s_options);
    }

    [Theory]
    [InlineData("docker.io/istio/examples-bookinfo-productpage-v1:1.20.3", "", "bookinfo productpage v1",
        "'/opt/a b/bookinfo' productpage --version v1")]
    [InlineData("registry.istio.io/release/examples-bookinfo-reviews-v3:1.20.3@sha256:00", "", "bookinfo reviews v3",
        "'/opt/a b/bookinfo' reviews --version v3")]
    [InlineData("istio/examples-bookinfo-ratings-v1", "", "bookinfo ratings v1", "'/opt/a b/bookinfo' ratings --version v1")]
    [InlineData("istio/examples-helloworld-v2", "", "helloworld v2", "/opt/naru stub --hello v2")]
    [InlineData("hashicorp/http-echo:1.0", "args: [\"-text=hi you\", \"-listen=:5678\"]", "http-echo",
        "/opt/naru stub --text 'hi you' --status 200")]
    [InlineData("hashicorp/http-echo", "args: [--text, hi, -status-code, \"418\"]", "http-echo", "/opt/naru stub --text hi --status 418")]
    [InlineData("curlimages/curl", "command: [/bin/sleep, infinity]", "sleeps, serves nothing", "sleep infinity")]
    [InlineData("naru/bookinfo:0.1.0", "args: [details, --version, v1]", "bookinfo details v1", "'/opt/a b/bookinfo' details --version v1")]
    public void Sample_images_that_we_have_run_as_programs_of_ours(string image, string more, string name, string command)
    {
        RunPlan plan = Plan(Deployment("one", $"{{ name: one, image: \"{image}\"{(more.Length > 0 ? $", {more}" : "")} }}"), s_options);
        RunRow row = Assert.Single(plan.Rows);
        Assert.Equal(("one", RunKind.BuiltIn, $"built-in: {name}"), (row.Deployment, row.Kind, row.How));
        Assert.Equal(command, Assert.Single(plan.Set.Deployments).Template.Command);
        Assert.Empty(plan.Set.Diagnostics);
        Assert.Null(plan.Refusal);
    }

    [Theory]
    [InlineData("istio/examples-bookinfo-details-v2", "")]
    [InlineData("istio/examples-bookinfo-ratings-v2", "")]
    [InlineData("istio/examples-bookinfo-reviews-v1", "command: [/bin/other]")]
    [InlineData("hashicorp/http-echo", "args: [-text=a, -new-flag=x]")]
    [InlineData("hashicorp/http-echo", "args: [-text]")]
    [InlineData("nginx", "")]
    [InlineData("kennethreitz/httpbin", "")]
    public void What_would_only_look_like_its_image_is_nothing_or_openly_a_stand_in(string image, string more)
    {
        string text = Deployment("one", $"{{ name: one, image: {image}{(more.Length > 0 ? $", {more}" : "")} }}")
            + Service("one", "[{ name: http, port: 80, targetPort: 8080 }]");
        Assert.Equal(RunKind.Nothing, Assert.Single(Plan(text, s_options).Rows).Kind);
        RunPlan stub = Plan(text, s_options with { Stub = true });
        Assert.Equal(RunKind.Stub, Assert.Single(stub.Rows).Kind);
        PodTemplate template = Assert.Single(stub.Set.Deployments).Template;
        Assert.Equal($"/opt/naru stub --name one --label v7 --image {image}", template.Command);
        // Nothing declares a port, and the Service sends to one.
        Assert.Equal(new ContainerPort("", 8080), Assert.Single(template.Ports));
    }

    [Fact]
    public void Where_there_is_nothing_three_remedies_can_be_pasted()
    {
        RunPlan plan = Plan(Deployment("web", "{ name: web, image: example/web }") + Deployment("db", "{ name: db, image: example/db }"),
            s_options);
        Assert.Equal(2, plan.Set.Diagnostics.Count(d => d.Code == "NARU-L002"));
        Diagnostic refusal = plan.Refusal!;
        Assert.Equal("nothing says how all 2 Deployments run on this machine: web, db", refusal.Message);
        Assert.Contains("naru up shop --stub", refusal.Remedy);
        Assert.Contains("printf '%s\\n' 'web: ./start-web' 'db: ./start-db' >>/m/naru.run.yaml", refusal.Remedy);
        Assert.Contains("naru.dev/run: ./start-web", refusal.Remedy);
    }

    [Theory]
    [InlineData("web: node server.js", "node server.js", "")]
    [InlineData("default/web: node server.js", "node server.js", "")]
    [InlineData("web/main: {command: [node, 'a b.js'], cwd: sub, env: {COLOUR: red}}", "node 'a b.js'", "sub")]
    [InlineData("default/web/main: {command: node x, cwd: sub}", "node x", "sub")]
    public void A_run_file_names_a_deployment_and_goes_before_everything_else(string line, string command, string sub)
    {
        using var folder = new TempFolder();
        folder.Write("sub/x", "");
        string container =
            "{ name: main, image: istio/examples-helloworld-v1, ports: [{ containerPort: 5000 }], env: [{ name: COLOUR, value: blue }, { name: KEY, valueFrom: { secretKeyRef: { name: a, key: b } } }] }";
        RunPlan plan = Plan(folder, Deployment("web", container) + Deployment("web2", "{ name: x, image: istio/examples-helloworld-v1 }"),
            line);
        Assert.Equal(RunKind.RunFile, plan.Rows[0].Kind);
        Assert.StartsWith("command from naru.run.yaml:1: ", plan.Rows[0].How);
        PodTemplate template = plan.Set.Deployments.Single(d => d.Name == "web").Template;
        Assert.Equal((command, Path.TrimEndingDirectorySeparator(folder.At(sub))), (template.Command, template.Folder));
        Assert.Equal(line.Contains("red", StringComparison.Ordinal) ? "red" : "blue",
            template.Environment.Single(v => v.Name == "COLOUR").Value);
        // Now it matters what a process here will miss.
        Assert.Equal(["NARU-L004", "NARU-L005"], plan.Set.Diagnostics.Select(d => d.Code).Order());
    }

    [Fact]
    public void What_a_run_file_sets_is_not_missing()
    {
        using var folder = new TempFolder();
        RunPlan plan = Plan(folder,
            Deployment("web", "{ name: main, image: x, env: [{ name: KEY, valueFrom: { secretKeyRef: { name: a, key: b } } }] }"),
            "web: {command: x, env: {KEY: mine}}");
        Assert.DoesNotContain(plan.Set.Diagnostics, d => d.Code == "NARU-L005");
    }

    [Fact]
    public void A_run_file_may_leave_a_deployment_out()
    {
        using var folder = new TempFolder();
        RunPlan plan = Plan(folder, Deployment("db", "{ name: db, image: mongo }"), "# mine\ndb: {skip: true}\n");
        Assert.Equal((RunKind.LeftOut, "left out by naru.run.yaml:2"), (plan.Rows[0].Kind, plan.Rows[0].How));
        Assert.Empty(plan.Set.Deployments);
        Assert.Null(plan.Refusal);
    }

    [Theory]
    [InlineData("wbe: x", "NARU-L007", 1, "did you mean \"web\"?")]
    [InlineData("# a\nweb/mian: x", "NARU-L007", 2, "did you mean \"web/main\"?")]
    [InlineData("web: {command: x, comand: y}", "NARU-L006", 1, "did you mean \"command\"?")]
    [InlineData("web: {command: x, cwd: nowhere}", "NARU-L006", 1, "cwd is relative to this file")]
    [InlineData("web: {command: x, env: [A]}", "NARU-L006", 1, "write env: {NAME: value}")]
    [InlineData("web: {cwd: .}", "NARU-L006", 1, "skip: true")]
    [InlineData("web:", "NARU-L006", 1, "web: COMMAND")]
    [InlineData("- web", "NARU-L006", 1, "orders-v1: dotnet run")]
    [InlineData("web: x\ndefault/web: y", "NARU-L008", 2, "keep one")]
    [InlineData("web: [", "NARU-C001", 0, "")]
    public void What_is_wrong_in_a_run_file_is_said_with_its_line(string run, string code, int line, string help)
    {
        using var folder = new TempFolder();
        RunPlan plan = Plan(folder, Deployment("web", "{ name: main, image: istio/examples-helloworld-v1 }"), run);
        Diagnostic d = Assert.Single(plan.Set.Diagnostics, RunPlan.IsOfRunFile);
        Assert.Equal((code, folder.At("naru.run.yaml")), (d.Code, d.Place.File));
        if (line > 0) Assert.Equal(line, d.Place.Line);
        Assert.Contains(help, d.Remedy ?? "");
    }

    [Fact]
    public void A_name_in_two_namespaces_is_asked_for_whole()
    {
        using var folder = new TempFolder();
        string text = Deployment("web", "{ name: main, image: x }") + Deployment("web", "{ name: main, image: x }", "shop");
        Diagnostic d = Assert.Single(Plan(folder, text, "web: x\nshop/web: y\n").Set.Diagnostics, RunPlan.IsOfRunFile);
        Assert.Equal("web may be default/web or shop/web", d.Message);
    }

    [Fact]
    public void A_run_file_elsewhere_replaces_the_one_beside_the_manifests_and_is_followed_too()
    {
        using TempFolder folder = new(), other = new();
        string file = other.Write("mine.yaml", "web: ./mine");
        RunPlan plan = Plan(folder, Deployment("web", "{ name: main, image: x }"), "nobody: ./x", s_options with { File = file });
        Assert.Equal("./mine", Assert.Single(plan.Set.Deployments).Template.Command);
        Assert.Equal(other.Root, plan.Set.Deployments[0].Template.Folder);
        Assert.Contains(other.Root, plan.Set.Folders);
        Assert.Contains(folder.Root, plan.Set.Folders);
    }

    [Fact]
    public void The_run_file_is_no_manifest()
    {
        using var folder = new TempFolder();
        Plan(folder, Deployment("web", "{ name: main, image: x }"), "web: ./mine");
        Assert.Equal(folder.At("all.yaml"), Assert.Single(ManifestReader.Read([folder.Root]).Files));
        Assert.False(Naru.Control.Sources.ManifestPaths.IsManifest(folder.At("naru.run.yaml")));
    }
}
