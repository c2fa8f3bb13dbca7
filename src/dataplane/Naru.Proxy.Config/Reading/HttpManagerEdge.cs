// What an HTTP connection manager does at its edge and only where it is asked to: whence the client's address comes, early changes of
// headers, the scheme, Proxy-Status. Extensions that are not known are refused by name.
using System.Collections.Immutable;
using Envoy.Config.Common.MutationRules.V3;
using Envoy.Config.Core.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Extensions.Http.OriginalIpDetection.CustomHeader.V3;
using Envoy.Extensions.Http.OriginalIpDetection.Xff.V3;
using Google.Protobuf.Collections;
using EarlyHeaderMutation = Envoy.Extensions.Http.EarlyHeaderMutation.HeaderMutation.V3.HeaderMutation;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads the edge of HTTP connection managers.</summary>
internal static class HttpManagerEdge
{
    /// <summary>The record with what the manager says about its edge.</summary>
    public static HttpConnectionManagerConfig Read(Scope scope, HttpConnectionManager manager, HttpConnectionManagerConfig config)
    {
        return config with
        {
            AddressDetections = Detections(scope, manager),
            EarlyMutations = Early(scope, manager),
            SchemeToOverwrite = Scheme(scope, manager),
            SchemeMatchesUpstream = manager.SchemeHeaderTransformation?.MatchUpstream ?? false,
            AddUserAgent = manager.AddUserAgent ?? false,
            ProxyStatus = ProxyStatus(scope, manager),
            LogMoments = Moments(scope, manager),
        };
    }

    private static LogMomentsConfig Moments(Scope scope, HttpConnectionManager manager)
    {
        bool old = manager.AccessLogFlushInterval is not null || manager.FlushAccessLogOnNewRequest;
        if (manager.AccessLogOptions is not { } options)
        {
            TimeSpan? given = Interval(scope, manager.AccessLogFlushInterval);
            return old ? new LogMomentsConfig(given, manager.FlushAccessLogOnNewRequest, false) : LogMomentsConfig.EndOnly;
        }
        if (old)
        {
            scope.Error(
                "access_log_options", "NARU-C113",
                "\"access_log_options\" excludes \"access_log_flush_interval\" and \"flush_access_log_on_new_request\"", "keep access_log_options");
        }
        TimeSpan? interval = Interval(scope.In("access_log_options", options), options.AccessLogFlushInterval);
        return new LogMomentsConfig(interval, options.FlushAccessLogOnNewRequest, options.FlushLogOnTunnelSuccessfullyEstablished);
    }

    private static TimeSpan? Interval(Scope scope, Google.Protobuf.WellKnownTypes.Duration? given)
    {
        TimeSpan? interval = Values.Time(scope, "access_log_flush_interval", given);
        if (interval >= TimeSpan.FromMilliseconds(1) || interval is null) return interval;
        scope.Error("access_log_flush_interval", "NARU-C102", "\"access_log_flush_interval\" must be at least 1ms");
        return null;
    }

    private static ImmutableArray<AddressDetectionConfig> Detections(Scope scope, HttpConnectionManager manager)
    {
        RepeatedField<TypedExtensionConfig> given = manager.OriginalIpDetectionExtensions;
        var all = ImmutableArray.CreateBuilder<AddressDetectionConfig>(given.Count);
        if (given.Count > 0 && (manager.UseRemoteAddress == true || manager.XffNumTrustedHops > 0))
        {
            scope.Error(
                "original_ip_detection_extensions", "NARU-C113",
                "\"original_ip_detection_extensions\" excludes \"use_remote_address\" and \"xff_num_trusted_hops\"", "keep one of them");
        }
        for (int i = 0; i < given.Count; i++)
        {
            Scope at = scope.In("original_ip_detection_extensions", i, given[i]);
            if (given[i].TypedConfig is not { } any)
            {
                at.Error("typed_config", "NARU-C101", "\"typed_config\" is required");
                continue;
            }
            switch (EnvoyTypes.NameOf(any))
            {
                case "envoy.extensions.http.original_ip_detection.xff.v3.XffConfig":
                    if (scope.Pass.Unpack<XffConfig>(any, at) is not { } xff) break;
                    Scope xffAt = at.In("typed_config", xff);
                    FieldWalk.Check(xffAt);
                    all.Add(new XffDetectionConfig(Values.Count(xffAt, "xff_num_trusted_hops", xff.XffNumTrustedHops, 0)));
                    break;
                case "envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig":
                    if (scope.Pass.Unpack<CustomHeaderConfig>(any, at) is not { } header) break;
                    if (Custom(at.In("typed_config", header), header) is { } custom) all.Add(custom);
                    break;
                case var name:
                    at.Error(
                        "typed_config", "NARU-C112", $"Naru does not support {name} yet", "known here: envoy.extensions.http.original_ip_detection.xff, .custom_header");
                    break;
            }
        }
        return all.ToImmutable();
    }

