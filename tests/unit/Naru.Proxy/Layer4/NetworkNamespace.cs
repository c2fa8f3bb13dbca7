// A network namespace of the test's own: what is redirected in it is nobody else's traffic. It belongs to one thread; sockets, threads
// and programs that this thread makes are in it. Needs root and iptables; a test without them fails and says so.
using System.Diagnostics;
using System.Runtime.InteropServices;
using Naru.Kit;

namespace Naru.UnitTests.Proxy;

internal static partial class NetworkNamespace
{
    private const int CloneNewNet = 0x40000000;

    [LibraryImport("libc", SetLastError = true)]
    private static partial int unshare(int flags);

    /// <summary>Runs a body on a thread in a new namespace whose loopback is up.</summary>
    public static Task RunAsync(Action body)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() =>
        {
            try
            {
                if (unshare(CloneNewNet) != 0)
                    throw new InvalidOperationException($"no network namespace can be made ({Marshal.GetLastPInvokeErrorMessage()}): this test needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN)");
                Ip("link set lo up");
                body();
                done.SetResult();
            }
            catch (Exception e)
            {
                done.SetException(e);
            }
        })
        { IsBackground = true };
        thread.Start();
        return done.Task.Within("the work in its own namespace", TimeSpan.FromMinutes(2));
    }

    public static void Ip(string arguments) => Run(Tools.Path("ip", "iproute2"), arguments);

    public static void Iptables(string arguments) => Run(Tools.Path("iptables", "iptables"), "-w " + arguments);

    public static void Ip6tables(string arguments) => Run(Tools.Path("ip6tables", "iptables"), "-w " + arguments);

    private static void Run(string program, string arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        string errors = process.StandardError.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0) throw new InvalidOperationException($"{program} {arguments}: {errors}");
    }
}
