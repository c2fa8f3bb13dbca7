// Why a route does not take a request. Made where the test fails and told in words only where somebody wants to know.
using Naru.Proxy.Config;

namespace Naru.Proxy.Routing;

/// <summary>What did not fit.</summary>
internal enum MismatchKind : byte
{
    /// <summary>All did.</summary>
    None,
    /// <summary>CONNECT goes to routes with <c>connect_matcher</c>, and nothing else does.</summary>
    Connect,
    Path,
    RuntimeFraction,
    /// <summary>A header; the method and other pseudo headers are among them.</summary>
    Header,
    QueryParameter,
    /// <summary>It is not gRPC.</summary>
    Grpc,
    /// <summary>A cookie.</summary>
    Cookie,
    /// <summary>The client's certificate.</summary>
    Certificate,
    /// <summary>What filters said of it.</summary>
    Metadata,
    /// <summary>A text that filters keep.</summary>
    FilterState,
}

/// <summary>What of a request did not fit a route.</summary>
/// <param name="Kind">What kind of thing.</param>
/// <param name="Index">Which matcher of the route, of those that there are several of.</param>
internal readonly record struct Mismatch(MismatchKind Kind, int Index = 0)
{
    /// <summary>In words, to stand behind the route.</summary>
    public string Describe(RouteMatchConfig match) => Kind switch
    {
        MismatchKind.Connect => match.Kind == PathMatchKind.Connect ? "takes CONNECT only" : "does not take CONNECT",
        MismatchKind.Path => "another path",
        MismatchKind.Header => Header(match.Headers[Index]),
        MismatchKind.QueryParameter => $"query parameter {match.QueryParameters[Index].Name} does not fit",
        MismatchKind.Grpc => "takes gRPC only",
        MismatchKind.Cookie => $"cookie {match.Cookies[Index].Name} does not fit",
        MismatchKind.Certificate => "the client's certificate does not fit",
        MismatchKind.Metadata =>
            $"metadata {string.Join('.', match.Metadata[Index].Path.Select(System.Text.Encoding.UTF8.GetString))} does not fit",
        MismatchKind.FilterState => $"filter state {match.States[Index].Key} does not fit",
        // What fits otherwise was not taken by chance.
        _ => match.RuntimeKey.Length > 0 ? $"takes the share of requests that the runtime says in {match.RuntimeKey}" : $"takes {match.RuntimeFractionPerMillion / 10_000.0:0.####} % of requests",
    };

    private static string Header(HeaderMatcherConfig header) =>
        header.Name == ":method" ? "another method" : $"header {header.Name} does not fit";
}
