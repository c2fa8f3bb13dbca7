// naru import KIND FILE: another proxy's file as Istio's objects, or as a bootstrap with --proxy. What was understood is on standard
// output, what was dropped or changed on standard error, a line each; nothing is sent anywhere.
using System.CommandLine;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Naru.Control.Host;
using Naru.Core;
using Naru.Import;

namespace Naru.Cli.Commands;

internal static partial class ImportVerb
{
    private static readonly string[] s_kinds = ["yarp", "ocelot", "nginx", "envoy"];

    public static Command Make()
    {
        var kind = new Argument<string>("KIND") { Description = "yarp, ocelot, nginx or envoy" };
        kind.CompletionSources.Add(s_kinds);
        kind.Validators.Add(result =>
        {
            if (result.Tokens is [var token] && !s_kinds.Contains(token.Value))
                result.AddError($"import: there is no \"{token.Value}\"; {Nearest.Suggestion(token.Value, s_kinds) ?? $"there are {string.Join(", ", s_kinds)}"}");
        });
        var file = new Argument<string>("FILE") { Description = "appsettings.json, ocelot.json, nginx.conf, envoy.yaml; - for standard input" };
        var proxy = new Option<bool>("--proxy") { Description = "A bootstrap for naru-proxy in place of Istio's objects" };
        var strict = new Option<bool>("--strict") { Description = "What was dropped or changed fails" };
        var unguarded = new Option<bool>("--unguarded") { Description = "Import routes open whose guard cannot be expressed; else they answer 403" };
        var output = new Option<string?>("--output", "-o") { Description = "yaml (default), json", HelpName = "FORMAT" };
        output.Validators.Add(result =>
        {
            if (result.Tokens is [var token] && token.Value is not ("yaml" or "json")) result.AddError($"-o: there is no output \"{token.Value}\" here; there are yaml, json");
        });
        output.CompletionSources.Add("yaml", "json");
        var command = new Command("import", "Another proxy's file as Istio's objects, or as a bootstrap") { kind, file, proxy, strict, unguarded, output };
        command.SetAction(async (parsed, cancel) =>
        {
            string path = parsed.GetValue(file)!;
            var faults = new Diagnostics();
            if (Directory.Exists(path)) faults.Error(Codes.Unreadable, "this is a folder", new Place(path), null, "name the file");
            IReadOnlyList<ManifestText> texts = faults.HasErrors ? [] : await ManifestFiles.ReadAsync([path], null, false, faults, cancel).ConfigureAwait(false);
            if (texts is not [var text])
            {
                Tell(faults.Items);
                return Exit.Failed;
            }
            var options = new ImportOptions
            {
                Proxy = parsed.GetValue(proxy),
                Unguarded = parsed.GetValue(unguarded),
                Include = Include,
                Glob = Glob,
                JudgeBootstrap = Judge,
            };
            ImportResult result = Importer.Run(Enum.Parse<ImportKind>(parsed.GetValue(kind)!, ignoreCase: true), text.Text, text.Name, options);
            Tell(result.Diagnostics);
            if (!result.Readable || result.Documents.Count == 0) return Exit.Failed;
            Diagnostic[] refused = options.Proxy ? [] : Refused(result.Documents);
            Tell(refused);
            Print(result.Documents, parsed.GetValue(output));
            int dropped = result.Diagnostics.Count(d => d.Severity == Severity.Warning);
            if (dropped > 0) Screen.Say($"{dropped} {(dropped == 1 ? "thing was" : "things were")} dropped or changed");
            return refused.Length > 0 || (dropped > 0 && parsed.GetValue(strict)) ? Exit.Failed : Exit.Ok;
        });
        return command;
    }

    private static void Tell(IEnumerable<Diagnostic> all)
    {
        foreach (Diagnostic d in all) Console.Error.WriteLine(Screen.Hint(d.ToString()));
    }

    private static void Print(IReadOnlyList<JsonObject> documents, string? output)
    {
        if (output == "json")
        {
            if (documents.Count == 1) Screen.Json(documents[0]);
            else Screen.Json(new JsonObject { ["apiVersion"] = "v1", ["kind"] = "List", ["items"] = new JsonArray([.. documents.Select(d => d.DeepClone())]) });
            return;
        }
        for (int i = 0; i < documents.Count; i++)
        {
            if (i > 0) Console.WriteLine("---");
            Console.Write(Yaml.Write(JsonSerializer.SerializeToElement(documents[i])));
        }
    }

