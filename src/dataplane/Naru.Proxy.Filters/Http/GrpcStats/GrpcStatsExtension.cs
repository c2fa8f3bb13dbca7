// envoy.filters.http.grpc_stats: how its configuration is read.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Extensions.Filters.Http.GrpcStats.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Specifier = Envoy.Extensions.Filters.Http.GrpcStats.V3.FilterConfig.PerMethodStatSpecifierOneofCase;

namespace Naru.Proxy.Filters.Http.GrpcStats;

/// <summary>Calls that are counted by service and method (Envoy docs: gRPC statistics).</summary>
public sealed class GrpcStatsExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.grpc_stats";

    /// <inheritdoc/>
    public override MessageDescriptor Message => FilterConfig.Descriptor;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.config.filter.http.grpc_stats.v2alpha.FilterConfig";

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.grpc_stats.v3.FilterConfig
          + emit_filter_state individual_method_stats_allowlist stats_for_all_methods enable_upstream_stats replace_dots_in_grpc_service_name
        envoy.config.core.v3.GrpcMethodList
          + services
        envoy.config.core.v3.GrpcMethodList.Service
          + name method_names

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var config = (FilterConfig)message;
        ImmutableArray<string>? allowed = null;
        if (config.PerMethodStatSpecifierCase == Specifier.IndividualMethodStatsAllowlist)
        {
            GrpcMethodList list = config.IndividualMethodStatsAllowlist;
            Scope at = scope.In("individual_method_stats_allowlist", list);
            var names = new SortedSet<string>(StringComparer.Ordinal);
            for (int i = 0; i < list.Services.Count; i++)
            {
                GrpcMethodList.Types.Service service = list.Services[i];
                Scope serviceAt = at.In("services", i, service);
                Values.Required(serviceAt, "name", service.Name);
                if (service.MethodNames.Count == 0) serviceAt.Error("method_names", "NARU-C101", "\"method_names\" is required");
                foreach (string method in service.MethodNames) names.Add($"{service.Name}/{method}");
            }
            allowed = [.. names];
        }
        // Envoy's standard is false, too: names of clients' making are not counted unless somebody wants that.
        bool all = config.PerMethodStatSpecifierCase == Specifier.StatsForAllMethods && config.StatsForAllMethods == true;
        return new GrpcStatsSettings(
            config.EmitFilterState, allowed, all, config.EnableUpstreamStats, config.ReplaceDotsInGrpcServiceName);
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new GrpcStatsFilter((GrpcStatsSettings)settings, context.Stats);
}

/// <summary>What the chain says.</summary>
/// <param name="KeepsState">The numbers of messages are filter state.</param>
/// <param name="Allowed"><c>SERVICE/METHOD</c> of those that are counted by name; null for no list.</param>
/// <param name="All">All are.</param>
/// <param name="Times">How long endpoints take is counted.</param>
/// <param name="ReplacesDots">Dots in names of services are underscores in names of statistics.</param>
internal sealed record GrpcStatsSettings(bool KeepsState, ImmutableArray<string>? Allowed, bool All, bool Times, bool ReplacesDots);
