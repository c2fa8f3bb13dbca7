// naru apply, naru create: files become configuration, each file whole or not at all. What is wrong comes back with file and line.
using System.CommandLine;
using Naru.Core;
using Naru.Inspect;

namespace Naru.Cli.Commands;

internal static class ApplyVerb
{
    private static readonly TimeSpan s_inStepBound = TimeSpan.FromSeconds(10);

    public static Command Apply() => Make("apply", "Creates or changes configuration", createOnly: false);

    public static Command Create() => Make("create", "Creates configuration; refuses what is there already", createOnly: true);

    /// <summary>Files below what was given with -f: files as they are, folders without their subfolders, - for standard input.</summary>
    public static IReadOnlyList<(string Name, string Text)> Texts(IEnumerable<string> paths)
    {
        var found = new List<(string, string)>();
        foreach (string path in paths)
        {
            if (path == "-") found.Add(("stdin", Console.In.ReadToEnd()));
            else if (Directory.Exists(path)) found.AddRange(Directory.EnumerateFiles(path).Where(f => Path.GetExtension(f) is ".yaml" or ".yml" or ".json").Order(StringComparer.Ordinal).Select(f => (f, File.ReadAllText(f))));
            else found.Add((path, File.ReadAllText(path)));
        }
        return found;
    }

    private static Command Make(string name, string description, bool createOnly)
    {
        Option<string> mesh = Where.MeshOption();
        Option<string?> server = Where.ServerOption(), token = Where.TokenOption();
        var files = new Option<string[]>("--filename", "-f") { Description = "File or folder; - for standard input", Required = true, AllowMultipleArgumentsPerToken = false };
        var dryRun = new Option<bool>("--dry-run") { Description = "Only check" };
        var output = new Option<string?>("--output", "-o") { Description = "json" };
        var noWait = new Option<bool>("--no-wait") { Description = "Return before the proxies have confirmed" };
        var command = new Command(name, description) { files, dryRun, noWait, output, mesh, server, token };
        command.SetAction(async (parsed, cancel) =>
        {
            using ControlPlaneClient control = Where.ControlPlane(parsed.GetValue(mesh)!, parsed.GetValue(server), parsed.GetValue(token));
            bool json = parsed.GetValue(output) == "json", dry = parsed.GetValue(dryRun);
            var results = new List<ApplyResult>();
            foreach ((string file, string text) in Texts(parsed.GetValue(files)!))
            {
                ApplyResult result = await control.ApplyAsync(text, file, createOnly, dry, cancel).ConfigureAwait(false);
                results.Add(result);
                if (json) continue;
                foreach (ReportedDiagnostic d in result.Diagnostics) Screen.Complain(d.ToDiagnostic());
                foreach (AppliedObject item in result.Ok ? result.Objects : []) Console.WriteLine($"{item.Kind.ToLowerInvariant()}/{item.Name} {item.Action}{(dry ? " (dry run)" : "")}");
                foreach (AppliedObject item in result.Ok ? result.Objects.Where(o => o.Kind is "Deployment" or "StatefulSet" or "DaemonSet") : [])
                    Screen.Complain(new Diagnostic("NARU-L041", Severity.Warning, "pods are run from the files given to `naru up`, not from what is applied", new Place(file), $"{item.Kind} {item.Namespace}/{item.Name}", "put the file beside those manifests"));
                if (!result.Ok) Console.Error.WriteLine($"nothing of {file} was applied; what ran before goes on");
            }
            if (json) Screen.Json(results);
            if (results.Any(r => !r.Ok)) return Exit.Failed;
            if (!dry && !parsed.GetValue(noWait) && results.Any(r => r.Objects.Any(o => o.Action != "unchanged")))
            {
                (int proxies, bool inStep) = await control.WhenInStepAsync(s_inStepBound, cancel).ConfigureAwait(false);
                if (!inStep) Console.Error.WriteLine($"naru: not all of {proxies} proxies have confirmed yet; see naru proxy-status");
            }
            return Exit.Ok;
        });
        return command;
    }
}

internal static class DeleteVerb
{
    public static Command Make()
    {
        Option<string> mesh = Where.MeshOption();
        Option<string?> server = Where.ServerOption(), token = Where.TokenOption();
        Option<string> ns = RolloutVerb.Namespace();
        var files = new Option<string[]>("--filename", "-f") { Description = "Delete what these files name" };
        var target = new Argument<string[]>("KIND NAME") { Description = "virtualservice reviews, or virtualservice/reviews", Arity = ArgumentArity.ZeroOrMore };
        var command = new Command("delete", "Removes configuration") { target, files, ns, mesh, server, token };
        command.SetAction(async (parsed, cancel) =>
        {
            var wanted = new List<Local.Manifests.ObjectName>();
            var faults = new Diagnostics();
            string fallback = parsed.GetValue(ns)!;
            foreach ((string file, string text) in ApplyVerb.Texts(parsed.GetValue(files) ?? [])) wanted.AddRange(Local.Manifests.ObjectName.ReadAll(text, file, faults));
            string[] words = parsed.GetValue(target) ?? [];
            if (words.Length > 0 && words.All(w => w.Contains('/'))) wanted.AddRange(words.Select(w => new Local.Manifests.ObjectName(Kinds.Full(w.Split('/')[0]), fallback, w.Split('/')[1])));
            else if (words.Length >= 2) wanted.AddRange(words.Skip(1).Select(w => new Local.Manifests.ObjectName(Kinds.Full(words[0]), fallback, w)));
            else if (words.Length == 1 || wanted.Count == 0 && !faults.HasErrors)
            {
                Console.Error.WriteLine("naru: delete what? `naru delete KIND NAME`, or `naru delete -f FILE`");
                return Exit.Usage;
            }
            foreach (Diagnostic d in faults.Items) Screen.Complain(d);
            using ControlPlaneClient control = Where.ControlPlane(parsed.GetValue(mesh)!, parsed.GetValue(server), parsed.GetValue(token));
            bool missing = faults.HasErrors;
            foreach (Local.Manifests.ObjectName item in wanted)
            {
                if (await control.DeleteAsync(item.Kind, item.Namespace ?? fallback, item.Name, cancel).ConfigureAwait(false))
                {
                    Console.WriteLine($"{item.Kind.ToLowerInvariant()}/{item.Name} deleted");
                    continue;
                }
                missing = true;
                Console.Error.WriteLine($"naru: there is no {item.Kind} {item.Namespace ?? fallback}/{item.Name}");
            }
            if (!missing) await control.WhenInStepAsync(TimeSpan.FromSeconds(10), cancel).ConfigureAwait(false);
            return missing ? Exit.Failed : Exit.Ok;
        });
        return command;
    }
}
