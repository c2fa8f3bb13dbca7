// What requests and answers say in headers and cookies becomes metadata, for routes, formats and logs. Values that are empty, too long,
// or not of the type that a rule wants, are left out. The narrowest level that has rules has all of them.
using System.Text;
using Naru.Proxy.Http;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.HeaderToMetadata;

internal sealed class HeaderToMetadataFilter(MetadataRules own) : HttpFilter
{
    // Longer ones are not kept (Envoy: MAX_HEADER_VALUE_LEN).
    private const int LongestValue = 8 * 1024;

    public override FilterStages Stages => FilterStages.RequestHead | FilterStages.ResponseHead;

    public override bool IsPure(object? said) => true;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        Apply((call.Route<MetadataRules>() ?? own).Request, call.Request, call.Exchange);
        return new ValueTask<FilterVerdict>(FilterVerdict.Go);
    }

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        Apply((call.Route<MetadataRules>() ?? own).Response, call.Response, call.Exchange);
        return new ValueTask<bool>(true);
    }

    private static void Apply(MetadataRuleConfig[] rules, HeadEdits head, Exchange x)
    {
        foreach (MetadataRuleConfig rule in rules)
        {
            LineBuffer found = x.Scratch;
            found.Clear();
            bool there = rule.IsCookie ? Cookie(rule, head, found) : Header(rule, head, found);
            if ((there ? rule.Present : rule.Missing) is not { } pair) continue;
            if (Made(pair, found) is { } value) x.SetMetadata(pair.NamespaceBytes, MetaValue.Empty.With(pair.KeyBytes, value));
        }
    }

    // Of several lines all values, joined.
    private static bool Header(MetadataRuleConfig rule, HeadEdits head, LineBuffer found)
    {
        if (rule.NameBytes[0] == ':' || rule.Name == "host")
        {
            if (!head.TryGet(rule.NameBytes, out ReadOnlySpan<byte> pseudo)) return false;
            found.Append(pseudo);
            return true;
        }
        bool there = false;
        for (int i = head.Next(rule.NameBytes); i >= 0; i = head.Next(rule.NameBytes, i + 1))
        {
            if (there) found.Append((byte)',');
            there = true;
            found.Append(head.Value(i));
        }
        if (there && rule.Remove) head.Remove(rule.NameBytes);
        return there;
    }

    private static bool Cookie(MetadataRuleConfig rule, HeadEdits head, LineBuffer found)
    {
        if (!Cookies.TryGet(head, rule.NameBytes, out ReadOnlySpan<byte> value) || value.IsEmpty) return false;
        found.Append(value);
        return true;
    }

    private static MetaValue? Made(MetadataPairConfig pair, LineBuffer found)
    {
        if (pair.Value.Length == 0 && found.Length >= LongestValue) return null;
        byte[] value = pair.Value.Length > 0 ? Encoding.UTF8.GetBytes(pair.Value)
            : pair.Rewrite is { } rewrite ? PathRewrite.Replace(found.Written, rewrite.Pattern, rewrite.Substitution)
            : found.Written.ToArray();
        if (pair.IsBase64 && !Decode(ref value)) return null;
        if (value.Length is 0 or >= LongestValue) return null;
        if (!pair.IsNumber) return MetaValue.Of(value);
        return MetaValue.TryNumber(value.AsSpan().Trim(" \t"u8), out double number) && double.IsFinite(number) ? MetaValue.Of(number)
            : null;
    }

    // With or without the signs that fill it up.
    private static bool Decode(ref byte[] value)
    {
        string text = Encoding.Latin1.GetString(value).TrimEnd('=');
        if (text.Length % 4 == 1) return false;
        byte[] decoded = new byte[text.Length];
        if (!Convert.TryFromBase64String(text.PadRight((text.Length + 3) / 4 * 4, '='), decoded, out int length)) return false;
        value = decoded[..length];
        return true;
    }
}
