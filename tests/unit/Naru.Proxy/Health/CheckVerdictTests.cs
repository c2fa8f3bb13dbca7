// Thresholds and waits of active health checks, without sockets and clocks.
using Naru.Proxy.Config;
using Naru.Proxy.Health;
using Xunit;

namespace Naru.UnitTests.Proxy.Health;

public sealed class CheckVerdictTests
{
    private static readonly HealthCheckConfig s_config = new()
    {
        Timeout = TimeSpan.FromSeconds(1),
        Interval = TimeSpan.FromSeconds(10),
        UnhealthyThreshold = 3,
        HealthyThreshold = 2,
        NoTrafficInterval = TimeSpan.FromSeconds(60),
    };

    // h healthy, u unhealthy, f failing, n no answer; below each the verdict after it: + or -.
    [Theory]
    [InlineData("h", "+")]
    [InlineData("f", "-")]
    [InlineData("fh", "--")]
    [InlineData("fhh", "--+")]
    [InlineData("fhfhh", "----+")]
    [InlineData("hfff", "+++-")]
    [InlineData("hnfn", "+++-")]
    [InlineData("hffhfff", "++++++-")]
    [InlineData("hu", "+-")]
    [InlineData("huhhff", "+--+++")]
    [InlineData("hfffhfh", "+++----")]
    public void Failures_and_successes_in_a_row_make_the_verdict(string outcomes, string verdicts)
    {
        var verdict = new CheckVerdict(s_config);
        Assert.True(verdict is { Failed: true, Pending: true });
        string seen = "";
        foreach (char outcome in outcomes)
        {
            bool before = verdict.Failed;
            bool changed = verdict.Take(outcome switch { 'h' => CheckOutcome.Healthy, 'u' => CheckOutcome.Unhealthy, 'f' => CheckOutcome.Failing, _ => CheckOutcome.Network });
            Assert.Equal(before != verdict.Failed, changed);
            seen += verdict.Failed ? '-' : '+';
        }
        Assert.Equal(verdicts, seen);
        Assert.False(verdict.Pending);
    }

    [Fact]
    public void Waits_are_those_of_the_state_and_of_its_edge()
    {
        HealthCheckConfig config = s_config with
        {
            UnhealthyThreshold = 1,
            HealthyThreshold = 1,
            UnhealthyInterval = TimeSpan.FromSeconds(20),
            UnhealthyEdgeInterval = TimeSpan.FromSeconds(21),
            HealthyEdgeInterval = TimeSpan.FromSeconds(11),
            NoTrafficHealthyInterval = TimeSpan.FromSeconds(61),
        };
        var verdict = new CheckVerdict(config);
        Assert.Equal([11, 10, 21, 20, 11], new[] { CheckOutcome.Healthy, CheckOutcome.Healthy, CheckOutcome.Network, CheckOutcome.Network, CheckOutcome.Healthy }.Select(o =>
        {
            verdict.Take(o);
            return (int)verdict.Wait(traffic: true).TotalSeconds;
        }));
        Assert.Equal(61, verdict.Wait(traffic: false).TotalSeconds);
        verdict.Take(CheckOutcome.Unhealthy);
        Assert.Equal(60, verdict.Wait(traffic: false).TotalSeconds);
    }

    [Fact]
    public void What_is_not_said_is_the_interval()
    {
        var verdict = new CheckVerdict(s_config with { UnhealthyThreshold = 1 });
        verdict.Take(CheckOutcome.Healthy);
        Assert.Equal(10, verdict.Wait(traffic: true).TotalSeconds);
        verdict.Take(CheckOutcome.Unhealthy);
        Assert.Equal(10, verdict.Wait(traffic: true).TotalSeconds);
        Assert.Equal(60, verdict.Wait(traffic: false).TotalSeconds);
    }
}
