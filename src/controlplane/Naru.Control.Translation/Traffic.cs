// What a route does to traffic beside sending it on, as Envoy has it: faults and cross-origin rules as the route's word to their
// filters, copies as mirror policies.
using Envoy.Config.Core.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Http.Cors.V3;
using Envoy.Extensions.Filters.Http.Fault.V3;
using Envoy.Type.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Model;
using FaultAbort = Envoy.Extensions.Filters.Http.Fault.V3.FaultAbort;
using FaultDelay = Envoy.Extensions.Filters.Common.Fault.V3.FaultDelay;

namespace Naru.Control.Translation;

internal static class Traffic
{
    /// <summary>The route's word to <c>envoy.filters.http.fault</c>.</summary>
    public static HTTPFault Fault(HttpFault fault)
    {
        var made = new HTTPFault();
        // Without a percentage nobody is hit: Envoy takes an absent one for 0, too.
        if (fault.Delay is { } delay)
        {
            made.Delay = new FaultDelay
            {
                FixedDelay = Duration.FromTimeSpan(delay.Time),
                Percentage = delay.Share is { } part ? Fraction(part) : new FractionalPercent(),
            };
        }
        if (fault.Abort is { } abort)
        {
            made.Abort = new FaultAbort();
            if (abort.GrpcStatus is { } status) made.Abort.GrpcStatus = (uint)status;
            else made.Abort.HttpStatus = (uint)abort.HttpStatus;
            if (abort.Share is { } part) made.Abort.Percentage = Fraction(part);
        }
        return made;
    }

    /// <summary>What naru-proxy reads of a fallback; others pass over it.</summary>
    public static Metadata Fallback(HttpFallback fallback, string? cluster)
    {
        var said = new Struct();
        if (cluster is not null) said.Fields.Add("cluster", Value.ForString(cluster));
        else
        {
            said.Fields.Add("status", Value.ForNumber(fallback.Status));
            said.Fields.Add("body", Value.ForString(fallback.Body));
            if (fallback.ContentType.Length > 0) said.Fields.Add("content_type", Value.ForString(fallback.ContentType));
        }
        if (!fallback.Statuses.IsDefault) said.Fields.Add("statuses", Value.ForList([.. fallback.Statuses.Select(s => Value.ForNumber(s))]));
        return new Metadata { FilterMetadata = { { "naru.fallback", said } } };
    }

    /// <summary>A copy to a cluster. It keeps the host of its request, and is not part of its trace.</summary>
    public static RouteAction.Types.RequestMirrorPolicy Mirror(HttpMirror mirror, string cluster) => new()
    {
        Cluster = cluster,
        RuntimeFraction = new RuntimeFractionalPercent { DefaultValue = Fraction(mirror.Share) },
        DisableShadowHostSuffixAppend = true,
        TraceSampled = false,
    };

    /// <summary>The route's word to <c>envoy.filters.http.cors</c>.</summary>
    public static Envoy.Extensions.Filters.Http.Cors.V3.CorsPolicy Cors(CorsRule rule)
    {
        var made = new Envoy.Extensions.Filters.Http.Cors.V3.CorsPolicy
        {
            AllowMethods = string.Join(',', rule.Methods),
            AllowHeaders = string.Join(',', rule.Headers),
            ExposeHeaders = string.Join(',', rule.ExposeHeaders),
            MaxAge = rule.MaxAge is { } age ? ((long)age.TotalSeconds).ToString(System.Globalization.CultureInfo.InvariantCulture) : "",
            AllowCredentials = rule.Credentials,
            FilterEnabled = new RuntimeFractionalPercent { DefaultValue = new FractionalPercent { Numerator = 100 } },
            ForwardNotMatchingPreflights = rule.ForwardUnmatched,
        };
        made.AllowOriginStringMatch.AddRange(rule.Origins.Select(Routes.Matcher));
        return made;
    }

    // Whole percents as they are, others in millionths.
    private static FractionalPercent Fraction(Share share) => share.Whole
        ? new FractionalPercent { Numerator = (uint)share.Percent }
        : new FractionalPercent
        {
            Numerator = (uint)Math.Round(share.Percent * 10_000),
            Denominator = FractionalPercent.Types.DenominatorType.Million,
        };
}
