// All proxies of the mesh together, for one question: has everybody heard of a pod's coming or going? The proxies themselves are asked,
// so the answer holds whatever the control plane believes, and also while there is none.
using System.Collections.Concurrent;
using Naru.Inspect;

namespace Naru.Local;

internal sealed class Proxies(TimeProvider time) : IDisposable
{
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(30);
    private static readonly TimeSpan s_bound = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<string, ProxyAdmin> _all = new();

    public void Add(ProxyAdmin admin) => _all[admin.Address] = admin;

    public void Remove(ProxyAdmin admin) => _all.TryRemove(admin.Address, out _);

    /// <summary>Waits until no proxy knows the address. Returns whether that came true in time.</summary>
    public Task<bool> ForgottenAsync(string ip) => UntilAsync(p => p.KnowsEndpointAsync(ip), known: false);

    /// <summary>Waits until every proxy knows the address. Returns whether that came true in time.</summary>
    public Task<bool> KnownAsync(string ip) => UntilAsync(p => p.KnowsEndpointAsync(ip), known: true);

    /// <summary>Waits until every sidecar takes requests for a service by its name. Routes come after endpoints: who has only just been
    /// announced is reached when both are there. Returns whether that came true in time.</summary>
    public Task<bool> NamedAsync(string host) => UntilAsync(p => p.KnowsHostAsync(host), known: true);

    public void Dispose() => _all.Clear();

    private async Task<bool> UntilAsync(Func<ProxyAdmin, Task<bool?>> ask, bool known)
    {
        long start = time.GetTimestamp();
        List<ProxyAdmin> left = [.. _all.Values];
        while (left.Count > 0)
        {
            bool?[] answers = await Task.WhenAll(left.Select(ask)).ConfigureAwait(false);
            // A proxy that does not answer routes nothing.
            left = [.. left.Where((_, i) => answers[i] is { } knows && knows != known)];
            if (left.Count == 0) break;
            if (time.GetElapsedTime(start) > s_bound) return false;
            await Task.Delay(s_look, time).ConfigureAwait(false);
        }
        return true;
    }
}
