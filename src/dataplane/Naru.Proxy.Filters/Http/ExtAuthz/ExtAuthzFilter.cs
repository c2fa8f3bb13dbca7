// Asks another service whether a request may go on, while its head waits (Envoy docs: external authorization). Whoever is denied gets what the
// service says; where it says nothing of use, the request is refused, or let in where the configuration would rather have that.
using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.ExtAuthz;

internal sealed class ExtAuthzFilter : HttpFilter
{
    private static readonly byte[] s_namespace = "envoy.filters.http.ext_authz"u8.ToArray();
    private readonly ExtAuthzConfig _config;
    private readonly FilterContext _context;
    private readonly HttpCheck? _http;
    private readonly GrpcCheck? _grpc;
    private readonly StatBlock _stats;
    private readonly string _statName;
    private readonly ConcurrentDictionary<ClusterSlot, StatBlock> _clusters = new();
    private readonly RuntimeSlot? _enabled, _denies;
    private readonly MetadataMatcher? _enabledBy;
    private readonly Reason _error;

    public ExtAuthzFilter(ExtAuthzConfig config, FilterContext context)
    {
        (_config, _context) = (config, context);
        if (config.Http is not null) _http = new HttpCheck(config, context.Clusters);
        else _grpc = new GrpcCheck(config, context.Clusters);
        _statName = AccessStats.Scope("ext_authz", config.StatPrefix);
        _stats = context.Block(_statName, AuthzStats.Schema);
        _enabled = config.EnabledKey.Length > 0 ? context.Node.Runtime.Slot(config.EnabledKey) : null;
        _denies = config.DeniesKey.Length > 0 ? context.Node.Runtime.Slot(config.DeniesKey) : null;
        _enabledBy = config.EnabledBy is { } by ? new MetadataMatcher(by) : null;
        _error = FilterReasons.AuthorizationFailed with { Status = config.StatusOnError };
    }

    public override FilterStages Stages => FilterStages.RequestHead | FilterStages.ResponseHead;

    public override bool Guards => true;

