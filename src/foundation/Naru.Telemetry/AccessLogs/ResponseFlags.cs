// Envoy's response flags: what went wrong with a request, as a set, with the short and the long names people know.
// Stands beside IRequestInfo; whoever ends a request sets them.
namespace Naru.Telemetry;

/// <summary>What happened to a request (Envoy, "Access logging", <c>%RESPONSE_FLAGS%</c>). Bits are ours, names are Envoy's.</summary>
[Flags]
public enum ResponseFlags : ulong
{
    /// <summary>Nothing to say.</summary>
    None = 0,
    /// <summary>LH.</summary>
    FailedLocalHealthCheck = 1UL << 0,
    /// <summary>UH.</summary>
    NoHealthyUpstream = 1UL << 1,
    /// <summary>UT.</summary>
    UpstreamRequestTimeout = 1UL << 2,
    /// <summary>LR.</summary>
    LocalReset = 1UL << 3,
    /// <summary>UR.</summary>
    UpstreamRemoteReset = 1UL << 4,
    /// <summary>UF.</summary>
    UpstreamConnectionFailure = 1UL << 5,
    /// <summary>UC.</summary>
    UpstreamConnectionTermination = 1UL << 6,
    /// <summary>UO.</summary>
    UpstreamOverflow = 1UL << 7,
    /// <summary>NR.</summary>
    NoRouteFound = 1UL << 8,
    /// <summary>DI.</summary>
    DelayInjected = 1UL << 9,
    /// <summary>FI.</summary>
    FaultInjected = 1UL << 10,
    /// <summary>RL.</summary>
    RateLimited = 1UL << 11,
    /// <summary>UAEX.</summary>
    UnauthorizedExternalService = 1UL << 12,
    /// <summary>RLSE.</summary>
    RateLimitServiceError = 1UL << 13,
    /// <summary>DC.</summary>
    DownstreamConnectionTermination = 1UL << 14,
    /// <summary>URX.</summary>
    UpstreamRetryLimitExceeded = 1UL << 15,
    /// <summary>SI.</summary>
    StreamIdleTimeout = 1UL << 16,
    /// <summary>IH.</summary>
    InvalidEnvoyRequestHeaders = 1UL << 17,
    /// <summary>DPE.</summary>
    DownstreamProtocolError = 1UL << 18,
    /// <summary>UMSDR.</summary>
    UpstreamMaxStreamDurationReached = 1UL << 19,
    /// <summary>RFCF.</summary>
    ResponseFromCacheFilter = 1UL << 20,
    /// <summary>NFCF.</summary>
    NoFilterConfigFound = 1UL << 21,
    /// <summary>DT.</summary>
    DurationTimeout = 1UL << 22,
    /// <summary>UPE.</summary>
    UpstreamProtocolError = 1UL << 23,
    /// <summary>NC.</summary>
    NoClusterFound = 1UL << 24,
    /// <summary>OM.</summary>
    OverloadManagerTerminated = 1UL << 25,
    /// <summary>DF.</summary>
    DnsResolutionFailed = 1UL << 26,
    /// <summary>DO.</summary>
    DropOverload = 1UL << 27,
    /// <summary>DR.</summary>
    DownstreamRemoteReset = 1UL << 28,
    /// <summary>UDO.</summary>
    UnconditionalDropOverload = 1UL << 29,
}

/// <summary>Prints <see cref="ResponseFlags"/>.</summary>
public static class ResponseFlagNames
{
    private static readonly string[] s_short =
        ["LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX", "SI", "IH", "DPE", "UMSDR",
            "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR", "UDO"];

    private static readonly byte[][] s_shortBytes = [.. s_short.Select(System.Text.Encoding.ASCII.GetBytes)];

    private static readonly byte[][] s_longBytes =
        [.. Enum.GetValues<ResponseFlags>().Where(f => f != ResponseFlags.None).Select(f => System.Text.Encoding.ASCII.GetBytes(f.ToString()))];

    /// <summary>The short names, in the order of the bits.</summary>
    public static IReadOnlyList<string> Short => s_short;

    /// <summary>The short name of the first flag that is set.</summary>
    /// <param name="flags">One at least.</param>
    public static string First(ResponseFlags flags) => s_short[System.Numerics.BitOperations.TrailingZeroCount((ulong)flags)];

    // What was known before the end was: that no retry was left, or none was allowed.
    private const ResponseFlags OfRetries = ResponseFlags.UpstreamRetryLimitExceeded | ResponseFlags.UpstreamOverflow;

    /// <summary>Appends the names joined by commas; nothing where no flag is set. What became of a retry comes first, as it was known first
    /// (Envoy writes flags in the order in which they were set).</summary>
    /// <param name="flags">Which.</param>
    /// <param name="into">Where.</param>
    /// <param name="useLongNames">Long names.</param>
    /// <param name="triesFirst">A connection's: what became of its tries was known before that they were used up.</param>
    public static void Append(ResponseFlags flags, LineBuffer into, bool useLongNames = false, bool triesFirst = false)
    {
        byte[][] names = useLongNames ? s_longBytes : s_shortBytes;
        bool first = true;
        Append(triesFirst ? flags & ~OfRetries : flags & OfRetries, names, into, ref first);
        Append(triesFirst ? flags & OfRetries : flags & ~OfRetries, names, into, ref first);
    }

    private static void Append(ResponseFlags flags, byte[][] names, LineBuffer into, ref bool first)
    {
        for (ulong rest = (ulong)flags; rest != 0; rest &= rest - 1)
        {
            if (!first) into.Append((byte)',');
            first = false;
            into.Append(names[System.Numerics.BitOperations.TrailingZeroCount(rest)]);
        }
    }
}
