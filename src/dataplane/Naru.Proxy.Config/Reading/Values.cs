// Values that many resources share: durations, patterns, addresses, header changes, string comparisons, data sources.
// Each gives the value or null after an error, so that readers can go on and find the next fault.
using System.Collections.Immutable;
using System.Text;
using System.Text.RegularExpressions;
using Envoy.Config.Core.V3;
using Envoy.Type.Matcher.V3;
using Envoy.Type.V3;
using Google.Protobuf;
using Google.Protobuf.Collections;
using Google.Protobuf.WellKnownTypes;
using Naru.Core;
using Naru.Telemetry;

namespace Naru.Proxy.Config.Reading;

/// <summary>Readers of small values.</summary>
internal static class Values
{
    /// <summary>Longest pattern, in characters; Envoy limits the compiled program instead.</summary>
    public const int MaxPatternLength = 2048;

    // What fits into 64 bits of nanoseconds; istiod says 9223372035s for never.
    private const long LongestSeconds = 9_223_372_035;

    /// <summary>A duration; null where it is not set. Negative, malformed and more than 292 years are errors.</summary>
    public static TimeSpan? Time(Scope scope, string field, Duration? duration, bool mustBePositive = false)
    {
        if (duration is null) return null;
        bool malformed = duration.Nanos is <= -1_000_000_000 or >= 1_000_000_000 || (duration.Seconds > 0 && duration.Nanos < 0);
        if (malformed || duration.Seconds < 0 || duration.Nanos < 0 || duration.Seconds > LongestSeconds)
        {
            scope.Error(field, "NARU-C102", $"\"{field}\" cannot be {duration.Seconds}.{Math.Abs(duration.Nanos):D9}s", "write a time that is not negative, such as 5s");
            return null;
        }
        TimeSpan time = TimeSpan.FromTicks(duration.Seconds * TimeSpan.TicksPerSecond + duration.Nanos / 100);
        if (!mustBePositive || time > TimeSpan.Zero) return time;
        scope.Error(field, "NARU-C102", $"\"{field}\" must be more than zero", "write a time such as 5s");
        return null;
    }

    /// <summary>A duration of which zero means never: <paramref name="standard"/> where it is not set, null for zero.</summary>
    public static TimeSpan? Limit(Scope scope, string field, Duration? duration, TimeSpan? standard)
    {
        if (duration is null) return standard;
        TimeSpan? time = Time(scope, field, duration);
        return time == TimeSpan.Zero ? null : time;
    }

    /// <summary>An unsigned number as an <see cref="int"/> within bounds.</summary>
    public static int Count(Scope scope, string field, uint? given, int standard, int least = 0, int most = int.MaxValue)
    {
        if (given is not { } value) return standard;
        if (value >= least && value <= most) return (int)value;
        // Envoy's way of saying "no limit" is the largest number there is.
        if (value > most && most == int.MaxValue) return most;
        scope.Error(field, "NARU-C102", $"\"{field}\" cannot be {value}", $"it may be {least} to {most}");
        return standard;
    }

    /// <summary>A text that must not be empty.</summary>
    public static bool Required(Scope scope, string field, string value)
    {
        if (value.Length > 0) return true;
        scope.Error(field, "NARU-C101", $"\"{field}\" is required");
        return false;
    }

    /// <summary>A pattern that matches whole values, in linear time.</summary>
    public static Regex? Pattern(Scope scope, RegexMatcher matcher, bool ignoreCase = false) => Compile(scope, matcher, whole: true, ignoreCase);

    /// <summary>A pattern whose matches are replaced, and the replacement in .NET's syntax.</summary>
    public static (Regex Pattern, string Substitution)? Rewrite(Scope scope, RegexMatchAndSubstitute rewrite)
    {
        if (rewrite.Pattern is null)
        {
            scope.Error("pattern", "NARU-C101", "\"pattern\" is required");
            return null;
        }
        if (Compile(scope.In("pattern", rewrite.Pattern), rewrite.Pattern, whole: false, ignoreCase: false) is not { } pattern) return null;
        if (Re2.Substitution(rewrite.Substitution, Re2.Groups(pattern)) is { } substitution) return (pattern, substitution);
        scope.Error("substitution", "NARU-C105", $"\"{rewrite.Substitution}\" names a group that the pattern does not have", $"its groups are \\0 to \\{Re2.Groups(pattern)}; a backslash is written \\\\");
        return null;
    }

