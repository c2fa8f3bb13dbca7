"""One scenario from start to end: certificates, files, backends, the proxy, steps, what was seen."""
import asyncio, base64, hashlib, json, os, re, shutil, signal, socket, ssl, subprocess, tempfile, time, urllib.parse
import h2.exceptions, yaml
from .backends import Backend
from .clients import client_frames, client_http1, client_http2, client_raw, client_tcp, client_udp, resume
from .compare import mask, number
from .config import expand, expand_ads
from .control_plane import ControlPlane
from .pace import PROXY, come, free_ports, held_up, pause, settled
from .wire import get, read_body, read_head


def own_addresses():
    """The machine's addresses but for loopback: Envoy appends the first to x-forwarded-for where the peer is loopback. Noted as ${machine}."""
    import fcntl, struct
    out = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _, name in socket.if_nameindex():
            try:
                out.append(socket.inet_ntoa(fcntl.ioctl(s, 0x8915, struct.pack("256s", name.encode()[:15]))[20:24]))
            except OSError:
                pass
    return "|".join(re.escape(x) for x in out if not x.startswith("127.")) or "(?!)"


def shape(x, keep):
    """JSON with its values put as their kinds, but for those under the names in `keep`."""
    if isinstance(x, dict):
        return {k: v if isinstance(keep, list) and k in keep else shape(v, keep) for k, v in x.items()}
    return [shape(y, keep) for y in x] if isinstance(x, list) else type(x).__name__


