// envoy.config.core.v3.SubstitutionFormatString, and the Struct that a JSON format is: read as sources of formats that are known to compile.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Telemetry;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads formats.</summary>
internal static class Formats
{
    private const string WithoutQuery = "envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery";

    /// <summary>A format, or null after an error.</summary>
    public static FormatSource? Read(Scope scope, SubstitutionFormatString format, FormatUse use)
    {
        for (int i = 0; i < format.Formatters.Count; i++)
        {
            TypedExtensionConfig formatter = format.Formatters[i];
            string name = formatter.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : formatter.Name;
            // Its operator is always known.
            if (name == WithoutQuery) continue;
            scope.In("formatters", i, formatter).Error("typed_config", "NARU-C112", $"Naru does not support the formatter {name} yet", "remove it, and its operators from the format");
            return null;
        }
        var more = new FormatSource { OmitEmpty = format.OmitEmptyValues, ContentType = format.ContentType };
        if (format.ContentType.AsSpan().IndexOfAny('\r', '\n', '\0') >= 0)
        {
            scope.Error("content_type", "NARU-C108", "\"content_type\" holds a line end or NUL");
            return null;
        }
        switch (format.FormatCase)
        {
            case SubstitutionFormatString.FormatOneofCase.TextFormat:
                return Text(scope, "text_format", format.TextFormat, use, more);
            case SubstitutionFormatString.FormatOneofCase.TextFormatSource:
                return Values.Data(scope.In("text_format_source", format.TextFormatSource), format.TextFormatSource) is { } text
                    ? Text(scope, "text_format_source", text.ToStringUtf8(), use, more)
                    : null;
            case SubstitutionFormatString.FormatOneofCase.JsonFormat:
                return Json(scope, "json_format", format.JsonFormat, use, more);
            default:
                scope.Error("", "NARU-C101", "a format needs text_format, text_format_source or json_format");
                return null;
        }
    }

    /// <summary>A text with command operators.</summary>
    public static FormatSource Text(Scope scope, string field, string format, FormatUse use, FormatSource? more = null) =>
        Checked(scope, field, use, (more ?? new FormatSource()) with { Text = format });

    /// <summary>An object whose texts are such.</summary>
    public static FormatSource Json(Scope scope, string field, Struct json, FormatUse use, FormatSource? more = null) =>
        Checked(scope, field, use, (more ?? new FormatSource()) with { Json = Map(json) });

    private static FormatSource Checked(Scope scope, string field, FormatUse use, FormatSource source)
    {
        scope.CheckFormat(field, source, use);
        return source;
    }

    private static FormatMap Map(Struct json) => new([.. json.Fields.Select(f => new KeyValuePair<string, FormatNode>(f.Key, Node(f.Value)))]);

    private static FormatNode Node(Value value) => value.KindCase switch
    {
        Value.KindOneofCase.StringValue => new FormatText(value.StringValue),
        Value.KindOneofCase.NumberValue => FormatNode.Of(value.NumberValue),
        Value.KindOneofCase.BoolValue => new FormatLiteral(value.BoolValue ? "true" : "false"),
        Value.KindOneofCase.StructValue => Map(value.StructValue),
        Value.KindOneofCase.ListValue => new FormatList([.. value.ListValue.Values.Select(Node)]),
        _ => new FormatLiteral("null"),
    };
}
