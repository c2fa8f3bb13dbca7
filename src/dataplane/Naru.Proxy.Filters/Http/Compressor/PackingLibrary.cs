// compressor_library: how gzip and brotli pack. Others are refused by name; zstd is no part of .NET 10.
using System.Globalization;
using Envoy.Config.Core.V3;
using Naru.Http.Codings;
using Naru.Proxy.Config.Reading;
using Brotli = Envoy.Extensions.Compression.Brotli.Compressor.V3.Brotli;
using Gzip = Envoy.Extensions.Compression.Gzip.Compressor.V3.Gzip;

namespace Naru.Proxy.Filters.Http.Compressor;

/// <summary>A way to pack.</summary>
/// <param name="Name">As configured; a part of names of statistics.</param>
/// <param name="Coding">What becomes of a body.</param>
internal abstract record PackingLibrary(string Name, PackCoding Coding)
{
    internal const string GzipType = "envoy.extensions.compression.gzip.compressor.v3.Gzip";
    internal const string BrotliType = "envoy.extensions.compression.brotli.compressor.v3.Brotli";

    internal const string Fields = """
        envoy.extensions.compression.gzip.compressor.v3.Gzip
          + memory_level compression_level compression_strategy window_bits
          ~ chunk_size: pieces are as large as the buffers of the proxy
        envoy.extensions.compression.brotli.compressor.v3.Brotli
          + quality window_bits encoder_mode
          ~ chunk_size: pieces are as large as the buffers of the proxy
          - input_block_bits: the encoder chooses it
          - disable_literal_context_modeling: the encoder chooses it

        """;

    /// <summary>Its name in statistics.</summary>
    public string StatName => Coding == PackCoding.Gzip ? "gzip" : "brotli";

    /// <summary>Its name in <c>content-encoding</c>.</summary>
    public ReadOnlySpan<byte> Token() => Coding == PackCoding.Gzip ? "gzip"u8 : "br"u8;

    /// <summary>For one body.</summary>
    public abstract BodyPacker Begin();

    /// <summary>Reads one; null after an error.</summary>
    public static PackingLibrary? Read(Scope parent, string field, TypedExtensionConfig? library)
    {
        if (library is null)
        {
            parent.Error(field, "NARU-C101", $"\"{field}\" is required", $"give a {GzipType}");
            return null;
        }
        Scope scope = parent.In(field, library);
        Values.Required(scope, "name", library.Name);
        if (library.TypedConfig is not { } any)
        {
            scope.Error("typed_config", "NARU-C101", "\"typed_config\" is required");
            return null;
        }
        switch (EnvoyTypes.NameOf(any))
        {
            case GzipType when scope.Pass.Unpack<Gzip>(any, scope) is { } gzip:
                return OfGzip(scope.In("typed_config", gzip), library.Name, gzip);
            case BrotliType when scope.Pass.Unpack<Brotli>(any, scope) is { } brotli:
                return OfBrotli(scope.In("typed_config", brotli), library.Name, brotli);
            case GzipType or BrotliType:
                return null;
            default:
                scope.Error("typed_config", "NARU-C112", $"Naru does not support the compressor {EnvoyTypes.NameOf(any)}",
                    "known here: gzip and brotli");
                return null;
        }
    }

    private static GzipPacking OfGzip(Scope scope, string name, Gzip gzip)
    {
        FieldWalk.Check(scope);
        int level = (int)gzip.CompressionLevel, strategy = (int)gzip.CompressionStrategy;
        if (level is < 0 or > 9) scope.Error("compression_level", "NARU-C102", $"{level} is not a compression_level");
        if (strategy is < 0 or > 4) scope.Error("compression_strategy", "NARU-C102", $"{strategy} is not a compression_strategy");
        return new GzipPacking(name, new GzipOptions(
            level == 0 ? -1 : level,
            Values.Count(scope, "window_bits", gzip.WindowBits, 12, 9, 15),
            Values.Count(scope, "memory_level", gzip.MemoryLevel, 5, 1, 9),
            strategy));
    }

    private static BrotliPacking OfBrotli(Scope scope, string name, Brotli brotli)
    {
        FieldWalk.Check(scope);
        if (brotli.EncoderMode is not (Brotli.Types.EncoderMode.Default or Brotli.Types.EncoderMode.Generic))
        {
            string mode = brotli.EncoderMode.ToString().ToUpper(CultureInfo.InvariantCulture);
            scope.Error("encoder_mode", "NARU-C113", $"the encoder has no mode {mode}", "leave encoder_mode out");
        }
        return new BrotliPacking(
            name, Values.Count(scope, "quality", brotli.Quality, 3, 0, 11), Values.Count(scope, "window_bits", brotli.WindowBits, 18, 10, 24));
    }
}

/// <summary>gzip.</summary>
internal sealed record GzipPacking(string Name, GzipOptions Options) : PackingLibrary(Name, PackCoding.Gzip)
{
    public override BodyPacker Begin() => new GzipPacker(Options);
}

/// <summary>Brotli.</summary>
internal sealed record BrotliPacking(string Name, int Quality, int WindowBits) : PackingLibrary(Name, PackCoding.Brotli)
{
    public override BodyPacker Begin() => new BrotliPacker(Quality, WindowBits);
}
