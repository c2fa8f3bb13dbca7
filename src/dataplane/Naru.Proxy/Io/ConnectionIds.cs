// Numbers connections, of clients and to endpoints alike, in the order in which they came to be (Envoy: CONNECTION_ID,
// UPSTREAM_CONNECTION_ID).
namespace Naru.Proxy.Io;

internal static class ConnectionIds
{
    private static long s_last;

    /// <summary>The next number; from any thread.</summary>
    public static long Next() => Interlocked.Increment(ref s_last);
}
