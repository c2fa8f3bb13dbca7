// What JSON bodies say becomes metadata. A request waits until its body is whole, and its route is chosen again where something was found;
// an answer does not wait: it is read as it passes, for logs. The narrowest level that has rules has all of them.
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Bodies;
using Naru.Http.Http1;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Telemetry;
using ValueType = Envoy.Extensions.Filters.Http.JsonToMetadata.V3.JsonToMetadata.Types.ValueType;

namespace Naru.Proxy.Filters.Http.JsonToMetadata;

internal sealed class JsonToMetadataFilter(JsonRules own, FilterContext context) : HttpFilter
{
    // Of what passes by: nothing came yet; it is looked at no more.
    private const long Waits = 1, Done = 2;

    private static readonly StatSchema s_schema = new();
    private static readonly int s_success = Counters("success"), s_otherType = Counters("mismatched_content_type"),
        s_noBody = Counters("no_body"),
        s_invalid = Counters("invalid_json_body");

    [ThreadStatic]
    private static BodyFindings? t_found;

    // Envoy has them outside of the connection manager's.
    private readonly StatBlock _stats = context.Stats.Block("json_to_metadata", s_schema);

    private static int Counters(string name)
    {
        int first = s_schema.Counter("rq." + name);
        s_schema.Counter("resp." + name);
        return first;
    }

