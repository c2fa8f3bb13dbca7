// The deflate library that .NET itself is shipped with, below its streams: those neither take the size of window and memory nor say where a
// packed body ended, and whether it did. It is part of the runtime and, compiled ahead of time, of the program.
using System.Runtime.InteropServices;

namespace Naru.Http.Codings;

internal static unsafe partial class Zlib
{
    public const int Deflated = 8;
    public const int NoFlush = 0, SyncFlush = 2, Finish = 4;
    public const int Ok = 0, StreamEnd = 1, BufferError = -5;

    /// <summary>Added to the bits of the window: the framing is gzip's.</summary>
    public const int GzipFraming = 16;

    private const string Lib = "libSystem.IO.Compression.Native";

    /// <summary>Windows on input and output, and the state between calls.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct ZStream
    {
        public byte* NextIn;
        public byte* NextOut;
        public byte* Message;
        public nint State;
        public uint AvailableIn;
        public uint AvailableOut;
    }

    [LibraryImport(Lib, EntryPoint = "CompressionNative_DeflateInit2_")]
    public static partial int DeflateInit(ZStream* stream, int level, int method, int windowBits, int memoryLevel, int strategy);

    [LibraryImport(Lib, EntryPoint = "CompressionNative_Deflate")]
    public static partial int Deflate(ZStream* stream, int flush);

    [LibraryImport(Lib, EntryPoint = "CompressionNative_DeflateEnd")]
    public static partial int DeflateEnd(ZStream* stream);

    [LibraryImport(Lib, EntryPoint = "CompressionNative_InflateInit2_")]
    public static partial int InflateInit(ZStream* stream, int windowBits);

    [LibraryImport(Lib, EntryPoint = "CompressionNative_Inflate")]
    public static partial int Inflate(ZStream* stream, int flush);

    [LibraryImport(Lib, EntryPoint = "CompressionNative_InflateReset2_")]
    public static partial int InflateReset(ZStream* stream, int windowBits);

    [LibraryImport(Lib, EntryPoint = "CompressionNative_InflateEnd")]
    public static partial int InflateEnd(ZStream* stream);
}
