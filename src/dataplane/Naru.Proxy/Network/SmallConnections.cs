// Two small last filters: echo gives back what comes, direct_response says its sentence and ends.
using System.Runtime.CompilerServices;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;

namespace Naru.Proxy.Network;

internal sealed class EchoConnection(in Arrival arrival) : ListenerConnection(arrival), IRelayOwner
{
    public override void Start()
    {
        Begin();
        Unawaited.Run(ServeAsync());
    }

    public override void Drain() { }

    public void OnMoved(RelayLane lane, int bytes) { }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> ServeAsync()
    {
        try
        {
            if (await new RelayLane(Worker, this, this, this).RunAsync() == RelayEnd.Ended) ShutdownWrite();
        }
        catch (Exception e)
        {
            Listener.OnFault(e);
        }
        Close();
        return true;
    }
}

internal sealed class DirectResponseConnection(in Arrival arrival, byte[] response) : ListenerConnection(arrival)
{
    private const int MostIgnored = 64 * 1024;
    private const int LingerMs = 1000;

    public override void Start()
    {
        Begin();
        Unawaited.Run(ServeAsync());
    }

    public override void Drain() { }

    public override void OnTimer(TimerNode timer) => Cancel();

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> ServeAsync()
    {
        IoBuffer buffer = Worker.Buffers.Rent();
        try
        {
            for (int at = 0; at < response.Length; at += buffer.Capacity)
            {
                buffer.Clear();
                buffer.Append(response.AsSpan(at, Math.Min(buffer.Capacity, response.Length - at)));
                if (!await SendAllAsync(buffer)) break;
            }
            // What the client sent is read away for a moment: closing on it would be a reset, which can overtake the answer.
            ShutdownWrite();
            Worker.Timers.Set(Timer, Worker.Now + LingerMs, Worker.Now);
            for (int ignored = 0; ignored < MostIgnored && !Dead;)
            {
                if (!MayRead) await Readable();
                if (Cancelled) break;
                buffer.Clear();
                int n = Receive(buffer);
                if (n is 0 or Failed) break;
                if (n > 0) ignored += n;
            }
        }
        catch (Exception e)
        {
            Listener.OnFault(e);
        }
        Worker.Buffers.Return(buffer);
        Close();
        return true;
    }
}
