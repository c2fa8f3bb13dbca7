// envoy.filters.http.json_to_metadata: how its rules are read, in the chain and at routes.
using System.Collections.Immutable;
using System.Text;
using System.Text.RegularExpressions;
using Envoy.Extensions.Filters.Http.JsonToMetadata.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;
using Naru.Http.Bodies;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Naru.Proxy.Filters.Http.BodyToMetadata;
using Naru.Proxy.Http;
using Naru.Telemetry;
using Message = Envoy.Extensions.Filters.Http.JsonToMetadata.V3.JsonToMetadata;
using Types = Envoy.Extensions.Filters.Http.JsonToMetadata.V3.JsonToMetadata.Types;

namespace Naru.Proxy.Filters.Http.JsonToMetadata;

/// <summary>Values of JSON bodies become metadata (Envoy docs: JSON to metadata).</summary>
public sealed class JsonToMetadataExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.json_to_metadata";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.JsonToMetadata.V3.JsonToMetadata.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => Message;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata
          + request_rules response_rules
        envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata.MatchRules
          + rules allow_content_types allow_empty_content_type allow_content_types_regex
        envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata.Rule
          + selectors on_present on_missing on_error
        envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata.Selector
          + key
        envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata.KeyValuePair
          + metadata_namespace key value type preserve_existing_metadata_value

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var filter = (Message)message;
        if ((filter.RequestRules?.Rules.Count ?? 0) + (filter.ResponseRules?.Rules.Count ?? 0) == 0)
            scope.Error("", "NARU-C101", "the filter has no rules", "write request_rules or response_rules");
        return new JsonRules(Side(scope, "request_rules", filter.RequestRules), Side(scope, "response_rules", filter.ResponseRules));
    }

    internal override object ReadRoute(Scope scope, IMessage message) => Read(scope, message);

    private static JsonRuleSet? Side(Scope scope, string field, Types.MatchRules? given)
    {
        if (given is null) return null;
        Scope at = scope.In(field, given);
        if (given.Rules.Count == 0) at.Error("rules", "NARU-C101", "\"rules\" is required");
        var rules = ImmutableArray.CreateBuilder<JsonRule>(given.Rules.Count);
        for (int i = 0; i < given.Rules.Count; i++) rules.Add(One(at.In("rules", i, given.Rules[i]), given.Rules[i]));
        for (int i = 0; i < given.AllowContentTypes.Count; i++)
            if (given.AllowContentTypes[i].Length == 0) at.Error($"allow_content_types[{i}]", "NARU-C101", "a content type is required");
        Regex? pattern = given.AllowContentTypesRegex is { } regex ? Values.Pattern(at.In("allow_content_types_regex", regex), regex)
            : null;
        IEnumerable<string> types = given.AllowContentTypes.Count > 0 ? given.AllowContentTypes : ["application/json"];
        return new JsonRuleSet([.. rules], [.. types.Select(Encoding.UTF8.GetBytes)], given.AllowEmptyContentType, pattern);
    }

    private static JsonRule One(Scope scope, Types.Rule rule)
    {
        if (rule.Selectors.Count == 0) scope.Error("selectors", "NARU-C101", "\"selectors\" is required", "write selectors: [{key: …}]");
        if (rule.Selectors.Count > JsonPointer.MostSteps)
            scope.Error("selectors", "NARU-C102", $"a path has {rule.Selectors.Count} keys", $"the most is {JsonPointer.MostSteps}");
        for (int i = 0; i < rule.Selectors.Count; i++)
            Values.Required(scope.In("selectors", i, rule.Selectors[i]), "key", rule.Selectors[i].Key);
        if (rule.OnPresent is null && rule.OnMissing is null)
            scope.Error("", "NARU-C101", "a rule says what becomes of what it finds", "write on_present or on_missing");
        return new JsonRule(
            JsonPointer.OfNames(rule.Selectors.Select(s => s.Key)), Pair(scope, "on_present", rule.OnPresent, needsValue: false),
            Pair(scope, "on_missing", rule.OnMissing, needsValue: true), Pair(scope, "on_error", rule.OnError, needsValue: true));
    }

    private static JsonPair? Pair(Scope scope, string field, Types.KeyValuePair? pair, bool needsValue)
    {
        if (pair is null) return null;
        Scope at = scope.In(field, pair);
        Values.Required(at, "key", pair.Key);
        if (!System.Enum.IsDefined(pair.Type)) at.Error("type", "NARU-C102", $"{(int)pair.Type} is no type of a value");
        bool none = pair.Value is null or { KindCase: Value.KindOneofCase.None };
        if (needsValue && none) at.Error("value", "NARU-C101", "\"value\" is required");
        string name = pair.MetadataNamespace.Length > 0 ? pair.MetadataNamespace : "envoy.filters.http.json_to_metadata";
        return new JsonPair(Encoding.UTF8.GetBytes(name), Encoding.UTF8.GetBytes(pair.Key), none ? null : MetadataReader.Read(pair.Value!),
            pair.Type, pair.PreserveExistingMetadataValue);
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new JsonToMetadataFilter((JsonRules)settings, context);
}

/// <summary>What one finding becomes; without a value, what was found.</summary>
internal sealed record JsonPair(byte[] Namespace, byte[] Key, MetaValue? Value, Types.ValueType Type, bool Preserves);

/// <summary>One rule.</summary>
internal sealed record JsonRule(JsonPointer Path, JsonPair? Present, JsonPair? Missing, JsonPair? Error);

/// <summary>The rules of requests, or of answers, of one level.</summary>
internal sealed record JsonRuleSet(JsonRule[] Rules, byte[][] Types, bool TakesNoType, Regex? Pattern)
{
    public JsonPointer?[] Paths { get; } = [.. Rules.Select(r => r.Path)];

    /// <summary>Types are compared whole, with their parameters.</summary>
    public bool Allows(HeadEdits head)
    {
        // Of several, as of one that joins them, none is meant.
        if (!MediaTypes.TryOne(head, out ReadOnlySpan<byte> type)) return false;
        if (type.IsEmpty) return TakesNoType;
        foreach (byte[] allowed in Types) if (type.SequenceEqual(allowed)) return true;
        return Pattern is { } pattern && pattern.IsMatch(Encoding.Latin1.GetString(type));
    }
}

/// <summary>All of a level; null where it says nothing of that side.</summary>
internal sealed record JsonRules(JsonRuleSet? Request, JsonRuleSet? Response);
