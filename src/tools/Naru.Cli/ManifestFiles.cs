// What -f, -k and -R name, as texts: files, folders, URLs, standard input. Everything that cannot be read is said with its place,
// its cause and what to do.
using System.Text;
using Naru.Control.Host;
using Naru.Core;

namespace Naru.Cli;

/// <summary>A manifest.</summary>
/// <param name="Name">Path as given, URL, or <c>stdin</c>.</param>
/// <param name="Text">YAML or JSON.</param>
internal sealed record ManifestText(string Name, string Text);

internal static class ManifestFiles
{
    private const long Longest = 64L << 20;
    private static readonly UTF8Encoding s_strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);
    private static readonly EnumerationOptions s_below = new() { RecurseSubdirectories = true, IgnoreInaccessible = false, AttributesToSkip = FileAttributes.None, MaxRecursionDepth = 64 };

    /// <summary>Reads everything; what is wrong is collected.</summary>
    public static async Task<IReadOnlyList<ManifestText>> ReadAsync(IEnumerable<string> paths, string? kustomize, bool recursive, Diagnostics faults, CancellationToken cancel)
    {
        var found = new List<ManifestText>();
        foreach (string path in paths)
        {
            if (path.Length == 0) Fault(faults, "-f", "an empty path names nothing", "a variable of your shell may be empty");
            else if (path == "-") Add("stdin", await StandardInputAsync(cancel).ConfigureAwait(false));
            else if (path.StartsWith("http://", StringComparison.Ordinal) || path.StartsWith("https://", StringComparison.Ordinal)) await FetchAsync(path).ConfigureAwait(false);
            else foreach (string file in Files(path, recursive, faults)) await FileAsync(file).ConfigureAwait(false);
        }
        if (kustomize is not null)
        {
            if (!Directory.Exists(kustomize)) Fault(faults, kustomize, "there is no such folder", "-k takes a folder with a kustomization.yaml");
            else if (Offline.Resources(kustomize, faults) is not { } resources) Fault(faults, kustomize, "the folder has no kustomization.yaml", $"-f {kustomize} takes its files as they are");
            else foreach (string file in resources.SelectMany(r => Files(Relative(r), recursive: false, faults))) await FileAsync(file).ConfigureAwait(false);
        }
        return found;

        async Task FileAsync(string file)
        {
            try
            {
                if (new FileInfo(file).Length > Longest) Fault(faults, file, $"the file has {new FileInfo(file).Length >> 20} MB; at most {Longest >> 20} MB are read", "split it");
                else Add(file, await File.ReadAllBytesAsync(file, cancel).ConfigureAwait(false));
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                Fault(faults, file, Faults.Sentence(e), null);
            }
        }

        async Task FetchAsync(string url)
        {
            try
            {
                using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(30), MaxResponseContentBufferSize = Longest };
                using HttpResponseMessage answer = await http.GetAsync(new Uri(url), cancel).ConfigureAwait(false);
                if (answer.IsSuccessStatusCode) Add(url, await answer.Content.ReadAsByteArrayAsync(cancel).ConfigureAwait(false));
                else Fault(faults, url, $"the server answered {(int)answer.StatusCode}", "fetch it with a browser or curl to see what it says");
            }
            catch (Exception e) when (e is HttpRequestException or UriFormatException || (e is TaskCanceledException && !cancel.IsCancellationRequested))
            {
                Fault(faults, url, $"it cannot be fetched: {Inspect.ControlPlaneClient.Cause(e)}", null);
            }
        }

        void Add(string name, byte[] bytes)
        {
            if (Decode(bytes) is { } text) found.Add(new ManifestText(name, text));
            else Fault(faults, name, "the file is neither UTF-8 nor UTF-16 with its mark", "save it as UTF-8");
        }
    }

    /// <summary>Files that a path names: itself, a folder's manifests, or what its kustomization lists.</summary>
    public static IReadOnlyList<string> Files(string path, bool recursive, Diagnostics faults, int depth = 0)
    {
        if (depth > 16)
        {
            Fault(faults, path, "kustomizations are nested more than 16 deep, or in a circle", null);
            return [];
        }
        if (!Directory.Exists(path))
        {
            if (File.Exists(path)) return [path];
            string? folder = Path.GetDirectoryName(Path.GetFullPath(path));
            string? near = Directory.Exists(folder) ? Nearest.To(Path.GetFileName(path), Directory.EnumerateFileSystemEntries(folder).Select(f => Path.GetFileName(f))) : null;
            Fault(faults, path, "there is no such file or folder", near is null ? null : $"did you mean \"{Path.Combine(Path.GetDirectoryName(path) ?? "", near)}\"?");
            return [];
        }
        try
        {
            if (!recursive && Offline.Resources(path, faults) is { } resources) return [.. resources.SelectMany(r => Files(Relative(r), false, faults, depth + 1))];
            List<string> found = [.. (recursive ? Directory.EnumerateFiles(path, "*", s_below) : Directory.EnumerateFiles(path)).Where(IsManifest).Order(StringComparer.Ordinal)];
            if (found.Count == 0)
            {
                bool below = !recursive && Directory.EnumerateFiles(path, "*", s_below).Any(IsManifest);
                Fault(faults, path, "the folder holds no .yaml, .yml or .json file", below ? "there are some in its folders: add -R, or name one of them" : null);
            }
            return found;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Fault(faults, path, Naru.Cli.Faults.Sentence(e), null);
            return [];
        }
    }

    private static bool IsManifest(string file) => Offline.IsManifest(file)
        && !Path.GetFileName(file).StartsWith("kustomization.", StringComparison.OrdinalIgnoreCase);

    private static string Relative(string path) => Path.GetRelativePath(Environment.CurrentDirectory, path) is var short_ && short_.StartsWith("..", StringComparison.Ordinal) ? path : short_;

    private static void Fault(Diagnostics faults, string path, string why, string? remedy) => faults.Error("NARU-L060", why, new Place(path), null, remedy);

    private static async Task<byte[]> StandardInputAsync(CancellationToken cancel)
    {
        using var all = new MemoryStream();
        await using Stream input = Console.OpenStandardInput();
        await input.CopyToAsync(all, cancel).ConfigureAwait(false);
        return all.ToArray();
    }

    // A mark at the beginning is no part of the text.
    private static string? Decode(byte[] bytes)
    {
        if (bytes is [0xff, 0xfe, ..]) return Encoding.Unicode.GetString(bytes, 2, bytes.Length - 2);
        if (bytes is [0xfe, 0xff, ..]) return Encoding.BigEndianUnicode.GetString(bytes, 2, bytes.Length - 2);
        try
        {
            return bytes is [0xef, 0xbb, 0xbf, ..] ? s_strict.GetString(bytes, 3, bytes.Length - 3) : s_strict.GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
            return null;
        }
    }
}
