"""Clients of a scenario: each takes a step and gives back what came over the wire."""
import asyncio, base64, socket, ssl, subprocess, time
import h2.config, h2.connection, h2.events, hpack
from .frames import KINDS, make_frame
from .pace import more, pause
from .wire import VERSIONS, get, read_body, read_head, shown, text


def tls_context(step, base):
    t = step.get("tls")
    if not t:
        return None
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_NONE
    if t is not True and not t.get("ciphers"):  # the order of the machine's own library must not show
        ctx.set_ciphers(":".join(f"ECDHE-{k}-{c}" for c in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305") for k in ("ECDSA", "RSA")))
    if t is not True and t.get("cert"):
        ctx.load_cert_chain(t["cert"], t["key"])
    if t is not True and t.get("alpn"):
        ctx.set_alpn_protocols(t["alpn"])
    if t is not True:
        if t.get("min"):
            ctx.minimum_version = VERSIONS[t["min"]]
        if t.get("max"):
            ctx.maximum_version = VERSIONS[t["max"]]
        if t.get("ciphers"):
            ctx.set_ciphers(t["ciphers"])
        if t.get("curve"):
            ctx.set_ecdh_curve(t["curve"])
    return ctx


def show_tls(o):
    der = o.getpeercert(True)
    subject = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-subject", "-nameopt", "RFC2253"], input=der, capture_output=True).stdout.decode().strip()
    cipher = {} if o.version() == "TLSv1.3" else {"cipher": o.cipher()[0]}  # 1.3: any will do
    return {"version": o.version(), "alpn": o.selected_alpn_protocol(), **cipher, "cert": subject.removeprefix("subject=")}


def resume(step, port):
    """`resume: N` connections one after the other, each with the session of the one before -> which were resumed."""
    ctx, session, out = tls_context(step, None), None, []
    names = step["tls"].get("sni") or "localhost"
    names, bodies = names if isinstance(names, list) else [names], []
    for i in range(step["resume"]):
        body = b""
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as c:
                with ctx.wrap_socket(c, server_hostname=names[i % len(names)], session=session) as s:
                    s.sendall(f"GET {step.get('path', '/')} HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\n\r\n".encode())
                    while d := s.recv(65536):
                        body += d
                    session = s.session
                    out.append(s.session_reused)
        except OSError as e:
            out.append("refused")
        bodies.append(body.partition(b"\r\n\r\n")[2].decode("utf-8", "replace"))
    return {"reused": out, **({"bodies": bodies} if len(names) > 1 else {})}


async def open_client(step, ports):
    ctx = tls_context(step, None)
    sni = (step["tls"].get("sni") if isinstance(step.get("tls"), dict) else None) or ("localhost" if ctx else None)
    r, w = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", ports[step.get("port", "main")], ssl=ctx, server_hostname=sni, limit=1 << 24), 5)
    if isinstance(step.get("tls"), dict) and step["tls"].get("show"):
        step["seen_tls"] = show_tls(w.get_extra_info("ssl_object"))
    return r, w


async def client_raw(step, ports):
    r, w = await open_client(step, ports)
    for i, part in enumerate(step["raw"] if isinstance(step["raw"], list) else [step["raw"]]):
        if i:
            await pause(step.get("gap_ms", 100) / 1000)
        w.write(part.encode("latin1").replace(b"\\r\\n", b"\r\n"))
    if step.get("half_close"):
        w.write_eof()
    out = b""
    try:
        while True:
            d = await more(r, step.get("read_ms", 800) / 1000)
            if not d:
                end = "closed"
                break
            out += d
    except asyncio.TimeoutError:
        end = "open"
    except ConnectionError:
        end = "reset"
    w.close()
    return {"raw": text(out), "connection": end}


async def client_http1(step, ports, keep):
    key = (step.get("port", "main"), step.get("keep"))
    if step.get("keep") and key in keep:
        r, w = keep[key]
    else:
        r, w = await open_client(step, ports)
    method = step.get("method", "GET")
    body = step.get("body")
    data = body.encode() if isinstance(body, str) else b"x" * step["size"] if "size" in step else b""
    heads = [[k, str(v)] for k, v in step.get("headers", [])]
    if get(heads, "host") is None:
        heads.insert(0, ["host", step.get("host", "example.com")])
    out = f"{method} {step.get('path', '/')} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in heads)
    if data and step.get("chunked"):
        out += "transfer-encoding: chunked\r\n"
        data = b"%x\r\n" % len(data) + data + b"\r\n0\r\n\r\n"
    elif (data or method in ("POST", "PUT")) and get(heads, "content-length") is None:
        out += f"content-length: {len(data)}\r\n"
    w.write((out + "\r\n").encode("latin1"))
    if step.get("body_delay_ms"):
        await w.drain()
        await pause(step["body_delay_ms"] / 1000)
    w.write(data)
    res = {}
    try:
        interim = []
        while True:
            line, rh = await asyncio.wait_for(read_head(r), step.get("timeout_ms", 10000) / 1000)
            status = int(line.split(" ")[1])
            if status >= 200 or status == 101:
                break
            interim.append(status)
        bodyless = method == "HEAD" or status in (101, 204, 304)
        got, trailers, how = await asyncio.wait_for(read_body(r, rh, bodyless, True), step.get("timeout_ms", 10000) / 1000)
        res = {"status": status, "headers": rh, "body": shown(got, rh, step), "framing": how}
        if interim:
            res["interim"] = interim
        if trailers:
            res["trailers"] = trailers
    except asyncio.IncompleteReadError as e:
        res = {"error": "cut", "partial": text(e.partial)}
    except asyncio.TimeoutError:
        res = {"error": "no answer in time"}
    except ConnectionError:
        res = {"error": "reset"}
    if step.get("keep") and "error" not in res and (get(res["headers"], "connection") or "").lower() != "close":
        keep[key] = (r, w)
    else:
        keep.pop(key, None)
        w.close()
    return res


async def client_http2(step, ports):
    r, w = await open_client(step, ports)
    c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="latin1", validate_outbound_headers=False, normalize_outbound_headers=False))
    c.initiate_connection()
    heads = [(k.lower(), str(v)) for k, v in step.get("headers", [])]
    pseudo = [(":method", step.get("method", "GET")), (":path", step.get("path", "/")), (":scheme", step.get("scheme", "https" if step.get("tls") else "http")), (":authority", step.get("host", "example.com"))]
    data = base64.b64decode(step["base64"]) if "base64" in step else (step["body"].encode() if "body" in step else b"")
    c.send_headers(1, [p for p in pseudo if p[1] is not None] + heads, end_stream=not data)
    if data:
        c.send_data(1, data, end_stream=True)
    w.write(c.data_to_send())
    res, body, done = {"headers": [], "interim": []}, b"", False
    try:
        while not done:
            d = await asyncio.wait_for(r.read(65536), step.get("timeout_ms", 10000) / 1000)
            if not d:
                res["error"] = "closed"
                break
            for e in c.receive_data(d):
                if isinstance(e, h2.events.InformationalResponseReceived):
                    res["interim"].append(int(dict(e.headers)[":status"]))
                elif isinstance(e, h2.events.ResponseReceived):
                    res["headers"] = [[k, v] for k, v in e.headers]
                    res["status"] = int(dict(e.headers)[":status"])
                elif isinstance(e, h2.events.DataReceived):
                    body += e.data
                    c.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
                elif isinstance(e, h2.events.TrailersReceived):
                    res["trailers"] = [[k, v] for k, v in e.headers]
                elif isinstance(e, h2.events.StreamEnded):
                    done = True
                elif isinstance(e, h2.events.StreamReset):
                    res["error"] = f"stream reset {int(e.error_code)}"
                    done = True
                elif isinstance(e, h2.events.ConnectionTerminated):
                    res["error"] = f"goaway {int(e.error_code)}"
                    done = True
            w.write(c.data_to_send())
    except asyncio.TimeoutError:
        res["error"] = "no answer in time"
    except ConnectionError:
        res["error"] = "reset"
    w.close()
    res["body"] = shown(body, res["headers"], step)
    if not res["interim"]:
        del res["interim"]
    return res


