"""Backends of a scenario: http, http2, tcp, udp, grpc, statsd and processes of their own. They note what they saw in the log of the scenario."""
import asyncio, base64, json, re, ssl, subprocess, time
import h2.config, h2.connection, h2.events, h2.exceptions
from . import shapes
from .frames import make_frame
from .wire import NOW, VERSIONS, get, read_body, read_head, text


class Backend:
    """kind http (default), http2, tcp, grpc. Replies by the first rule that matches, a rule's `replies` in turn (the last stays)."""

    def __init__(self, name, spec, log):
        self.name, self.spec, self.log, self.used = name, spec or {}, log, {}
        self.kind = self.spec.get("kind", "http")
        self.conns, self.open = 0, set()

    async def change(self, spec, port):
        """`rules` takes the place of those before; `down: true` ends listener and connections, `down: false` starts again."""
        if "rules" in spec:
            self.spec, self.used = {**self.spec, "rules": spec["rules"]}, {}
        if spec.get("down") and hasattr(self, "server"):
            self.server.close()
            for w in list(self.open):
                w.transport.abort()
        elif spec.get("down") is False:
            await self.start(port)

    def reply_for(self, path, message=b""):
        for i, rule in enumerate(self.spec.get("rules", [])):
            if re.search(rule.get("path", ""), path) and re.search(rule.get("message", ""), message.hex()):
                replies = rule.get("replies") or [rule.get("reply", {})]
                k = self.used.get(i, 0)
                self.used[i] = k + 1
                return replies[min(k, len(replies) - 1)]
        return {}

    async def start(self, port):
        if self.kind == "process":
            self.process = subprocess.Popen([str(c) for c in self.spec["command"]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return await asyncio.sleep(self.spec.get("wait_ms", 500) / 1000)
        if self.kind == "udp":
            me = self

            class Datagrams(asyncio.DatagramProtocol):
                def connection_made(self, transport):
                    me.server = self.transport = transport

                def datagram_received(self, data, addr):
                    me.note(bytes=text(data))
                    if me.spec.get("echo", True):
                        self.transport.sendto(me.spec.get("greet", "").encode() + data, addr)
            return await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", port))
        if self.kind == "grpc":
            return self.start_grpc(port)
        if self.kind == "statsd":
            return await self.start_statsd(port)
        ctx = None
        if "tls" in self.spec:
            ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            ctx.load_cert_chain(self.spec["tls"]["cert"], self.spec["tls"]["key"])
            if self.spec["tls"].get("alpn"):
                ctx.set_alpn_protocols(self.spec["tls"]["alpn"])
            if self.spec["tls"].get("ca"):
                ctx.load_verify_locations(self.spec["tls"]["ca"])
                ctx.verify_mode = ssl.CERT_REQUIRED
            if self.spec["tls"].get("max"):
                ctx.maximum_version = VERSIONS[self.spec["tls"]["max"]]
            ctx.sni_callback = lambda obj, sni, c: setattr(obj, "sni_seen", sni)
        handler = {"http": self.http1, "http2": self.http2, "tcp": self.tcp, "ads": getattr(self, "ads", None)}[self.kind]

        async def safe(r, w):
            self.conns += 1
            self.open.add(w)
            if ctx and self.spec["tls"].get("show"):
                o = w.get_extra_info("ssl_object")
                NOW.set({"tls": {"sni": getattr(o, "sni_seen", None), "alpn": o.selected_alpn_protocol(), "version": o.version(), **(
                    {"client": dict(x[0] for x in o.getpeercert()["subject"]).get("commonName")} if o.getpeercert() else {})}})
            try:
                await handler(r, w, self.conns)
            except (asyncio.IncompleteReadError, ConnectionError, OSError, ValueError, h2.exceptions.ProtocolError):
                pass
            finally:
                self.open.discard(w)
                try:
                    w.close()
                except Exception:
                    pass
        self.server = await asyncio.start_server(safe, "127.0.0.1", port, ssl=ctx, limit=1 << 22)

    def note(self, **kw):
        if "quiet" in self.spec and re.search(self.spec["quiet"], str(kw.get("path") or kw.get("grpc") or kw.get("bytes"))):
            return
        self.log.append({"backend": self.name, **NOW.get(), **kw})

    def said(self, path, message):
        """What the message of a gRPC or OTLP call says (shapes.py), for backends with `decode: true`; else None."""
        if not self.spec.get("decode"):
            return None
        shape = shapes.METHODS.get(path.split("?")[0])
        return shapes.decode(message, shape) if shape else shapes.from_json(message)

    async def http1(self, r, w, conn):
        while True:
            line, heads = await read_head(r)
            method, path, *_ = line.split(" ")
            rep = self.reply_for(path)
            if get(heads, "expect") and not rep.get("no_continue"):
                w.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body, trailers, how = (b"", [], "unread") if rep.get("unread") else await read_body(r, heads)
            words = self.said(path, body)
            self.note(method=method, path=path, headers=heads, **({"body": text(body)} if words is None else {"message": words}), framing=how, **({"trailers": trailers} if trailers else {}))
            if rep.get("delay_ms"):
                await asyncio.sleep(rep["delay_ms"] / 1000)
            if rep.get("reset"):
                w.transport.abort()
                return
            if rep.get("close_before"):
                return
            if "raw" in rep:
                for i, part in enumerate(rep["raw"] if isinstance(rep["raw"], list) else [rep["raw"]]):
                    if i:
                        await asyncio.sleep(rep.get("gap_ms", 100) / 1000)
                    w.write(part.encode("latin1").replace(b"\\r\\n", b"\r\n"))
                if rep.get("echo"):
                    got = b""
                    while d := await r.read(65536):
                        got += d
                        w.write(d)
                    self.note(bytes=text(got))
                    return
            else:
                data = rep["body"].encode() if "body" in rep else (b"x" * rep["size"] if "size" in rep else json.dumps(
                    {"backend": self.name, "method": method, "path": path}).encode())
                hs = [[k, str(v)] for k, v in rep.get("headers", [])]
                status = rep.get("status", 200)
                out = f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in hs)
                bodyless = method == "HEAD" or status in (204, 304)
                if rep.get("chunked") or rep.get("trailers"):
                    w.write((out + "transfer-encoding: chunked\r\n\r\n").encode("latin1"))
                    if not bodyless:
                        w.write(b"%x\r\n" % len(data) + data + b"\r\n0\r\n" + "".join(f"{k}: {v}\r\n" for k, v in rep.get("trailers", [])).encode() + b"\r\n")
                else:
                    if status != 204 and get(hs, "content-length") is None:
                        out += f"content-length: {len(data)}\r\n"
                    w.write((out + "\r\n").encode("latin1") + (b"" if bodyless or rep.get("body_delay_ms") else data))
                    if rep.get("body_delay_ms"):
                        await w.drain()
                        await asyncio.sleep(rep["body_delay_ms"] / 1000)
                        w.write(data)
            await w.drain()
            if rep.get("cut"):
                await asyncio.sleep(0.1)
                w.transport.abort()
                return
            if rep.get("close") or (get(heads, "connection") or "").lower() == "close":
                return

    async def http2(self, r, w, conn):
        c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin1", validate_inbound_headers=not self.spec.get("lenient")))
        c.initiate_connection()
        w.write(c.data_to_send())
        if self.spec.get("settings"):
            c.update_settings({int(k): v for k, v in self.spec["settings"].items()})
            w.write(c.data_to_send())
        reqs, echoes, early = {}, {}, {}

        def answer(sid, rep, path):
            if rep.get("interim"):
                for st in rep["interim"]:
                    c.send_headers(sid, [(":status", str(st)), ("link", "</a.css>")])
            if rep.get("frames"):
                for f in rep["frames"]:
                    w.write(c.data_to_send() + make_frame(f, c.encoder, sid))
                return
            if rep.get("reset"):
                return c.reset_stream(sid, rep.get("code", 2))
            c.send_headers(sid, [(":status", str(rep.get("status", 200)))] + [(k, str(v)) for k, v in rep.get("headers", [])], end_stream=not rep.get("echo") and bool(rep.get("headers_only")))
            if rep.get("echo"):
                echoes[sid] = b""
            elif not rep.get("headers_only"):
                c.send_data(sid, rep.get("body", path).encode(), end_stream=not rep.get("trailers"))
                if rep.get("trailers"):
                    c.send_headers(sid, [(k, str(v)) for k, v in rep["trailers"]], end_stream=True)
            if rep.get("goaway"):
                c.close_connection(rep.get("code", 0), last_stream_id=sid)

        later = []

        async def give(sid, rep, path):
            try:
                if rep.get("delay_ms"):
                    await asyncio.sleep(rep["delay_ms"] / 1000)
                if rep.get("reset"):
                    c.reset_stream(sid, rep.get("code", 2))
                elif set(rep) & {"frames", "interim", "goaway"}:
                    answer(sid, rep, path)
                else:
                    body = base64.b64decode(rep["base64"]) if "base64" in rep else rep["body"].encode() if "body" in rep else json.dumps({"backend": self.name, "path": path}).encode()
                    trailers = [(k, str(v)) for k, v in rep.get("trailers", [])]
                    only = rep.get("headers_only")
                    c.send_headers(sid, [(":status", str(rep.get("status", 200)))] + [(k, str(v)) for k, v in rep.get("headers", [])], end_stream=bool(only))
                    if not only:
                        c.send_data(sid, body, end_stream=not trailers and not rep.get("cut"))
                        if rep.get("cut"):
                            w.write(c.data_to_send())
                            await asyncio.sleep(0.1)
                            c.reset_stream(sid, rep.get("code", 2))
                        elif trailers:
                            c.send_headers(sid, trailers, end_stream=True)
                w.write(c.data_to_send())
            except (h2.exceptions.ProtocolError, ConnectionError, OSError):
                pass

        while True:
            data = await r.read(65536)
            if not data:
                return
            for e in c.receive_data(data):
                if self.spec.get("note_resets") and isinstance(e, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    self.note(reset=int(e.error_code)) if isinstance(e, h2.events.StreamReset) else self.note(goaway=int(e.error_code))
                if isinstance(e, h2.events.DataReceived) and e.stream_id in echoes:
                    echoes[e.stream_id] += e.data
                    c.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
                    c.send_data(e.stream_id, e.data)
                    continue
                if isinstance(e, h2.events.StreamEnded) and e.stream_id in echoes:
                    self.note(bytes=text(echoes.pop(e.stream_id)))
                    c.end_stream(e.stream_id)
                    continue
                if isinstance(e, h2.events.StreamEnded) and e.stream_id in early:
                    early[e.stream_id].update(body=text(reqs.pop(e.stream_id)["b"]))
                    continue
                if isinstance(e, h2.events.RequestReceived):
                    hs = [[k, v] for k, v in e.headers]
                    rep = self.reply_for(get(hs, ":path") or "") if any(x.get("early") for rule in self.spec.get("rules", []) for x in rule.get("replies") or [rule.get("reply", {})]) else {}
                    if rep.get("early"):
                        self.note(method=get(hs, ":method"), path=get(hs, ":path"), headers=hs, framing="h2")
                        early[e.stream_id] = self.log[-1]
                        answer(e.stream_id, rep, get(hs, ":path") or "")
                if isinstance(e, h2.events.RequestReceived):
                    reqs[e.stream_id] = {"h": e.headers, "b": b"", "t": []}
                elif isinstance(e, h2.events.DataReceived):
                    reqs[e.stream_id]["b"] += e.data
                    c.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
                elif isinstance(e, h2.events.TrailersReceived):
                    reqs[e.stream_id]["t"] = e.headers
                elif isinstance(e, h2.events.StreamEnded):
                    q = reqs.pop(e.stream_id)
                    hs = [[k, v] for k, v in q["h"]]
                    path = get(hs, ":path") or ""
                    rep = self.reply_for(path)
                    self.note(method=get(hs, ":method"), path=path, headers=hs, body=text(q["b"]), framing="h2",
                              **({"trailers": [[k, v] for k, v in q["t"]]} if q["t"] else {}))
                    if rep.get("delay_ms"):  # other streams go on meanwhile
                        later.append(asyncio.create_task(give(e.stream_id, rep, path)))
                    else:
                        await give(e.stream_id, rep, path)
            w.write(c.data_to_send())
            await w.drain()

    async def tcp(self, r, w, conn):
        if self.spec.get("greet"):
            w.write(self.spec["greet"].encode())
        if self.spec.get("end"):
            w.write_eof()
        got = b""
        while True:
            data = await r.read(65536)
            if not data:
                break
            got += data
            if "answer" in self.spec:
                w.write(self.spec["answer"].encode("latin1"))
                await w.drain()
            elif self.spec.get("echo", True):
                w.write(data)
                await w.drain()
        self.note(bytes=text(got))

    async def start_statsd(self, port):
        me = self

        class Datagrams(asyncio.DatagramProtocol):
            def connection_made(self, transport):
                me.server = transport

            def datagram_received(self, data, addr):
                lines = [l for l in data.decode("utf-8", "replace").split("\n") if re.search(me.spec.get("only", ""), l)]
                last = me.log[-1] if me.log else {}
                if lines and last.get("backend") == me.name:
                    last["datagram"] = sorted(set(last["datagram"]) | set(lines))
                elif lines:
                    me.note(datagram=sorted(set(lines)))
        await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", port))

    def start_grpc(self, port):
        import grpc
        from concurrent import futures
        me = self

        class Any(grpc.GenericRpcHandler):
            def service(self, details):
                def go(it, ctx):
                    for msg in it:
                        rep = me.reply_for(details.method, msg)
                        words = me.said(details.method, msg)
                        me.note(grpc=details.method, metadata=sorted([k, v if isinstance(v, str) else v.hex()] for k, v in ctx.invocation_metadata()),
                                **({"message_hex": msg.hex()} if words is None else {"message": words}))
                        if rep.get("delay_ms"):
                            time.sleep(rep["delay_ms"] / 1000)
                        if rep.get("code"):
                            ctx.abort(list(grpc.StatusCode)[rep["code"]], rep.get("message", ""))
                        if not rep.get("silent"):
                            yield bytes.fromhex(rep.get("hex", "").replace(" ", ""))
                        if rep.get("end"):
                            return
                return grpc.stream_stream_rpc_method_handler(go)
        self.gserver = grpc.server(futures.ThreadPoolExecutor(8), handlers=[Any()])
        self.gserver.add_insecure_port(f"127.0.0.1:{port}")
        self.gserver.start()
