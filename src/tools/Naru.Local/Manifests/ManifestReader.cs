// Reads from Kubernetes manifests what is to run here, with the control plane's own reader: an object that it refuses is not run, and it
// says why. This reader adds what only a runner asks of a Deployment. How each of them runs is decided in RunPlan.
using System.Collections.Immutable;
using Naru.Control.Model;
using Naru.Control.Sources;
using Naru.Core;
using Naru.Yaml;

namespace Naru.Local.Manifests;

/// <summary>Reads files and folders.</summary>
public static class ManifestReader
{
    /// <summary>Pod-template annotation: the command that runs here in place of the container.</summary>
    public const string RunAnnotation = "naru.dev/run";

    private static readonly string[] s_otherWorkloads = ["StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob", "Pod"];
    private static readonly HashSet<string> s_kinds = [Kinds.Service, Kinds.Deployment, "ConfigMap", "Secret", .. s_otherWorkloads];

    /// <summary>Reads paths: files, folders (without subfolders), kustomizations.</summary>
    public static ManifestSet Read(IEnumerable<string> paths)
    {
        var files = new List<string>();
        var folders = new SortedSet<string>(StringComparer.Ordinal);
        var pass = new Pass();
        foreach (string path in paths) ManifestPaths.List(Path.GetFullPath(path), files, folders, pass.Faults);
        List<string> read = [.. files.Distinct(StringComparer.Ordinal)];
        foreach (string file in read)
        {
            try
            {
                pass.Read(File.ReadAllText(file), file);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                pass.Faults.Error("NARU-C240", $"cannot read the file: {Causes.Of(e)}", new Place(file));
            }
        }
        return pass.Set([.. read], [.. folders]);
    }

    /// <summary>Reads one text.</summary>
    public static ManifestSet ReadText(string text, string file)
    {
        var pass = new Pass();
        pass.Read(text, file);
        return pass.Set([file], []);
    }

    private sealed class Pass
    {
        private readonly Dictionary<string, ServiceManifest> _services = new(StringComparer.Ordinal);
        private readonly Dictionary<string,
            (YamlMapping Node, ObjectKey Key, int Replicas, Place Template)> _deployments = new(StringComparer.Ordinal);
        private readonly DataObjects _data = new();

        public Diagnostics Faults { get; } = new();

        public void Read(string text, string file)
        {
            Manifest manifest = Control.Model.ManifestReader.Read(text, file, only: s_kinds);
            Faults.AddRange(manifest.Faults);
            foreach (ManifestItem item in manifest.Items)
            {
                if (item.Key is not { } key || item.Node is not { } node) continue;
                if (item.Object?.Spec is ServiceSpec service) Service(service, key, item.Object);
                else if (item.Object?.Spec is DeploymentSpec deployment)
                    _deployments[$"{key.Namespace}/{key.Name}"] = (node, key, deployment.Replicas, deployment.TemplatePlace);
                else if (key.Kind is "ConfigMap" or "Secret") _data.Add(key, node);
                else if (s_otherWorkloads.Contains(key.Kind))
                    Faults.Error("NARU-L003", $"a {key.Kind} is not run on this machine", node.Place, key.ToString(),
                        "write it as a Deployment with the annotation naru.dev/run");
                // A Service or Deployment that is broken may be one that runs: nothing is taken away because of it.
                else Faults.AddRange(item.Diagnostics.Where(d => d.Severity == Severity.Error));
            }
        }

        // Variables may come from objects that are written after the Deployment.
        public ManifestSet Set(ImmutableArray<string> files, ImmutableArray<string> folders)
        {
            var deployments = ImmutableArray.CreateBuilder<DeploymentManifest>();
            foreach ((YamlMapping node, ObjectKey key, int replicas, Place template) in _deployments.Values)
                deployments.Add(PodReader.Deployment(node, key, replicas, template, _data));
            return new ManifestSet([.. _services.Values], deployments.ToImmutable(), files, folders, [.. Faults.Items]);
        }

        // Headless services and other names for hosts get no address of ours.
        private void Service(ServiceSpec spec, ObjectKey key, ConfigObject made)
        {
            if (spec.ClusterIp.Length > 0 || spec.ExternalName.Length > 0 || spec.Ports.IsEmpty) return;
            var service = new ServiceManifest
            {
                Name = key.Name,
                Namespace = key.Namespace,
                Labels = made.Labels,
                Annotations = made.Annotations,
                Selector = spec.Selector,
                Ports = [.. spec.Ports.Select(p =>
                    new ServicePort(p.Name, p.Port, p.TargetName.Length > 0 ? p.TargetName : p.TargetPort == p.Port
                    ? "" : $"{p.TargetPort}", p.Protocol, p.AppProtocol))],
                Place = made.Place,
            };
            _services[service.Key] = service;
        }
    }
}
