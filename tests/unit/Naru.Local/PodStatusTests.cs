// Which pods that are not ready are on their way, and which are broken.
using Naru.Inspect;
using Xunit;

namespace Naru.UnitTests.Local;

public sealed class PodStatusTests
{
    [Theory]
    [InlineData("Starting", false, 0, 0, true)]
    [InlineData("NotReady", false, 0, 0, true)]
    [InlineData("NotReady", true, 0, 0, false)]
    [InlineData("NotReady", false, 1, 0, false)]
    [InlineData("NotReady", false, 0, 1, false)]
    [InlineData("CrashLoopBackOff", false, 0, 0, false)]
    [InlineData("Terminating", false, 0, 0, false)]
    public void A_pod_is_starting_until_it_was_ready_once_or_something_went_wrong(
        string phase, bool was, int restarts, int proxy, bool starting)
    {
        var pod = new PodStatus { Phase = phase, WasReady = was, Restarts = restarts, ProxyRestarts = proxy };
        Assert.Equal(starting, pod.IsStarting);
        Assert.False((pod with { Ready = true }).IsStarting);
    }
}
