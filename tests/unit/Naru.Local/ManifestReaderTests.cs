// What the runner takes from Kubernetes manifests, and what it says about what it cannot honour.
using Naru.Core;
using Naru.Kit;
using Naru.Local.Manifests;
using Xunit;

namespace Naru.UnitTests.Local;

public sealed class ManifestReaderTests
{
    private const string Web = """
        apiVersion: v1
        kind: Service
        metadata: { name: web }
        spec:
          selector: { app: web }
          ports:
          - { name: http, port: 80, targetPort: main }
        ---
        apiVersion: apps/v1
        kind: Deployment
        metadata:
          name: web-v1
        spec:
          replicas: 2
          selector: { matchLabels: { app: web } }
          template:
            metadata:
              labels: { app: web, version: v1 }
              annotations:
                naru.dev/run: ./serve --fast
            spec:
              serviceAccountName: web
              terminationGracePeriodSeconds: 7
              containers:
              - name: main
                image: example/web
                env:
                - { name: COLOUR, value: blue }
                - { name: ME, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
                ports:
                - { name: main, containerPort: 8000 }
                readinessProbe:
                  httpGet: { path: /health, port: main }
                  periodSeconds: 2
        """;

    [Fact]
    public void A_deployment_and_its_service_are_read_as_written()
    {
        ManifestSet set = ManifestReader.ReadText(Web, "/somewhere/kube/web.yaml");
        Assert.Empty(set.Diagnostics);
        ServiceManifest service = Assert.Single(set.Services);
        Assert.Equal("default/web", service.Key);
        Assert.Equal(new ServicePort("http", 80, "main"), Assert.Single(service.Ports));
        DeploymentManifest deployment = Assert.Single(set.Deployments);
        PodTemplate template = deployment.Template;
        Assert.Equal(2, deployment.Replicas);
        Assert.Equal("./serve --fast", template.Command);
        Assert.Equal("/somewhere/kube", template.Folder);
        Assert.Equal("web", template.ServiceAccount);
        Assert.Equal(new ContainerPort("main", 8000), Assert.Single(template.Ports));
        Assert.Equal(TimeSpan.FromSeconds(7), template.Grace);
        Assert.Equal(("/health", "main", TimeSpan.FromSeconds(2)), (template.Probe.Path, template.Probe.Port, template.Probe.Period));
        Assert.Equal([new EnvironmentVariable("COLOUR", "blue", null), new EnvironmentVariable("ME", null, "metadata.name")], template.Environment);
        Assert.True(service.Selects("default", template.Labels));
        Assert.False(service.Selects("other", template.Labels));
    }

    [Fact]
    public void A_deployment_that_does_not_say_how_it_runs_here_is_named_with_line_and_remedy()
    {
        RunPlan plan = RunPlan.Make(ManifestReader.ReadText(Web.Replace("naru.dev/run", "example.com/other"), "web.yaml"),
            new RunOptions());
        Assert.Empty(plan.Set.Deployments);
        Diagnostic d = Assert.Single(plan.Set.Diagnostics);
        Assert.Equal(("NARU-L002", Severity.Error, "web.yaml", 17), (d.Code, d.Severity, d.Place.File, d.Place.Line));
        Assert.Contains("naru.dev/run", d.Remedy);
    }

    [Theory]
    [InlineData("                livenessProbe: { tcpSocket: { port: 1 } }", "livenessProbe")]
    [InlineData("                volumeMounts: [{ name: x, mountPath: /x }]", "volumeMounts")]
    public void What_is_not_honoured_is_said(string field, string name)
    {
        RunPlan plan = RunPlan.Make(ManifestReader.ReadText(Web.Replace("        image: example/web", field[8..]), "web.yaml"),
            new RunOptions());
        Assert.Contains(plan.Set.Diagnostics, d => d.Severity == Severity.Warning && d.Message.Contains(name, StringComparison.Ordinal)
            && d.Place.Line > 0);
        Assert.Single(plan.Set.Deployments);
    }

    [Theory]
    [InlineData("apps/v1")]
    [InlineData("apps/v1beta2")]
    [InlineData("apps/v1beta1")]
    [InlineData("extensions/v1beta1")]
    public void Deployments_of_every_age_are_read(string version)
    {
        string text = Web.Replace("apiVersion: apps/v1", $"apiVersion: {version}");
        Assert.Equal("default/web-v1", Assert.Single(ManifestReader.ReadText(text, "web.yaml").Deployments).Key);
        Assert.DoesNotContain(Naru.Control.Model.ManifestReader.Read(text, "web.yaml").AllDiagnostics, d => d.Severity == Severity.Error);
    }

    [Fact]
    public void What_the_control_plane_refuses_is_not_run()
    {
        ManifestSet set = ManifestReader.ReadText(Web.Replace("{ matchLabels: { app: web } }", "{ matchLabels: { app: shop } }"),
            "web.yaml");
        Assert.Empty(set.Deployments);
        Assert.Equal("NARU-C206", Assert.Single(set.Diagnostics).Code);
    }

