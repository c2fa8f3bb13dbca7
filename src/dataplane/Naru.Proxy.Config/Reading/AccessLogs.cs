// envoy.config.accesslog.v3.AccessLog: file, stdout and stderr loggers as records.
// Formats stay text, once they are known to compile.
using System.Collections.Immutable;
using Envoy.Config.Accesslog.V3;
using Envoy.Config.Core.V3;
using Envoy.Extensions.AccessLoggers.File.V3;
using Envoy.Extensions.AccessLoggers.Stream.V3;
using Naru.Telemetry;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads access loggers.</summary>
internal static class AccessLogs
{
    private const string Known =
        "the access loggers known here are envoy.access_loggers.file, .stdout, .stderr, .http_grpc, .tcp_grpc and .open_telemetry";

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
        LogFilterConfig? filter = null;
        if (log.Filter is { } given && (filter = LogFilters.Read(scope.In("filter", given), given)) is null) return null;
        return Logger(scope, log) is { } config ? config with { Filter = filter } : null;
    }

    private static AccessLogConfig? Logger(Scope scope, AccessLog log)
    {
        if (log.TypedConfig is not { } any)
        {
            switch (log.Name)
            {
                case "envoy.access_loggers.stdout": return new AccessLogConfig("/dev/stdout");
                case "envoy.access_loggers.stderr": return new AccessLogConfig("/dev/stderr");
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
            case var name when LogServices.TryRead(scope, any, name, out LogServiceConfig? service):
                return service is null ? null : new AccessLogConfig("") { Service = service };
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
            FileAccessLog.AccessLogFormatOneofCase.Format when log.Format.Length > 0 => new AccessLogConfig(log.Path, Formats.Text(scope, "format", log.Format, FormatUse.LogLine)),
            FileAccessLog.AccessLogFormatOneofCase.JsonFormat => new AccessLogConfig(log.Path, Formats.Json(scope, "json_format", log.JsonFormat, FormatUse.LogLine)),
            FileAccessLog.AccessLogFormatOneofCase.TypedJsonFormat => new AccessLogConfig(log.Path, Formats.Json(scope, "typed_json_format", log.TypedJsonFormat, FormatUse.LogLine)),
            FileAccessLog.AccessLogFormatOneofCase.LogFormat => Format(scope.In("log_format", log.LogFormat), log.Path, log.LogFormat),
            _ => new AccessLogConfig(log.Path),
        };
    }

    private static AccessLogConfig? Stream(Scope scope, string path, SubstitutionFormatString? format)
    {
        FieldWalk.Check(scope);
        return format is null ? new AccessLogConfig(path) : Format(scope.In("log_format", format), path, format);
    }

    private static AccessLogConfig? Format(Scope scope, string path, SubstitutionFormatString format) =>
        Formats.Read(scope, format, FormatUse.LogLine) is { } source ? new AccessLogConfig(path, source) : null;
}
