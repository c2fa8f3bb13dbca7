// Sends and receives lines of text with descriptors beside them over a Unix socket (unix(7), SCM_RIGHTS), which .NET's sockets cannot.
// Blocking; used by hot restart only, a few times in a process's life.
using System.Runtime.InteropServices;
using System.Text;

namespace Naru.Proxy.Host.HotRestart;

internal static unsafe partial class DescriptorMail
{
    /// <summary>Most descriptors of one message.</summary>
    public const int Most = 64;

    private const int SolSocket = 1, ScmRights = 1, MsgNoSignal = 0x4000, MsgCloExec = 0x40000000, SoPeerCred = 17;

    [StructLayout(LayoutKind.Sequential)]
    private struct Vector
    {
        public byte* Base;
        public nint Length;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Message
    {
        public void* Name;
        public uint NameLength;
        public Vector* Parts;
        public nint PartCount;
        public byte* Control;
        public nint ControlLength;
        public int Flags;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct ControlHead
    {
        public nint Length;
        public int Level;
        public int Type;
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint sendmsg(int fd, Message* message, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint recvmsg(int fd, Message* message, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int getsockopt(int fd, int level, int name, int* value, int* length);

    [LibraryImport("libc")]
    private static partial uint getuid();

    /// <summary>Sends one message; the socket keeps message boundaries (SOCK_SEQPACKET).</summary>
    public static void Send(int socket, string text, ReadOnlySpan<int> descriptors)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        byte* control = stackalloc byte[sizeof(ControlHead) + Most * sizeof(int)];
        fixed (byte* start = bytes)
        {
            var part = new Vector { Base = start, Length = bytes.Length };
            var message = new Message { Parts = &part, PartCount = 1 };
            if (descriptors.Length > 0)
            {
                var head = (ControlHead*)control;
                head->Length = sizeof(ControlHead) + descriptors.Length * sizeof(int);
                head->Level = SolSocket;
                head->Type = ScmRights;
                descriptors.CopyTo(new Span<int>(control + sizeof(ControlHead), Most));
                message.Control = control;
                message.ControlLength = head->Length;
            }
            if (sendmsg(socket, &message, MsgNoSignal) < 0) throw new IOException(Marshal.GetLastPInvokeErrorMessage());
        }
    }

    /// <summary>Receives one message; empty text at the end.</summary>
    public static (string Text, int[] Descriptors) Receive(int socket)
    {
        byte* control = stackalloc byte[sizeof(ControlHead) + Most * sizeof(int)];
        var bytes = new byte[64 * 1024];
        fixed (byte* start = bytes)
        {
            var part = new Vector { Base = start, Length = bytes.Length };
            var message = new Message { Parts = &part, PartCount = 1, Control = control, ControlLength = sizeof(ControlHead) + Most * sizeof(int) };
            nint n = recvmsg(socket, &message, MsgCloExec);
            if (n < 0) throw new IOException(Marshal.GetLastPInvokeErrorMessage());
            int[] descriptors = [];
            var head = (ControlHead*)control;
            if (message.ControlLength >= sizeof(ControlHead) && head->Level == SolSocket && head->Type == ScmRights)
                descriptors = new ReadOnlySpan<int>(control + sizeof(ControlHead), (int)(head->Length - sizeof(ControlHead)) / sizeof(int)).ToArray();
            return (Encoding.UTF8.GetString(bytes, 0, (int)n), descriptors);
        }
    }

    /// <summary>Whether the process at the other end belongs to the same user: an abstract name is open to everybody.</summary>
    public static bool IsOurs(int socket)
    {
        int* credentials = stackalloc int[3];
        int length = 3 * sizeof(int);
        return getsockopt(socket, SolSocket, SoPeerCred, credentials, &length) == 0 && (uint)credentials[1] == getuid();
    }
}
