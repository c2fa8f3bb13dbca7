"""A control plane of a scenario (kind ads): answers discovery requests and notes what it heard."""
import asyncio, base64
import h2.config, h2.connection, h2.events
from . import shapes
from .backends import Backend
from .wire import get


XDS = {"CDS": "envoy.config.cluster.v3.Cluster", "EDS": "envoy.config.endpoint.v3.ClusterLoadAssignment", "LDS": "envoy.config.listener.v3.Listener",
       "RDS": "envoy.config.route.v3.RouteConfiguration", "SRDS": "envoy.config.route.v3.ScopedRouteConfiguration", "VHDS": "envoy.config.route.v3.VirtualHost",
       "SDS": "envoy.extensions.transport_sockets.tls.v3.Secret", "RTDS": "envoy.service.runtime.v3.Runtime", "ECDS": "envoy.config.core.v3.TypedExtensionConfig"}
XDS_SHORT = {"type.googleapis.com/" + v: k for k, v in XDS.items()}


def varint(n, least=1):
    out = b""
    while n > 127 or len(out) < least - 1:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def pb(*fields):
    """Fields of a protobuf message as (number, value): text and bytes by length, whole numbers as varints; nothing for None."""
    out = b""
    for num, v in fields:
        if isinstance(v, int):
            out += varint(num << 3) + varint(v)
        elif v is not None:
            v = v.encode() if isinstance(v, str) else v
            out += varint(num << 3 | 2) + varint(len(v)) + v
    return out