    public override FilterStages Stages =>
        FilterStages.RequestHead | FilterStages.ResponseHead | FilterStages.ResponseBody | FilterStages.End;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        Exchange x = call.Exchange;
        if ((call.Route<JsonRules>() ?? own).Request is not { } rules || x.IsUpgrade) return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        if (!rules.Allows(call.Request)) return new ValueTask<FilterVerdict>(All(call, rules, s_otherType, isError: true));
        if (x.Framing.Body == BodyKind.None) return new ValueTask<FilterVerdict>(All(call, rules, s_noBody, isError: false));
        return LookAsync(call, rules);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<FilterVerdict> LookAsync(FilterCall call, JsonRuleSet rules)
    {
        switch (await call.PeekAsync(BodyPipe.MostHeld, PeekUntil.End))
        {
            case PeekResult.Here:
                using (PeekedBody body = call.Peeked()) return Apply(call, rules, body.Bytes, isAnswer: false);
            case PeekResult.TooLarge:
                // As Envoy does where a filter buffers more than a connection may hold.
                call.Exchange.Manager.Stats.Shard(call.Worker.Index)[HttpStats.RqTooLarge]++;
                return call.Refuse(FilterReasons.RequestTooLarge);
            case PeekResult.Answered:
                return FilterVerdict.Answer;
            default:
                return FilterVerdict.Go;
        }
    }

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        if ((call.Route<JsonRules>() ?? own).Response is { } rules)
        {
            call.State.Number = Waits;
            if (!rules.Allows(call.Response))
            {
                call.State.Number = Done;
                All(call, rules, s_otherType + 1, isError: true);
            }
            else call.Want(FilterStages.ResponseBody);
        }
        return new ValueTask<bool>(true);
    }

    public override ValueTask<BodyVerdict> OnResponseBodyAsync(FilterCall call, BodyPiece piece)
    {
        if (call.State.Number == Done || (call.Route<JsonRules>() ?? own).Response is not { } rules)
            return new ValueTask<BodyVerdict>(BodyVerdict.Go);
        var seen = (LineBuffer)(call.State.Object ??= new LineBuffer());
        if (seen.Length + piece.Bytes.Length > BodyPipe.MostHeld)
        {
            call.State.Number = Done;
            call.State.Object = null;
            All(call, rules, s_invalid + 1, isError: true);
            return new ValueTask<BodyVerdict>(BodyVerdict.Go);
        }
        seen.Append(piece.Bytes);
        if (piece.End)
        {
            call.State.Number = Done;
            call.State.Object = null;
            Apply(call, rules, seen.Written, isAnswer: true);
        }
        return new ValueTask<BodyVerdict>(BodyVerdict.Go);
    }

    // An answer without a body has no pieces.
    public override void OnEnd(FilterCall call)
    {
        if (call.State.Number == Waits && call.State.Object is null && call.Exchange.Abort == AbortReason.None
            && (call.Route<JsonRules>() ?? own).Response is { } rules) All(call, rules, s_noBody + 1, isError: false);
        call.State.Object = null;
    }

    private FilterVerdict Apply(FilterCall call, JsonRuleSet rules, ReadOnlySpan<byte> body, bool isAnswer)
    {
        int side = isAnswer ? 1 : 0;
        if (body.IsEmpty) return All(call, rules, s_noBody + side, isError: false);
        BodyFindings found = t_found ??= new BodyFindings();
        found.Begin(rules.Rules.Length);
        if (!JsonBody.Read(body, rules.Paths, found, lastCounts: true)) return All(call, rules, s_invalid + side, isError: true);
        MetaValue? before = call.Exchange.DynamicMetadata;
        bool any = false;
        for (int i = 0; i < rules.Rules.Length; i++)
        {
            JsonRule rule = rules.Rules[i];
            bool there = found[i].Kind != FindingKind.Missing;
            // A value that is none of the wanted type, or too long, is one that is not there.
            if (there && rule.Present is null) continue;
            MetaValue? value = !there ? null : rule.Present!.Value ?? Made(rule.Present.Type, found[i]);
            if (value is { Kind: MetaKind.Text, Text.IsEmpty: true } && rule.Present!.Type == ValueType.String) continue;
            any |= Say(call, value is null ? rule.Missing : rule.Present, value, before);
        }
        _stats.Shard(call.Worker.Index)[s_success + side]++;
        return any && !isAnswer ? FilterVerdict.RouteAgain : FilterVerdict.Go;
    }

    private FilterVerdict All(FilterCall call, JsonRuleSet rules, int stat, bool isError)
    {
        MetaValue? before = call.Exchange.DynamicMetadata;
        bool any = false;
        foreach (JsonRule rule in rules.Rules) any |= Say(call, isError ? rule.Error : rule.Missing, null, before);
        _stats.Shard(call.Worker.Index)[stat]++;
        return any ? FilterVerdict.RouteAgain : FilterVerdict.Go;
    }

    private static bool Say(FilterCall call, JsonPair? pair, MetaValue? value, MetaValue? before)
    {
        if (pair is null || (value ?? pair.Value) is not { } said) return false;
        if (pair.Preserves && before?.Find(pair.Namespace)?.Find(pair.Key) is not null) return false;
        call.Exchange.SetMetadata(pair.Namespace, MetaValue.Empty.With(pair.Key, said));
        return true;
    }

    private static MetaValue? Made(ValueType type, BodyFinding found) => found.Kind switch
    {
        FindingKind.Text when type != ValueType.Number => MetaValue.Of(found.Text),
        FindingKind.Text => MetaValue.TryNumber(found.Text.Trim(" \t\r\n"u8), out double number) ? MetaValue.Of(number) : null,
        FindingKind.Number when MetaValue.TryNumber(found.Text, out double number) && double.IsFinite(number) =>
            type == ValueType.String ? MetaValue.Of(Text(found.Text, number)) : MetaValue.Of(number),
        FindingKind.True or FindingKind.False => type switch
        {
            ValueType.String => MetaValue.Of(found.Kind == FindingKind.True ? "1"u8 : "0"u8),
            ValueType.Number => MetaValue.Of(found.Kind == FindingKind.True ? 1.0 : 0.0),
            _ => MetaValue.Of(found.Kind == FindingKind.True),
        },
        _ => null,
    };

    // Of fractions six digits (recorded).
    private static string Text(ReadOnlySpan<byte> digits, double number) =>
        long.TryParse(digits, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long whole)
            ? whole.ToString(CultureInfo.InvariantCulture) : number.ToString("F6", CultureInfo.InvariantCulture);
}
