// A health check by bytes: says something, waits until what is wanted has come, in this order, with anything between.
using System.Runtime.CompilerServices;
using Naru.Proxy.Config;
using Naru.Proxy.Io;

namespace Naru.Proxy.Health;

internal static class TcpCheck
{
    private const int MaxBytes = 64 * 1024;

    /// <summary>Asks; the connection is closed.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<CheckAnswer> RunAsync(CheckConnection connection, Worker worker, TcpCheckConfig config)
    {
        IoBuffer buffer = worker.Buffers.RentLarge();
        try
        {
            if (!await connection.SendAsync(config.Send.AsMemory(), buffer)) return CheckAnswer.Broken(connection);
            if (config.Receive.IsEmpty) return CheckAnswer.Good;
            while (true)
            {
                if (buffer.End >= MaxBytes) return new CheckAnswer(CheckOutcome.Network, "something else answers");
                if (!await connection.FillAsync(buffer)) return CheckAnswer.Broken(connection);
                if (Holds(buffer.Filled, config)) return CheckAnswer.Good;
            }
        }
        finally
        {
            worker.Buffers.Return(buffer);
            connection.Close();
        }
    }

    private static bool Holds(ReadOnlySpan<byte> bytes, TcpCheckConfig config)
    {
        foreach (System.Collections.Immutable.ImmutableArray<byte> wanted in config.Receive)
        {
            int at = bytes.IndexOf(wanted.AsSpan());
            if (at < 0) return false;
            bytes = bytes[(at + wanted.Length)..];
        }
        return true;
    }
}