    private static Regex? Compile(Scope scope, RegexMatcher matcher, bool whole, bool ignoreCase)
    {
        if (!Required(scope, "regex", matcher.Regex)) return null;
        if (matcher.Regex.Length > MaxPatternLength)
        {
            scope.Error("regex", "NARU-C105", $"the pattern has {matcher.Regex.Length} characters; the most is {MaxPatternLength}", "split it into several matches");
            return null;
        }
        try
        {
            return Re2.Compile(matcher.Regex, whole, ignoreCase);
        }
        catch (ArgumentException fault)
        {
            scope.Error("regex", "NARU-C105", $"the pattern \"{matcher.Regex}\" is not a regular expression: {fault.Message}", "write it in the syntax of RE2");
            return null;
        }
    }

    /// <summary>A filter's runtime switch.</summary>
    /// <param name="scope">Of the filter.</param>
    /// <param name="field">The switch.</param>
    /// <param name="given">What stands there.</param>
    /// <param name="standard">What it is where there is none.</param>
    public static RuntimeSwitchConfig RuntimeSwitch(Scope scope, string field, RuntimeFeatureFlag? given, bool standard = true)
    {
        if (given is null) return standard ? RuntimeSwitchConfig.On : new RuntimeSwitchConfig(false, "");
        if (given.DefaultValue is null) scope.In(field, given).Error("default_value", "NARU-C101", "\"default_value\" is required");
        return new RuntimeSwitchConfig(given.DefaultValue ?? standard, given.RuntimeKey);
    }

    /// <summary>That an entry of a route turns its filter off can be said, and not the contrary.</summary>
    public static void Disabled(Scope scope, bool given)
    {
        if (!given) scope.Error("disabled", "NARU-C102", "\"disabled\" can only be true", "leave the entry out");
    }

    /// <summary>A token bucket; null after an error.</summary>
    public static TokenBucketConfig? Bucket(Scope scope, string field, TokenBucket? given)
    {
        if (given is null)
        {
            scope.Error(field, "NARU-C101", $"\"{field}\" is required");
            return null;
        }
        Scope at = scope.In(field, given);
        if (given.FillInterval is null) at.Error("fill_interval", "NARU-C101", "\"fill_interval\" is required");
        TimeSpan? interval = Time(at, "fill_interval", given.FillInterval);
        if (interval < TimeSpan.FromMilliseconds(50)) at.Error("fill_interval", "NARU-C102", "\"fill_interval\" must be at least 50ms");
        return new TokenBucketConfig(Count(at, "max_tokens", given.MaxTokens, 1, 1), Count(at, "tokens_per_fill", given.TokensPerFill, 1, 1), interval ?? TimeSpan.FromSeconds(1));
    }

    /// <summary>One comparison of a string.</summary>
    public static StringMatcherConfig? Match(Scope scope, StringMatcher matcher)
    {
        bool ignore = matcher.IgnoreCase;
        switch (matcher.MatchPatternCase)
        {
            case StringMatcher.MatchPatternOneofCase.Exact: return new(StringMatchKind.Exact, matcher.Exact, ignore);
            case StringMatcher.MatchPatternOneofCase.Prefix when Required(scope, "prefix", matcher.Prefix): return new(StringMatchKind.Prefix, matcher.Prefix, ignore);
            case StringMatcher.MatchPatternOneofCase.Suffix when Required(scope, "suffix", matcher.Suffix): return new(StringMatchKind.Suffix, matcher.Suffix, ignore);
            case StringMatcher.MatchPatternOneofCase.Contains when Required(scope, "contains", matcher.Contains): return new(StringMatchKind.Contains, matcher.Contains, ignore);
            case StringMatcher.MatchPatternOneofCase.SafeRegex:
                return Pattern(scope.In("safe_regex", matcher.SafeRegex), matcher.SafeRegex, ignore) is { } regex
                    ? new(StringMatchKind.Regex, matcher.SafeRegex.Regex, ignore, regex)
                    : null;
            case StringMatcher.MatchPatternOneofCase.None:
                scope.Error("", "NARU-C101", "a string matcher needs exact, prefix, suffix, contains or safe_regex");
                return null;
            default: return null;
        }
    }

