// What runs in place of each Deployment's containers: a command of a run file, of the manifest itself, a program of ours for a known image,
// a stand-in where that was asked for, or nothing. Pure but for run files, which are read here.
using System.Collections.Immutable;
using Naru.Control.Sources;
using Naru.Core;

namespace Naru.Local.Manifests;

/// <summary>What to run containers by.</summary>
public sealed record RunOptions
{
    /// <summary>Whether stand-ins take the place of what nothing else does.</summary>
    public bool Stub { get; init; }
    /// <summary>The run file; null for those named <c>naru.run.yaml</c> beside manifests.</summary>
    public string? File { get; init; }
    /// <summary>Bookinfo's program; null where it is not here.</summary>
    public string? Bookinfo { get; init; }
    /// <summary>This program, with what has to stand before a verb; empty where none of its stand-ins can be started.</summary>
    public IReadOnlyList<string> Naru { get; init; } = [];
    /// <summary>How the mesh was started, for remedies: <c>naru up shop</c>.</summary>
    public string Again { get; init; } = "naru up PATH";
}

/// <summary>By what a Deployment runs.</summary>
public enum RunKind
{
    /// <summary>Nothing says it.</summary>
    Nothing,
    /// <summary>The manifest's own annotation.</summary>
    Annotation,
    /// <summary>A run file.</summary>
    RunFile,
    /// <summary>A program of ours for a known image.</summary>
    BuiltIn,
    /// <summary>A stand-in.</summary>
    Stub,
    /// <summary>A run file leaves it out.</summary>
    LeftOut,
}

/// <summary>A line of the plan.</summary>
/// <param name="Deployment">Name; with its namespace where that is not <c>default</c>.</param>
/// <param name="Image">As written, or empty.</param>
/// <param name="Kind">By what it runs.</param>
/// <param name="How">The same for people.</param>
public sealed record RunRow(string Deployment, string Image, RunKind Kind, string How);

/// <summary>The plan.</summary>
/// <param name="Set">Manifests with the Deployments that run, and all complaints.</param>
/// <param name="Rows">Every Deployment, in the order they were read.</param>
/// <param name="Refusal">One complaint about all Deployments for which there is nothing, with what can be done; null where there is
/// none.</param>
public sealed record RunPlan(ManifestSet Set, ImmutableArray<RunRow> Rows, Diagnostic? Refusal)
{
    /// <summary>Whether it says more than the manifests do.</summary>
    public bool IsWorthTelling => Rows.Any(r => r.Kind is not RunKind.Annotation);

    /// <summary>Whether a complaint is about a run file.</summary>
    public static bool IsOfRunFile(Diagnostic d) => d.Severity == Severity.Error
        && (d.Code is "NARU-L006" or "NARU-L007" or "NARU-L008" || Path.GetFileName(d.Place.File) == ManifestPaths.RunFile);

    /// <summary>Makes the plan. A run file goes before the manifest's annotation, that before known images, those before
    /// stand-ins.</summary>
    public static RunPlan Make(ManifestSet set, RunOptions options)
    {
        var d = new Diagnostics();
        string[] files = options.File is { } given ? [Path.GetFullPath(given)]
            : [.. set.Folders.Select(f => Path.Combine(f, ManifestPaths.RunFile)).Where(File.Exists)];
        IReadOnlyDictionary<string, RunTarget> targets = RunFile.Resolve(files.SelectMany(f => RunFile.Read(f, d)), set.Deployments, d);
        var rows = ImmutableArray.CreateBuilder<RunRow>();
        var run = ImmutableArray.CreateBuilder<DeploymentManifest>();
        var nothing = new List<DeploymentManifest>();
        foreach (DeploymentManifest deployment in set.Deployments)
        {
            Choice choice = Choose(deployment, targets.GetValueOrDefault(deployment.Key), set, options, d);
            string name = deployment.Namespace == "default" ? deployment.Name : $"{deployment.Namespace}/{deployment.Name}";
            rows.Add(new RunRow(name, string.Join(", ", deployment.Containers.Select(c => c.Image).Where(i => i.Length > 0)), choice.Kind,
                choice.How));
            if (choice.Template is not null) run.Add(deployment with { Template = choice.Template });
            else if (choice.Kind == RunKind.Nothing) nothing.Add(deployment);
        }
        foreach (DeploymentManifest one in nothing)
        {
            string start = $"./start-{one.Name}";
            d.Error("NARU-L002", "nothing says how its pods run on this machine", one.TemplatePlace, $"Deployment {one.Key}",
                $"write \"{one.Name}: {start}\" into {ManifestPaths.RunFile} beside the manifests, or under "
                + $"spec.template.metadata.annotations \"{ManifestReader.RunAnnotation}: {start}\", or start with --stub");
        }
        ImmutableArray<string> folders =
            [.. set.Folders.Concat(files.Select(f => Path.GetDirectoryName(f)!)).Distinct(StringComparer.Ordinal)];
        ManifestSet planned = set with
        {
            Deployments = run.ToImmutable(),
            Folders = folders,
            Diagnostics = [.. set.Diagnostics, .. d.Items]
        };
        return new RunPlan(planned, rows.ToImmutable(), nothing.Count == 0 ? null : Refuse(nothing, set, options));
    }

    private sealed record Choice(RunKind Kind, string How, PodTemplate? Template);

