// Values of the runtime from a folder: read at the start, and anew whenever something is moved into its root (the swap of a link) or the folder
// itself changes. What cannot be read leaves what was there. Runs on the main context only.
using Naru.Core;
using Naru.Proxy.Config;

namespace Naru.Proxy.Xds;

/// <summary>A watched folder of values.</summary>
internal sealed class RuntimeFolderWatch : IDisposable
{
    private readonly string _layer;
    private readonly RuntimeFolderConfig _folder;
    private readonly Runtime _runtime;
    private readonly Action<LogLevel, string> _log;
    private readonly WatchedFile _watched;
    private bool _wasRead;

    public RuntimeFolderWatch(string layer, RuntimeFolderConfig folder, Runtime runtime, MainContext main, TimeProvider time, Action<LogLevel, string> log)
    {
        (_layer, _folder, _runtime, _log) = (layer, folder, runtime, log);
        _watched = WatchedFile.OfFolder(folder.Root, folder.Path, main, time, Read);
        Read();
        _wasRead = true;
    }

    /// <inheritdoc/>
    public void Dispose() => _watched.Dispose();

    private void Read()
    {
        try
        {
            System.Collections.Immutable.ImmutableSortedDictionary<string, RuntimeValue>? values = RuntimeFolder.Read(_folder.Path);
            _runtime.Replace(_layer, values, counted: _wasRead);
            if (_wasRead) _log(LogLevel.Info, $"runtime: layer {_layer} has {values?.Count ?? 0} values of {_folder.Path}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            _runtime.Failed();
            _log(LogLevel.Error, $"error[NARU-X119]: layer {_layer} of the runtime cannot be read: {e.Message}; help: mend {_folder.Path}; what it had stays");
        }
    }
}
