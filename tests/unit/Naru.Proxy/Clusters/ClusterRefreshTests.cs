// How often a cluster is compiled for what is found out about its endpoints: once for all that came until then, and never without the last.
using Naru.Proxy.Clusters;
using Xunit;

namespace Naru.UnitTests.Proxy.Clusters;

public sealed class ClusterRefreshTests
{
    private readonly Lock _gate = new();
    private readonly ClusterSlot _slot = new("c", workers: 1);
    private readonly List<Action> _queued = [];

    [Fact]
    public void As_many_findings_as_wait_together_are_one_compilation()
    {
        int compiled = 0;
        ClusterRefresh refresh = Of(_ => compiled++);
        Thread first;
        lock (_gate)
        {
            first = new Thread(() => refresh.Now(_slot));
            first.Start();
            Assert.True(SpinWait.SpinUntil(() => _slot.IsStale, TimeSpan.FromSeconds(60)));
            // Whoever comes behind has nothing to wait for.
            for (int i = 0; i < 999; i++) refresh.Now(_slot);
            Assert.Equal(0, compiled);
        }
        first.Join();
        Assert.Equal(1, compiled);
        Assert.False(_slot.IsStale);
        refresh.Now(_slot);
        Assert.Equal(2, compiled);
    }

    [Fact]
    public void What_is_found_out_while_a_cluster_is_compiled_is_compiled_too()
    {
        int found = 0, known = -1, compiled = 0;
        Thread? late = null;
        ClusterRefresh? refresh = null;
        refresh = Of(_ =>
        {
            known = Volatile.Read(ref found);
            if (compiled++ > 0) return;
            late = new Thread(() =>
            {
                Volatile.Write(ref found, 1);
                refresh!.Now(_slot);
            });
            late.Start();
            Assert.True(SpinWait.SpinUntil(() => _slot.IsStale, TimeSpan.FromSeconds(60)));
        });
        refresh.Now(_slot);
        late!.Join();
        Assert.Equal((1, 2), (known, compiled));
    }

    [Fact]
    public void What_waits_in_a_queue_finds_nothing_to_do_where_a_change_of_the_configuration_was_first()
    {
        int compiled = 0;
        ClusterRefresh refresh = Of(_ => compiled++);
        for (int i = 0; i < 10; i++) refresh.Later(_slot);
        Assert.Single(_queued);
        refresh.Settle(_slot);
        Assert.Equal(1, compiled);
        foreach (Action queued in _queued) queued();
        Assert.Equal(1, compiled);
        refresh.Later(_slot);
        _queued[^1]();
        Assert.Equal(2, compiled);
    }

    // Compiling makes it fresh first of all, as the engine does.
    private ClusterRefresh Of(Action<ClusterSlot> compile) => new(_gate, slot =>
    {
        slot.BecomesFresh();
        compile(slot);
    }, _queued.Add);
}