class ControlPlane(Backend):
    """kind ads: answers discovery requests (state of the world and delta, any service) with what `serve` has, and what steps `push`."""

    def __init__(self, name, spec, log, blobs, ports, fill):
        super().__init__(name, spec, log)
        self.streams, self.heard, self.counts, self.ports = [], [], {}, ports
        self.blobs = {}
        for k, v in blobs.items():
            if k != "ports":
                b = base64.b64decode(v)
                for n, p in blobs.get("ports", {}).items():  # port_value is field 3; three bytes before and after
                    if n in ports:
                        b = b.replace(b"\x18" + varint(p, 3), b"\x18" + varint(ports[n], 3))
                self.blobs[k] = b

    async def change(self, spec, port):
        self.spec = {**self.spec, **{k: spec[k] for k in ("serve", "refuse") if k in spec}}
        if "end" in spec:  # ends every stream with this gRPC status
            for st in list(self.streams):
                st["c"].send_headers(st["sid"], [("grpc-status", str(spec["end"])), ("grpc-message", "told to")], end_stream=True)
                st["w"].write(st["c"].data_to_send())
                self.streams.remove(st)
        await super().change({k: v for k, v in spec.items() if k == "down"}, port)

    def resource(self, entry, kind):
        """-> (name, version, ttl, body). An entry is the name of prepared bytes, or {of, name, version, ttl_ms, aliases}, or {secret, cert, key, ca}."""
        e = {"of": entry} if isinstance(entry, str) else entry
        body = self.blobs[e["of"]] if "of" in e else None
        if "secret" in e:
            inline = lambda f: pb((2, open(f, "rb").read())) if f else None
            if "ca" in e:
                body = pb((1, e["secret"]), (4, pb((1, inline(e["ca"])))))
            else:
                body = pb((1, e["secret"]), (2, pb((1, inline(e.get("cert"))), (2, inline(e.get("key"))))))
        name = e["name"] if "name" in e else (next((v for n, v in shapes.wire(body) if n == 1), b"").decode() if body else "")
        return name, e.get("version"), e.get("ttl_ms"), body

    def respond(self, st, kind, what, names=None, have=None):
        """Sends one response of what is given; with `names` only those asked for, with `have` (delta) only what is not there yet."""
        url = what.get("type_url") or "type.googleapis.com/" + XDS.get(what.get("as", kind), kind)
        url_of = lambda body: (1, "type.googleapis.com/" + XDS.get(what.get("as", kind), kind)) if not what.get("inner") else (1, what["inner"])
        version, rows = str(what.get("version", "1")), []
        for entry in what.get("resources", []):
            name, v, ttl, body = self.resource(entry, kind)
            aliases = entry.get("aliases", []) if isinstance(entry, dict) else []
            if (names is not None and name not in names) or (have and have.get(name) == str(v or version)):
                continue
            any_ = pb(url_of(body), (2, body)) if body is not None else None
            span = pb((1, ttl // 1000), (2, ttl % 1000 * 1000000)) if ttl else None
            whole = pb((1, str(v or version)), (2, any_), (3, name), *[(4, x) for x in aliases], (6, span))
            rows.append(whole if st["delta"] else any_ if ttl is None and body is not None else pb((1, "type.googleapis.com/envoy.service.discovery.v3.Resource"), (2, whole)))
        if names is not None and not rows:
            return
        self.counts[kind] = self.counts.get(kind, 0) + 1
        nonce = what.get("nonce", f"{kind}.{self.counts[kind]}")
        if st["delta"]:
            msg = pb((1, version), *[(2, x) for x in rows], (4, url), (5, nonce), *[(6, x) for x in what.get("removed", [])])
        else:
            msg = pb((1, version), *[(2, x) for x in rows], (4, url), (5, nonce))
        self.send(st, msg)

    def send(self, st, msg):
        data = b"\0" + len(msg).to_bytes(4, "big") + msg
        for i in range(0, len(data), 16000):
            st["c"].send_data(st["sid"], data[i:i + 16000])

    def push(self, what):
        """To the latest open stream of the service (`stream`, default ADS). From then on the same is served, but with `once: true`."""
        st = next((s for s in reversed(self.streams) if s["service"] == what.get("stream", "ADS")), None)
        kind = what["type"]
        if not what.get("once"):
            old = self.spec.setdefault("serve", {}).get(kind, {})
            new = what.get("resources", [])
            if st and st["delta"]:
                gone = set(what.get("removed", [])) | {self.resource(e, kind)[0] for e in new}
                new = [e for e in old.get("resources", []) if self.resource(e, kind)[0] not in gone] + new
            self.spec["serve"][kind] = {"version": what.get("version", "1"), "resources": new}
        if st:
            self.respond(st, kind, what)
        return st

    async def ask(self, st, msg):
        if st["service"] == "LRS":
            m = shapes.decode(msg, "LoadStatsRequest")
            self.hear(st, load=m)
            if "lrs" in self.spec and not st["types"]:
                st["types"]["LRS"] = True
                l = self.spec["lrs"]
                self.send(st, pb(*[(1, x) for x in l.get("clusters", [])], (2, pb((1, l.get("every_ms", 1000) // 1000), (2, l.get("every_ms", 1000) % 1000 * 1000000))), (3, 1 if l.get("endpoints") else None), (4, 1 if l.get("all") else None)))
            return
        m = shapes.decode(msg, "DeltaDiscoveryRequest" if st["delta"] else "DiscoveryRequest")
        kind = XDS_SHORT.get(m.get("type_url"), m.get("type_url"))
        note = {"type": kind}
        if "node" in m:
            n = m["node"]
            note["node"] = True if st["node"] else {**{k: n[k] for k in ("id", "cluster", "locality", "metadata") if n.get(k)}, **{k: True for k in ("user_agent_name", "client_features") if k in n}}
            st["node"] = True
        note.update({b: m[a] for a, b in (("version_info", "version"), ("response_nonce", "nonce")) if m.get(a)})
        for a, b in (("resource_names", "names"), ("subscribe", "subscribe"), ("unsubscribe", "unsubscribe")):
            if m.get(a):
                note[b] = sorted(m[a])
        if m.get("initial"):
            note["initial"] = dict(sorted(m["initial"].items()))
        if "error_detail" in m:
            note["error"] = {"code": m["error_detail"].get("code", 0), "text": bool(m["error_detail"].get("message"))}
        self.hear(st, **note)
        first = kind not in st["types"]
        names, nonce = m.get("resource_names", []), m.get("response_nonce")
        again = not first and st["types"][kind] == (names, nonce)  # confirmed before: asked for anew
        changed = not first and st["types"][kind][0] != names
        st["types"][kind] = (names, nonce)
        what = self.spec.get("serve", {}).get(kind)
        if kind in self.spec.get("refuse", []):  # ends the stream in the place of an answer
            st["c"].send_headers(st["sid"], [("grpc-status", "7"), ("grpc-message", "not for you")], end_stream=True)
            self.streams.remove(st)
        if not what or "error_detail" in m:
            return
        if what.get("delay_ms"):
            await asyncio.sleep(what["delay_ms"] / 1000)
        if st not in self.streams:
            return
        if st["delta"]:
            wild = (first and not m.get("subscribe") and kind in ("CDS", "LDS", "SRDS")) or "*" in m.get("subscribe", [])
            if wild or m.get("subscribe"):
                self.respond(st, kind, what, None if wild or what.get("all") else set(m["subscribe"]), m.get("initial"))
        elif first or changed or again:
            self.respond(st, kind, what, None if names == ["*"] or what.get("all") or (not names and kind in ("CDS", "LDS", "SRDS")) else set(names))
        st["w"].write(st["c"].data_to_send())

    def hear(self, st, **kw):
        self.heard.append({"on": st["name"], **kw})

    async def ads(self, r, w, conn):
        c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin1"))
        c.initiate_connection()
        w.write(c.data_to_send())
        here = {}
        try:
            while data := await r.read(65536):
                for e in c.receive_data(data):
                    if isinstance(e, h2.events.RequestReceived):
                        hs = [[k, v] for k, v in e.headers]
                        path = get(hs, ":path") or ""
                        service, method = path.split("/")[1].rsplit(".", 1)[-1], path.rsplit("/", 1)[-1]
                        service = {"AggregatedDiscoveryService": "ADS", "LoadReportingService": "LRS"}.get(service) or "".join(x for x in service if x.isupper())
                        self.counts["#" + service] = n = self.counts.get("#" + service, 0) + 1
                        here[e.stream_id] = st = {"c": c, "w": w, "sid": e.stream_id, "name": f"{service} {n}", "service": service, "delta": method.startswith("Delta"), "buf": b"", "types": {}, "node": False}
                        self.streams.append(st)
                        self.hear(st, opened=path, **({"headers": {k: get(hs, k) for k in self.spec["show_headers"]}} if "show_headers" in self.spec else {}))
                        c.send_headers(e.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
                    elif isinstance(e, h2.events.DataReceived):
                        c.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
                        st = here[e.stream_id]
                        st["buf"] += e.data
                        while len(st["buf"]) >= 5 and len(st["buf"]) >= 5 + int.from_bytes(st["buf"][1:5], "big"):
                            n = int.from_bytes(st["buf"][1:5], "big")
                            msg, st["buf"] = st["buf"][5:5 + n], st["buf"][5 + n:]
                            if st in self.streams:
                                if any(x.get("delay_ms") for x in self.spec.get("serve", {}).values()):
                                    st["later"] = asyncio.create_task(self.ask(st, msg))
                                else:
                                    await self.ask(st, msg)
                    elif isinstance(e, (h2.events.StreamEnded, h2.events.StreamReset)) and e.stream_id in here:
                        st = here.pop(e.stream_id)
                        if st in self.streams:
                            self.streams.remove(st)
                            self.hear(st, closed=True)
                w.write(c.data_to_send())
                await w.drain()
        finally:
            self.streams = [s for s in self.streams if s["c"] is not c]
