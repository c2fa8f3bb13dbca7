"""The short forms of a configuration, written out as an Envoy bootstrap."""
import re
import yaml


TYPE = "type.googleapis.com/envoy.extensions."
H2UP = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
    "@type": TYPE + "upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}


def merge(a, b):
    """b over a: maps by key, lists one after the other."""
    if isinstance(a, dict) and isinstance(b, dict):
        return {**a, **{k: merge(a[k], v) if k in a else v for k, v in b.items()}}
    return a + b if isinstance(a, list) and isinstance(b, list) else b


def expand_ads(spec):
    """A bootstrap that asks the backend `to` for clusters and listeners (`ask`), with more fields of its api_config_source in `api`."""
    a = spec["ads"]
    to = a.get("to", "cp")
    source = {"ads": {}, "resource_api_version": "V3", **a.get("source", {})}
    boot = {"node": {"id": "edge-7", "cluster": "lab"}, "dynamic_resources": {
        "ads_config": {"api_type": "DELTA_GRPC" if a.get("delta") else "GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": to, **(
            {"retry_policy": {"retry_back_off": {"base_interval": f"{a['again_ms'] / 1000}s", "max_interval": f"{a['again_ms'] / 500}s"}}} if "again_ms" in a else {})}}], **a.get("api", {})},
        **{k + "_config": source for k in a.get("ask", ["cds", "lds"])}}, "static_resources": {"clusters": []}}
    for name in [to] + [n for n in spec.get("clusters", {}) if n != to]:
        c = {"name": name, "connect_timeout": "1s", "type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": "${backend.%s}" % name}}}}]}]}}
        if name == to:
            c["typed_extension_protocol_options"] = H2UP
        boot["static_resources"]["clusters"].append({**c, **(spec.get("clusters", {}).get(name) or {})})
    out = yaml.safe_dump(merge(boot, spec.get("bootstrap", {})), sort_keys=False, width=10000)
    return re.sub(r"""'(\$\{(?:main|backend\.[A-Za-z0-9_-]+|[a-z0-9_]+)\})'""", r"\1", out)


def expand(spec):
    """A bootstrap of `routes` or `virtual_hosts`, `filters`, `hcm`, `listener`, `chain`, `network_filters`, `clusters`, `bootstrap`."""
    boot = spec.get("bootstrap", {})
    static = boot.setdefault("static_resources", {})
    if spec.get("network_filters"):
        nf = spec["network_filters"]
    else:
        vhosts = spec.get("virtual_hosts") or [{"name": "all", "domains": ["*"], "routes": spec.get("routes", [])}]
        router = {"name": "envoy.filters.http.router", "typed_config": {"@type": TYPE + "filters.http.router.v3.Router", **spec.get("router", {})}}
        hcm = {"@type": TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "in"}
        if not {"rds", "scoped_routes", "route_config"} & set(spec.get("hcm", {})):
            hcm["route_config"] = {"name": "r", "virtual_hosts": vhosts, **spec.get("route_config", {})}
        hcm["http_filters"] = spec.get("filters", []) + [router]
        if spec.get("log"):
            hcm["access_log"] = [{"name": "log", "typed_config": {"@type": TYPE + "access_loggers.file.v3.FileAccessLog", "path": "${file.log}",
                                  "log_format": {"text_format_source": {"inline_string": spec["log"].removesuffix("\n") + "\n"}}}}]
        hcm.update(spec.get("hcm", {}))
        nf = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": hcm}]
    static.setdefault("listeners", []).insert(0, {
        "name": "main", "address": {"socket_address": {"address": "127.0.0.1", "port_value": "${main}"}},
        "filter_chains": [{"filters": nf, **spec.get("chain", {})}], **spec.get("listener", {})})
    for name, c in (spec.get("clusters") or {n: {} for n in spec.get("backends", {})}).items():
        c = dict(c or {})
        ends = c.pop("endpoints", [name])
        if c.pop("http2", False):
            c["typed_extension_protocol_options"] = H2UP
        # A check's connection counts against the check: on a busy machine it must not be the connecting that fails.
        full = {"name": name, "connect_timeout": "5s" if c.get("health_checks") else "1s", "type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": "${backend.%s}" % e}}}} for e in ends]}]}}
        full.update(c)
        if full.get("load_assignment") is None:
            full.pop("load_assignment")
        static.setdefault("clusters", []).append(full)
    out = yaml.safe_dump(boot, sort_keys=False, width=10000)
    return re.sub(r"""'(\$\{(?:main|backend\.[A-Za-z0-9_-]+|[a-z0-9_]+)\})'""", r"\1", out)
