// Reads and judges manifests without a running control plane, with the very readers and checks that serve: for the command line and
// for CI. Changes nothing and opens no connection.
using System.Collections.Immutable;
using Naru.Control.Model;
using Naru.Control.Registries;
using Naru.Control.Sources;
using Naru.Core;

namespace Naru.Control.Host;

/// <summary>An object of a manifest as it would be kept.</summary>
/// <param name="Kind">Kind.</param>
/// <param name="Namespace">Namespace; empty for cluster-wide kinds.</param>
/// <param name="Name">Name.</param>
/// <param name="Json">The manifest as compact JSON.</param>
/// <param name="Place">Where it begins.</param>
public sealed record ManifestObject(string Kind, string Namespace, string Name, string Json, Place Place);

/// <summary>What manifests say, and what there is to say about them.</summary>
/// <param name="Objects">Usable objects, in order.</param>
/// <param name="Diagnostics">What serving them would report: of each object, and of what they mean together.</param>
public sealed record OfflineResult(ImmutableArray<ManifestObject> Objects, ImmutableArray<Diagnostic> Diagnostics);

/// <summary>The control plane's judgement, without one.</summary>
public static class Offline
{
    /// <summary>Judges texts together.</summary>
    /// <param name="texts">Name for places, and YAML or JSON.</param>
    /// <param name="ns">For objects that name no namespace.</param>
    /// <param name="together">Whether they are all there is: then also what they mean together (services that are not there, …).</param>
    public static OfflineResult Check(IEnumerable<(string Name, string Text)> texts, string ns, bool together = true)
    {
        var found = new Diagnostics();
        var order = ImmutableArray.CreateBuilder<ManifestObject>();
        var objects = new Dictionary<ObjectKey, ConfigObject>();
        foreach ((string name, string text) in texts)
        {
            Manifest manifest = ManifestReader.Read(text, name, ns);
            found.AddRange(manifest.AllDiagnostics);
            if (manifest.Items.IsEmpty && manifest.Faults.IsEmpty) found.Error("NARU-C200", "there is no object in it", new Place(name));
            foreach (ConfigObject item in manifest.Items.Select(i => i.Object).OfType<ConfigObject>())
            {
                // Applying refuses this within one file; between files the later one counts.
                if (objects.TryGetValue(item.Key, out ConfigObject? first) && (first.Json != item.Json || first.Place.File == item.Place.File))
                {
                    found.Add(new Diagnostic("NARU-C207", first.Place.File == item.Place.File ? Severity.Error : Severity.Warning,
                        $"{item.Key} is there twice; the other one is at {first.Place}", item.Place, item.Key.ToString(), "keep one"));
                }
                objects[item.Key] = item;
                order.Add(new ManifestObject(item.Key.Kind, item.Key.Namespace, item.Key.Name, item.Json, item.Place));
            }
        }
        if (!together) return new OfflineResult(order.ToImmutable(), [.. found.Items]);
        var state = new ConfigState { Objects = objects.ToImmutableSortedDictionary(), Diagnostics = [] };
        // Objects' own remarks are there already. Gateways are installed apart from the rules that name them, so none among the files says nothing.
        found.AddRange(Registry.Build(state, Snapshot.Empty).Diagnostics.Where(d => !found.Items.Contains(d) && d.Code != "NARU-C226"));
        return new OfflineResult(order.ToImmutable(), [.. found.Items]);
    }

    /// <summary>Whether a file in a folder is taken for a manifest.</summary>
    public static bool IsManifest(string file) => ManifestPaths.IsManifest(file);

    /// <summary>Files and folders that the kustomization of a folder lists, in order; null where the folder has none.</summary>
    public static IReadOnlyList<string>? Resources(string folder, Diagnostics faults) =>
        Kustomization.Names.Select(n => Path.Combine(folder, n)).FirstOrDefault(File.Exists) is { } file ? Kustomization.Resources(file, faults) : null;
}
