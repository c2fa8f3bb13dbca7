// Prints protobuf messages as Envoy's admin does (snake_case, Any expanded), with secrets replaced first.
// Stands under /config_dump. Redaction goes by the names of fields, headers and metadata keys, through Any as well. Of addresses,
// wherever they stand, who logs in there is redacted, and of those that the proxy asks what is behind the question mark.
using System.Collections;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Envoy.Config.Core.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Host.Admin;

internal static partial class MessageJson
{
    private const string Redacted = "[redacted]";
    private const int MaxDepth = 64;

    private static readonly string[] s_secretWords = ["password", "secret", "token", "private_key", "session_ticket", "api_key", "apikey", "credential", "pkcs12"];

    // Names with such a word that hold references, or messages with secret fields of their own.
    private static readonly string[] s_openNames = ["secrets", "tls_certificate_sds_secret_configs", "validation_context_sds_secret_config", "session_ticket_keys_sds_secret_config"];

    private static readonly string[] s_secretHeaders = ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-amz-security-token"];

    private static readonly TypeRegistry s_types = EnvoyTypes.Registry;

    private static readonly JsonFormatter s_printer =
        new(JsonFormatter.Settings.Default.WithPreserveProtoFieldNames(true).WithTypeRegistry(s_types).WithIndentation(" "));

    /// <summary>Prints a message.</summary>
    /// <param name="message">It is not changed.</param>
    /// <param name="typed">Whether <c>@type</c> stands first, as where Envoy keeps an <c>Any</c>.</param>
    public static string Print(IMessage message, bool typed)
    {
        IMessage copy = message.Descriptor.Parser.ParseFrom(message.ToByteString());
        Redact(copy, 0);
        try
        {
            return s_printer.Format(typed ? Any.Pack(copy) : copy);
        }
        catch (InvalidOperationException)
        {
            // An Any inside holds a type that we do not know: show where it is instead of nothing.
            var text = new StringBuilder("{");
            if (typed) text.Append(" \"@type\": \"type.googleapis.com/").Append(message.Descriptor.FullName).Append("\",");
            return text.Append(" \"naru_not_printable\": \"").Append(JsonEncodedText.Encode($"holds a message of a type that this proxy does not know, {copy.CalculateSize()} bytes")).Append("\" }").ToString();
        }
    }

    private static void Redact(IMessage message, int depth)
    {
        if (depth > MaxDepth) return;
        switch (message)
        {
            case HeaderValue header when IsSecretHeader(header.Key):
                if (header.Value.Length > 0) header.Value = Redacted;
                if (!header.RawValue.IsEmpty) header.RawValue = ByteString.CopyFromUtf8(Redacted);
                return;
            case Any any:
                if (s_types.Find(Any.GetTypeName(any.TypeUrl)) is not { } type) return;
                IMessage inner = type.Parser.ParseFrom(any.Value);
                Redact(inner, depth + 1);
                any.Value = inner.ToByteString();
                return;
            case Struct map:
                foreach ((string key, Value value) in map.Fields.ToList())
                {
                    if (IsSecretName(key)) map.Fields[key] = Value.ForString(Redacted);
                    else Redact(value, depth + 1);
                }
                return;
        }
        foreach (FieldDescriptor field in message.Descriptor.Fields.InFieldNumberOrder())
        {
            if (field.HasPresence && !field.Accessor.HasValue(message)) continue;
            object? value = field.Accessor.GetValue(message);
            bool secret = IsSecretName(field.Name);
            if (field.IsMap) RedactMap((IDictionary)value, depth);
            else if (value is IList list) RedactList(list, secret, depth);
            else if (value is IMessage part) { if (secret) Blank(part, depth); else Redact(part, depth + 1); }
            else if (secret && value is string { Length: > 0 }) field.Accessor.SetValue(message, Redacted);
            else if (secret && value is ByteString { IsEmpty: false }) field.Accessor.SetValue(message, ByteString.CopyFromUtf8(Redacted));
            else if (value is string text && Cleaned(text, IsAsked(message, field)) is { } cleaned) field.Accessor.SetValue(message, cleaned);
        }
    }

    // What the proxy itself asks for: keys may stand in its query.
    private static bool IsAsked(IMessage message, FieldDescriptor field) =>
        (message is HealthCheck.Types.HttpHealthCheck && field.Name == "path") || (message is HttpUri && field.Name == "uri");

    // Null where there is nothing to redact.
    private static string? Cleaned(string text, bool isAsked = false)
    {
        string cleaned = text.Contains("://", StringComparison.Ordinal) ? UserInfo().Replace(text, $"://{Redacted}@") : text;
        int query = isAsked ? cleaned.IndexOf('?', StringComparison.Ordinal) : -1;
        if (query >= 0) cleaned = $"{cleaned[..query]}?{Redacted}";
        return ReferenceEquals(cleaned, text) ? null : cleaned;
    }

    // RFC 3986 3.2.1; a password with an at sign that was not escaped goes up to the last one.
    [GeneratedRegex(@"://[^/?#\s]*@")]
    private static partial Regex UserInfo();

    private static void RedactMap(IDictionary map, int depth)
    {
        foreach (object key in map.Keys.Cast<object>().ToList())
        {
            if (map[key] is IMessage part) Redact(part, depth + 1);
            else if (key is string name && map[key] is string && IsSecretName(name)) map[key] = Redacted;
            else if (map[key] is string text && Cleaned(text) is { } cleaned) map[key] = cleaned;
        }
    }

    private static void RedactList(IList list, bool secret, int depth)
    {
        for (int i = 0; i < list.Count; i++)
        {
            if (list[i] is IMessage part) { if (secret) Blank(part, depth); else Redact(part, depth + 1); }
            else if (secret && list[i] is string) list[i] = Redacted;
            else if (list[i] is string text && Cleaned(text) is { } cleaned) list[i] = cleaned;
        }
    }

    // The value of a secret field: every inline text and byte below it goes, file names stay.
    private static void Blank(IMessage message, int depth)
    {
        if (depth > MaxDepth) return;
        foreach (FieldDescriptor field in message.Descriptor.Fields.InFieldNumberOrder())
        {
            if (field.HasPresence && !field.Accessor.HasValue(message)) continue;
            object? value = field.Accessor.GetValue(message);
            if (field.IsMap) continue;
            if (value is IMessage part) Blank(part, depth + 1);
            else if (value is IList list) { foreach (object? item in list) if (item is IMessage each) Blank(each, depth + 1); }
            else if (field.Name is "filename" or "path") continue;
            else if (value is string { Length: > 0 }) field.Accessor.SetValue(message, Redacted);
            else if (value is ByteString { IsEmpty: false }) field.Accessor.SetValue(message, ByteString.CopyFromUtf8(Redacted));
        }
    }

    private static bool IsSecretHeader(string name) =>
        s_secretHeaders.Contains(name, StringComparer.OrdinalIgnoreCase) || IsSecretName(name.Replace('-', '_'));

    private static bool IsSecretName(string name)
    {
        if (s_openNames.Contains(name)) return false;
        foreach (string word in s_secretWords)
        {
            if (name.Contains(word, StringComparison.OrdinalIgnoreCase)) return true;
        }
        return false;
    }
}
