// Retry policies of routes and virtual hosts (envoy.config.route.v3.RetryPolicy), and hedge policies beside them.
using System.Collections.Immutable;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Retry.Host.OmitHostMetadata.V3;
using Envoy.Extensions.Retry.Priority.PreviousPriorities.V3;
using Google.Protobuf.Collections;
using Naru.Telemetry;
using RetryPolicy = Envoy.Config.Route.V3.RetryPolicy;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads what is said about further tries.</summary>
internal static class RetryPolicies
{
    private const string PreviousHosts = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
    private const string OmitCanaryHosts = "envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate";
    private const string OmitHostMetadata = "envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig";
    private const string PreviousPriorities = "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig";
    private const int MostMatchers = 64, MostResetHeaders = 16;

    private static readonly Dictionary<string, RetryOn> s_retryOn = RetryTokens.All.ToDictionary(t => t.Token, t => t.On, StringComparer.Ordinal);

    /// <summary>What a hedge policy says; null where there is none. A policy replaces that of the virtual host whole.</summary>
    public static bool? Hedges(Scope parent, HedgePolicy? policy)
    {
        if (policy is null) return null;
        Scope scope = parent.In("hedge_policy", policy);
        if (policy.InitialRequests == 0) scope.Error("initial_requests", "NARU-C102", "0 is no number of requests", "at least 1");
        return policy.HedgeOnPerTryTimeout;
    }

    /// <summary>A retry policy.</summary>
    public static RetryPolicyConfig Read(Scope scope, RetryPolicy policy)
    {
        RetryOn on = RetryOn.None;
        var codes = ImmutableArray.CreateBuilder<int>();
        foreach (string word in policy.RetryOn.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            if (s_retryOn.TryGetValue(word, out RetryOn condition)) on |= condition;
            else if (word is "http3-post-connect-failure")
            {
                scope.Error("retry_on", "NARU-C113", $"the condition \"{word}\" is about HTTP/3, which is not supported", "remove it");
            }
            else if (word.Length == 3 && int.TryParse(word, out int status) && status is >= 100 and <= 599)
            {
                // Istio takes a bare status here.
                on |= RetryOn.RetriableStatusCodes;
                codes.Add(status);
            }
            else
            {
                string? nearest = Core.Nearest.Suggestion(word, s_retryOn.Keys);
                scope.Warning("retry_on", "NARU-C102", $"\"{word}\" is not a condition; it is left out", nearest);
            }
        }
        for (int i = 0; i < policy.RetriableStatusCodes.Count; i++)
        {
            uint status = policy.RetriableStatusCodes[i];
            if (status is >= 100 and <= 599) codes.Add((int)status);
            else scope.Error($"retriable_status_codes[{i}]", "NARU-C102", $"{status} is not a status code");
        }
        (bool avoid, bool omit, ImmutableArray<LabelConfig> labels) = Hosts(scope, policy);
        if (policy.HostSelectionRetryMaxAttempts is < 0 or > 1000)
            scope.Error("host_selection_retry_max_attempts", "NARU-C102",
                $"\"host_selection_retry_max_attempts\" cannot be {policy.HostSelectionRetryMaxAttempts}");
        (TimeSpan least, TimeSpan most) = BackOff(scope, policy.RetryBackOff);
        return new RetryPolicyConfig
        {
            On = on,
            NumRetries = Values.Count(scope, "num_retries", policy.NumRetries, 1),
            PerTryTimeout = Values.Limit(scope, "per_try_timeout", policy.PerTryTimeout, null),
            PerTryIdleTimeout = Values.Limit(scope, "per_try_idle_timeout", policy.PerTryIdleTimeout, null),
            RetriableStatusCodes = codes.ToImmutable(),
            AnswerMatchers = Matchers(scope, "retriable_headers", policy.RetriableHeaders),
            RequestMatchers = Matchers(scope, "retriable_request_headers", policy.RetriableRequestHeaders),
            BackOffBase = least,
            BackOffMax = most,
            RateLimited = policy.RateLimitedRetryBackOff is { } limited
                ? RateLimited(scope.In("rate_limited_retry_back_off", limited), limited) : null,
            AvoidPreviousHosts = avoid,
            OmitCanaryHosts = omit,
            OmittedLabels = labels,
            PreviousPriorities = policy.RetryPriority is { } priority ? Priorities(scope.In("retry_priority", priority), priority) : 0,
            HostSelectionMaxAttempts = policy.HostSelectionRetryMaxAttempts > 0 ? (int)policy.HostSelectionRetryMaxAttempts : 1,
        };
    }

    private static ImmutableArray<HeaderMatcherConfig> Matchers(Scope scope, string field, RepeatedField<HeaderMatcher> given)
    {
        if (given.Count > MostMatchers) scope.Error(field, "NARU-C102", $"{given.Count} matchers are too many", $"at most {MostMatchers}");
        return [.. given.Select((m, i) => RouteReader.Header(scope.In(field, i, m), m)).OfType<HeaderMatcherConfig>()];
    }

