// The control plane's process: started, watched, started again. While it is away proxies go on with what they know.
using System.Security.Cryptography;
using Naru.Inspect;
using Naru.Local.Processes;

namespace Naru.Local;

internal sealed class ControlPlaneRunner
{
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan s_grace = TimeSpan.FromSeconds(5);

    private readonly MeshContext _mesh;
    private readonly Supervised _process;
    private readonly ControlPlaneClient _client;
    private readonly string _address;

    public ControlPlaneRunner(MeshContext mesh, IReadOnlyList<string> command, IReadOnlyList<string> paths)
    {
        _mesh = mesh;
        _address = AddressPlan.ControlPlane(mesh.Slot).ToString();
        RunFolder.WriteWhole(mesh.Run.TokenFile, Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(24)) + "\n");
        _client = new ControlPlaneClient($"http://{_address}:{AddressPlan.HttpPort}", mesh.Run.TokenFile);
        var arguments = new List<string>(command.Skip(1)) { "--config", mesh.Run.State };
        foreach (string path in paths) arguments.AddRange(["--config", Path.GetFullPath(path)]);
        arguments.AddRange(["--store", mesh.Run.Store, "--xds-address", $"{_address}:{AddressPlan.XdsPort}", "--http-address", $"{_address}:{AddressPlan.HttpPort}", "--token-file", mesh.Run.TokenFile]);
        var request = new SpawnRequest
        {
            File = command[0],
            Arguments = arguments,
            Environment = mesh.OwnProcessEnvironment,
            Log = mesh.LogOf("control"),
            Folder = "/",
        };
        _process = new Supervised("naru control", () => request, mesh.Time, mesh.Tell);
    }

    /// <summary>How it ended last, or empty.</summary>
    public string LastEnd => _process.LastEnd;

    public void Start() => _process.Start();

    public async Task WhenReadyAsync(CancellationToken cancel)
    {
        while (!await _client.IsReadyAsync(cancel).ConfigureAwait(false))
        {
            if (_process.Restarts >= 3)
            {
                throw new MeshException(new Core.Diagnostic("NARU-L013", Core.Severity.Error, $"the control plane does not start: it {_process.LastEnd}", new Core.Place(_mesh.LogOf("control")), Remedy: "its last words are in that file"));
            }
            await Task.Delay(s_look, _mesh.Time, cancel).ConfigureAwait(false);
        }
    }

    /// <summary>What it has to say about its configuration; null where it does not answer.</summary>
    public async Task<IReadOnlyList<Core.Diagnostic>?> DiagnosticsAsync(CancellationToken cancel)
    {
        try
        {
            return [.. (await _client.DiagnosticsAsync(cancel).ConfigureAwait(false)).Select(d => d.ToDiagnostic())];
        }
        catch (Exception e) when (e is UnreachableException or OperationCanceledException)
        {
            return null;
        }
    }

    public Task StopAsync() => _process.StopAsync(s_grace);

    public ControlPlaneStatus Status() => new()
    {
        Ready = _process.Child is not null,
        Pid = _process.Child?.Id ?? 0,
        Restarts = _process.Restarts,
        Http = $"{_address}:{AddressPlan.HttpPort}",
        Xds = $"{_address}:{AddressPlan.XdsPort}",
    };
}