    // The control plane's own judgement of what was written: there is nothing to say, unless the importer is at fault.
    private static Diagnostic[] Refused(IReadOnlyList<JsonObject> documents) =>
        [.. Offline.Check(documents.Select((d, i) => ($"document {i + 1}", d.ToJsonString())), "default", together: false).Diagnostics
            .Where(d => d.Severity == Severity.Error).Select(d => d with { Code = Codes.Refused, Message = $"what was written is refused ({d.Code}): {d.Message}" })];

    private static string? Include(string path)
    {
        try
        {
            return new FileInfo(path) is { Exists: true, Length: < Importer.MaxLength } ? File.ReadAllText(path, new UTF8Encoding(false, throwOnInvalidBytes: true)) : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or DecoderFallbackException)
        {
            return null;
        }
    }

    // Null where it cannot be told which files there are: patterns of folders, classes of characters, a folder that may not be read.
    private static IReadOnlyList<string>? Glob(string pattern)
    {
        string folder = Path.GetDirectoryName(pattern) is { Length: > 0 } found ? found : ".", file = Path.GetFileName(pattern);
        if (folder.AsSpan().ContainsAny('*', '?', '[') || file.Contains('[')) return null;
        try
        {
            return [.. Directory.EnumerateFiles(folder, file).Order(StringComparer.Ordinal)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static readonly TimeSpan s_judgeBound = TimeSpan.FromSeconds(60);

    // naru-proxy is asked, so that there is no second opinion about what it takes.
    private static IReadOnlyList<Diagnostic> Judge(string text)
    {
        string file = Path.Combine(Path.GetTempPath(), $"naru-import-{Environment.ProcessId}-{Guid.NewGuid():N}.json");
        try
        {
            using (FileStream stream = new(file, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite }))
                stream.Write(Encoding.UTF8.GetBytes(text));
            IReadOnlyList<string> proxy = Where.Proxy();
            var start = new System.Diagnostics.ProcessStartInfo(proxy[0], [.. proxy.Skip(1), "--mode", "validate", "-c", file]) { RedirectStandardError = true, RedirectStandardOutput = true, UseShellExecute = false };
            using System.Diagnostics.Process process = System.Diagnostics.Process.Start(start)!;
            Task<string> said = process.StandardError.ReadToEndAsync(), also = process.StandardOutput.ReadToEndAsync();
            if (!process.WaitForExit(s_judgeBound))
            {
                process.Kill(entireProcessTree: true);
                return [new Diagnostic("NARU-I002", Severity.Error, $"naru-proxy said nothing within {s_judgeBound.TotalSeconds:0} s ({proxy[0]})")];
            }
            List<Diagnostic> found = [.. string.Concat(also.Result, "\n", said.Result).Split('\n').Select(l => Line().Match(l)).Where(m => m.Success).Select(Complaint)];
            // Who fails without a complaint has not judged it.
            if (process.ExitCode != 0 && found.TrueForAll(d => d.Severity != Severity.Error))
                found.Add(new Diagnostic("NARU-I002", Severity.Error, $"naru-proxy ended with {process.ExitCode} and named no fault ({proxy[0]})"));
            return found;
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static Diagnostic Complaint(Match m)
    {
        Severity severity = m.Groups["severity"].Value switch { "error" => Severity.Error, "warning" => Severity.Warning, _ => Severity.Info };
        var place = new Place(null, int.Parse(m.Groups["line"].Value), int.Parse(m.Groups["column"].Value));
        string? help = m.Groups["help"] is { Success: true } told ? told.Value : null;
        return new Diagnostic(m.Groups["code"].Value, severity, m.Groups["message"].Value, place, m.Groups["subject"].Value, help);
    }

    [GeneratedRegex(@"\.json:(?<line>\d+):(?<column>\d+): (?<severity>error|warning|info)\[(?<code>[A-Z0-9-]+)\]: (?<message>.*?)(?: \((?<subject>[^()]*(?:\([^()]*\))?[^()]*)\))?(?:; help: (?<help>.*))?$")]
    private static partial Regex Line();
}
