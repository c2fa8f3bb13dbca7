// Looks for values in a request's body while its head waits, and has the route chosen again where it found some. It waits for no more than
// it may look at, and passes on what came. What it cannot read from beginning to end is an error, and nothing is concluded from a part.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Bodies;
using Naru.Http.Http1;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.BodyToMetadata;

internal sealed class BodyToMetadataFilter(BodyRules own, FilterContext context) : HttpFilter
{
    private const double MostWhole = 1L << 53;

    private static readonly StatSchema s_schema = new();
    private static readonly int s_success = s_schema.Counter("success"), s_noBody = s_schema.Counter("no_body"),
        s_otherType = s_schema.Counter("mismatched_content_type"), s_tooLarge = s_schema.Counter("too_large"),
        s_invalid = s_schema.Counter("invalid"), s_refused = s_schema.Counter("refused");

    [ThreadStatic]
    private static BodyFindings? t_found;

    private readonly StatBlock _stats = context.Block("body_to_metadata", s_schema);

    public override FilterStages Stages => FilterStages.RequestHead;

    // A tunnel has no body before it.
    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        Exchange x = call.Exchange;
        if (x.IsUpgrade) return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        BodyRules rules = call.Route<BodyRules>() ?? own;
        if (x.Framing.Body == BodyKind.None) return new ValueTask<FilterVerdict>(Missing(call, rules, s_noBody));
        // Nobody knows which of several its service believes.
        if (!MediaTypes.TryOne(call.Request, out ReadOnlySpan<byte> type))
            return new ValueTask<FilterVerdict>(Error(call, rules, null, s_invalid));
        BodyForm form = MediaTypes.Form(type);
        if (form == BodyForm.None || !rules.Has(form)) return new ValueTask<FilterVerdict>(Missing(call, rules, s_otherType));
        if (!MediaTypes.IsPlain(call.Request, type)) return new ValueTask<FilterVerdict>(Error(call, rules, form, s_invalid));
        return LookAsync(call, rules, form);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<FilterVerdict> LookAsync(FilterCall call, BodyRules rules, BodyForm form)
    {
        bool grpc = form == BodyForm.Grpc;
        int most = grpc ? rules.MostBytes + ProtoBody.Prefix : rules.MostBytes;
        switch (await call.PeekAsync(most, grpc ? PeekUntil.GrpcMessage : PeekUntil.End))
        {
            case PeekResult.Here:
                using (PeekedBody body = call.Peeked()) return Read(call, rules, form, body.Bytes);
            case PeekResult.TooLarge:
                return Error(call, rules, form, s_tooLarge);
            case PeekResult.Answered:
                return FilterVerdict.Answer;
            default:
                return FilterVerdict.Go;
        }
    }

    private FilterVerdict Read(FilterCall call, BodyRules rules, BodyForm form, ReadOnlySpan<byte> body)
    {
        if (body.IsEmpty) return Missing(call, rules, s_noBody);
        BodyFindings found = t_found ??= new BodyFindings();
        found.Begin(rules.Rules.Length);
        switch (form)
        {
            case BodyForm.Json when !JsonBody.Read(body, rules.Json, found):
            case BodyForm.Xml when !XmlBody.Read(body, rules.Xml, found):
                return Error(call, rules, form, s_invalid);
            case BodyForm.Form:
                FormBody.Read(body, rules.Form, found);
                break;
            case BodyForm.Grpc:
                if (ProtoBody.First(body, out uint length) != GrpcFrame.Whole) return Error(call, rules, form, s_invalid);
                if (length > rules.MostBytes) return Error(call, rules, form, s_tooLarge);
                if (!ProtoBody.Read(body.Slice(ProtoBody.Prefix, (int)length), rules.Grpc, found))
                    return Error(call, rules, form, s_invalid);
                break;
        }
        bool any = false, unclear = false;
        for (int i = 0; i < rules.Rules.Length; i++)
        {
            BodyRule rule = rules.Rules[i];
            MetaValue? value = found[i].Kind == FindingKind.Missing ? rule.Missing
                : rule.Present is { } said && found[i].Kind is not (FindingKind.Unclear or FindingKind.TooLong) ? said
                : Made(rule, found[i]);
            if (value is null && found[i].Kind != FindingKind.Missing)
            {
                unclear = true;
                value = rule.Error;
            }
            any |= Say(call, rule, value);
        }
        long[] stats = _stats.Shard(call.Worker.Index);
        stats[unclear ? s_invalid : s_success]++;
        if (unclear && rules.Refuses) return Refuse(call, FilterReasons.BodyUnreadable);
        return any ? FilterVerdict.RouteAgain : FilterVerdict.Go;
    }