    private static Choice Choose(DeploymentManifest deployment, RunTarget? target, ManifestSet set, RunOptions options, Diagnostics d)
    {
        PodTemplate template = deployment.Template;
        ContainerManifest? container = target?.Container ?? deployment.Containers.FirstOrDefault();
        if (target is { Entry: var entry })
        {
            string place = $"{Path.GetFileName(entry.Place.File)}:{entry.Place.Line}";
            if (entry.Skip) return new Choice(RunKind.LeftOut, $"left out by {place}", null);
            Remark(deployment, container, entry.Environment, $"the command of {place}", d);
            ImmutableArray<EnvironmentVariable> own =
                [.. (container?.Environment ?? []).Where(v => entry.Environment.All(e => e.Name != v.Name)), .. entry.Environment];
            return new Choice(RunKind.RunFile, $"command from {place}: {Short(entry.Command)}", Served(deployment, set, template with
            {
                Command = entry.Command,
                Folder = entry.Folder,
                Container = container?.Name ?? template.Container,
                Environment = own,
                Probe = container?.Probe ?? template.Probe,
            }));
        }
        if (template.Command.Length > 0)
        {
            Remark(deployment, container, [], ManifestReader.RunAnnotation, d);
            return new Choice(RunKind.Annotation, $"{ManifestReader.RunAnnotation}: {Short(template.Command)}", template);
        }
        // What an image brings along (files, probes of its own paths) is not ours to miss.
        if (container is not null && deployment.Containers.Length == 1 && KnownImages.Find(container, options) is { } known)
        {
            PodTemplate made = template with { Command = known.Command, Folder = known.Folder ?? template.Folder, Probe = new Probe() };
            return new Choice(RunKind.BuiltIn, $"built-in: {known.Name}", known.Serves
                ? Served(deployment, set, made) : made with { Ports = [] });
        }
        if (!options.Stub) return new Choice(RunKind.Nothing, "nothing", null);
        string version = template.Labels.GetValueOrDefault("version", "");
        string stub = Shell.Line(
            [.. options.Naru, "stub", "--name", deployment.Name, .. version.Length > 0 ? new[] { "--label", version } : [],
            .. container is { Image.Length: > 0 } ? new[] { "--image", container.Image } : []]);
        return new Choice(RunKind.Stub, "stub: says its name, version and the request",
            Served(deployment, set, template with { Command = stub, Probe = new Probe() }));
    }

    // Containers need not declare ports: what a Service sends to is one. Who has a command in the manifest itself says its ports there.
    private static PodTemplate Served(DeploymentManifest deployment, ManifestSet set, PodTemplate template)
    {
        if (!template.Ports.IsEmpty) return template;
        var ports = ImmutableArray.CreateBuilder<ContainerPort>();
        foreach (ServicePort port in set.Services.Where(s => s.Selects(deployment.Namespace, template.Labels)).SelectMany(s => s.Ports))
        {
            int number = port.TargetPort.Length == 0 ? port.Number : int.TryParse(port.TargetPort, out int target) ? target : 0;
            if (number > 0 && ports.All(p => p.Number != number)) ports.Add(new ContainerPort("", number));
        }
        return template with { Ports = ports.ToImmutable() };
    }

    private static void Remark(DeploymentManifest deployment, ContainerManifest? container, ImmutableArray<EnvironmentVariable> set,
        string by, Diagnostics d)
    {
        d.AddRange(deployment.Remarks);
        if (deployment.Containers.Length > 1)
        {
            d.Warning("NARU-L004", $"of {deployment.Containers.Length} containers one process runs: {by}", deployment.Containers[1].Place,
                $"Deployment {deployment.Key}", "let the command start what the pod needs");
        }
        if (container is null) return;
        d.AddRange(container.Remarks);
        d.AddRange(container.Missing.Where(m => set.All(v => v.Name != m.Name)).Select(m => m.Fault));
    }

    private static Diagnostic Refuse(List<DeploymentManifest> nothing, ManifestSet set, RunOptions options)
    {
        string folder = options.File is { } file
            ? file : Path.Combine(Path.GetDirectoryName(nothing[0].TemplatePlace.File is { } at ? at : "./x") ?? ".",
            ManifestPaths.RunFile);
        if (Path.GetRelativePath(Environment.CurrentDirectory, folder) is var near && !near.StartsWith("..", StringComparison.Ordinal))
            folder = near;
        string lines = string.Join(' ', nothing.Take(8).Select(n => Shell.Quote($"{n.Name}: ./start-{n.Name}")));
        string names = nothing.Count <= 4
            ? string.Join(", ", nothing.Select(n =>
            n.Name)) : $"{string.Join(", ", nothing.Take(3).Select(n => n.Name))} and {nothing.Count - 3} more";
        string remedy = $"""
            one of these:
                {options.Again} --stub
                  stand-ins that say their name, version and the request
                printf '%s\n' {lines} >>{Shell.Quote(folder)}
                  commands of your own, relative to that file; "NAME: {"{"}skip: true{"}"}" leaves one out
                {ManifestReader.RunAnnotation}: ./start-{nothing[0].Name}
                  under spec.template.metadata.annotations of the Deployment
            """;
        string of = set.Deployments.Length == nothing.Count && nothing.Count > 1 ? $"all {nothing.Count} Deployments" : nothing.Count == 1
            ? "the Deployment" : $"{nothing.Count} of {set.Deployments.Length} Deployments";
        return new Diagnostic("NARU-L002", Severity.Error,
            $"nothing says how {of} run{(nothing.Count == 1 ? "s" : "")} on this machine: {names}", nothing[0].TemplatePlace,
            Remedy: remedy);
    }

    private static string Short(string text) => text.Length <= 80 ? text : text[..77] + "...";
}