    private static HeaderDetectionConfig? Custom(Scope scope, CustomHeaderConfig header)
    {
        FieldWalk.Check(scope);
        string name = header.HeaderName.ToLowerInvariant();
        if (!Values.HeaderName(scope, "header_name", name)) return null;
        // What is no status of an error is 403 (Envoy: reject_with_status).
        int? status = header.RejectWithStatus is { } reject ? (int)reject.Code is >= 400 and <= 511 and int code ? code : 403 : null;
        return new HeaderDetectionConfig(name, header.AllowExtensionToSetAddressAsTrusted, status);
    }

    private static ImmutableArray<HeaderMutationConfig> Early(Scope scope, HttpConnectionManager manager)
    {
        var all = ImmutableArray.CreateBuilder<HeaderMutationConfig>();
        for (int i = 0; i < manager.EarlyHeaderMutationExtensions.Count; i++)
        {
            TypedExtensionConfig given = manager.EarlyHeaderMutationExtensions[i];
            Scope at = scope.In("early_header_mutation_extensions", i, given);
            string name = given.TypedConfig is { } typed ? EnvoyTypes.NameOf(typed) : "";
            if (name != "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation")
            {
                const string Known = "known here: envoy.extensions.http.early_header_mutation.header_mutation";
                if (name.Length == 0) at.Error("typed_config", "NARU-C101", "\"typed_config\" is required");
                else at.Error("typed_config", "NARU-C112", $"Naru does not support {name} yet", Known);
                continue;
            }
            if (scope.Pass.Unpack<EarlyHeaderMutation>(given.TypedConfig!, at) is not { } mutations) continue;
            Scope inside = at.In("typed_config", mutations);
            FieldWalk.Check(inside);
            if (mutations.Mutations.Count == 0) inside.Error("mutations", "NARU-C101", "\"mutations\" is required");
            for (int m = 0; m < mutations.Mutations.Count; m++)
            {
                if (One(inside.In("mutations", m, mutations.Mutations[m]), mutations.Mutations[m]) is { } mutation) all.Add(mutation);
            }
        }
        return all.ToImmutable();
    }

    private static HeaderMutationConfig? One(Scope scope, HeaderMutation mutation)
    {
        switch (mutation.ActionCase)
        {
            case HeaderMutation.ActionOneofCase.Append:
                return Values.Added(scope, "append", [mutation.Append]) is [var added] ? new HeaderMutationConfig(added.Name, added) : null;
            case HeaderMutation.ActionOneofCase.Remove:
                string name = mutation.Remove.ToLowerInvariant();
                if (!Values.HeaderName(scope, "remove", name)) return null;
                if (name[0] != ':' && name != "host") return new HeaderMutationConfig(name, null);
                scope.Error("remove", "NARU-C108", $"\"{name}\" cannot be removed");
                return null;
            default:
                scope.Error("", "NARU-C101", "a mutation says what it does", "write append or remove");
                return null;
        }
    }

    private static string Scheme(Scope scope, HttpConnectionManager manager)
    {
        if (manager.SchemeHeaderTransformation is not { } given) return "";
        if (given.TransformationCase != SchemeHeaderTransformation.TransformationOneofCase.SchemeToOverwrite) return "";
        string scheme = given.SchemeToOverwrite;
        if (scheme is "http" or "https") return scheme;
        Scope at = scope.In("scheme_header_transformation", given);
        at.Error("scheme_to_overwrite", "NARU-C102", $"\"{scheme}\" is no scheme", "write http or https");
        return "";
    }

    private static ProxyStatusConfig? ProxyStatus(Scope scope, HttpConnectionManager manager)
    {
        if (manager.ProxyStatusConfig is not { } given) return null;
        ReadOnlySpan<char> name = given.LiteralProxyName;
        if (name.IndexOfAnyExceptInRange('!', '~') >= 0 || name.IndexOfAny(",;\"") >= 0)
        {
            Scope at = scope.In("proxy_status_config", given);
            at.Error("literal_proxy_name", "NARU-C108", $"\"{name}\" is no token", "write a name without blanks, commas, semicolons and quotes");
        }
        return new ProxyStatusConfig
        {
            Name = given.LiteralProxyName,
            UsesNodeId = given.UseNodeId,
            HasDetails = !given.RemoveDetails,
            HasResponseFlags = !given.RemoveResponseFlags,
            SetsRecommendedCode = given.SetRecommendedResponseCode,
        };
    }
}
