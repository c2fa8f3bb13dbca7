// Ends: a proxy that is told to go loses no request, and is gone.
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Proxy;

public sealed class DrainTests
{
    [Fact]
    public async Task Sigterm_under_load_loses_no_request_and_ends_with_0()
    {
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, "drain_timeout: 1s"),
            new ProxyOptions { Arguments = ["--drain-time-s", "2", "--parent-shutdown-time-s", "5"] });
        await using var load = Load.Start(proxy.Address, connections: 4, refusedIsEnd: true);
        await Waiting.UntilAsync(() => load.Count > 100, "some load");
        proxy.Child.Terminate();

        LoadResult result = await load.EndAsync();
        Assert.Empty(result.Failures);
        ProcessResult end = await proxy.Child.ExitAsync();
        Assert.True(end.ExitCode == 0, end.All);
    }

    [Fact]
    public async Task A_request_in_flight_is_finished_before_the_end()
    {
        var begun = new TaskCompletionSource();
        var release = new TaskCompletionSource();
        await using var witness = new Witness(async c =>
        {
            if (await c.RequestAsync() is null) return;
            begun.TrySetResult();
            await release.Task;
            await c.OkAsync("finished");
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), new ProxyOptions { Arguments = ["--drain-time-s", "5", "--parent-shutdown-time-s", "20"] });
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await begun.Task.Within("the request");
        proxy.Child.Terminate();
        await Waiting.UntilAsync(async () =>
        {
            try
            {
                using RawClient probe = await proxy.ConnectAsync();
                return false;
            }
            catch (System.Net.Sockets.SocketException)
            {
                return await Task.FromResult(true);
            }
        }, "the listener to close");
        release.SetResult();
        HttpMessage answer = await client.ResponseAsync();
        Assert.Equal("finished", answer.Text);
        Assert.Equal("close", answer.Header("connection"));
        Assert.Equal(0, (await proxy.Child.ExitAsync()).ExitCode);
    }

    [Fact]
    public async Task Idle_connections_do_not_hold_the_end_up()
    {
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, "drain_timeout: 0.2s"),
            new ProxyOptions { Arguments = ["--drain-time-s", "1", "--parent-shutdown-time-s", "3"] });
        using RawClient silent = await proxy.ConnectAsync();
        using RawClient served = await proxy.ConnectAsync();
        await served.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        proxy.Child.Interrupt();
        Assert.Equal(0, (await proxy.Child.ExitAsync()).ExitCode);
        Assert.Equal("", await served.RestAsync());
    }

    [Fact]
    public async Task Quitquitquit_ends_it_and_needs_a_post()
    {
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), new ProxyOptions { Arguments = ["--drain-time-s", "1", "--parent-shutdown-time-s", "2"] });
        using (HttpResponseMessage get = await proxy.Admin.GetAsync("quitquitquit")) Assert.Equal(405, (int)get.StatusCode);
        Assert.False(proxy.Child.HasExited);
        using (HttpResponseMessage post = await proxy.Admin.PostAsync("quitquitquit", null)) Assert.True(post.IsSuccessStatusCode);
        Assert.Equal(0, (await proxy.Child.ExitAsync()).ExitCode);
    }

    [Fact]
    public async Task A_failed_health_check_makes_answers_say_close_and_ready_say_no()
    {
        await using var witness = new Witness();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port));
        using (HttpResponseMessage post = await proxy.Admin.PostAsync("healthcheck/fail", null)) Assert.True(post.IsSuccessStatusCode);
        await Waiting.UntilAsync(async () =>
        {
            using RawClient client = await proxy.ConnectAsync();
            return (await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Header("connection") == "close";
        }, "answers to say close");
        Assert.False(await proxy.IsReadyAsync());
        using (HttpResponseMessage post = await proxy.Admin.PostAsync("healthcheck/ok", null)) Assert.True(post.IsSuccessStatusCode);
        Assert.True(await proxy.IsReadyAsync());
    }
}
