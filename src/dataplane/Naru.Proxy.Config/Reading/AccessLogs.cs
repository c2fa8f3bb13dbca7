// envoy.config.accesslog.v3.AccessLog: file, stdout and stderr loggers as records.
// Formats stay text, once they are known to compile.
using System.Collections.Immutable;
using Envoy.Config.Accesslog.V3;
using Envoy.Config.Core.V3;
using Envoy.Extensions.AccessLoggers.File.V3;
using Envoy.Extensions.AccessLoggers.Stream.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Telemetry;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads access loggers.</summary>
internal static class AccessLogs
{
    private const string Known = "the access loggers known here are envoy.access_loggers.file, .stdout and .stderr";

    /// <summary>The loggers of a repeated field; those with errors are left out.</summary>
    public static ImmutableArray<AccessLogConfig> All(Scope scope, string field, IReadOnlyList<AccessLog> given)
    {
        var logs = ImmutableArray.CreateBuilder<AccessLogConfig>(given.Count);
        for (int i = 0; i < given.Count; i++)
        {
            if (Read(scope.In(field, i, given[i]), given[i]) is { } config) logs.Add(config);
        }
        return logs.ToImmutable();
    }

    /// <summary>One logger, or null after an error.</summary>
    public static AccessLogConfig? Read(Scope scope, AccessLog log)
    {
        if (log.TypedConfig is not { } any)
        {
            switch (log.Name)
            {
                case "envoy.access_loggers.stdout": return new AccessLogConfig("/dev/stdout", null, []);
                case "envoy.access_loggers.stderr": return new AccessLogConfig("/dev/stderr", null, []);
            }
            scope.Error("typed_config", "NARU-C101", $"the access logger \"{log.Name}\" has no typed_config", Known);
            return null;
        }
        switch (EnvoyTypes.NameOf(any))
        {
            case "envoy.extensions.access_loggers.file.v3.FileAccessLog":
                return scope.Pass.Unpack<FileAccessLog>(any, scope) is { } file ? File(scope.In("typed_config", file), file) : null;
            case "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog":
                return scope.Pass.Unpack<StdoutAccessLog>(any, scope) is { } stdout ? Stream(scope.In("typed_config", stdout), "/dev/stdout", stdout.LogFormat) : null;
            case "envoy.extensions.access_loggers.stream.v3.StderrAccessLog":
                return scope.Pass.Unpack<StderrAccessLog>(any, scope) is { } stderr ? Stream(scope.In("typed_config", stderr), "/dev/stderr", stderr.LogFormat) : null;
            case var name:
                scope.Error("typed_config", "NARU-C112", $"Naru does not support the access logger {name} yet", Known);
                return null;
        }
    }

    private static AccessLogConfig? File(Scope scope, FileAccessLog log)
    {
        FieldWalk.Check(scope);
        if (!Values.Required(scope, "path", log.Path)) return null;
        return log.AccessLogFormatCase switch
        {
            FileAccessLog.AccessLogFormatOneofCase.Format when log.Format.Length > 0 => Text(scope, "format", log.Path, log.Format),
            FileAccessLog.AccessLogFormatOneofCase.JsonFormat => Json(scope, "json_format", log.Path, log.JsonFormat),
            FileAccessLog.AccessLogFormatOneofCase.TypedJsonFormat => Json(scope, "typed_json_format", log.Path, log.TypedJsonFormat),
            FileAccessLog.AccessLogFormatOneofCase.LogFormat => Format(scope.In("log_format", log.LogFormat), log.Path, log.LogFormat),
            _ => new AccessLogConfig(log.Path, null, []),
        };
    }

    private static AccessLogConfig? Stream(Scope scope, string path, SubstitutionFormatString? format)
    {
        FieldWalk.Check(scope);
        return format is null ? new AccessLogConfig(path, null, []) : Format(scope.In("log_format", format), path, format);
    }

    private static AccessLogConfig? Format(Scope scope, string path, SubstitutionFormatString format)
    {
        switch (format.FormatCase)
        {
            case SubstitutionFormatString.FormatOneofCase.TextFormat:
                return Text(scope, "text_format", path, format.TextFormat);
            case SubstitutionFormatString.FormatOneofCase.TextFormatSource:
                return Values.Data(scope.In("text_format_source", format.TextFormatSource), format.TextFormatSource) is { } text
                    ? Text(scope, "text_format_source", path, text.ToStringUtf8())
                    : null;
            case SubstitutionFormatString.FormatOneofCase.JsonFormat:
                return Json(scope, "json_format", path, format.JsonFormat);
            default:
                scope.Error("", "NARU-C101", "a log format needs text_format, text_format_source or json_format");
                return null;
        }
    }

    private static AccessLogConfig Text(Scope scope, string field, string path, string format)
    {
        scope.CheckFormat(field, format, FormatUse.LogLine);
        return new AccessLogConfig(path, format, []);
    }

    private static AccessLogConfig? Json(Scope scope, string field, string path, Struct json)
    {
        var fields = ImmutableArray.CreateBuilder<KeyValuePair<string, string>>(json.Fields.Count);
        foreach ((string key, Value value) in json.Fields)
        {
            if (value.KindCase == Value.KindOneofCase.StringValue) scope.CheckFormat(field, value.StringValue, FormatUse.LogLine);
            switch (value.KindCase)
            {
                case Value.KindOneofCase.StringValue: fields.Add(new(key, value.StringValue)); break;
                case Value.KindOneofCase.NumberValue: fields.Add(new(key, value.NumberValue.ToString(System.Globalization.CultureInfo.InvariantCulture))); break;
                case Value.KindOneofCase.BoolValue: fields.Add(new(key, value.BoolValue ? "true" : "false")); break;
                default:
                    scope.Error(field, "NARU-C113", $"the value of \"{key}\" is not a text", "nested JSON is not supported; give each key one format");
                    return null;
            }
        }
        return new AccessLogConfig(path, null, fields.ToImmutable());
    }
}
