// Reads what a route does to traffic beside sending it on: faults, copies, cross-origin rules, delegates, and the header fields of
// 1.0. Values are judged as Istio's webhook judges them.
using System.Collections.Immutable;
using Istio.Networking.V1Alpha3;
using Naru.Core;
using static Naru.Control.Model.ManifestReader;
using Wire = Istio.Networking.V1Alpha3;

namespace Naru.Control.Model;

internal static partial class IstioReader
{
    // gRPC: status codes, by number.
    private static readonly string[] GrpcStatuses = ["OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
        "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
        "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"];
    private static readonly string[] Methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"];

    private static HttpFault? Fault(HTTPFaultInjection? fault, string path, Reading r)
    {
        if (fault is null) return null;
        if (fault.Delay is null && fault.Abort is null) r.Error("NARU-C204", $"{path} has neither delay nor abort", r.At(fault),
            "add one of them");
        return new HttpFault(Delay(fault.Delay, path + ".delay", r), Abort(fault.Abort, path + ".abort", r), r.At(fault));
    }

    private static FaultDelay? Delay(HTTPFaultInjection.Types.Delay? delay, string path, Reading r)
    {
        if (delay is null) return null;
        Model.Share? share = FaultShare(delay.Percentage, delay.Percent, path, r.At(delay, "percent"), r);
        if (delay.FixedDelay is null && !r.Refused(path)) r.Error("NARU-C204", $"{path}.fixedDelay is missing", r.At(delay),
            "say how long, such as 5s");
        return Positive(delay.FixedDelay, delay, "fixed_delay", path + ".fixedDelay", r) is { } time ? new FaultDelay(time, share) : null;
    }

    private static FaultAbort? Abort(HTTPFaultInjection.Types.Abort? abort, string path, Reading r)
    {
        if (abort is null) return null;
        Model.Share? share = FaultShare(abort.Percentage, abort.Percent, path, r.At(abort, "percent"), r);
        switch (abort.ErrorTypeCase)
        {
            case HTTPFaultInjection.Types.Abort.ErrorTypeOneofCase.HttpStatus:
                if (abort.HttpStatus is < 200 or > 599)
                    r.Error("NARU-C205", $"{path}.httpStatus {abort.HttpStatus} is not between 200 and 599", r.At(abort, "http_status"));
                return new FaultAbort(abort.HttpStatus, null, share);
            case HTTPFaultInjection.Types.Abort.ErrorTypeOneofCase.GrpcStatus:
                int status = GrpcStatuses.IndexOf(abort.GrpcStatus);
                if (status < 0)
                {
                    r.Error("NARU-C205", $"{path}.grpcStatus \"{Short(abort.GrpcStatus)}\" is no status of gRPC",
                        r.At(abort, "grpc_status"),
                        Nearest.Suggestion(abort.GrpcStatus.ToUpperInvariant(), GrpcStatuses) ?? "write a name such as UNAVAILABLE");
                }
                return new FaultAbort(0, status, share);
            default:
                if (!r.Refused(path)) r.Error("NARU-C204", $"{path} says no status", r.At(abort), "add httpStatus or grpcStatus");
                return null;
        }
    }

    private static Model.Share? FaultShare(Percent? percentage, int percent, string path, Place percentPlace, Reading r)
    {
        if (percent is < 0 or > 100) r.Error("NARU-C205", $"{path}.percent {percent} is not between 0 and 100", percentPlace);
        return Percentage(percentage, path + ".percentage", r) ?? (percent > 0 ? new Model.Share(percent, true) : null);
    }

    private static Model.Share? Percentage(Percent? percentage, string path, Reading r)
    {
        if (percentage is null) return null;
        double value = percentage.Value;
        if (!(value is >= 0 and <= 100)) r.Error("NARU-C205", $"{path}.value {value} is not between 0 and 100", r.At(percentage));
        // Proxies count in millionths.
        else if (value is > 0 and < 0.0001) r.Error("NARU-C205", $"{path}.value {value} is less than 0.0001", r.At(percentage),
            "write 0, or at least 0.0001");
        return new Model.Share(value, false);
    }

    private static ImmutableArray<HttpMirror> Mirrors(HTTPRoute route, string path, Reading r)
    {
        if (route.Mirror is not null && route.Mirrors.Count > 0)
            r.Error("NARU-C206", $"{path}.mirror and {path}.mirrors exclude each other", r.At(route, "mirrors"), "put all into mirrors");
        if (route.Mirror is null && (route.MirrorPercentage is not null || route.MirrorPercent is not null))
        {
            string field = route.MirrorPercentage is not null ? "mirror_percentage" : "mirror_percent";
            r.Error("NARU-C206", $"{path}.{NotYet.Camel(field)} needs a mirror", r.At(route, field),
                "add mirror, or use the percentage of each of mirrors");
        }
        if (route.MirrorPercent > 100) r.Error("NARU-C205", $"{path}.mirrorPercent {route.MirrorPercent} is more than 100",
            r.At(route, "mirror_percent"));
        if (route.Route.Count == 0 && route.Delegate is null && (route.Mirror is not null || route.Mirrors.Count > 0))
            r.Error("NARU-C206", $"{path}.{(route.Mirror is not null ? "mirror" : "mirrors")} needs a route",
                r.At(route, route.Mirror is not null ? "mirror" : "mirrors"));
        var made = ImmutableArray.CreateBuilder<HttpMirror>();
        if (route.Mirror is not null)
        {
            Model.Share share = Percentage(route.MirrorPercentage, path + ".mirrorPercentage", r)
                ?? (route.MirrorPercent is { } old ? new Model.Share(Math.Min(old, 100), true) : Model.Share.All);
            if (To(route.Mirror, path + ".mirror", r.At(route, "mirror"), r) is { } target) made.Add(new HttpMirror(target, share));
        }
        for (int i = 0; i < route.Mirrors.Count; i++)
        {
            HTTPMirrorPolicy mirror = route.Mirrors[i];
            string at = $"{path}.mirrors[{i}]";
            Model.Share share = Percentage(mirror.Percentage, at + ".percentage", r) ?? Model.Share.All;
            if (To(mirror.Destination, at + ".destination", r.At(mirror), r) is { } target) made.Add(new HttpMirror(target, share));
        }
        return made.ToImmutable();
    }

