// What is abuse and, as important, what is not.
using Naru.Http.Http2;
using Xunit;

namespace Naru.UnitTests.HttpCodecs;

public sealed class Http2AbuseMeterTests
{
    private static int Until(Func<Http2Abuse> step, Http2Abuse verdict, int most = 1_000_000)
    {
        for (int i = 1; i <= most; i++)
        {
            Http2Abuse found = step();
            if (found == Http2Abuse.None) continue;
            Assert.Equal(verdict, found);
            return i;
        }
        return -1;
    }

    [Fact]
    public void Streams_that_are_reset_as_soon_as_they_open_end_the_connection_when_half_of_500_are()
    {
        var meter = new Http2AbuseMeter(Http2AbuseLimits.Default);
        Assert.Equal(250, Until(() =>
        {
            meter.OnStreamOpened();
            return meter.OnResetReceived(openedAt: 10, now: 20, answered: false);
        }, Http2Abuse.PrematureResets));
    }

    [Fact]
    public void Resets_that_we_were_made_to_send_count_like_the_clients_own()
    {
        var meter = new Http2AbuseMeter(Http2AbuseLimits.Default);
        int round = 0;
        Assert.Equal(250, Until(() => round++ % 2 == 0 ? meter.OnResetProvoked() : meter.OnResetReceived(0, 1, answered: false), Http2Abuse.PrematureResets));
    }

    [Fact]
    public void Resets_that_come_late_or_after_an_answer_and_a_minority_of_early_ones_are_honest()
    {
        var meter = new Http2AbuseMeter(Http2AbuseLimits.Default);
        for (int i = 0; i < 10_000; i++)
        {
            Assert.Equal(Http2Abuse.None, meter.OnResetReceived(0, 1000, answered: false));
            Assert.Equal(Http2Abuse.None, meter.OnResetReceived(0, 1, answered: true));
            meter.OnStreamCompleted();
            if (i % 2 == 0) Assert.Equal(Http2Abuse.None, meter.OnResetReceived(0, 1, answered: false));
        }
    }

    [Fact]
    public void After_a_good_life_the_bad_half_still_ends_it()
    {
        var meter = new Http2AbuseMeter(Http2AbuseLimits.Default);
        for (int i = 0; i < 2000; i++) meter.OnStreamCompleted();
        Assert.Equal(2000, Until(() => meter.OnResetReceived(0, 1, answered: false), Http2Abuse.PrematureResets));
    }

    [Fact]
    public void A_header_block_is_bounded_in_frames_and_in_bytes_and_the_next_one_starts_anew()
    {
        var meter = new Http2AbuseMeter(Http2AbuseLimits.Default);
        for (int block = 0; block < 3; block++)
        {
            Assert.Equal(Http2Abuse.None, meter.OnHeaders(100, endHeaders: false, endStream: true));
            for (int i = 0; i < 16; i++) Assert.Equal(Http2Abuse.None, meter.OnContinuation(1, endHeaders: i == 15));
        }
        Assert.Equal(Http2Abuse.ContinuationFlood, meter.OnContinuation(1, endHeaders: true));

        meter = new Http2AbuseMeter(Http2AbuseLimits.Default);
        Assert.Equal(Http2Abuse.None, meter.OnHeaders(16384, endHeaders: false, endStream: false));
        Assert.Equal(3, Until(() => meter.OnContinuation(16384, endHeaders: false), Http2Abuse.HeaderBlockTooLarge));
    }

    [Fact]
    public void One_empty_frame_is_forgiven_a_second_in_a_row_is_not()
    {
        var meter = new Http2AbuseMeter(Http2AbuseLimits.Default);
        for (int i = 0; i < 100; i++)
        {
            Assert.Equal(Http2Abuse.None, meter.OnData(0, endStream: false));
            Assert.Equal(Http2Abuse.None, meter.OnData(1, endStream: false));
            Assert.Equal(Http2Abuse.None, meter.OnData(0, endStream: true));
        }
        Assert.Equal(Http2Abuse.None, meter.OnHeaders(0, endHeaders: false, endStream: false));
        Assert.Equal(Http2Abuse.EmptyFrameFlood, meter.OnContinuation(0, endHeaders: false));
    }

