// A connection of bytes to an endpoint of a cluster, for lines of statsd: made when there is something to say, and kept. What cannot be said
// within its time is lost, as it is with statsd; nothing waits for a later one.
using System.Runtime.CompilerServices;
using Naru.Proxy.Clusters;
using Naru.Proxy.Health;
using Naru.Proxy.Io;
using Naru.Proxy.LoadBalancing;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Reports;

internal sealed class StatsdStream(Worker worker, ClusterSlot slot)
{
    private const long TimeMs = 5000;
    private CheckConnection? _connection;
    private bool _isBusy;

    /// <summary>Says lines, unless those before are still on their way. On its worker.</summary>
    public void Send(byte[] lines)
    {
        if (_isBusy || lines.Length == 0) return;
        _isBusy = true;
        Unawaited.Run(SendAsync(lines));
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> SendAsync(byte[] lines)
    {
        IoBuffer buffer = worker.Buffers.RentLarge();
        bool sent = false;
        try
        {
            CheckConnection? connection = _connection is { } before && before.Wake() ? before : null;
            if (connection is null && slot.Current is { } cluster
                && cluster.Balancer.Pick(new PickContext(worker)) is { } host)
            {
                _connection = new CheckConnection(worker);
                _connection.SetDeadline(TimeMs);
                Transport transport = host.Transport ?? cluster.Transports.Nameless;
                if (await _connection.ConnectAsync(host.State, transport, host, CheckProtocol.Bytes)) connection = _connection;
            }
            connection?.SetDeadline(TimeMs);
            sent = connection is not null && await connection.SendAsync(lines, buffer);
        }
        catch (Exception e)
        {
            worker.Report($"statsd at cluster {slot.Name}", e);
        }
        finally
        {
            worker.Buffers.Return(buffer);
            if (sent) _connection!.Rest();
            else _connection?.Close();
            if (!sent) _connection = null;
            _isBusy = false;
        }
        return sent;
    }
}
