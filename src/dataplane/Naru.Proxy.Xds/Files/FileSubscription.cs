// Resources of one type from one file that holds a DiscoveryResponse in YAML or JSON. Read again whenever it changes; what cannot be read
// or used is logged with its place and counted, and the last good ones stay. Runs on the main context only.
using Google.Protobuf;
using Naru.Core;

namespace Naru.Proxy.Xds;

/// <summary>One resource of a file.</summary>
/// <param name="Name">Its name; empty where it has none.</param>
/// <param name="Message">The message; null where it could not be read.</param>
/// <param name="Record">Its validated record; null where it may not be used.</param>
/// <param name="Diagnostics">All that is to be said about it; with an error it is not used.</param>
/// <param name="Place">Where it begins.</param>
public sealed record FileResource(string Name, IMessage? Message, object? Record, Diagnostics Diagnostics, Place Place = default);

/// <summary>What a file holds.</summary>
/// <param name="Version"><c>version_info</c>.</param>
/// <param name="Resources">In their order.</param>
/// <param name="Diagnostics">Complaints about the file itself; with an error nothing of it is used.</param>
public sealed record FileContent(string Version, IReadOnlyList<FileResource> Resources, Diagnostics Diagnostics);

/// <summary>Reads the text of a file of resources of one type; <paramref name="path"/> is for places.</summary>
public delegate FileContent ResourceFileReader(ResourceType type, string text, string path);

/// <summary>A watched file of resources.</summary>
internal sealed class FileSubscription : IDisposable
{
    private readonly ResourceType _type;
    private readonly string _path;
    private readonly ConfigStore _store;
    private readonly UpdateHandler _updates;
    private readonly ResourceFileReader _read;
    private readonly Action<LogLevel, string> _log;
    private readonly MainContext _main;
    private readonly WatchedFile _watched;
    private HashSet<string>? _names;
    private bool _disposed;

    public FileSubscription(
        ResourceType type, string path, string watchedDirectory, ConfigStore store, UpdateHandler updates, ResourceFileReader read,
        MainContext main, TimeProvider time, Action<LogLevel, string> log)
    {
        (_type, _path, _store, _updates, _read, _main, _log) = (type, path, store, updates, read, main, log);
        _watched = new WatchedFile(path, watchedDirectory, main, time, Read);
        updates.Subscribed(type);
        // Answers come later, never while somebody still declares what he wants.
        main.Post(Read);
    }

    /// <summary>Restricts it to these names.</summary>
    public void SetNames(HashSet<string> names)
    {
        bool more = _names is null || !names.IsSubsetOf(_names);
        bool first = _names is null;
        _names = names;
        if (more && !first) _main.Post(Read);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _disposed = true;
        _watched.Dispose();
    }

    private void Read()
    {
        if (_disposed) return;
        FileContent content;
        try
        {
            string text = File.ReadAllText(_path);
            // As every writer begins that does not rename: what is served stays until there is something.
            if (string.IsNullOrWhiteSpace(text))
            {
                Unreadable($"{_path}: error[NARU-X110]: is empty; help: the last good one stays; put the file there by renaming it into place, or write \"resources: []\" for none");
                return;
            }
            content = _read(_type, text, _path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Unreadable($"{_path}: error[NARU-X110]: cannot be read: {e.Message}; help: the last good one stays; put the file there by renaming it into place");
            return;
        }
        if (content.Diagnostics.HasErrors)
        {
            Unreadable(UpdateHandler.Join(content.Diagnostics), content.Diagnostics.Items.Any(IsSyntax));
            return;
        }
        _updates.LogWarnings(_path, content.Diagnostics);
        _updates.Handle(Judge(content));
    }

    /// <summary>A file of which nothing can be used still counts as an answer: whoever waits for it need not wait longer.</summary>
    /// <param name="reason">Why.</param>
    /// <param name="isFailure">Nothing could be read; else what was read is none of ours.</param>
    private void Unreadable(string reason, bool isFailure = true)
    {
        var batch = new ResourceBatch(_type, "") { FullState = _type.IsFullState(), Unreadable = isFailure };
        batch.Rejected.Add(new RejectedResource("", reason));
        if (_names is not null) foreach (string name in _names) batch.Rejected.Add(new RejectedResource(name, reason));
        _updates.Handle(batch);
    }

    // What the reader of YAML itself says (NARU-C001 to C009).
    private static bool IsSyntax(Diagnostic fault) => fault.Severity == Severity.Error
        && fault.Code.StartsWith("NARU-C00", StringComparison.Ordinal);

    private ResourceBatch Judge(FileContent content)
    {
        var batch = new ResourceBatch(_type, content.Version) { FullState = _type.IsFullState(), IsFile = true };
        var repeated = content.Resources.GroupBy(r => r.Name, StringComparer.Ordinal).Where(g => g.Count() > 1 && g.Key.Length > 0).Select(g => g.Key).ToHashSet(StringComparer.Ordinal);
        foreach (string name in repeated)
            batch.Rejected.Add(new RejectedResource(name, $"{_path}: error[NARU-X105]: the name comes more than once in one file; help: define each name once"));
        foreach (FileResource resource in content.Resources)
        {
            if (repeated.Contains(resource.Name)) continue;
            _updates.LogWarnings(resource.Name, resource.Diagnostics);
            if (resource.Message is null || resource.Record is null || resource.Diagnostics.HasErrors)
            {
                batch.Rejected.Add(new RejectedResource(resource.Name, UpdateHandler.Join(resource.Diagnostics)));
                continue;
            }
            ByteString bytes = resource.Message.ToByteString();
            bool same = _store.BytesOf(_type, resource.Name) is { } accepted && accepted.Equals(bytes);
            batch.Accepted.Add(new AcceptedResource(resource.Name, content.Version, bytes, same ? null : resource.Record));
        }
        // What is asked for by name and is not in the file does not exist; where others are in its place, somebody mistook the name.
        foreach (string name in _names ?? [])
        {
            if (content.Resources.Any(r => r.Name == name)) continue;
            if (content.Resources.Count == 0) batch.Removed.Add(name);
            else
            {
                string help = Nearest.Suggestion(name, content.Resources.Select(r => r.Name)) ?? "add it";
                batch.Rejected.Add(new RejectedResource(name,
                    $"{_path}: error[NARU-X109]: it has no {_type.Abbreviation()} resource \"{name}\"; help: {help}"));
            }
        }
        return batch;
    }
}
