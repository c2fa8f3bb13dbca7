// The rows of the table of honoured fields: who may do what, of requests and of connections.
// The marks are explained in HonouredFields.cs.
namespace Naru.Proxy.Config.Reading;

public static partial class HonouredFields
{
    private const string Access = """
envoy.config.rbac.v3.RBAC
  + action policies
  - audit_logging_options: decisions are counted, and told to access logs in metadata and details
envoy.config.rbac.v3.Policy
  + permissions principals condition checked_condition
envoy.config.rbac.v3.Permission
  + and_rules or_rules any header url_path destination_ip destination_port destination_port_range metadata not_rule
  + requested_server_name uri_template sourced_metadata
  - matcher: there are no matchers of others
envoy.config.rbac.v3.Permission.Set
  + rules
envoy.config.rbac.v3.Principal
  + and_ids or_ids any authenticated source_ip direct_remote_ip remote_ip header url_path metadata filter_state not_id sourced_metadata
  - custom: there are no principals of others; use authenticated
envoy.config.rbac.v3.Principal.Set
  + ids
envoy.config.rbac.v3.Principal.Authenticated
  + principal_name
envoy.config.rbac.v3.SourcedMetadata
  + metadata_matcher metadata_source
envoy.config.rbac.v3.Action
  + name action
envoy.type.matcher.v3.PathMatcher
  + path
envoy.extensions.filters.network.rbac.v3.RBAC
  + rules shadow_rules stat_prefix enforcement_type shadow_rules_stat_prefix matcher shadow_matcher delay_deny enforce_on_transport_ready
envoy.extensions.filters.network.set_filter_state.v3.Config
  + on_new_connection
envoy.extensions.matching.common_inputs.network.v3.DestinationIPInput
envoy.extensions.matching.common_inputs.network.v3.DestinationPortInput
envoy.extensions.matching.common_inputs.network.v3.SourceIPInput
envoy.extensions.matching.common_inputs.network.v3.SourcePortInput
envoy.extensions.matching.common_inputs.network.v3.DirectSourceIPInput
envoy.extensions.matching.common_inputs.network.v3.SourceTypeInput
envoy.extensions.matching.common_inputs.network.v3.ServerNameInput
envoy.extensions.matching.common_inputs.network.v3.TransportProtocolInput
envoy.extensions.matching.common_inputs.network.v3.ApplicationProtocolInput
envoy.extensions.matching.common_inputs.network.v3.NetworkNamespaceInput
envoy.extensions.matching.common_inputs.ssl.v3.UriSanInput
envoy.extensions.matching.common_inputs.ssl.v3.DnsSanInput
envoy.extensions.matching.common_inputs.ssl.v3.SubjectInput
xds.type.matcher.v3.IPMatcher
  + range_matchers
xds.type.matcher.v3.IPMatcher.IPRangeMatcher
  + ranges on_match exclusive
xds.core.v3.CidrRange
  + address_prefix prefix_len

""";
}
