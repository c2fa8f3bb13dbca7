// How the pods of a Deployment become those that are wanted: by steps that never take away what serves, and never wait for what does not.
using Naru.Local;
using Xunit;

namespace Naru.UnitTests.Local;

public sealed class RolloutStepTests
{
    // N and n: of the newest wish, ready or not; O and o: of an older one.
    private static List<PlannedPod> Pods(string pods) => [.. pods.Select(c => new PlannedPod(char.ToLowerInvariant(c) == 'n', char.IsUpper(c)))];

    [Theory]
    [InlineData("", 0, 3, "", 3)]
    [InlineData("NNN", 0, 3, "", 0)]
    [InlineData("NNN", 0, 1, "1,2", 0)]
    [InlineData("nNN", 0, 2, "0", 0)]
    [InlineData("nnnnn", 0, 0, "0,1,2,3,4", 0)]
    [InlineData("nnnnn", 0, 1, "1,2,3,4", 0)]
    [InlineData("ooooo", 0, 5, "0,1,2,3,4", 5)]
    [InlineData("", 5, 5, "", 5)]
    [InlineData("OO", 0, 2, "", 1)]
    [InlineData("OOn", 0, 2, "", 0)]
    [InlineData("OON", 0, 2, "0", 0)]
    [InlineData("ON", 1, 2, "", 0)]
    [InlineData("ON", 0, 2, "", 1)]
    [InlineData("ONN", 0, 2, "0", 0)]
    [InlineData("Oo", 0, 2, "1", 1)]
    [InlineData("OOOOO", 0, 2, "0,1,2", 0)]
    [InlineData("OO", 3, 2, "", 0)]
    [InlineData("OO", 0, 0, "0,1", 0)]
    [InlineData("O", 0, 3, "", 3)]
    public void The_next_step_of(string pods, int leaving, int wanted, string retire, int add)
    {
        var step = RolloutStep.Next(Pods(pods), leaving, wanted);
        Assert.Equal(retire, string.Join(',', step.Retire));
        Assert.Equal(add, step.Add);
    }

    [Fact]
    public void Whatever_is_wished_meanwhile_the_steps_end_there_and_what_serves_is_never_less_than_before_and_wanted()
    {
        var random = new Random(7);
        for (int world = 0; world < 2000; world++)
        {
            List<PlannedPod> pods = Pods(string.Concat(Enumerable.Range(0, random.Next(6)).Select(_ => "NnOo"[random.Next(4)])));
            int wanted = random.Next(6), leaving = random.Next(3), steps = 0;
            while (pods.Count != wanted || leaving > 0 || pods.Exists(p => p is not { Newest: true, Ready: true }))
            {
                Assert.True(++steps < 100, $"{world}: no end");
                int serving = pods.Count(p => p.Ready);
                var step = RolloutStep.Next(pods, leaving, wanted);
                foreach (int i in step.Retire.OrderDescending()) pods.RemoveAt(i);
                Assert.True(pods.Count(p => p.Ready) >= Math.Min(serving, wanted));
                leaving += step.Retire.Count;
                pods.AddRange(Enumerable.Repeat(new PlannedPod(true, false), step.Add));
                // Then something becomes ready, or is gone, or another wish comes.
                switch (random.Next(8))
                {
                    case 0 when steps < 20:
                        wanted = random.Next(6);
                        break;
                    case 1 when steps < 20:
                        pods = [.. pods.Select(p => p with { Newest = false })];
                        break;
                    case < 5 when leaving > 0:
                        leaving--;
                        break;
                    default:
                        int late = pods.FindIndex(p => p is { Newest: true, Ready: false });
                        if (late >= 0) pods[late] = new PlannedPod(true, true);
                        break;
                }
            }
        }
    }
}
