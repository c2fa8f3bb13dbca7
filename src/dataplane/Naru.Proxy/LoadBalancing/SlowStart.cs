// Endpoints that are new get their share little by little (Envoy docs: slow start): who was drawn and is not due yet is drawn again, so
// that nothing is made anew while time passes.
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;

namespace Naru.Proxy.LoadBalancing;

internal sealed class SlowStart(SlowStartConfig config)
{
    private const uint Parts = 1_000_000;

    /// <summary>How long an endpoint is new, ms.</summary>
    public long WindowMs { get; } = Math.Max(1, (long)config.Window.TotalMilliseconds);

    /// <summary>Whether an endpoint that was drawn by its weight gets the request. Where all are new, the oldest gets all of its
    /// own.</summary>
    public bool IsDue(Host host, HostList list, in PickContext context)
    {
        double most = Factor(list.Oldest, context.Now), own = Factor(host.State.WellSince, context.Now);
        return own >= most || context.Random.Below(Parts) < own / most * Parts;
    }

    // Part of its weight, 0 to 1.
    internal double Factor(long since, long now)
    {
        double age = Math.Max(1, now - since);
        if (age >= WindowMs) return 1;
        return Math.Max(config.MinWeight, Math.Pow(age / WindowMs, 1 / config.Aggression));
    }
}