async def client_frames(step, ports):
    """Sends frames as given; notes by stream what came back. SETTINGS, WINDOW_UPDATE and PING acknowledgements only with `all: true`."""
    r, w = await open_client(step, ports)
    enc, dec = hpack.Encoder(), hpack.Decoder()
    if step.get("preface", True):
        w.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + make_frame({"settings": step.get("settings", {})}, enc))
    got, end, every = {"streams": {}}, "open", []
    buf, block = b"", b""

    async def read(wait):
        nonlocal buf, block, end
        until = time.monotonic() + wait
        while end == "open" and (left := until - time.monotonic()) > 0:
            try:
                d = await more(r, left)
            except asyncio.TimeoutError:
                return
            except ConnectionError:
                end = "closed"
                return
            if not d:
                end = "closed"
                return
            buf += d
            while len(buf) >= 9 and len(buf) >= 9 + int.from_bytes(buf[:3], "big"):
                n, kind, flags, sid = int.from_bytes(buf[:3], "big"), buf[3], buf[4], int.from_bytes(buf[5:9], "big") & 0x7fffffff
                body, buf = buf[9:9 + n], buf[9 + n:]
                name = KINDS[kind] if kind < len(KINDS) else str(kind)
                st = got["streams"].setdefault(str(sid), {}) if sid else None
                if name in ("headers", "continuation"):
                    block += body
                    if flags & 4:
                        heads = [[k if isinstance(k, str) else k.decode("latin1"), v if isinstance(v, str) else v.decode("latin1")] for k, v in dec.decode(block)]
                        block = b""
                        code = get(heads, ":status")
                        if code and int(code) < 200:
                            st.setdefault("interim", []).append(int(code))
                        elif code:
                            st.update(status=int(code), headers=heads)
                        else:
                            st["trailers"] = heads
                elif name == "data":
                    st["body"] = st.get("body", "") + body.decode("latin1")
                    if n and step.get("grant", True):
                        w.write(make_frame({"window": n, "sid": 0}, enc) + make_frame({"window": n, "sid": sid}, enc))
                elif name == "rst":
                    st["reset"] = int.from_bytes(body, "big")
                elif name == "goaway":
                    got["goaway"] = int.from_bytes(body[4:8], "big")
                elif name == "settings" and not flags & 1:
                    got["settings"] = {str(int.from_bytes(body[i:i + 2], "big")): int.from_bytes(body[i + 2:i + 6], "big") for i in range(0, n, 6)}
                    enc.header_table_size = min(got["settings"].get("1", 4096), 4096)
                    w.write(make_frame({"settings": {}, "flags": ["ack"]}, enc))
                elif name == "window" or name == "ping":
                    every.append([name, sid, flags & 1, int.from_bytes(body, "big")])
                if name in ("data", "headers") and flags & 1:
                    st["ended"] = True
    for f in step["frames"]:
        if "wait_ms" in f:
            await read(f["wait_ms"] / 1000)
        else:
            w.write(make_frame(f, enc))
    await read(step.get("read_ms", 500) / 1000)
    w.close()
    if step.get("all"):
        got["others"] = every
    else:
        got.pop("settings", None)
    return {**got, "connection": end}