    /// <summary>Header changes of one level.</summary>
    public static HeaderMutationsConfig Headers(
        Scope scope, RepeatedField<HeaderValueOption> requestAdd, RepeatedField<string> requestRemove, RepeatedField<HeaderValueOption> responseAdd, RepeatedField<string> responseRemove)
    {
        var headers = new HeaderMutationsConfig(
            Added(scope, "request_headers_to_add", requestAdd),
            Removed(scope, "request_headers_to_remove", requestRemove),
            Added(scope, "response_headers_to_add", responseAdd),
            Removed(scope, "response_headers_to_remove", responseRemove));
        return headers.IsEmpty ? HeaderMutationsConfig.None : headers;
    }

    /// <summary>Headers to add. Pseudo headers and <c>host</c> are refused, as Envoy does (HTTP connection manager, Headers: custom
    /// request/response headers).</summary>
    /// <param name="scope">Where they stand.</param>
    /// <param name="field">The field.</param>
    /// <param name="options">What is written.</param>
    /// <param name="mayStatus">The <c>:status</c> of an answer may be changed.</param>
    public static ImmutableArray<HeaderValueConfig> Added(Scope scope, string field, RepeatedField<HeaderValueOption> options, bool mayStatus = false)
    {
        Most(scope, field, options.Count);
        var added = ImmutableArray.CreateBuilder<HeaderValueConfig>(options.Count);
        for (int i = 0; i < options.Count; i++)
        {
            HeaderValueOption option = options[i];
            Scope at = scope.In(field, i, option);
            if (option.Header is not { } header)
            {
                at.Error("header", "NARU-C101", "\"header\" is required");
                continue;
            }
            Scope headerAt = at.In("header", header);
            string name = header.Key.ToLowerInvariant();
            if (!HeaderName(headerAt, "key", name)) continue;
            if ((name[0] == ':' || name == "host") && !(mayStatus && name == ":status"))
            {
                headerAt.Error(
                    "key", "NARU-C108", $"\"{header.Key}\" cannot be changed here",
                    name == ":status" ? "answer with a direct_response, or map it in local_reply_config" : "use prefix_rewrite, regex_rewrite or host_rewrite_literal");
                continue;
            }
            if (IsFraming(name))
            {
                headerAt.Error("key", "NARU-C108", $"\"{header.Key}\" says how a message is framed, and would stand beside what the message really has", "remove it");
                continue;
            }
            if (!HeaderText(headerAt, header.Value)) continue;
            if (option.Append is { } append && option.AppendAction != 0)
            {
                at.Error("append", "NARU-C113", $"\"append\" ({(append ? "true" : "false")}) and \"append_action\" exclude each other", "keep append_action");
                continue;
            }
            HeaderAppendAction action = option.Append == false ? HeaderAppendAction.OverwriteIfExistsOrAdd : (HeaderAppendAction)(int)option.AppendAction;
            if (!System.Enum.IsDefined(action))
            {
                at.Error("append_action", "NARU-C102", $"{(int)option.AppendAction} is not an append_action");
                continue;
            }
            added.Add(new HeaderValueConfig(name, header.Value, action) { KeepEmptyValue = option.KeepEmptyValue });
        }
        return added.ToImmutable();
    }

    // Envoy's limit for changes of headers at one level (route_components.proto, max_items).
    private static void Most(Scope scope, string field, int count)
    {
        if (count > 1000) scope.Error(field, "NARU-C102", $"{count} are too many: at most 1000 stand at one level", "spread them over virtual host and route");
    }

    /// <summary>A header's value, which may hold command operators; false after an error that forbids it.</summary>
    public static bool HeaderText(Scope at, string value)
    {
        if (value.AsSpan().IndexOfAny('\r', '\n', '\0') >= 0 || value.Length > 16384)
        {
            at.Error("value", "NARU-C108", "a header's value holds neither line ends nor NUL, and at most 16384 characters");
            return false;
        }
        if (value.Contains('%', StringComparison.Ordinal)) at.CheckFormat("value", value, FormatUse.HeaderValue);
        return true;
    }