    // Rules for bodies of other kinds find nothing; of a body whose kind is not known (null) each may be the one.
    private FilterVerdict Error(FilterCall call, BodyRules rules, BodyForm? form, int stat)
    {
        _stats.Shard(call.Worker.Index)[stat]++;
        if (rules.Refuses) return Refuse(call, stat == s_tooLarge ? FilterReasons.BodyTooLong : FilterReasons.BodyUnreadable);
        bool any = false;
        foreach (BodyRule rule in rules.Rules) any |= Say(call, rule, form is null || rule.Kind == form ? rule.Error : rule.Missing);
        return any ? FilterVerdict.RouteAgain : FilterVerdict.Go;
    }

    private FilterVerdict Missing(FilterCall call, BodyRules rules, int stat)
    {
        _stats.Shard(call.Worker.Index)[stat]++;
        bool any = false;
        foreach (BodyRule rule in rules.Rules) any |= Say(call, rule, rule.Missing);
        return any ? FilterVerdict.RouteAgain : FilterVerdict.Go;
    }

    private FilterVerdict Refuse(FilterCall call, Reason reason)
    {
        _stats.Shard(call.Worker.Index)[s_refused]++;
        return call.Refuse(reason);
    }

    private static bool Say(FilterCall call, BodyRule rule, MetaValue? value)
    {
        if (value is null) return false;
        call.Exchange.SetMetadata(rule.Namespace, MetaValue.Empty.With(rule.Key, value));
        return true;
    }

    // Null where it has no value that a route could be compared with.
    private static MetaValue? Made(BodyRule rule, BodyFinding found) => found.Kind switch
    {
        FindingKind.Text => MetaValue.Of(found.Text),
        FindingKind.Number when rule.AsText => MetaValue.Of(found.Text),
        FindingKind.Number => MetaValue.TryNumber(found.Text, out double number) && IsExact(number) ? MetaValue.Of(number) : null,
        FindingKind.True or FindingKind.False when rule.AsText => MetaValue.Of(found.Kind == FindingKind.True ? "true"u8 : "false"u8),
        FindingKind.True => MetaValue.Of(true),
        FindingKind.False => MetaValue.Of(false),
        FindingKind.Null => MetaValue.Null,
        _ => null,
    };

    // A number that a double may round to another one is not compared at all.
    private static bool IsExact(double number) => Math.Abs(number) < MostWhole;
}

/// <summary>What a body is by its content type.</summary>
internal static class MediaTypes
{
    public static BodyForm Form(ReadOnlySpan<byte> type)
    {
        int end = type.IndexOf((byte)';');
        ReadOnlySpan<byte> name = (end < 0 ? type : type[..end]).Trim(" \t"u8);
        if (Is(name, "application/json"u8) || Is(name, "text/json"u8) || EndsWith(name, "+json"u8)) return BodyForm.Json;
        if (Is(name, "application/x-www-form-urlencoded"u8)) return BodyForm.Form;
        if (Is(name, "application/grpc"u8) || Is(name, "application/grpc+proto"u8)) return BodyForm.Grpc;
        return Is(name, "application/xml"u8) || Is(name, "text/xml"u8) || EndsWith(name, "+xml"u8) ? BodyForm.Xml : BodyForm.None;
    }

    /// <summary>The content type, or nothing where there is none; false where it is told several times, in lines or, joined, in one
    /// (RFC 9110 8.3: which of them counts differs between recipients).</summary>
    public static bool TryOne(HeadEdits head, out ReadOnlySpan<byte> type)
    {
        type = default;
        int index = head.Next("content-type"u8);
        if (index < 0) return true;
        if (head.Next("content-type"u8, index + 1) >= 0) return false;
        type = head.Value(index);
        bool quoted = false;
        for (int i = 0; i < type.Length; i++)
        {
            if (type[i] == '"') quoted = !quoted;
            else if (type[i] == '\\' && quoted) i++;
            else if (type[i] == ',' && !quoted) return false;
        }
        return true;
    }

    /// <summary>It is UTF-8 and not packed, as far as its head says.</summary>
    public static bool IsPlain(HeadEdits head, ReadOnlySpan<byte> type)
    {
        for (int i = head.Next("content-encoding"u8); i >= 0; i = head.Next("content-encoding"u8, i + 1))
            if (head.Value(i) is { Length: > 0 } coding && !Is(coding, "identity"u8)) return false;
        foreach (Range range in type.Split((byte)';'))
        {
            ReadOnlySpan<byte> parameter = type[range].Trim(" \t"u8);
            int equals = parameter.IndexOf((byte)'=');
            if (equals < 0 || !Is(parameter[..equals], "charset"u8)) continue;
            ReadOnlySpan<byte> set = parameter[(equals + 1)..].Trim("\""u8);
            if (!Is(set, "utf-8"u8) && !Is(set, "utf8"u8) && !Is(set, "us-ascii"u8)) return false;
        }
        return true;
    }

    private static bool Is(ReadOnlySpan<byte> text, ReadOnlySpan<byte> name) => Ascii.EqualsIgnoreCase(text, name);

    private static bool EndsWith(ReadOnlySpan<byte> text, ReadOnlySpan<byte> end) => text.Length > end.Length
        && Is(text[^end.Length..], end);
}
