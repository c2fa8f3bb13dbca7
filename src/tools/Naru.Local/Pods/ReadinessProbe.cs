// Asks an application whether it is ready, as a kubelet would: an HTTP GET or a TCP connect to where it listens.
using System.Net;
using System.Net.Sockets;
using Naru.Core;
using Naru.Local.Manifests;

namespace Naru.Local.Pods;

internal sealed class ReadinessProbe(Probe probe) : IDisposable
{
    // No connection is kept: a probe must not be what holds a draining process.
    private readonly HttpClient _http = new(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false, PooledConnectionLifetime = TimeSpan.Zero }) { Timeout = probe.Timeout };

    /// <summary>Why what listens there is not ready, or null when it is.</summary>
    public async Task<string?> AskAsync(IPEndPoint address, CancellationToken cancel)
    {
        try
        {
            if (probe.Path is null)
            {
                using var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
                await socket.ConnectAsync(address, cancel).AsTask().WaitAsync(probe.Timeout, cancel).ConfigureAwait(false);
                return null;
            }
            string slash = probe.Path.StartsWith('/') ? "" : "/";
            using var request = new HttpRequestMessage(HttpMethod.Get, $"http://{address}{slash}{probe.Path}");
            request.Headers.ConnectionClose = true;
            request.Headers.TryAddWithoutValidation("User-Agent", "kube-probe/naru");
            foreach ((string name, string value) in probe.Headers) request.Headers.TryAddWithoutValidation(name, value);
            using HttpResponseMessage answer = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancel).ConfigureAwait(false);
            return (int)answer.StatusCode is >= 200 and < 400 ? null : $"GET {probe.Path} on {address} said {(int)answer.StatusCode}";
        }
        catch (Exception e) when (e is HttpRequestException or SocketException or TimeoutException or IOException || (e is OperationCanceledException && !cancel.IsCancellationRequested))
        {
            if (probe.Path is null && e is not (TimeoutException or OperationCanceledException)) return $"nobody listens on {address}";
            string what = probe.Path is null ? $"a connection to {address}" : $"GET {probe.Path} on {address}";
            return e is TimeoutException or OperationCanceledException
                ? $"{what}: no answer in {probe.Timeout.TotalSeconds:0.#} s" : $"{what}: {Causes.Of(e)}";
        }
    }

    public void Dispose() => _http.Dispose();
}