    /// <summary>Of the connection or of the body: written by whoever writes the message (RFC 9110 7.6.1, RFC 9112 6).</summary>
    public static bool IsFraming(string name) => name is "content-length" or "transfer-encoding" or "connection" or "keep-alive" or "proxy-connection" or "upgrade";

    private static ImmutableArray<string> Removed(Scope scope, string field, RepeatedField<string> names)
    {
        var removed = ImmutableArray.CreateBuilder<string>(names.Count);
        for (int i = 0; i < names.Count; i++)
        {
            string name = names[i].ToLowerInvariant();
            if (!HeaderName(scope, $"{field}[{i}]", name)) continue;
            if (name[0] == ':' || name == "host")
            {
                scope.Error($"{field}[{i}]", "NARU-C108", $"\"{names[i]}\" cannot be removed");
                continue;
            }
            if (name is "content-length" or "transfer-encoding") scope.Warning($"{field}[{i}]", "NARU-C111", $"\"{names[i]}\" stays: it says how the message is framed");
            removed.Add(name);
        }
        return removed.ToImmutable();
    }

    /// <summary>Reports a host that no request could have: whoever means another script writes its name in Punycode (RFC 5891).</summary>
    public static void Authority(Scope scope, string field, string host)
    {
        if (host.AsSpan().ContainsAnyExceptInRange('!', '~'))
            scope.Error(field, "NARU-C102", $"\"{host}\" is not a host", "write it in ASCII, without blanks: xn--... for names of other scripts");
    }

    /// <summary>Whether a name is a header's (RFC 9110 section 5.1), or a pseudo header's.</summary>
    public static bool HeaderName(Scope scope, string field, string name)
    {
        ReadOnlySpan<char> token = name.StartsWith(':') ? name.AsSpan(1) : name;
        bool valid = token.Length is > 0 and < 16384;
        foreach (char c in token) valid &= char.IsAsciiLetterOrDigit(c) || "!#$%&'*+-.^_`|~".Contains(c, StringComparison.Ordinal);
        if (valid) return true;
        scope.Error(field, name.Length == 0 ? "NARU-C101" : "NARU-C108", name.Length == 0 ? $"\"{field}\" is required" : $"\"{name}\" is not a header's name");
        return false;
    }

    /// <summary>A header that is written for others to read: no pseudo header, and none that says how a message is framed.</summary>
    public static bool OwnHeader(Scope scope, string field, string name)
    {
        if (!HeaderName(scope, field, name)) return false;
        if (name[0] != ':' && name != "host" && !IsFraming(name)) return true;
        scope.Error(field, "NARU-C108", $"\"{name}\" is not a header of its own", "give the header a name that says nothing else");
        return false;
    }

    /// <summary>A name that a cookie can have in a request: with another one none would ever be found.</summary>
    public static bool CookieName(Scope scope, string field, string name)
    {
        if (!Required(scope, field, name)) return false;
        if (name.Trim(' ') == name && !name.Any(c => c is < ' ' or (char)127 or ';' or '=')) return true;
        scope.Error(
            field, "NARU-C102", $"no cookie has the name \"{name}\"", "write it without semicolons, equals signs and blanks around it");
        return false;
    }

    /// <summary>The bytes of a data source.</summary>
    public static ByteString? Data(Scope scope, DataSource source)
    {
        switch (source.SpecifierCase)
        {
            case DataSource.SpecifierOneofCase.InlineString: return ByteString.CopyFromUtf8(source.InlineString);
            case DataSource.SpecifierOneofCase.InlineBytes: return source.InlineBytes;
            case DataSource.SpecifierOneofCase.EnvironmentVariable:
                if (Environment.GetEnvironmentVariable(source.EnvironmentVariable) is { } value) return ByteString.CopyFromUtf8(value);
                scope.Error("environment_variable", "NARU-C104", $"the environment has no {source.EnvironmentVariable}");
                return null;
            case DataSource.SpecifierOneofCase.Filename:
                try
                {
                    using FileStream file = File.OpenRead(source.Filename);
                    return ByteString.FromStream(file);
                }
                catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or ArgumentException)
                {
                    scope.Error("filename", "NARU-C104", $"cannot read \"{source.Filename}\": {fault.Message}");
                    return null;
                }
            default:
                scope.Error("", "NARU-C101", "a data source needs inline_string, inline_bytes, filename or environment_variable");
                return null;
        }
    }
}
