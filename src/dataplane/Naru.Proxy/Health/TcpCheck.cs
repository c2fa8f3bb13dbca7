// A health check by bytes: says something, waits until what is wanted has come, in this order, with anything between.
using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using Naru.Proxy.Config;
using Naru.Proxy.Io;

namespace Naru.Proxy.Health;

internal static class TcpCheck
{
    private const int MaxBytes = 64 * 1024;

    /// <summary>Asks. Where something was said and heard, the connection may serve once more.</summary>
    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    public static async ValueTask<CheckAnswer> RunAsync(CheckConnection connection, Worker worker, TcpCheckConfig config, bool reuse)
    {
        IoBuffer buffer = worker.Buffers.RentLarge();
        bool again = false;
        bool anyByte = false;
        try
        {
            if (!await connection.SendAsync(config.Send.AsMemory(), buffer)) return CheckAnswer.Lost(connection);
            if (config.Receive.IsEmpty) return CheckAnswer.Good;
            while (true)
            {
                if (buffer.End >= MaxBytes) return new CheckAnswer(CheckOutcome.Network, "something else answers");
                if (!await connection.FillAsync(buffer)) return anyByte ? CheckAnswer.Broken(connection) : CheckAnswer.Lost(connection);
                anyByte = true;
                if (!Holds(buffer.Filled, config.Receive)) continue;
                again = reuse && !config.Send.IsEmpty;
                return CheckAnswer.Good;
            }
        }
        finally
        {
            worker.Buffers.Return(buffer);
            if (!again) connection.Close();
        }
    }

    /// <summary>Whether all that is wanted is there, in this order, with anything between.</summary>
    public static bool Holds(ReadOnlySpan<byte> bytes, ImmutableArray<ImmutableArray<byte>> all)
    {
        foreach (ImmutableArray<byte> wanted in all)
        {
            int at = bytes.IndexOf(wanted.AsSpan());
            if (at < 0) return false;
            bytes = bytes[(at + wanted.Length)..];
        }
        return true;
    }
}
