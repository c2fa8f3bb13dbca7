// decompressor_library: how gzip and brotli are unpacked, and how much may come of a body. Others are refused by name.
using Envoy.Config.Core.V3;
using Naru.Http.Codings;
using Naru.Proxy.Config.Reading;
using Brotli = Envoy.Extensions.Compression.Brotli.Decompressor.V3.Brotli;
using Gzip = Envoy.Extensions.Compression.Gzip.Decompressor.V3.Gzip;

namespace Naru.Proxy.Filters.Http.Decompressor;

/// <summary>A way to unpack.</summary>
/// <param name="Name">As configured; a part of names of statistics.</param>
/// <param name="Coding">What bodies are.</param>
/// <param name="WindowBits">Of gzip: the largest window that is taken.</param>
/// <param name="MostRatio">Bytes that may come of each that came in (Envoy: max_inflate_ratio; of brotli it is fixed).</param>
internal sealed record UnpackingLibrary(string Name, PackCoding Coding, int WindowBits, int MostRatio)
{
    private const int StandardRatio = 100;
    private const string GzipType = "envoy.extensions.compression.gzip.decompressor.v3.Gzip";
    private const string BrotliType = "envoy.extensions.compression.brotli.decompressor.v3.Brotli";

    internal const string Fields = """
        envoy.extensions.compression.gzip.decompressor.v3.Gzip
          + window_bits max_inflate_ratio
          ~ chunk_size: pieces are as large as the buffers of the proxy
        envoy.extensions.compression.brotli.decompressor.v3.Brotli
          ~ chunk_size: pieces are as large as the buffers of the proxy
          - disable_ring_buffer_reallocation: the window grows with what comes

        """;

    /// <summary>Its name in statistics.</summary>
    public string StatName => Coding == PackCoding.Gzip ? "gzip" : "brotli";

    /// <summary>Its name in <c>content-encoding</c>.</summary>
    public ReadOnlySpan<byte> Token() => Coding == PackCoding.Gzip ? "gzip"u8 : "br"u8;

    /// <summary>For one body.</summary>
    public BodyUnpacker Begin() => Coding == PackCoding.Gzip ? new GzipUnpacker(WindowBits) : new BrotliUnpacker();

    /// <summary>Reads one; null after an error.</summary>
    public static UnpackingLibrary? Read(Scope parent, TypedExtensionConfig? library)
    {
        const string Field = "decompressor_library";
        if (library is null)
        {
            parent.Error(Field, "NARU-C101", $"\"{Field}\" is required", $"give a {GzipType}");
            return null;
        }
        Scope scope = parent.In(Field, library);
        Values.Required(scope, "name", library.Name);
        if (library.TypedConfig is not { } any)
        {
            scope.Error("typed_config", "NARU-C101", "\"typed_config\" is required");
            return null;
        }
        switch (EnvoyTypes.NameOf(any))
        {
            case GzipType when scope.Pass.Unpack<Gzip>(any, scope) is { } gzip:
                Scope at = scope.In("typed_config", gzip);
                FieldWalk.Check(at);
                return new UnpackingLibrary(
                    library.Name, PackCoding.Gzip, Values.Count(at, "window_bits", gzip.WindowBits, 15, 9, 15),
                    Values.Count(at, "max_inflate_ratio", gzip.MaxInflateRatio, StandardRatio, 1, 1032));
            case BrotliType when scope.Pass.Unpack<Brotli>(any, scope) is { } brotli:
                FieldWalk.Check(scope.In("typed_config", brotli));
                return new UnpackingLibrary(library.Name, PackCoding.Brotli, 0, StandardRatio);
            case GzipType or BrotliType:
                return null;
            default:
                scope.Error("typed_config", "NARU-C112", $"Naru does not support the decompressor {EnvoyTypes.NameOf(any)}",
                    "known here: gzip and brotli");
                return null;
        }
    }
}
