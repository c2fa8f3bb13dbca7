// envoy.config.core.v3.DataSource where a file is read again when it changes: the path is kept, everything else becomes bytes.
// Refuses files that cannot be read now; what they hold is nobody's business here.
using System.Collections.Immutable;
using System.Text;
using Envoy.Config.Core.V3;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads data sources that are watched.</summary>
internal static class DataSources
{
    /// <summary>The source; null where there is none, or after an error.</summary>
    public static DataSourceConfig? Read(Scope scope, string field, DataSource? source, bool mayBeEmpty = false)
    {
        if (source is null) return null;
        Scope at = scope.In(field, source);
        switch (source.SpecifierCase)
        {
            case DataSource.SpecifierOneofCase.Filename: return File(at, source.Filename);
            case DataSource.SpecifierOneofCase.InlineBytes: return Bytes(at, "inline_bytes", source.InlineBytes.Span, mayBeEmpty);
            case DataSource.SpecifierOneofCase.InlineString: return Bytes(at, "inline_string", Encoding.UTF8.GetBytes(source.InlineString), mayBeEmpty);
            case DataSource.SpecifierOneofCase.EnvironmentVariable:
                if (Environment.GetEnvironmentVariable(source.EnvironmentVariable) is { } value) return Bytes(at, "environment_variable", Encoding.UTF8.GetBytes(value), mayBeEmpty);
                at.Error("environment_variable", "NARU-C104", $"the environment has no {source.EnvironmentVariable}");
                return null;
            default:
                at.Error("", "NARU-C101", "a data source needs filename, inline_string, inline_bytes or environment_variable");
                return null;
        }
    }

    private static DataSourceConfig? File(Scope scope, string path)
    {
        if (!Values.Required(scope, "filename", path)) return null;
        try
        {
            using FileStream file = System.IO.File.OpenRead(path);
            return new DataSourceConfig(path);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            scope.Error("filename", "NARU-C104", fault is FileNotFoundException or DirectoryNotFoundException ? $"there is no file \"{path}\"" : $"cannot read \"{path}\": {fault.Message}");
            return null;
        }
    }

    private static DataSourceConfig? Bytes(Scope scope, string field, ReadOnlySpan<byte> bytes, bool mayBeEmpty)
    {
        if (bytes.Length > 0 || mayBeEmpty) return new DataSourceConfig(null, [.. bytes]);
        scope.Error(field, "NARU-C101", $"\"{field}\" is empty");
        return null;
    }
}