    // What routes say of context is laid over what is above them; the rest is the narrowest's.
    public override object Merge(ReadOnlySpan<object> narrowToWide)
    {
        var narrowest = (ExtAuthzRouteConfig)narrowToWide[0];
        ImmutableSortedDictionary<string, string> extensions = ImmutableSortedDictionary<string, string>.Empty;
        for (int i = narrowToWide.Length - 1; i >= 0; i--) extensions = extensions.SetItems(((ExtAuthzRouteConfig)narrowToWide[i]).Extensions);
        return narrowest with { Extensions = extensions };
    }

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        ExtAuthzRouteConfig? route = call.Route<ExtAuthzRouteConfig>();
        if (route is { Disabled: true }) return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        if (IsOn(call)) return CheckAsync(call, route);
        _stats.Shard(call.Worker.Index)[AuthzStats.Disabled]++;
        bool denies = _denies?.Value is { } said ? said.Text == "true" || said.Integer > 0 : _config.DeniesWhenOff;
        return new ValueTask<FilterVerdict>(denies ? call.Answer(_error) : FilterVerdict.Go);
    }

    private bool IsOn(FilterCall call)
    {
        int share = _enabled?.PerMillion(_config.EnabledPerMillion) ?? _config.EnabledPerMillion;
        return NodeState.Chance(call.Worker, share) && (_enabledBy is null || _enabledBy.Matches(call.Exchange.DynamicMetadata));
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<FilterVerdict> CheckAsync(FilterCall call, ExtAuthzRouteConfig? route)
    {
        Exchange x = call.Exchange;
        CheckedBodyConfig? wanted = route is { SendsNoBody: true } ? null : route?.Body ?? _config.Body;
        if (x.Framing.Body == BodyKind.None || x.IsUpgrade) wanted = null;
        if (wanted is not null)
        {
            PeekResult result = wanted.MayBePartial ? await call.PeekAsync(wanted.Most + 1, PeekUntil.Bytes) : await call.PeekAsync(wanted.Most, PeekUntil.End);
            // What is here with its head was not compared with anything.
            if (result == PeekResult.TooLarge || (result == PeekResult.Here && !wanted.MayBePartial && x.RequestBodyBuffered && x.Framing.ContentLength > wanted.Most))
            {
                x.Manager.Stats.Shard(call.Worker.Index)[HttpStats.RqTooLarge]++;
                return call.Refuse(FilterReasons.RequestTooLarge);
            }
            if (result == PeekResult.Answered) return FilterVerdict.Answer;
            if (result != PeekResult.Here) return FilterVerdict.Go;
        }
        // A tunnel's target is no request that could be told.
        if (x.IsConnect && _http is not null) return Failed(call);
        long began = call.Worker.Ticks;
        using CallOut asked = Ask(call, route, wanted);
        if (!await (_http is not null ? _http.RunAsync(asked, x) : _grpc!.RunAsync(asked, x))) return FilterVerdict.Go;
        CheckAnswer answer = _http is not null ? _http.Read(asked, Worker.Milliseconds(began, call.Worker.Ticks)) : _grpc!.Read(asked);
        if (answer.Outcome != CheckOutcome.Error)
        {
            bool isOk = answer.Outcome == CheckOutcome.Ok;
            asked.Span?.Tag(Reports.SpanTags.AuthzStatus, isOk ? "ext_authz_ok" : "ext_authz_unauthorized", endsRequest: !isOk);
        }
        return Judge(call, answer);
    }

    private CallOut Ask(FilterCall call, ExtAuthzRouteConfig? route, CheckedBodyConfig? wanted)
    {
        if (wanted is null) return Ask(call, route, default, null, false);
        using PeekedBody peeked = call.Peeked();
        ReadOnlySpan<byte> body = peeked.Bytes;
        bool partial = body.Length > wanted.Most;
        return Ask(call, route, partial ? body[..wanted.Most] : body, partial, wanted.AsBytes);
    }

    private CallOut Ask(FilterCall call, ExtAuthzRouteConfig? route, ReadOnlySpan<byte> body, bool? partial, bool asBytes) =>
        _http is not null ? _http.Ask(call.Exchange, body, partial) : _grpc!.Ask(call.Exchange, route, body, partial, asBytes);

    private FilterVerdict Judge(FilterCall call, CheckAnswer answer)
    {
        Exchange x = call.Exchange;
        if (answer.Outcome == CheckOutcome.Error) return Failed(call);
        if (answer.Metadata is { } metadata && _config.TakesMetadata) x.SetMetadata(s_namespace, metadata);
        bool restricted = answer.Outcome != CheckOutcome.Ok || _config.Rules is not { } rules || answer.Restrict(rules);
        if ((_config.Validates && !answer.IsValid()) || !restricted)
        {
            Count(call, AuthzStats.Invalid);
            return call.Answer(FilterReasons.AuthorizationInvalid);
        }
        if (answer.Outcome == CheckOutcome.Denied)
        {
            Count(call, AuthzStats.Denied);
            if (_config.ChargesCluster && x.Target is not null) Answers.Own(x, answer.Status);
            x.FilterAnswer = new FilterAnswer(FilterReasons.AuthorizationDenied with { Status = answer.Status }, "", Lines(answer)) { Bytes = answer.Body };
            return FilterVerdict.Answer;
        }
        // As none: it says something of the request that nobody can be told.
        if (!answer.CanBeWritten())
        {
            foreach (FieldEdit field in answer.Fields) call.Request.Remove(Encoding.UTF8.GetBytes(field.Name));
            return Failed(call);
        }
        Count(call, AuthzStats.Ok);
        bool changed = answer.Change(x);
        if (answer.AnswerFields.Count > 0) call.State.Object = answer;
        return changed && _config.ClearRouteCache ? FilterVerdict.RouteAgain : FilterVerdict.Go;
    }

    private FilterVerdict Failed(FilterCall call)
    {
        Count(call, AuthzStats.Error);
        if (!_config.AllowsFailures) return call.Answer(_error);
        Count(call, AuthzStats.FailureModeAllowed);
        if (_config.TellsFailures) call.Request.Set("x-envoy-auth-failure-mode-allowed"u8, "true"u8);
        return FilterVerdict.Go;
    }

    // All of a name, as in Envoy: a service may set several cookies.
    private static string Lines(CheckAnswer answer)
    {
        var lines = new StringBuilder();
        foreach (FieldEdit field in answer.Fields)
        {
            if (!Http1Head.IsToken(Encoding.UTF8.GetBytes(field.Name)) || !Http1Head.IsFieldValue(field.Value)) continue;
            lines.Append(field.Name).Append(": ").Append(Encoding.Latin1.GetString(field.Value)).Append("\r\n");
        }
        return lines.ToString();
    }

    private void Count(FilterCall call, int what)
    {
        _stats.Shard(call.Worker.Index)[what]++;
        if (call.Exchange.Target?.Slot is not { Stats: not null } slot) return;
        StatBlock block = _clusters.GetOrAdd(slot, static (s, self) => self._context.Stats.Block($"cluster.{s.Name}", self._statName, AuthzStats.OfCluster), this);
        block.Shard(call.Worker.Index)[what]++;
    }

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        if (call.State.Object is CheckAnswer answer) foreach (FieldEdit field in answer.AnswerFields) CheckAnswer.Apply(call.Response, field);
        return new ValueTask<bool>(true);
    }
}

internal static class AuthzStats
{
    public static readonly StatSchema Schema = new(), OfCluster = new(onUse: true);
    public static readonly int Ok = Both("ok");
    public static readonly int Denied = Both("denied");
    public static readonly int Error = Both("error");
    public static readonly int Disabled = Both("disabled");
    public static readonly int FailureModeAllowed = Both("failure_mode_allowed");
    public static readonly int Invalid = Both("invalid");

    private static int Both(string name)
    {
        OfCluster.Counter(name);
        return Schema.Counter(name);
    }
}