    private const string Data = """
        ---
        apiVersion: v1
        kind: ConfigMap
        metadata: { name: settings }
        data: { COLOUR: red, greeting: "$(COLOUR) hello" }
        ---
        apiVersion: v1
        kind: Secret
        metadata: { name: keys }
        data: { key: b3Blbg== }
        stringData: { other: sesame }
        """;

    [Fact]
    public void Variables_of_ConfigMaps_and_Secrets_in_the_same_files_reach_the_process()
    {
        string[] lines =
        [
            "envFrom:",
            "- { configMapRef: { name: settings }, prefix: S_ }",
            "- { secretRef: { name: gone, optional: true } }",
            "env:",
            "- { name: GREETING, valueFrom: { configMapKeyRef: { name: settings, key: greeting } } }",
            "- { name: KEY, valueFrom: { secretKeyRef: { name: keys, key: key } } }",
            "- { name: OTHER, valueFrom: { secretKeyRef: { name: keys, key: other } } }",
            "- { name: NONE, valueFrom: { secretKeyRef: { name: keys, key: none, optional: true } } }",
        ];
        string text = Web.Replace("        env:", string.Join('\n', lines.Select(l => $"        {l}"))) + "\n" + Data;
        RunPlan plan = RunPlan.Make(ManifestReader.ReadText(text, "web.yaml"), new RunOptions());
        Assert.Empty(plan.Set.Diagnostics);
        var all = Assert.Single(plan.Set.Deployments).Template.Environment.ToDictionary(v => v.Name, v => (v.Value, v.Literal));
        Assert.Equal(("red", true), all["S_COLOUR"]);
        Assert.Equal(("$(COLOUR) hello", true), all["GREETING"]);
        Assert.Equal(("open", true), all["KEY"]);
        Assert.Equal(("sesame", true), all["OTHER"]);
        Assert.Equal(("blue", false), all["COLOUR"]);
        Assert.DoesNotContain("NONE", all.Keys);
    }

    [Theory]
    [InlineData("{ name: KEY, valueFrom: { secretKeyRef: { name: gone, key: key } } }",
        "env KEY: Secret default/gone is not in these files")]
    [InlineData("{ name: KEY, valueFrom: { secretKeyRef: { name: keys, key: kye } } }", "env KEY: Secret default/keys has no key kye")]
    [InlineData("{ name: KEY, valueFrom: { fieldRef: { fieldPath: metadata.uid } } }",
        "env KEY: valueFrom metadata.uid is not supported here")]
    [InlineData("{ name: KEY, valueFrom: { resourceFieldRef: { resource: limits.cpu } } }",
        "env KEY: valueFrom resourceFieldRef is not supported here")]
    public void A_variable_that_nobody_here_can_give_is_named_and_is_no_secret(string variable, string why)
    {
        string text = Web.Replace("- { name: COLOUR, value: blue }", "- " + variable) + "\n" + Data;
        Diagnostic d = Assert.Single(RunPlan.Make(ManifestReader.ReadText(text, "web.yaml"), new RunOptions()).Set.Diagnostics);
        Assert.Equal(("NARU-L005", Severity.Error, why), (d.Code, d.Severity, d.Message));
        Assert.True(d.Place.Line > 0);
        Assert.DoesNotContain("sesame", d.ToString());
    }

    [Fact]
    public void Other_workloads_are_refused_by_name()
    {
        ManifestSet set = ManifestReader.ReadText("apiVersion: apps/v1\nkind: StatefulSet\nmetadata: { name: db }\nspec: {}\n", "db.yaml");
        Assert.Contains("StatefulSet", Assert.Single(set.Diagnostics).Message);
    }

    [Fact]
    public void Services_without_an_address_of_ours_are_left_to_the_control_plane()
    {
        ManifestSet set = ManifestReader.ReadText("""
            apiVersion: v1
            kind: List
            items:
            - { apiVersion: v1, kind: Service, metadata: { name: a }, spec: { clusterIP: None, ports: [{ port: 1 }] } }
            - { apiVersion: v1, kind: Service, metadata: { name: b }, spec: { type: ExternalName, externalName: example.com } }
            - { apiVersion: v1, kind: Service, metadata: { name: c, namespace: shop }, spec: { ports: [{ port: 1 }] } }
            """, "list.yaml");
        Assert.Equal("shop/c", Assert.Single(set.Services).Key);
    }

    [Fact]
    public void A_kustomization_says_which_files_count()
    {
        using var folder = new TempFolder();
        folder.Write("kustomization.yaml", "resources: [kube/web.yaml]\n");
        folder.Write("kube/web.yaml", Web);
        folder.Write("kube/ignored.yaml", Web.Replace("web", "other"));
        ManifestSet set = ManifestReader.Read([folder.Root]);
        Assert.Equal("default/web-v1", Assert.Single(set.Deployments).Key);
        Assert.Equal(folder.At("kube/web.yaml"), Assert.Single(set.Files));
    }
}
