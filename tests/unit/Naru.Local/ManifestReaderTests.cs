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
        ManifestSet set = ManifestReader.ReadText(Web.Replace("naru.dev/run", "example.com/other"), "web.yaml");
        Assert.Empty(set.Deployments);
        Diagnostic d = Assert.Single(set.Diagnostics);
        Assert.Equal(("NARU-L002", Severity.Error, "web.yaml", 17), (d.Code, d.Severity, d.Place.File, d.Place.Line));
        Assert.Contains("naru.dev/run", d.Remedy);
    }

    [Theory]
    [InlineData("                livenessProbe: { tcpSocket: { port: 1 } }", "livenessProbe")]
    [InlineData("                envFrom: [{ configMapRef: { name: x } }]", "envFrom")]
    [InlineData("                volumeMounts: [{ name: x, mountPath: /x }]", "volumeMounts")]
    public void What_is_not_honoured_is_said(string field, string name)
    {
        ManifestSet set = ManifestReader.ReadText(Web.Replace("        image: example/web", field[8..]), "web.yaml");
        Assert.Contains(set.Diagnostics, d => d.Severity == Severity.Warning && d.Message.Contains(name, StringComparison.Ordinal) && d.Place.Line > 0);
        Assert.Single(set.Deployments);
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
