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
          + request_mutations response_mutations
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
        if (mutations is null) return new MutationsConfig([], []);
        Scope at = scope.In("mutations", mutations);
        return new MutationsConfig(All(at, "request_mutations", mutations.RequestMutations), All(at, "response_mutations", mutations.ResponseMutations));
    }

    private static ImmutableArray<MutationConfig> All(Scope scope, string field, RepeatedField<WrittenMutation> mutations)
    {
        var read = ImmutableArray.CreateBuilder<MutationConfig>(mutations.Count);
        for (int i = 0; i < mutations.Count; i++)
        {
            Scope at = scope.In(field, i, mutations[i]);
            switch (mutations[i].ActionCase)
            {
                case WrittenMutation.ActionOneofCase.Append:
                    foreach (HeaderValueConfig added in Values.Added(at, "append", new RepeatedField<HeaderValueOption> { mutations[i].Append })) read.Add(new MutationConfig(added.Name, added));
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
/// <param name="Name">Lower case.</param>
/// <param name="Added">What is added; null removes all of the name.</param>
internal sealed record MutationConfig(string Name, HeaderValueConfig? Added);

/// <summary>The changes of one level.</summary>
internal sealed record MutationsConfig(ImmutableArray<MutationConfig> Request, ImmutableArray<MutationConfig> Response)
{
    /// <summary>Of several levels the narrowest is last.</summary>
    public bool MostSpecificWins { get; init; }
}