    [Fact]
    public void Priorities_are_bounded_by_streams_and_window_updates_by_data_sent()
    {
        var meter = new Http2AbuseMeter(Http2AbuseLimits.Default);
        Assert.Equal(101, Until(() => meter.OnPriority(), Http2Abuse.PriorityFlood));
        meter = new Http2AbuseMeter(Http2AbuseLimits.Default);
        Assert.Equal(6, Until(() => meter.OnWindowUpdate(), Http2Abuse.WindowUpdateFlood));
        meter = new Http2AbuseMeter(Http2AbuseLimits.Default);
        meter.OnStreamOpened();
        meter.OnDataSent();
        Assert.Equal(28, Until(() => meter.OnWindowUpdate(), Http2Abuse.WindowUpdateFlood));
        meter = new Http2AbuseMeter(Http2AbuseLimits.Default);
        for (int i = 0; i < 100_000; i++)
        {
            meter.OnDataSent();
            Assert.Equal(Http2Abuse.None, meter.OnWindowUpdate());
            Assert.Equal(Http2Abuse.None, meter.OnWindowUpdate());
        }
    }

    [Fact]
    public void Pings_are_bounded_by_time_and_paid_for_by_messages()
    {
        var meter = new Http2AbuseMeter(Http2AbuseLimits.Default);
        Assert.Equal(1001, Until(() => meter.OnControl(now: 5), Http2Abuse.ControlFlood));

        meter = new Http2AbuseMeter(Http2AbuseLimits.Default);
        // A ping for each message, as gRPC measures the line, for a million messages within one second.
        for (int i = 0; i < 1_000_000; i++)
        {
            meter.OnData(5, endStream: false);
            Assert.Equal(Http2Abuse.None, meter.OnControl(now: 7));
        }
        // A keep-alive every 20 ms for ever.
        for (long now = 0; now < 10_000_000; now += 20) Assert.Equal(Http2Abuse.None, meter.OnControl(now));
        // Twice what is forgiven.
        long t = 20_000_000;
        Assert.InRange(Until(() => meter.OnControl(t += 5), Http2Abuse.ControlFlood), 1500, 3000);
    }

    [Fact]
    public void Answers_that_nobody_reads_are_bounded()
    {
        var meter = new Http2AbuseMeter(Http2AbuseLimits.Default);
        Assert.Equal(1001, Until(() => meter.OnControlQueued(), Http2Abuse.OutboundControlFlood));
        meter.OnWritten(17_017, left: 0);
        Assert.Equal(1001, Until(() => meter.OnControlQueued(), Http2Abuse.OutboundControlFlood));
    }

    [Fact]
    public void Answers_that_are_read_are_forgotten_though_the_queue_is_never_empty()
    {
        var meter = new Http2AbuseMeter(Http2AbuseLimits.Default);
        // A queue of 60 KiB, mostly of other things; 17 bytes of it in 1700 are such an answer.
        for (int i = 0; i < 50_000; i++)
        {
            Assert.Equal(Http2Abuse.None, meter.OnControlQueued());
            meter.OnWritten(1700, left: 60 * 1024);
        }
        // Of those that do not get out there is a bound all the same.
        Assert.InRange(Until(() => meter.OnControlQueued(), Http2Abuse.OutboundControlFlood), 900, 1001);
    }

    [Fact]
    public void What_was_on_its_way_when_we_reset_its_stream_is_the_peers_right()
    {
        var meter = new Http2AbuseMeter(Http2AbuseLimits.Default);
        for (int stream = 0; stream < 100; stream++)
        {
            meter.OnStreamOpened();
            meter.OnResetSent(65_535);
            for (int sent = 0; sent + 5 <= 65_535; sent += 5) Assert.Equal(Http2Abuse.None, meter.OnLateData(5, now: 0));
        }
        Assert.Equal(1201, Until(() => meter.OnLateData(5, now: 0), Http2Abuse.ControlFlood));
    }

    [Fact]
    public void Late_frames_are_forgiven_with_time()
    {
        var meter = new Http2AbuseMeter(Http2AbuseLimits.Default);
        for (long now = 0; now < 10_000_000; now += 20) Assert.Equal(Http2Abuse.None, meter.OnLate(now));
        long t = 20_000_000;
        Assert.InRange(Until(() => meter.OnLate(t += 5), Http2Abuse.ControlFlood), 1500, 3000);
    }
}
