// What a row of checks says of an endpoint, and when to ask again (Envoy: config.core.v3.HealthCheck). Knows no sockets and no clock.
using Naru.Proxy.Config;

namespace Naru.Proxy.Health;

/// <summary>How one check ended.</summary>
internal enum CheckOutcome
{
    Healthy,
    /// <summary>The endpoint says that it is not well: enough at once.</summary>
    Unhealthy,
    /// <summary>A failure that counts only with others.</summary>
    Failing,
    /// <summary>No answer, or none that could be read; counts like <see cref="Failing"/>.</summary>
    Network,
}

/// <summary>The verdict of one check on one endpoint, which begins as failed until the first check is over.</summary>
internal sealed class CheckVerdict(HealthCheckConfig config)
{
    private int _failures, _successes;
    private bool _edge;

    /// <summary>Whether the endpoint is to be left alone.</summary>
    public bool Failed { get; private set; } = true;

    /// <summary>Whether no check has ended yet.</summary>
    public bool Pending { get; private set; } = true;

    /// <summary>Goes on from what was known under another configuration.</summary>
    public void Inherit(bool failed)
    {
        Failed = failed;
        Pending = false;
    }

    /// <summary>Takes an outcome; true where the verdict is another one now.</summary>
    public bool Take(CheckOutcome outcome)
    {
        bool first = Pending, before = Failed;
        Pending = false;
        if (outcome == CheckOutcome.Healthy)
        {
            _failures = 0;
            // At the start one success is enough (Envoy: healthy_threshold).
            if (Failed && (first || ++_successes >= config.HealthyThreshold)) Failed = false;
        }
        else
        {
            _successes = 0;
            if (!Failed && (outcome == CheckOutcome.Unhealthy || ++_failures >= config.UnhealthyThreshold)) Failed = true;
        }
        if (before != Failed) _failures = _successes = 0;
        _edge = before != Failed;
        return _edge;
    }

    /// <summary>Until the next check, without jitter.</summary>
    /// <param name="traffic">Whether the cluster ever had any.</param>
    public TimeSpan Wait(bool traffic)
    {
        if (!traffic) return Failed ? config.NoTrafficInterval : config.NoTrafficHealthyInterval ?? config.NoTrafficInterval;
        if (!Failed) return _edge ? config.HealthyEdgeInterval ?? config.Interval : config.Interval;
        TimeSpan unhealthy = config.UnhealthyInterval ?? config.Interval;
        return _edge ? config.UnhealthyEdgeInterval ?? unhealthy : unhealthy;
    }
}
