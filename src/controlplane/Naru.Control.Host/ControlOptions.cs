// What a control plane is told when it starts. Checked by the control plane itself, so that every caller gets the same words.
using System.Net;

namespace Naru.Control.Host;

/// <summary>Options of <see cref="ControlPlane.RunAsync"/>; each is an option of <c>naru control</c>.</summary>
public sealed record ControlOptions
{
    /// <summary><c>--config</c>: files and folders of manifests, watched. Each must exist at the start.</summary>
    public IReadOnlyList<string> Config { get; init; } = [];

    /// <summary><c>--store</c>: folder for what comes through the API; null keeps it in memory.</summary>
    public string? Store { get; init; }

    /// <summary><c>--xds-address</c>: gRPC without TLS. Port 0 takes a free one.</summary>
    public IPEndPoint XdsAddress { get; init; } = new(IPAddress.Loopback, 15010);

    /// <summary><c>--http-address</c>: REST, debug pages, metrics. Port 0 takes a free one.</summary>
    public IPEndPoint HttpAddress { get; init; } = new(IPAddress.Loopback, 15014);

    /// <summary><c>--token-file</c>: holds the bearer token of the API; made, readable by its owner only, where it does not exist.
    /// Without it the API and the debug pages are closed.</summary>
    public string? TokenFile { get; init; }

    /// <summary><c>--allow-unenforced</c>: takes rules that only proxies with certificates enforce, with a warning.</summary>
    public bool AllowUnenforced { get; init; }

    /// <summary>Called once both addresses are bound and the configuration has been read.</summary>
    public Action<ControlAddresses>? Started { get; init; }

    /// <summary>Where log lines go; standard error by default.</summary>
    public TextWriter Log { get; init; } = Console.Error;

    /// <summary>Whether details are logged too.</summary>
    public bool Verbose { get; init; }

    /// <summary>A push waits until this long nothing changed (default 20 ms) …</summary>
    public TimeSpan QuietBeforePush { get; init; } = TimeSpan.FromMilliseconds(20);

    /// <summary>… but not longer than this after the first change (default 200 ms).</summary>
    public TimeSpan LongestWaitBeforePush { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>The clock.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}

/// <summary>What was really bound.</summary>
/// <param name="Xds">gRPC.</param>
/// <param name="Http">REST, debug pages, metrics.</param>
public sealed record ControlAddresses(IPEndPoint Xds, IPEndPoint Http);

/// <summary>The control plane cannot start as it was told; the message is for its user.</summary>
public sealed class ControlOptionsException(string message, Exception? inner = null) : Exception(message, inner);
