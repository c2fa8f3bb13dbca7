// naru.filters.http.body_to_metadata, a filter of our own (docs/reference/body-matching.md): how its rules are read, in the chain and at
// routes. Paths are compiled here; what is no path is refused with its place.
using System.Collections.Immutable;
using System.Text;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;
using Naru.Http.Bodies;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Naru.Telemetry;
using Message = Naru.Filters.Http.BodyToMetadata.V1.BodyToMetadata;
using Types = Naru.Filters.Http.BodyToMetadata.V1.BodyToMetadata.Types;

namespace Naru.Proxy.Filters.Http.BodyToMetadata;

/// <summary>Values of bodies become metadata, by which routes are chosen.</summary>
public sealed class BodyToMetadataExtension : HttpFilterExtension, IHttpFilterKind
{
    // Bytes that are looked at, and rules: each costs a comparison at every name in a body.
    private const int MostBytes = 64 * 1024, MostRules = 16;

    /// <inheritdoc/>
    public override string Name => "naru.filters.http.body_to_metadata";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Naru.Filters.Http.BodyToMetadata.V1.BodyToMetadata.Descriptor;
    public override string Package => "naru.filters.http.body_to_metadata.v1";

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => Message;

    /// <inheritdoc/>
    public override string Fields => """
        naru.filters.http.body_to_metadata.v1.BodyToMetadata
          + rules max_bytes refuse
        naru.filters.http.body_to_metadata.v1.BodyToMetadata.Rule
          + json xml form grpc metadata_namespace key type on_present on_missing on_error
        naru.filters.http.body_to_metadata.v1.BodyToMetadata.Grpc
          + path type

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var filter = (Message)message;
        if (filter.Rules.Count is 0 or > MostRules)
            scope.Error("rules", "NARU-C101", $"there are {filter.Rules.Count} rules", $"write 1 to {MostRules}");
        var rules = ImmutableArray.CreateBuilder<BodyRule>(filter.Rules.Count);
        for (int i = 0; i < filter.Rules.Count; i++)
            if (One(scope.In("rules", i, filter.Rules[i]), filter.Rules[i]) is { } rule) rules.Add(rule);
        int most = Values.Count(scope, "max_bytes", filter.MaxBytes, MostBytes, least: 1, most: MostBytes);
        return new BodyRules([.. rules], most, filter.Refuse);
    }

    internal override object ReadRoute(Scope scope, IMessage message) => Read(scope, message);

    private static BodyRule? One(Scope scope, Types.Rule rule)
    {
        bool good = Values.Required(scope, "key", rule.Key);
        if (!System.Enum.IsDefined(rule.Type)) scope.Error("type", "NARU-C102", $"{(int)rule.Type} is no type of a value");
        string name = rule.MetadataNamespace.Length > 0 ? rule.MetadataNamespace : "naru.filters.http.body_to_metadata";
        var read = new BodyRule(Encoding.UTF8.GetBytes(name), Encoding.UTF8.GetBytes(rule.Key), rule.Type == Types.ValueType.String,
            Of(rule.OnPresent), Of(rule.OnMissing), Of(rule.OnError));
        string fault = "";
        switch (rule.SourceCase)
        {
            case Types.Rule.SourceOneofCase.Json:
                read = read with { Kind = BodyForm.Json, Json = JsonPointer.Parse(rule.Json, out fault) };
                good &= read.Json is not null;
                if (fault.Length > 0) scope.Error("json", "NARU-C102", $"\"{rule.Json}\" is no place in a JSON text", fault);
                break;
            case Types.Rule.SourceOneofCase.Xml:
                read = read with { Kind = BodyForm.Xml, Xml = XmlPath.Parse(rule.Xml, out fault) };
                good &= read.Xml is not null;
                if (fault.Length > 0) scope.Error("xml", "NARU-C102", $"\"{rule.Xml}\" is no path that is known here", fault);
                break;
            case Types.Rule.SourceOneofCase.Form:
                read = read with { Kind = BodyForm.Form, Form = Encoding.UTF8.GetBytes(rule.Form) };
                good &= Values.Required(scope, "form", rule.Form);
                if (read.Form!.Length > FormBody.LongestName)
                    scope.Error("form", "NARU-C102", "the name of the field is too long", $"the most is {FormBody.LongestName} bytes");
                break;
            case Types.Rule.SourceOneofCase.Grpc:
                Scope at = scope.In("grpc", rule.Grpc);
                if (rule.Grpc.Path.Count is 0 or > ProtoPath.MostSteps)
                    at.Error("path", "NARU-C101", "a path of field numbers is wanted",
                        $"write path: [1, 3], at most {ProtoPath.MostSteps}");
                foreach (uint number in rule.Grpc.Path)
                    if (number is 0 or > ProtoPath.MostNumber)
                        at.Error("path", "NARU-C102", $"{number} is no number of a field", $"they are 1 to {ProtoPath.MostNumber}");
                if (!System.Enum.IsDefined(rule.Grpc.Type)) at.Error("type", "NARU-C102", $"{(int)rule.Grpc.Type} is no type of a field");
                read = read with { Kind = BodyForm.Grpc, Grpc = new ProtoPath([.. rule.Grpc.Path], (ProtoType)rule.Grpc.Type) };
                break;
            default:
                scope.Error("", "NARU-C101", "a rule says where its value is", "write json, xml, form or grpc");
                return null;
        }
        return good ? read : null;
    }

    private static MetaValue? Of(Value? value) => value is null or { KindCase: Value.KindOneofCase.None } ? null
        : MetadataReader.Read(value);

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new BodyToMetadataFilter((BodyRules)settings, context);
}

/// <summary>What a body is.</summary>
internal enum BodyForm : byte
{
    None,
    Json,
    Xml,
    Form,
    Grpc,
}

/// <summary>One rule.</summary>
internal sealed record BodyRule(byte[] Namespace, byte[] Key, bool AsText, MetaValue? Present, MetaValue? Missing, MetaValue? Error)
{
    public BodyForm Kind { get; init; }

    public JsonPointer? Json { get; init; }

    public XmlPath? Xml { get; init; }

    public byte[]? Form { get; init; }

    public ProtoPath? Grpc { get; init; }
}

/// <summary>Those of one level.</summary>
/// <param name="Rules">In order.</param>
/// <param name="MostBytes">That are looked at.</param>
/// <param name="Refuses">Errors are answered.</param>
internal sealed record BodyRules(BodyRule[] Rules, int MostBytes, bool Refuses)
{
    public JsonPointer?[] Json { get; } = [.. Rules.Select(r => r.Json)];

    public XmlPath?[] Xml { get; } = [.. Rules.Select(r => r.Xml)];

    public byte[]?[] Form { get; } = [.. Rules.Select(r => r.Form)];

    public ProtoPath?[] Grpc { get; } = [.. Rules.Select(r => r.Grpc)];

    public bool Has(BodyForm kind) => Array.Exists(Rules, r => r.Kind == kind);
}
