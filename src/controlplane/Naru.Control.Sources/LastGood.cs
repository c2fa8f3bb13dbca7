// Remembers on disk the last good version of objects whose file is broken right now, so that a control plane that restarts
// meanwhile serves what it served before. Holds nothing else: an object whose file is good again is forgotten here.
using System.Text;
using Naru.Control.Model;
using Naru.Core;

namespace Naru.Control.Sources;

/// <summary>Last good versions in a folder. Not safe for concurrent use.</summary>
internal sealed class LastGood
{
    private const string Mark = "# from ";
    private readonly string? _folder;
    private readonly Dictionary<ObjectKey, (string Origin, ConfigObject Object)> _kept = [];

    /// <summary>Reads the folder; null remembers nothing over a restart. A folder that cannot be read is an empty one.</summary>
    public LastGood(string? folder)
    {
        _folder = folder;
        if (folder is null || !Directory.Exists(folder)) return;
        foreach (string path in Directory.EnumerateFiles(folder, "*.json"))
        {
            try
            {
                string text = File.ReadAllText(path);
                if (!text.StartsWith(Mark, StringComparison.Ordinal) || ManifestReader.Read(text, path).Items is not [{ Object: { } item }]) continue;
                _kept[item.Key] = (text[Mark.Length..text.IndexOf('\n')], item);
            }
            catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
            {
                // What cannot be read cannot be served.
            }
        }
    }

    /// <summary>What was good of a file when it was last served.</summary>
    public IEnumerable<ConfigObject> Of(string origin) => _kept.Values.Where(k => k.Origin == origin).Select(k => k.Object);

    /// <summary>Makes the folder hold exactly <paramref name="stale"/>, and what it has of files that <paramref name="unread"/> says could not be read.</summary>
    public void Keep(IEnumerable<(string Origin, ConfigObject Object)> stale, Func<string, bool> unread, Diagnostics faults)
    {
        var wanted = stale.DistinctBy(s => s.Object.Key).ToDictionary(s => s.Object.Key);
        foreach (ObjectKey gone in _kept.Where(k => !wanted.ContainsKey(k.Key) && !unread(k.Value.Origin)).Select(k => k.Key).ToList())
        {
            _kept.Remove(gone);
            Try(() => File.Delete(PathOf(gone)), faults);
        }
        foreach ((ObjectKey key, (string Origin, ConfigObject Object) item) in wanted)
        {
            if (_kept.TryGetValue(key, out (string Origin, ConfigObject Object) old) && old.Object.Json == item.Object.Json && old.Origin == item.Origin) continue;
            _kept[key] = item;
            Try(() => Write(key, $"{Mark}{item.Origin}\n{item.Object.Json}\n"), faults);
        }
    }

    // Kinds and names hold no '~' and no '/': they were validated.
    private string PathOf(ObjectKey key) => Path.Combine(_folder!, $"{key.Kind}~{key.Namespace}~{key.Name}.json");

    private void Write(ObjectKey key, string text)
    {
        Directory.CreateDirectory(_folder!);
        string path = PathOf(key), beside = path + ".tmp";
        File.WriteAllBytes(beside, Encoding.UTF8.GetBytes(text));
        File.Move(beside, path, overwrite: true);
    }

    private void Try(Action write, Diagnostics faults)
    {
        if (_folder is null) return;
        try
        {
            write();
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            faults.Warning("NARU-C240", $"cannot remember the last good version: {Causes.Of(fault)}", new Place(_folder));
        }
    }
}
