// What matchers look at (xds.type.matcher.v3): a header of the request, or a fact of its connection; of an answer a header, or the status.
// Whatever else is refused by name.
using Envoy.Type.Matcher.V3;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;
using Xds.Core.V3;
using Network = Envoy.Extensions.Matching.CommonInputs.Network.V3;
using Ssl = Envoy.Extensions.Matching.CommonInputs.Ssl.V3;

namespace Naru.Proxy.Config.Reading;

/// <summary>Which head a matcher looks at.</summary>
internal enum MatchedHead : byte
{
    /// <summary>The request's.</summary>
    Request,

    /// <summary>The answer's.</summary>
    Response,
}

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
    private const string AnswerInput = "envoy.type.matcher.v3.HttpResponseHeaderMatchInput";
    private const string StatusInput = "envoy.type.matcher.v3.HttpResponseStatusCodeMatchInput";
    private const string ClassInput = "envoy.type.matcher.v3.HttpResponseStatusCodeClassMatchInput";

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
        (Network.NetworkNamespaceInput.Descriptor, ConnectionInput.NetworkNamespace),
        (Ssl.UriSanInput.Descriptor, ConnectionInput.UriSan),
        (Ssl.DnsSanInput.Descriptor, ConnectionInput.DnsSan),
        (Ssl.SubjectInput.Descriptor, ConnectionInput.Subject),
    }.ToDictionary(i => i.Item1.FullName, i => i, StringComparer.Ordinal);

    /// <summary>The input; null after an error.</summary>
    public static MatcherInput? Read(Scope scope, TypedExtensionConfig? input, MatchedHead of)
    {
        if (input?.TypedConfig is not { } any)
        {
            scope.Error("input", "NARU-C101", "\"input\" is required", $"give a {(of == MatchedHead.Request ? HeaderInput : StatusInput)}");
            return null;
        }
        if (of == MatchedHead.Response) return OfAnswer(scope.In("input", input), any);
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
        return scope.Pass.Unpack<HttpRequestHeaderMatchInput>(any, at) is { } header ? Header(at.In("typed_config", header), header.HeaderName) : null;
    }

    private static MatcherInput? OfAnswer(Scope at, Any any)
    {
        switch (EnvoyTypes.NameOf(any))
        {
            case AnswerInput:
                return at.Pass.Unpack<HttpResponseHeaderMatchInput>(any, at) is { } field ? Header(at.In("typed_config", field), field.HeaderName) : null;
            case StatusInput: return new MatcherInput(":status", null);
            case ClassInput: return new MatcherInput(":status-class", null);
            default:
                at.Error("typed_config", "NARU-C112", $"{EnvoyTypes.NameOf(any)} is not known here, where the answer decides", $"give a {StatusInput}");
                return null;
        }
    }

    private static MatcherInput? Header(Scope inside, string given)
    {
        FieldWalk.Check(inside);
        string name = given.ToLowerInvariant();
        if (!Values.HeaderName(inside, "header_name", name)) return null;
        return new MatcherInput(name == "host" ? ":authority" : name, null);
    }
}
