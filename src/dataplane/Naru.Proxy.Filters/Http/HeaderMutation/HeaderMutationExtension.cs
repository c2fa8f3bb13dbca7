// envoy.filters.http.header_mutation: how its configuration is read. Stands in the chain and among a cluster's filters.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Extensions.Filters.Http.HeaderMutation.V3;
using Google.Protobuf;
using Google.Protobuf.Collections;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using WrittenMutation = Envoy.Config.Common.MutationRules.V3.HeaderMutation;

namespace Naru.Proxy.Filters.Http.HeaderMutation;

/// <summary>Changes of heads, in the order in which they are written (Envoy docs: header mutation).</summary>
public sealed class HeaderMutationExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.header_mutation";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.HeaderMutation.V3.HeaderMutation.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => HeaderMutationPerRoute.Descriptor;

    /// <inheritdoc/>
    public override bool MayBeUpstream => true;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
          + mutations most_specific_header_mutations_wins
        envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute
          + mutations
        envoy.extensions.filters.http.header_mutation.v3.Mutations
          + request_mutations response_mutations query_parameter_mutations request_trailers_mutations response_trailers_mutations
        envoy.config.core.v3.KeyValueMutation
          + append remove
        envoy.config.core.v3.KeyValueAppend
          + record action
        envoy.config.core.v3.KeyValuePair
          + key value
        envoy.config.common.mutation_rules.v3.HeaderMutation
          + remove append

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var filter = (Envoy.Extensions.Filters.Http.HeaderMutation.V3.HeaderMutation)message;
        return (MutationsConfig)Level(scope, filter.Mutations) with { MostSpecificWins = filter.MostSpecificHeaderMutationsWins };
    }

    internal override object ReadRoute(Scope scope, IMessage message) => Level(scope, ((HeaderMutationPerRoute)message).Mutations);

    private static MutationsConfig Level(Scope scope, Mutations? mutations)
    {
        if (mutations is null) return new MutationsConfig();
        Scope at = scope.In("mutations", mutations);
        return new MutationsConfig
        {
            Request = All(at, "request_mutations", mutations.RequestMutations),
            Response = All(at, "response_mutations", mutations.ResponseMutations, mayStatus: true),
            Query = Parameters(at, mutations.QueryParameterMutations),
            RequestTrailers = All(at, "request_trailers_mutations", mutations.RequestTrailersMutations),
            ResponseTrailers = All(at, "response_trailers_mutations", mutations.ResponseTrailersMutations),
        };
    }

    private static ImmutableArray<MutationConfig> Parameters(Scope scope, RepeatedField<KeyValueMutation> mutations)
    {
        var read = ImmutableArray.CreateBuilder<MutationConfig>(mutations.Count);
        for (int i = 0; i < mutations.Count; i++)
        {
            Scope at = scope.In("query_parameter_mutations", i, mutations[i]);
            bool removes = mutations[i].Remove.Length > 0;
            if (removes == mutations[i].Append is not null)
                at.Error("", "NARU-C101", "a mutation says what it does, and one thing", "write append or remove");
            else if (removes)
                read.Add(new MutationConfig(mutations[i].Remove, null));
            else if (Parameter(at.In("append", mutations[i].Append), mutations[i].Append) is { } added)
                read.Add(new MutationConfig(added.Name, added));
        }
        return read.ToImmutable();
    }

    private static HeaderValueConfig? Parameter(Scope scope, KeyValueAppend append)
    {
        var action = (HeaderAppendAction)(int)append.Action;
        if (!System.Enum.IsDefined(action)) scope.Error("action", "NARU-C102", $"{(int)append.Action} is not an action");
        if (append.Record is not { } record)
        {
            scope.Error("record", "NARU-C101", "\"record\" is required");
            return null;
        }
        Scope at = scope.In("record", record);
        if (!Values.Required(at, "key", record.Key)) return null;
        if (record.Value is not { KindCase: Google.Protobuf.WellKnownTypes.Value.KindOneofCase.StringValue } value)
        {
            at.Error("value", "NARU-C102", "\"value\" is a text", "put it into quotes");
            return null;
        }
        if (value.StringValue.Contains('%', StringComparison.Ordinal))
            at.CheckFormat("value", value.StringValue, Telemetry.FormatUse.HeaderValue);
        return new HeaderValueConfig(record.Key, value.StringValue, action) { KeepEmptyValue = true };
    }

    // An answer has one status; a format is looked at when it is there.
    private static bool IsStatus(HeaderValueConfig added) =>
        added.Action is HeaderAppendAction.OverwriteIfExistsOrAdd or HeaderAppendAction.OverwriteIfExists
        && (added.Value.Contains('%', StringComparison.Ordinal) || (int.TryParse(added.Value, out int status) && status is >= 200 and <= 599));

    private static ImmutableArray<MutationConfig> All(Scope scope, string field, RepeatedField<WrittenMutation> mutations, bool mayStatus = false)
    {
        var read = ImmutableArray.CreateBuilder<MutationConfig>(mutations.Count);
        for (int i = 0; i < mutations.Count; i++)
        {
            Scope at = scope.In(field, i, mutations[i]);
            switch (mutations[i].ActionCase)
            {
                case WrittenMutation.ActionOneofCase.Append:
                    foreach (HeaderValueConfig added in Values.Added(at, "append", [mutations[i].Append], mayStatus))
                    {
                        if (added.Name == ":status" && !IsStatus(added))
                            at.Error("append", "NARU-C102", $"\"{added.Value}\" is not a status", "write 200 to 599, with OVERWRITE_IF_EXISTS_OR_ADD");
                        read.Add(new MutationConfig(added.Name, added));
                    }
                    break;
                case WrittenMutation.ActionOneofCase.Remove:
                    string name = mutations[i].Remove.ToLowerInvariant();
                    if (!Values.HeaderName(at, "remove", name)) break;
                    if (name[0] == ':' || name == "host") at.Error("remove", "NARU-C108", $"\"{name}\" cannot be removed");
                    else read.Add(new MutationConfig(name, null));
                    break;
                default:
                    at.Error("", "NARU-C101", "a mutation says what it does", "write append or remove");
                    break;
            }
        }
        return read.ToImmutable();
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new HeaderMutationFilter((MutationsConfig)settings);

    object IHttpFilterKind.CompileRoute(object settings, FilterContext context) => new MutationLevels([MutationLevel.Of((MutationsConfig)settings)]);
}

/// <summary>One change.</summary>
/// <param name="Name">Lower case, but that of a parameter.</param>
/// <param name="Added">What is added; null removes all of the name.</param>
internal sealed record MutationConfig(string Name, HeaderValueConfig? Added);

/// <summary>The changes of one level.</summary>
internal sealed record MutationsConfig
{
    /// <summary>Of the request's head.</summary>
    public ImmutableArray<MutationConfig> Request { get; init; } = [];

    /// <summary>Of the answer's.</summary>
    public ImmutableArray<MutationConfig> Response { get; init; } = [];

    /// <summary>Of the parameters in the request's path, after its head; names as they are decoded.</summary>
    public ImmutableArray<MutationConfig> Query { get; init; } = [];

    /// <summary>Of the request's trailers, where it has any.</summary>
    public ImmutableArray<MutationConfig> RequestTrailers { get; init; } = [];

    /// <summary>Of the answer's trailers, where it has any.</summary>
    public ImmutableArray<MutationConfig> ResponseTrailers { get; init; } = [];

    /// <summary>Of several levels the narrowest is last.</summary>
    public bool MostSpecificWins { get; init; }
}
