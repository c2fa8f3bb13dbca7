// The matcher that leads connections of a listener to filter chains, by their names (Listener.filter_chain_matcher). Refused are chains
// that it could not name or that are not there, and whatever is not known before the handshake.
using Envoy.Config.Listener.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Core;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads matchers of filter chains.</summary>
internal static class ChainMatchers
{
    private const string Help = "give inputs of envoy.extensions.matching.common_inputs.network";
    private const string Text = "google.protobuf.StringValue";

    /// <summary>The matcher; null where there is none, or after an error.</summary>
    public static MatcherConfig<ChainNameConfig>? Read(Scope scope, Listener listener)
    {
        if (listener.FilterChainMatcher is not { } given) return null;
        HashSet<string> names = Names(scope, listener);
        Scope at = scope.In("filter_chain_matcher", given);
        if (MatcherReader.Read(at, given, Name) is not { } matcher) return null;
        if (matcher.ReadsHeaders) at.Error("", "NARU-C113", "a connection has no headers to match", Help);
        else if (matcher.Predicates.Any(p => p is ExpressionPredicateConfig))
            at.Error("", "NARU-C113", "expressions are asked about requests", Help);
        else if (matcher.Inputs.Any(i => i is ConnectionInput.UriSan or ConnectionInput.DnsSan or ConnectionInput.Subject))
        {
            at.Error("", "NARU-C113", "a filter chain is chosen before the handshake: nobody has a certificate yet",
                "match by server name, protocol or address");
        }
        return matcher;

        ChainNameConfig? Name(Scope end, Any any)
        {
            if (EnvoyTypes.NameOf(any) != Text)
            {
                end.Error("typed_config", "NARU-C112", $"{EnvoyTypes.NameOf(any)} names no filter chain",
                    $"give a {Text} with the name of one");
                return null;
            }
            if (end.Pass.Unpack<StringValue>(any, end) is not { } name) return null;
            if (names.Contains(name.Value)) return new ChainNameConfig(name.Value);
            end.Error("typed_config", "NARU-C104", $"there is no filter chain \"{name.Value}\"",
                Nearest.Suggestion(name.Value, names) ?? "name one of filter_chains");
            return null;
        }
    }

    private static HashSet<string> Names(Scope scope, Listener listener)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        for (int i = 0; i < listener.FilterChains.Count; i++)
        {
            FilterChain chain = listener.FilterChains[i];
            Scope at = scope.In("filter_chains", i, chain);
            if (chain.Name.Length == 0) at.Error("name", "NARU-C101", "\"name\" is required: filter_chain_matcher leads to names");
            else if (!names.Add(chain.Name))
                at.Error("name", "NARU-C103", $"there are two filter chains \"{chain.Name}\"", "give each its own name");
            if (chain.FilterChainMatch is not null)
                at.Info("filter_chain_match", "NARU-C111", "\"filter_chain_match\" has no effect: filter_chain_matcher decides");
        }
        return names;
    }
}
