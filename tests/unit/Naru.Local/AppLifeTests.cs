// What is known of a pod's process belongs to that process: it ends with it, and what comes late is nobody else's.
using System.Net;
using Naru.Core;
using Naru.Local.Manifests;
using Naru.Local.Pods;
using Naru.Local.Processes;
using Xunit;

namespace Naru.UnitTests.Local;

public sealed class AppLifeTests
{
    private static readonly TimeSpan s_bound = TimeSpan.FromMinutes(1);
    private static readonly Way s_way = new(new IPEndPoint(IPAddress.Loopback, 9000), IsWildcard: false);

    private readonly TaskCompletionSource _fits = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<string?> _answer = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _asked = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _questions;

    private AppLife Life(Probe? probe = null) => new(probe ?? new Probe(), (_, _) =>
    {
        _questions++;
        _asked.TrySetResult();
        return _answer.Task;
    }, (_, _, _) => _fits.Task, TimeProvider.System);

    [Fact]
    public async Task What_is_found_when_it_has_ended_meanwhile_is_forgotten()
    {
        using AppLife life = Life();
        Task found = life.FoundAsync(s_way, Sight.Nothing);
        life.Dispose();
        _fits.SetResult();
        await found;
        Assert.Null(life.Target);
        Assert.False(life.HasListened);
    }

    [Fact]
    public async Task An_answer_that_comes_when_it_has_ended_makes_nobody_ready()
    {
        using AppLife life = Life();
        bool changed = false;
        Task probe = life.ProbeAsync(life.Ended);
        _fits.SetResult();
        await life.FoundAsync(s_way, Sight.Nothing);
        await _asked.Task.WaitAsync(s_bound, TestContext.Current.CancellationToken);
        life.Changed += () => changed = true;
        life.Dispose();
        _answer.SetResult(null);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => probe);
        Assert.False(life.IsReady);
        Assert.False(changed);
    }

    [Fact]
    public async Task An_answer_for_a_place_where_it_does_not_listen_any_more_makes_it_not_ready()
    {
        using AppLife life = Life();
        _ = life.ProbeAsync(life.Ended);
        _fits.SetResult();
        await life.FoundAsync(s_way, Sight.Nothing);
        await _asked.Task.WaitAsync(s_bound, TestContext.Current.CancellationToken);
        life.Lost(new Diagnostic("NARU-L033", Severity.Warning, "it does not listen any more"));
        _answer.SetResult(null);
        Assert.False(life.IsReady);
        Assert.Equal("it does not listen any more", life.Reason);
    }

    [Fact]
    public async Task A_process_that_is_ready_and_has_no_question_is_asked_once()
    {
        using AppLife life = Life();
        var ready = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        life.Changed += () => ready.TrySetResult();
        Task probe = life.ProbeAsync(life.Ended);
        _fits.SetResult();
        await life.FoundAsync(s_way, Sight.Nothing);
        _answer.SetResult(null);
        await ready.Task.WaitAsync(s_bound, TestContext.Current.CancellationToken);
        Assert.True(life.IsReady);
        Assert.Equal(1, _questions);
        Assert.False(probe.IsCompleted);
    }

    [Fact]
    public void One_look_serves_all_who_ask_within_a_round()
    {
        int looks = 0, walks = 0;
        var time = new ManualTime();
        var machine = new Machine(time, () =>
        {
            looks++;
            return [];
        }, () =>
        {
            walks++;
            return [];
        });
        for (int pod = 0; pod < 20; pod++) Assert.Empty(machine.Look(TimeSpan.FromMilliseconds(100)).Processes);
        Assert.Equal((1, 1), (looks, walks));
        time.Advance(TimeSpan.FromMilliseconds(100));
        for (int pod = 0; pod < 20; pod++) Assert.Empty(machine.Look(TimeSpan.FromMilliseconds(100)).Sockets);
        Assert.Equal((2, 1), (looks, walks));
    }

    [Theory]
    [InlineData(0, 40)]
    [InlineData(2, 40)]
    [InlineData(4, 400)]
    [InlineData(10, 1000)]
    [InlineData(3600, 1000)]
    public void A_look_at_what_does_not_start_comes_more_and_more_rarely(int waitedSeconds, int milliseconds) =>
        Assert.Equal(milliseconds, AppWatch.Pace(TimeSpan.FromSeconds(waitedSeconds)).TotalMilliseconds);

    [Fact]
    public void Processes_that_are_gone_are_forgotten_and_a_young_one_is_asked_again()
    {
        var time = new ManualTime();
        var asked = new List<int>();
        var tree = new ProcessTree(1, pid =>
        {
            asked.Add(pid);
            // At first it is between fork and exec.
            return asked.Count > 1;
        }, time);
        ProcessEntry one = new(1, "sh", 0, 1), stray = new(50, "node", 0, 2);
        Assert.Equal([1], tree.Members([one, stray]).Select(p => p.Pid));
        Assert.Equal([1, 50], tree.Members([one, stray]).Select(p => p.Pid));
        time.Advance(TimeSpan.FromSeconds(3));
        Assert.Equal([1, 50], tree.Members([one, stray]).Select(p => p.Pid));
        Assert.Equal([50, 50], asked);
        for (int pid = 100; pid < 1000; pid++) _ = tree.Members([one, new ProcessEntry(pid, "cc1", 0, pid)]);
        Assert.Equal(1, tree.Remembered);
    }

    private sealed class ManualTime : TimeProvider
    {
        private long _now;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => _now;

        public void Advance(TimeSpan by) => _now += by.Ticks;
    }
}