async def client_tcp(step, ports):
    r, w = await open_client(step, ports)
    w.write(step["tcp"].encode("latin1").replace(b"\\r\\n", b"\r\n"))
    if step.get("half_close", True) and not step.get("tls"):
        w.write_eof()
    out, end = b"", "open"
    try:
        while True:
            d = await more(r, step.get("read_ms", 800) / 1000)
            if not d:
                end = "closed"
                break
            out += d
    except asyncio.TimeoutError:
        pass
    except ConnectionError:
        end = "reset"
    w.close()
    return {"bytes": text(out), "connection": end}


async def client_udp(step, ports):
    """`udp: TEXT` or a list of them from one socket -> the datagrams that come back within read_ms after the last."""
    got = asyncio.Queue()

    class Datagrams(asyncio.DatagramProtocol):
        def datagram_received(self, data, addr):
            got.put_nowait(text(data))
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, remote_addr=("127.0.0.1", ports[step.get("port", "main")]))
    for t in step["udp"] if isinstance(step["udp"], list) else [step["udp"]]:
        transport.sendto(t.encode())
        await asyncio.sleep(0.02)
    out = []
    try:
        while True:
            out.append(await asyncio.wait_for(got.get(), step.get("read_ms", 300) / 1000))
    except asyncio.TimeoutError:
        pass
    transport.close()
    return {"datagrams": out}
