// The heap of the C library, from which OpenSSL takes what TLS connections need. glibc gives each thread heaps of its own and keeps in
// them what is freed: after a burst of connections the process would stay as large as it was at the most. Elsewhere (musl) there is
// nothing to do.
using System.Runtime.InteropServices;

namespace Naru.Proxy.Host;

internal sealed unsafe class NativeHeap
{
    private const int ArenaMax = -8; // M_ARENA_MAX
    private const long WorthTrimming = 32;
    private static readonly nint s_library = NativeLibrary.TryLoad("libc.so.6", out nint library) ? library : 0;
    private long _most;

    /// <summary>At most so many heaps from now on, by default 8 a core; to be called before there are threads.</summary>
    public static void Limit(int heaps)
    {
        if (s_library != 0 && NativeLibrary.TryGetExport(s_library, "mallopt", out nint set)) _ = ((delegate* unmanaged<int, int, int>)set)(ArenaMax, heaps);
    }

    /// <summary>Told every few seconds how many connections are open. When most of those are gone that were there at the most since the last
    /// time, the pages that they left are given back, which takes a millisecond or a few.</summary>
    public void Look(long connections)
    {
        if (connections > _most) _most = connections;
        if (_most - connections < WorthTrimming || connections > _most / 2) return;
        _most = connections;
        if (s_library != 0 && NativeLibrary.TryGetExport(s_library, "malloc_trim", out nint trim)) _ = ((delegate* unmanaged<nuint, int>)trim)(0);
    }
}