async def admin(port, path, method="GET", with_heads=False):
    r, w = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port, limit=1 << 24), 3)
    w.write(f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
    line, heads = await asyncio.wait_for(read_head(r), 5)
    body, _, _ = await asyncio.wait_for(read_body(r, heads, False, True), 5)
    w.close()
    return (int(line.split(" ")[1]), body.decode("utf-8", "replace")) + ((heads,) if with_heads else ())


def once_each(seen, backends):
    """Of requests for a path that a backend's `once` names, only the first: how many there were hangs on the machine."""
    met, kept = set(), []
    for x in seen:
        path = str(x.get("path") or x.get("grpc"))
        pattern = (backends.get(x["backend"]) or {}).get("once")
        if pattern and re.search(pattern, path):
            if (x["backend"], path) in met:
                continue
            met.add((x["backend"], path))
        kept.append(x)
    return kept


async def run(spec, path, proxy, extra, kept, awaited=None):
    """What clients, backends and the admin saw of one scenario (README.md, "The format"). Its work folder stays where `kept`, or where the proxy refused.

    A step that has less than the recording `awaited` has of it waits on: late is no difference, less is.
    """
    work = tempfile.mkdtemp(prefix="recorded-")
    names = ["admin"] + spec.get("ports", ["main"]) + ["backend." + n for n in spec.get("backends", {})]
    ports = dict(zip(names, free_ports(len(names))))
    log, rec, prints = [], {"name": spec["name"], "steps": []}, {}

    def recorded(what):
        """How much of `what` the recording has at the step that comes next."""
        steps = (awaited or {}).get("steps", [])
        return len(steps[len(rec["steps"])].get(what, [])) if len(rec["steps"]) < len(steps) else 0

    def fill(s):
        s = re.sub(r"\$\{file\.([^}]+)\}", lambda m: os.path.join(work, m.group(1)), s)
        s = re.sub(r"\$\{([a-z0-9_.-]+)\}", lambda m: str(ports[m.group(1)]), s)
        return re.sub(r"\$\{b64 ([^}]*)\}", lambda m: base64.b64encode(m.group(1).encode().decode("unicode_escape").encode("latin1")).decode(), s)
    if spec.get("certs"):  # name: {cn, san, ca: name, days}
        prints = make_certs(spec["certs"], work)
        ports.update(prints)
    for n, t in spec.get("files", {}).items():
        open(os.path.join(work, n), "w").write(fill(t))
    conf = os.path.join(work, "envoy.yaml")
    config = fill(spec["config"] if "config" in spec else (expand_ads if "ads" in spec else expand)(json.loads(json.dumps(spec))))
    if "admin:" not in config:
        config = f"admin: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {ports['admin']} }} }} }}\n" + config
    open(conf, "w").write(config)
    backends = []
    for n, b in spec.get("backends", {}).items():
        b = yaml.safe_load(fill(yaml.safe_dump(b))) if b else b
        if (b or {}).get("kind") == "ads":
            blobs = yaml.safe_load(open(os.path.join(os.path.dirname(os.path.abspath(path)), spec["resources"]))) if "resources" in spec else {}
            be = ControlPlane(n, b, log, blobs, ports, fill)
        else:
            be = Backend(n, b, log)
        if not (b or {}).get("down"):
            await be.start(ports["backend." + n])
        backends.append(be)
    logfile = open(os.path.join(work, "proxy.log"), "wb")
    args = [proxy, "-c", conf, "--concurrency", str(spec.get("concurrency", 1))] + extra + [fill(a) for a in spec.get("args", [])] + (["--file-flush-interval-msec", "50"] if spec.get("log") else [])
    if not any("base-id" in x or "hot-restart" in x for x in args):
        args.append("--disable-hot-restart")  # several run at once
    if shutil.which("setpriv"):  # nothing runs on where the runner itself is killed; a function in the child would need a true fork, which gRPC forbids
        args = ["setpriv", "--pdeathsig", "KILL", *args]
    p = subprocess.Popen(args, stdout=logfile, stderr=subprocess.STDOUT, cwd=work)
    PROXY.set(p.pid)
    try:
        ready = False
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if p.poll() is not None:
                break
            try:
                code, _ = await admin(ports["admin"], "/ready")
                if code == 200 or spec.get("unready"):
                    ready = True
                    break
            except Exception:
                pass
            await asyncio.sleep(0.02)
        if not ready:
            rec["refused"] = True
            rec["log"] = open(os.path.join(work, "proxy.log"), errors="replace").read()[-6000:]
            return rec
        if spec.get("settle_ms"):
            await pause(spec["settle_ms"] / 1000)
        keep = {}
        for step in spec["steps"]:
            step = yaml.safe_load(fill(yaml.safe_dump(step)))
            if "sleep_ms" in step:
                await pause(step["sleep_ms"] / 1000)
                continue
            if "until" in step:  # waits for what the admin will say; notes nothing, what comes after shows it
                until = time.monotonic() + 30
                while not re.search(step["has"], (await admin(ports["admin"], step["until"]))[1], re.M) and time.monotonic() < until:
                    await asyncio.sleep(0.02)
                continue
            if "write" in step:
                for n, t in step["write"].items():
                    tmp = os.path.join(work, n + ".tmp")
                    open(tmp, "w").write(t)
                    os.replace(tmp, os.path.join(work, n))
                await pause(step.get("wait_ms", 500) / 1000)
                continue
            if "admin" in step:
                code, body, heads = await admin(ports["admin"], step["admin"], step.get("method", "GET"), True)
                if step.get("shape"):
                    body = shape(json.loads(body), step["shape"])
                if "lines" in step:  # only the lines with this regular expression, sorted
                    byport = {str(v): k for k, v in ports.items()}
                    body = re.sub(r"127\.0\.0\.1:(\d+)", lambda m: "${addr.%s}" % byport[m.group(1)] if m.group(1) in byport else "${addr}", body)
                    body = "\n".join(sorted(l for l in body.splitlines() if re.search(step["lines"], l)))
                rec["steps"].append({"admin": step["admin"], "status": code, **({"body": body} if step.get("keep_body", True) else {}), **{h: get(heads, h) for h in step.get("show_headers", [])}})
                continue
            if "push" in step or "heard" in step:
                whats = step.get("push", [])
                whats = whats if isinstance(whats, list) else [whats]
                cp = next(b for b in backends if b.name == (step.get("heard") or next((x["to"] for x in whats if "to" in x), "cp")))
                at, going = len(log), None
                if "during" in step:
                    going = asyncio.create_task((client_http2 if step["during"].get("http") == 2 else client_http1)(step["during"], ports, *([] if step["during"].get("http") == 2 else [keep])))
                    await pause(0.15)
                for st in [cp.push(x) for x in whats]:  # in one write
                    if st:
                        st["w"].write(st["c"].data_to_send())
                await pause(step.get("wait_ms", 250) / 1000)
                await come(lambda: len(cp.heard) >= recorded("heard"))
                out, cp.heard[:] = list(cp.heard), []
                row = {"heard": out} if "heard" in step else {"push": [f"{x['type']} {x.get('version', '1')}" for x in whats], "heard": out}
                if going:
                    row.update(answer={**await going, "ms": 0}, upstream=log[at:])
                rec["steps"].append(row)
                continue
            if "change" in step:
                for n, c in step["change"].items():
                    await next(b for b in backends if b.name == n).change(c, ports["backend." + n])
                await pause(step.get("wait_ms", 100) / 1000)
                continue
            if "each" in step:  # the same step for each value in the place of %each%: which status, which backend
                found, plain = {}, json.dumps({k: v for k, v in step.items() if k != "each"})
                for v in step["each"]:
                    at, one_step = len(log), json.loads(plain.replace("%each%", str(v)))
                    res = await (client_http2(one_step, ports) if step.get("http") == 2 else client_http1(one_step, ports, keep))
                    found[str(v)] = " ".join([str(res.get("status") or res.get("error"))] + [x["backend"] for x in log[at:]])
                rec["steps"].append({"map": found})
                continue
            many, conc = step.get("repeat", 1), step.get("parallel", 1)
            at, results = len(log), []

            async def one(turn=0):
                await asyncio.sleep(turn * step.get("start_gap_ms", 0) / 1000)
                t0, busy0 = time.monotonic(), held_up() if "took_ms" in step else 0
                try:
                    if "resume" in step:
                        res = await asyncio.to_thread(resume, step, ports[step.get("port", "main")])
                    elif "raw" in step:
                        res = await client_raw(step, ports)
                    elif "frames" in step:
                        res = await client_frames(step, ports)
                    elif "udp" in step:
                        res = await client_udp(step, ports)
                    elif "tcp" in step:
                        res = await client_tcp(step, ports)
                    elif step.get("http") == 2:
                        res = await client_http2(step, ports)
                    else:
                        res = await client_http1(step, ports, keep)
                except h2.exceptions.ProtocolError as e:
                    res = {"error": "not HTTP/2: " + type(e).__name__}
                except (OSError, asyncio.TimeoutError, ssl.SSLError) as e:
                    res = {"error": "connect: " + type(e).__name__}
                    if isinstance(step.get("tls"), dict) and step["tls"].get("show") and getattr(e, "reason", None):
                        res["reason"] = e.reason
                if "seen_tls" in step:
                    res["tls"] = step.pop("seen_tls")
                res["ms"] = int((time.monotonic() - t0) * 1000)
                if "took_ms" in step:  # what the machine took for itself does not count as late
                    res["in_time"] = step["took_ms"][0] <= res["ms"] and res["ms"] - (held_up() - busy0) <= step["took_ms"][1]
                return res
            while len(results) < many:
                results += await asyncio.gather(*[one(i) for i in range(min(conc, many - len(results)))])
            await pause(step.get("after_ms", 30) / 1000)
            await come(lambda: len(once_each(log[at:], spec.get("backends", {}))) >= recorded("upstream"))
            seen = once_each(log[at:], spec.get("backends", {}))
            if many == 1:
                rec["steps"].append({"answer": results[0], "upstream": seen})
                if "took_ms" in step:
                    rec["steps"][-1]["in_time"] = results[0].pop("in_time")
            else:
                tally = {}
                for x in results:
                    k = str(x.get("status") or x.get("error"))
                    tally[k] = tally.get(k, 0) + 1
                hits = {}
                for x in seen:
                    hits[x["backend"]] = hits.get(x["backend"], 0) + 1
                rec["steps"].append({"tally": tally, "hits": hits, "ms": sorted(x["ms"] for x in results)[len(results) // 2]})
        if spec.get("stats"):
            await pause(0.2)
            _, body = await admin(ports["admin"], "/stats")
            want = re.compile("|".join(spec["stats"]))
            rec["stats"] = {k: v for k, _, v in (l.partition(": ") for l in body.splitlines()) if want.search(k)}
        for n in spec.get("collect", []) + (["log"] if spec.get("log") else []):
            await pause(0.5)
            f = os.path.join(work, n)
            rec.setdefault("files", {})[n] = open(f, errors="replace").read() if os.path.exists(f) else None
        names_of = {v: k for k, v in ports.items()}
        packed = [(base64.b64encode(pre + b"127.0.0.1:%d" % v).decode().rstrip("="), k) for k, v in ports.items() if isinstance(v, int) for pre in (b"", b"\n\x0f")]
        for e, k in packed:  # addresses in session headers and cookies
            rec = mask(rec, {re.escape(e) + "=*": "${b64 addr." + k + "}"})
        for k, v in prints.items():
            rec = mask(rec, {re.escape(v): "${" + k + "}"})
        return number(json.loads(re.sub(r"127\.0\.0\.1:(\d+)", lambda m: "${addr." + names_of[int(m.group(1))] + "}" if int(m.group(1)) in names_of else "${addr}", re.sub(rf"(?<![0-9.])(?:{own_addresses()})(?![0-9.])", "${machine}", json.dumps(rec))).replace(work, "${dir}"), object_hook=lambda d: mask(d, spec["mask"]) if "mask" in spec else d), spec.get("number"))
    finally:
        if p.poll() is None:
            p.send_signal(signal.SIGKILL)
            p.wait()
        for b in backends:
            if hasattr(b, "process"):
                b.process.kill()
                b.process.wait()
            if hasattr(b, "gserver"):
                b.gserver.stop(0)
            if hasattr(b, "server"):
                b.server.close()
        if not kept:
            shutil.rmtree(work, ignore_errors=True)


def make_certs(certs, work):
    for n, c in certs.items():
        key, crt = os.path.join(work, n + ".key"), os.path.join(work, n + ".crt")
        q = lambda *a: subprocess.run(a, check=True, capture_output=True, cwd=work)
        if c.get("key") == "rsa":
            q("openssl", "genrsa", "-out", key, "2048")
        else:
            q("openssl", "ecparam", "-name", c.get("curve", "prime256v1"), "-genkey", "-noout", "-out", key)
        cn = c.get("cn", n)
        if not c.get("ca"):
            q("openssl", "req", "-x509", "-new", "-key", key, "-subj", f"/CN={cn}", "-days", "30", "-out", crt)
            continue
        q("openssl", "req", "-new", "-key", key, "-subj", f"/CN={cn}", "-out", n + ".csr")
        ext = os.path.join(work, n + ".ext")
        open(ext, "w").write("subjectAltName=" + c.get("san", "DNS:" + cn) + "\n" + "".join(l + "\n" for l in c.get("ext", [])))
        q("openssl", "x509", "-req", "-in", n + ".csr", "-CA", c["ca"] + ".crt", "-CAkey", c["ca"] + ".key", "-CAcreateserial", "-days", str(c.get("days", 30)), "-extfile", ext, "-out", crt)
    prints = {}
    for n in certs:
        pem = open(os.path.join(work, n + ".crt")).read()
        q = lambda *a, i=None: subprocess.run(["openssl", *a], check=True, capture_output=True, cwd=work, input=i).stdout
        spki = q("pkey", "-pubin", "-outform", "der", i=q("x509", "-in", n + ".crt", "-noout", "-pubkey"))
        prints[f"sha256.{n}"] = hashlib.sha256(q("x509", "-in", n + ".crt", "-outform", "der")).hexdigest()
        prints[f"spki.{n}"] = base64.b64encode(hashlib.sha256(spki).digest()).decode()
        prints[f"pem.{n}"] = urllib.parse.quote(pem, safe="")
    return prints
