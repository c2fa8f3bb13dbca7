// naru import: another proxy's file becomes Istio's objects or a bootstrap, and everything that does not is said. This is the door;
// readers are in a folder each, what they find is Model/, what comes out is made by Writers/. Opens no connection; of files it reads
// only what an nginx.conf includes.
using System.Text.Json.Nodes;
using Naru.Core;
using Naru.Import.Model;
using Naru.Import.Text;
using Naru.Import.Writers;
using Naru.Yaml;

namespace Naru.Import;

/// <summary>Whose file it is.</summary>
public enum ImportKind
{
    /// <summary>appsettings.json of a YARP proxy.</summary>
    Yarp,

    /// <summary>ocelot.json.</summary>
    Ocelot,

    /// <summary>nginx.conf.</summary>
    Nginx,

    /// <summary>A bootstrap of Envoy.</summary>
    Envoy,
}

/// <summary>What comes out.</summary>
public sealed record ImportOptions
{
    /// <summary>A bootstrap in place of Istio's objects.</summary>
    public bool Proxy { get; init; }

    /// <summary>Routes whose guard cannot be expressed are imported open in place of closed.</summary>
    public bool Unguarded { get; init; }

    /// <summary>Reads a file that the text includes; null where it cannot be read. Paths are as they stand there, made absolute.</summary>
    public Func<string, string?> Include { get; init; } = static _ => null;

    /// <summary>Files that match a pattern of an include, sorted; null where nobody could look.</summary>
    public Func<string, IReadOnlyList<string>?> Glob { get; init; } = static _ => null;

    /// <summary>What the proxy says about a bootstrap: with it, <see cref="ImportKind.Envoy"/> takes away what is refused.</summary>
    public Func<string, IReadOnlyList<Diagnostic>>? JudgeBootstrap { get; init; }
}

/// <summary>What was understood, and what not.</summary>
/// <param name="Documents">Documents in order; empty where nothing was understood.</param>
/// <param name="Diagnostics">Errors: there is no document. Warnings: dropped or changed. Informations: no or little difference.</param>
public sealed record ImportResult(IReadOnlyList<JsonObject> Documents, IReadOnlyList<Diagnostic> Diagnostics)
{
    /// <summary>Whether the file could be read.</summary>
    public bool Readable => !Diagnostics.Any(d => d.Severity == Severity.Error);

    /// <summary>Whether something was dropped or changed.</summary>
    public bool Lossy => Diagnostics.Any(d => d.Severity == Severity.Warning);
}

/// <summary>Imports.</summary>
public static class Importer
{
    /// <summary>Longest text, in characters.</summary>
    public const int MaxLength = 64 << 20;

    /// <summary>Reads one file.</summary>
    /// <param name="kind">Whose.</param>
    /// <param name="text">Its text, without a mark at the beginning.</param>
    /// <param name="file">Its name for places.</param>
    /// <param name="options">What comes out.</param>
    public static ImportResult Run(ImportKind kind, string text, string file, ImportOptions options)
    {
        var notes = new Notes();
        if (text.StartsWith('\uFEFF')) text = text[1..];
        if (text.Length > MaxLength)
        {
            notes.Unreadable(new Place(file), $"the text has {text.Length} characters; at most {MaxLength} are read");
            return new ImportResult([], notes.Found.Items);
        }
        if (string.IsNullOrWhiteSpace(text))
        {
            notes.Nothing(new Place(file), "the file is empty", null);
            return new ImportResult([], notes.Found.Items);
        }
        if (text.IndexOf('\0') is >= 0 and var nul)
        {
            notes.Syntax(new Place(file, text.AsSpan(0, nul).Count('\n') + 1), "there is a NUL character: this is no text");
            return new ImportResult([], notes.Found.Items);
        }
        ImportedConfig? config = null;
        switch (kind)
        {
            case ImportKind.Yarp:
                if (JsonText.Read(text, file, notes) is { } settings) config = new Yarp.YarpReader(notes).Read(settings, file);
                break;
            case ImportKind.Ocelot:
                if (JsonText.Read(text, file, notes) is { } ocelot) config = new Ocelot.OcelotReader(notes).Read(ocelot, file);
                break;
            case ImportKind.Nginx:
                config = new Nginx.NginxReader(notes, options).Read(text, file);
                break;
            default:
                IReadOnlyList<YamlNode> documents = YamlReader.ReadAll(text, file, notes.Found);
                if (documents.Count != 1)
                {
                    if (!notes.Found.HasErrors)
                        notes.Nothing(new Place(file), documents.Count == 0 ? "the file is empty" : "a bootstrap is one document", null);
                    break;
                }
                if (options.Proxy)
                {
                    JsonObject? cleaned = notes.Found.HasErrors ? null : Envoy.EnvoyCleaner.Clean(documents[0], file, options, notes);
                    return new ImportResult(cleaned is null ? [] : [cleaned], notes.Found.Items);
                }
                config = new Envoy.EnvoyReader(notes).Read(documents[0], file);
                break;
        }
        if (config is null || notes.Found.HasErrors) return new ImportResult([], notes.Found.Items);
        Closing.Close(config, options, notes);
        List<JsonObject> made = options.Proxy ? [new BootstrapWriter().Write(config)] : new IstioWriter(notes).Write(config);
        return new ImportResult(made, notes.Found.Items);
    }
}