    private static CorsRule? Cors(CorsPolicy? policy, string path, Reading r)
    {
        if (policy is null) return null;
        var origins = ImmutableArray.CreateBuilder<Model.StringMatch>();
        foreach (Wire.StringMatch origin in policy.AllowOrigins)
        {
            if (Compare(origin, path + ".allowOrigins", policy, "allow_origins", r) is { } match) origins.Add(match);
            else r.Error("NARU-C204", $"{path}.allowOrigins: an origin must have exact, prefix or regex", r.At(policy, "allow_origins"));
        }
        // The older list counts where the newer is not there.
        if (policy.AllowOrigins.Count == 0)
            origins.AddRange(policy.AllowOrigin.Select(o => new Model.StringMatch(StringMatchKind.Exact, o)));
        foreach (string method in policy.AllowMethods)
        {
            if (method != "*" && !Methods.Contains(method))
                r.Error("NARU-C205", $"{path}.allowMethods: \"{Short(method)}\" is no method", r.At(policy, "allow_methods"),
                    Nearest.Suggestion(method.ToUpperInvariant(), Methods));
        }
        Names(policy.AllowHeaders, "allow_headers");
        Names(policy.ExposeHeaders, "expose_headers");
        TimeSpan? age = policy.MaxAge?.ToTimeSpan();
        if (age is { } a && (a < TimeSpan.Zero || a > LongestTime || a.Ticks % TimeSpan.TicksPerSecond != 0))
            r.Error("NARU-C205", $"{path}.maxAge must be whole seconds, none of them negative", r.At(policy, "max_age"));
        return new CorsRule(origins.ToImmutable(), [.. policy.AllowMethods], [.. policy.AllowHeaders], [.. policy.ExposeHeaders], age,
            policy.AllowCredentials, policy.UnmatchedPreflights != CorsPolicy.Types.UnmatchedPreflights.Ignore);

        void Names(IEnumerable<string> names, string field)
        {
            foreach (string name in names)
            {
                if (name != "*" && (!IsHeaderName(name) || name[0] == ':'))
                    r.Error("NARU-C205", $"{path}.{NotYet.Camel(field)}: \"{Short(name)}\" is no header name", r.At(policy, field));
            }
        }
    }

    private static DelegateReference? Delegate(Wire.Delegate? to, string path, Reading r)
    {
        if (to is null) return null;
        if (to.Name.Length == 0) r.Error("NARU-C204", $"{path}.name is missing", r.At(to),
            "name the VirtualService without hosts that has the routes");
        return new DelegateReference(to.Name, to.Namespace, r.At(to));
    }

    /// <summary>The changes of headers, joined with those of 1.0's own fields, which meant the same.</summary>
    private static HeaderChanges WithOldFields(HeaderChanges headers, IReadOnlyDictionary<string, string> requestAdd,
        IReadOnlyDictionary<string, string> moreRequestAdd, IReadOnlyList<string> requestRemove,
        IReadOnlyDictionary<string, string> responseAdd, IReadOnlyList<string> responseRemove, string path, Place place, Reading r)
    {
        if (requestAdd.Count + moreRequestAdd.Count + requestRemove.Count + responseAdd.Count + responseRemove.Count == 0) return headers;
        var request = new Headers.Types.HeaderOperations { Add = { requestAdd.ToDictionary() }, Remove = { requestRemove } };
        foreach ((string name, string value) in moreRequestAdd) request.Add[name] = value;
        var response = new Headers.Types.HeaderOperations { Add = { responseAdd.ToDictionary() }, Remove = { responseRemove } };
        return new HeaderChanges(Both(headers.Request, OldOps(request, true)), Both(headers.Response, OldOps(response, false)));

        HeaderOps OldOps(Headers.Types.HeaderOperations ops, bool isRequest)
        {
            foreach (string name in ops.Add.Keys.Concat(ops.Remove))
            {
                if (!MayChange(name, isRequest, ops.Add.ContainsKey(name) ? "add" : "remove"))
                    r.Error("NARU-C205", $"{path}: \"{Short(name)}\" is no header that may be changed", place);
            }
            foreach ((string name, string value) in ops.Add) CheckValue(value, $"{path}: value of {Short(name)}", place, r);
            return new HeaderOps([], [.. ops.Add.OrderBy(a => a.Key, StringComparer.Ordinal)], [.. ops.Remove]);
        }

        static HeaderOps Both(HeaderOps a, HeaderOps b) => new([.. a.Set, .. b.Set], [.. a.Add, .. b.Add], [.. a.Remove, .. b.Remove]);
    }
}
