// naru validate FILES…: judges manifests with the control plane's own readers, without a mesh: for an editor, a hook, CI.
using System.CommandLine;
using Naru.Cli.Output;
using Naru.Control.Host;
using Naru.Core;
using Naru.Inspect;
using Naru.Local.Manifests;

namespace Naru.Cli.Commands;

internal static class ValidateVerb
{
    public static Command Make()
    {
        var files = new FileOptions();
        var more = new Argument<string[]>("FILE") { Description = "Files and folders, as with -f", Arity = ArgumentArity.ZeroOrMore };
        Option<string?> output = OutputFormat.JsonOnly("github");
        output.Description = "json; github: annotations of a workflow";
        var ns = new Option<string?>("--namespace", "-n") { Description = "Namespace of objects that name none (default: default)", HelpName = "NAMESPACE" };
        var strict = new Option<bool>("--strict") { Description = "Warnings fail, too" };
        var up = new Option<bool>("--up") { Description = "Also what `naru up` would say: whether there is a command for each Deployment" };
        var command = new Command("validate", "Judges manifests without a mesh: for an editor, a hook, CI") { more };
        files.AddTo(command);
        foreach (Option option in (Option[])[ns, strict, up, output]) command.Add(option);
        command.SetAction(async (parsed, cancel) =>
        {
            string[] paths = [.. parsed.GetValue(more) ?? [], .. parsed.GetValue(files.Files) ?? []];
            if (paths.Length == 0 && parsed.GetValue(files.Kustomize) is null)
            {
                Screen.Say("validate what? `naru validate FILE…`, - for standard input");
                return Exit.Usage;
            }
            var faults = new Diagnostics();
            IReadOnlyList<ManifestText> texts = await ManifestFiles.ReadAsync(paths, parsed.GetValue(files.Kustomize), parsed.GetValue(files.Recursive), faults, cancel).ConfigureAwait(false);
            OfflineResult result = Offline.Check(texts.Select(t => (t.Name, t.Text)), parsed.GetValue(ns) ?? "default");
            IEnumerable<Diagnostic> all = faults.Items.Concat(result.Diagnostics);
            if (parsed.GetValue(up)) all = all.Concat(Planned(texts).Select(Near));
            List<Diagnostic> told = [.. all.Distinct()];
            int errors = told.Count(d => d.Severity == Severity.Error), warnings = told.Count(d => d.Severity == Severity.Warning);
            bool failed = errors > 0 || warnings > 0 && parsed.GetValue(strict);
            switch (parsed.GetValue(output))
            {
                case "json":
                    Screen.Json(new { ok = !failed, files = texts.Count, objects = result.Objects.Length, errors, warnings, diagnostics = told.Select(ReportedDiagnostic.From) });
                    break;
                case "github":
                    foreach (Diagnostic d in told) Console.WriteLine(Annotation(d));
                    break;
                default:
                    Screen.Complain(told);
                    Console.WriteLine($"{Screen.Count(texts.Count, "file")}, {Screen.Count(result.Objects.Length, "object")}: {(errors + warnings == 0 ? "nothing to complain about" : $"{Screen.Count(errors, "error")}, {Screen.Count(warnings, "warning")}")}");
                    break;
            }
            return failed ? Exit.Failed : Exit.Ok;
        });
        return command;
    }

    /// <summary>A workflow command of GitHub: <c>::error file=F,line=L,col=C,title=CODE::message</c>; what would end a part is written as %XX
    /// (docs.github.com/actions/reference/workflow-commands-for-github-actions).</summary>
    public static string Annotation(Diagnostic d)
    {
        string level = d.Severity switch { Severity.Error => "error", Severity.Warning => "warning", _ => "notice" };
        var parts = new List<string>();
        if (d.Place.File is { } file) parts.Add($"file={Property(file)}");
        if (d.Place.Line > 0) parts.Add($"line={d.Place.Line}");
        if (d.Place.Column > 0) parts.Add($"col={d.Place.Column}");
        parts.Add($"title={Property(d.Code)}");
        string message = d.Message + (string.IsNullOrEmpty(d.Subject) ? "" : $" ({d.Subject})") + (string.IsNullOrEmpty(d.Remedy) ? "" : $"\nhelp: {d.Remedy}");
        return $"::{level} {string.Join(',', parts)}::{Data(message)}";
    }

    private static string Data(string text) => text.Replace("%", "%25").Replace("\r", "%0D").Replace("\n", "%0A");

    private static string Property(string text) => Data(text).Replace(":", "%3A").Replace(",", "%2C");

    private static IEnumerable<Diagnostic> Planned(IEnumerable<ManifestText> texts) =>
        RunPlan.Make(ManifestReader.Read(texts.Where(t => File.Exists(t.Name)).Select(t => t.Name)),
            UpVerb.RunsBy(stub: false, file: null)).Set.Diagnostics;

    // The runner's reader gives whole paths; the same file should have one name.
    private static Diagnostic Near(Diagnostic d) =>
        d.Place.File is { } file && Path.IsPathRooted(file) && Path.GetRelativePath(Environment.CurrentDirectory, file) is var near && !near.StartsWith("..", StringComparison.Ordinal)
            ? d with { Place = d.Place with { File = near } } : d;
}
