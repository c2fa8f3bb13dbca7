// What matchers look at (xds.type.matcher.v3): a header of the request, or a fact of its connection. Whatever else is refused by name.
using Envoy.Type.Matcher.V3;
using Google.Protobuf.Reflection;
using Xds.Core.V3;
using Network = Envoy.Extensions.Matching.CommonInputs.Network.V3;
using Ssl = Envoy.Extensions.Matching.CommonInputs.Ssl.V3;

namespace Naru.Proxy.Config.Reading;

/// <summary>An input.</summary>
/// <param name="Header">Lower case; empty where it is no header.</param>
/// <param name="Connection">Null where it is a header.</param>
internal readonly record struct MatcherInput(string Header, ConnectionInput? Connection);

/// <summary>Reads inputs.</summary>
internal static class MatcherInputs
{
    /// <summary>The tree of ranges.</summary>
    public const string IpMatcher = "xds.type.matcher.v3.IPMatcher";

    private const string HeaderInput = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput";

    private static readonly Dictionary<string, (MessageDescriptor Type, ConnectionInput Input)> s_ofConnections = new[]
    {
        (Network.DestinationIPInput.Descriptor, ConnectionInput.DestinationIp),
        (Network.DestinationPortInput.Descriptor, ConnectionInput.DestinationPort),
        (Network.SourceIPInput.Descriptor, ConnectionInput.SourceIp),
        (Network.SourcePortInput.Descriptor, ConnectionInput.SourcePort),
        (Network.DirectSourceIPInput.Descriptor, ConnectionInput.DirectSourceIp),
        (Network.SourceTypeInput.Descriptor, ConnectionInput.SourceType),
        (Network.ServerNameInput.Descriptor, ConnectionInput.ServerName),
        (Network.TransportProtocolInput.Descriptor, ConnectionInput.TransportProtocol),
        (Network.ApplicationProtocolInput.Descriptor, ConnectionInput.ApplicationProtocol),
        (Ssl.UriSanInput.Descriptor, ConnectionInput.UriSan),
        (Ssl.DnsSanInput.Descriptor, ConnectionInput.DnsSan),
        (Ssl.SubjectInput.Descriptor, ConnectionInput.Subject),
    }.ToDictionary(i => i.Item1.FullName, i => i, StringComparer.Ordinal);

    /// <summary>The input; null after an error.</summary>
    public static MatcherInput? Read(Scope scope, TypedExtensionConfig? input)
    {
        if (input?.TypedConfig is not { } any)
        {
            scope.Error("input", "NARU-C101", "\"input\" is required", $"give a {HeaderInput}");
            return null;
        }
        Scope at = scope.In("input", input);
        string type = EnvoyTypes.NameOf(any);
        if (s_ofConnections.TryGetValue(type, out (MessageDescriptor Type, ConnectionInput Input) known))
            return scope.Pass.Unpack(known.Type, any, at) is null ? null : new MatcherInput("", known.Input);
        if (type != HeaderInput)
        {
            at.Error("typed_config", "NARU-C112",
                $"{type} is not known here, where headers of the request and facts of its connection decide",
                $"give a {HeaderInput}, or one of envoy.extensions.matching.common_inputs.network or .ssl");
            return null;
        }
        if (scope.Pass.Unpack<HttpRequestHeaderMatchInput>(any, at) is not { } header) return null;
        Scope inside = at.In("typed_config", header);
        FieldWalk.Check(inside);
        string name = header.HeaderName.ToLowerInvariant();
        if (!Values.HeaderName(inside, "header_name", name)) return null;
        return new MatcherInput(name == "host" ? ":authority" : name, null);
    }
}
