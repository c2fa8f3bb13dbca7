// envoy.filters.http.header_to_metadata: how its rules are read. A value that is a serialized message is refused by name.
using System.Collections.Immutable;
using System.Text;
using System.Text.RegularExpressions;
using Envoy.Extensions.Filters.Http.HeaderToMetadata.V3;
using Google.Protobuf;
using Google.Protobuf.Collections;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Rules = Envoy.Extensions.Filters.Http.HeaderToMetadata.V3.Config;

namespace Naru.Proxy.Filters.Http.HeaderToMetadata;

/// <summary>Headers and cookies become metadata (Envoy docs: header to metadata).</summary>
public sealed class HeaderToMetadataExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.header_to_metadata";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Rules.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => Rules.Descriptor;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.config.filter.http.header_to_metadata.v2.Config";

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.header_to_metadata.v3.Config
          + request_rules response_rules
        envoy.extensions.filters.http.header_to_metadata.v3.Config.Rule
          + header cookie on_header_present on_header_missing remove
        envoy.extensions.filters.http.header_to_metadata.v3.Config.KeyValuePair
          + metadata_namespace key value regex_value_rewrite type encode

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var rules = (Rules)message;
        return new MetadataRulesConfig(All(scope, "request_rules", rules.RequestRules), All(scope, "response_rules", rules.ResponseRules));
    }

    internal override object ReadRoute(Scope scope, IMessage message)
    {
        var rules = (Rules)message;
        if (rules.RequestRules.Count + rules.ResponseRules.Count == 0)
            scope.Error("", "NARU-C101", "the entry has no rules", "write request_rules or response_rules, or disable the filter");
        return Read(scope, message);
    }

    private static ImmutableArray<MetadataRuleConfig> All(Scope scope, string field, RepeatedField<Rules.Types.Rule> given)
    {
        var all = ImmutableArray.CreateBuilder<MetadataRuleConfig>(given.Count);
        for (int i = 0; i < given.Count; i++) if (One(scope.In(field, i, given[i]), given[i]) is { } rule) all.Add(rule);
        return all.ToImmutable();
    }

    private static MetadataRuleConfig? One(Scope scope, Rules.Types.Rule rule)
    {
        if (rule.Header.Length > 0 == rule.Cookie.Length > 0)
        {
            scope.Error("", "NARU-C101", "a rule looks at one thing", "write header or cookie");
            return null;
        }
        bool isCookie = rule.Cookie.Length > 0;
        string name = isCookie ? rule.Cookie : rule.Header.ToLowerInvariant();
        if (!isCookie && !Values.HeaderName(scope, "header", name)) return null;
        if (isCookie && rule.Remove) scope.Error("remove", "NARU-C113", "a cookie is not taken out", "remove \"remove\"");
        if (rule.OnHeaderPresent is null && rule.OnHeaderMissing is null)
            scope.Error("", "NARU-C101", "a rule says what becomes of what it finds", "write on_header_present or on_header_missing");
        if (rule.OnHeaderMissing is { } missing) Values.Required(scope.In("on_header_missing", missing), "value", missing.Value);
        return new MetadataRuleConfig(name, isCookie, rule.Remove, Pair(scope, "on_header_present", rule.OnHeaderPresent),
            Pair(scope, "on_header_missing", rule.OnHeaderMissing));
    }

    private static MetadataPairConfig? Pair(Scope scope, string field, Rules.Types.KeyValuePair? pair)
    {
        if (pair is null) return null;
        Scope at = scope.In(field, pair);
        Values.Required(at, "key", pair.Key);
        if (pair.Value.Length > 0 && pair.RegexValueRewrite is { } both)
            at.In("regex_value_rewrite", both).Error("", "NARU-C113", "\"value\" and \"regex_value_rewrite\" exclude each other", "keep one of them");
        if (pair.Type is not (Rules.Types.ValueType.String or Rules.Types.ValueType.Number))
            at.Error("type", "NARU-C113", "a value of type PROTOBUF_VALUE is not supported yet", "known are STRING and NUMBER");
        if (!Enum.IsDefined(pair.Encode)) at.Error("encode", "NARU-C102", $"{(int)pair.Encode} is not an encoding");
        return new MetadataPairConfig(pair.MetadataNamespace.Length > 0 ? pair.MetadataNamespace
            : "envoy.filters.http.header_to_metadata", pair.Key)
        {
            Value = pair.Value,
            Rewrite = pair.RegexValueRewrite is { } rewrite ? Values.Rewrite(at.In("regex_value_rewrite", rewrite), rewrite) : null,
            IsNumber = pair.Type == Rules.Types.ValueType.Number,
            IsBase64 = pair.Encode == Rules.Types.ValueEncode.Base64,
        };
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) =>
        new HeaderToMetadataFilter(MetadataRules.Of((MetadataRulesConfig)settings));

    object IHttpFilterKind.CompileRoute(object settings, FilterContext context) => MetadataRules.Of((MetadataRulesConfig)settings);
}

/// <summary>What one finding becomes.</summary>
internal sealed record MetadataPairConfig(string Namespace, string Key)
{
    /// <summary>In place of what was found; empty is that.</summary>
    public string Value { get; init; } = "";

    /// <summary>Applied to what was found.</summary>
    public (Regex Pattern, string Substitution)? Rewrite { get; init; }

    /// <summary>A number; what is none is left out.</summary>
    public bool IsNumber { get; init; }

    /// <summary>It is decoded first.</summary>
    public bool IsBase64 { get; init; }

    public byte[] NamespaceBytes { get; } = Encoding.UTF8.GetBytes(Namespace);

    public byte[] KeyBytes { get; } = Encoding.UTF8.GetBytes(Key);
}

/// <summary>One rule.</summary>
internal sealed record MetadataRuleConfig(string Name, bool IsCookie, bool Remove, MetadataPairConfig? Present, MetadataPairConfig? Missing)
{
    public byte[] NameBytes { get; } = Encoding.UTF8.GetBytes(Name);
}

/// <summary>The rules of one level.</summary>
internal sealed record MetadataRulesConfig(ImmutableArray<MetadataRuleConfig> Request, ImmutableArray<MetadataRuleConfig> Response);

/// <summary>The same, compiled.</summary>
internal sealed record MetadataRules(MetadataRuleConfig[] Request, MetadataRuleConfig[] Response)
{
    public static MetadataRules Of(MetadataRulesConfig config) => new([.. config.Request], [.. config.Response]);
}