    private static (bool Avoid, bool OmitCanaries, ImmutableArray<LabelConfig> Labels) Hosts(Scope scope, RetryPolicy policy)
    {
        bool avoid = false, omit = false;
        ImmutableArray<LabelConfig> labels = [];
        for (int i = 0; i < policy.RetryHostPredicate.Count; i++)
        {
            RetryPolicy.Types.RetryHostPredicate predicate = policy.RetryHostPredicate[i];
            string type = predicate.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : predicate.Name;
            if (type is PreviousHosts or "envoy.retry_host_predicates.previous_hosts") avoid = true;
            else if (type is OmitCanaryHosts or "envoy.retry_host_predicates.omit_canary_hosts") omit = true;
            else if (type is OmitHostMetadata or "envoy.retry_host_predicates.omit_host_metadata")
            {
                Scope at = scope.In("retry_host_predicate", i, predicate);
                if (!labels.IsEmpty) at.Error("", "NARU-C103", "there are two predicates of metadata", "give one of them all keys");
                labels = Labels(at, predicate);
            }
            else
            {
                scope.In("retry_host_predicate", i, predicate).Error(
                    "", "NARU-C112", $"Naru does not support the predicate {type} yet",
                    "known here: envoy.retry_host_predicates.previous_hosts, .omit_canary_hosts and .omit_host_metadata");
            }
        }
        return (avoid, omit, labels);
    }

    // Envoy looks at envoy.lb, as subsets do; without keys there, nobody is left out.
    private static ImmutableArray<LabelConfig> Labels(Scope scope, RetryPolicy.Types.RetryHostPredicate predicate)
    {
        if (predicate.TypedConfig is not { } any)
        {
            scope.Error("typed_config", "NARU-C101", "\"typed_config\" is required");
            return [];
        }
        if (scope.Pass.Unpack<OmitHostMetadataConfig>(any, scope) is not { } config) return [];
        Scope inside = scope.In("typed_config", config);
        FieldWalk.Check(inside);
        ImmutableArray<LabelConfig> labels = SubsetReader.Labels(config.MetadataMatch, default);
        if (labels.IsEmpty)
            inside.Error("metadata_match", "NARU-C101", "\"metadata_match\" says which endpoints are left out",
                "write filter_metadata: {envoy.lb: {KEY: VALUE}}");
        return labels;
    }

    // 0 where it cannot be used, which was reported.
    private static int Priorities(Scope scope, RetryPolicy.Types.RetryPriority priority)
    {
        string type = priority.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : priority.Name;
        if (type is not (PreviousPriorities or "envoy.retry_priorities.previous_priorities"))
        {
            scope.Error("", "NARU-C112", $"Naru does not support the retry priority {type} yet",
                "known here: envoy.retry_priorities.previous_priorities");
            return 0;
        }
        if (priority.TypedConfig is null)
        {
            scope.Error("typed_config", "NARU-C101", "\"typed_config\" is required");
            return 0;
        }
        if (scope.Pass.Unpack<PreviousPrioritiesConfig>(priority.TypedConfig, scope) is not { } config) return 0;
        Scope inside = scope.In("typed_config", config);
        FieldWalk.Check(inside);
        if (config.UpdateFrequency < 1) inside.Error("update_frequency", "NARU-C102", "\"update_frequency\" must be at least 1");
        return Math.Max(1, config.UpdateFrequency);
    }

    private static (TimeSpan Base, TimeSpan Max) BackOff(Scope scope, RetryPolicy.Types.RetryBackOff? backOff)
    {
        var standard = TimeSpan.FromMilliseconds(25);
        if (backOff is null) return (standard, standard * 10);
        Scope at = scope.In("retry_back_off", backOff);
        if (backOff.BaseInterval is null) at.Error("base_interval", "NARU-C101", "\"base_interval\" is required");
        TimeSpan least = Values.Time(at, "base_interval", backOff.BaseInterval, mustBePositive: true) ?? standard;
        TimeSpan most = Values.Time(at, "max_interval", backOff.MaxInterval, mustBePositive: true) ?? least * 10;
        if (most < least) at.Error("max_interval", "NARU-C102", "\"max_interval\" is less than \"base_interval\"");
        // Envoy counts in milliseconds, and never less than one.
        return (least < TimeSpan.FromMilliseconds(1) ? TimeSpan.FromMilliseconds(1) : least, most);
    }

    private static RateLimitedBackOffConfig RateLimited(Scope scope, RetryPolicy.Types.RateLimitedRetryBackOff given)
    {
        if (given.ResetHeaders.Count is 0 or > MostResetHeaders)
            scope.Error("reset_headers", "NARU-C101", "\"reset_headers\" names where the time is said", $"1 to {MostResetHeaders} headers");
        var headers = ImmutableArray.CreateBuilder<ResetHeaderConfig>();
        for (int i = 0; i < given.ResetHeaders.Count; i++)
        {
            RetryPolicy.Types.ResetHeader header = given.ResetHeaders[i];
            Scope at = scope.In("reset_headers", i, header);
            string name = header.Name.ToLowerInvariant();
            bool isTimestamp = header.Format == RetryPolicy.Types.ResetHeaderFormat.UnixTimestamp;
            if (Values.HeaderName(at, "name", name)) headers.Add(new ResetHeaderConfig(name, isTimestamp));
        }
        TimeSpan? most = Values.Time(scope, "max_interval", given.MaxInterval, mustBePositive: true);
        return new RateLimitedBackOffConfig(headers.ToImmutable(), most ?? TimeSpan.FromSeconds(300));
    }
}
