"""Comparing what was seen with the recording: what never counts is taken out of both, the rest must be equal."""
import json, re

VOLATILE = {"date", "server", "x-request-id", "x-envoy-upstream-service-time", "x-naru-reason", "connection", "keep-alive"}


def canon_heads(hs, ignore, spec={}):
    heed = {h.lower() for h in spec.get("heed_headers", [])}
    out = [[k if spec.get("exact_headers") else k.lower(), v] for k, v in hs if k.lower() in heed or (k.lower() not in VOLATILE and k.lower() not in ignore)]
    return out if spec.get("exact_headers") else sorted(out, key=lambda h: h[0])  # values of one name keep their order


def number(rec, regex):
    """`number: REGEX`: each distinct match in any text becomes <1>, <2>, ... in the order of appearance."""
    seen = {}

    def walk(x):
        if isinstance(x, str):
            return re.sub(regex, lambda m: "<%d>" % seen.setdefault(m.group(0), len(seen) + 1), x)
        return [walk(y) for y in x] if isinstance(x, list) else {k: walk(y) for k, y in x.items()} if isinstance(x, dict) else x
    return walk(rec) if regex else rec


def mask(x, rules):
    if isinstance(x, str):
        for k, v in rules.items():
            x = re.sub(k, v, x)
        return x
    return [mask(y, rules) for y in x] if isinstance(x, list) else {k: mask(y, rules) for k, y in x.items()} if isinstance(x, dict) else x


def canon_raw(raw, ignore, spec={}):
    """A raw answer by lines: of the status lines the codes, each head's lines sorted, names in small letters, without those that do not count."""
    out, head, skip = [], None, False
    for l in re.sub(r"(?<!^)(?<!\n)(HTTP/1\.[01] \d)", r"\r\n\1", raw).split("\r\n"):
        if head is None and l.startswith("HTTP/1."):
            head, skip = [], bool(spec.get("own_words")) and l[9:10] in "45"
            out.append(" ".join(l.split(" ")[:2]))
        elif head is None or not l:
            out += sorted(head or []) + ([] if skip and head is None else [l])
            head = None
        else:
            k, _, v = l.partition(":")
            if k.lower() not in (VOLATILE | ignore) - {"connection", "keep-alive"} and not (skip and k.lower() in ("content-length", "content-type")):
                head.append((k if spec.get("exact_headers") else k.lower()) + ":" + v)
    return out + sorted(head or [])


def canon(rec, ignore, spec={}):
    rec = json.loads(json.dumps(rec))
    for s in rec.get("steps", []):
        a = s.get("answer")
        if a:
            a.pop("ms", None)
            if s["upstream"]:  # some gRPC libraries of the backend send an empty message, some none
                for k in ("headers", "trailers"):
                    if k in a:
                        a[k] = [h for h in a[k] if list(h) != ["grpc-message", ""]]
            for u in s["upstream"]:
                if "metadata" in u:
                    u["metadata"] = canon_heads(u["metadata"], ignore, spec)
            for st in a.get("streams", {}).values():
                if "headers" in st:
                    st["headers"] = canon_heads(st["headers"], ignore | (set() if spec.get("whole") else {"content-length"}), spec)
            if spec.get("own_words"):
                if a.get("connection") == "closed" and "streams" in a:
                    a.pop("goaway", None)
                for st in [a, *a.get("streams", {}).values()]:
                    if (st.get("status") or 0) >= 400 and "headers" in st:
                        st.pop("body", None)
                        st["headers"] = [h for h in st["headers"] if h[0].lower() not in ("content-length", "content-type")]
            if spec.get("whole"):
                if "headers" in a:
                    a["headers"] = canon_heads(a["headers"], ignore, spec)
                for u in s["upstream"]:
                    if "headers" in u:
                        u["headers"] = canon_heads(u["headers"], ignore, spec)
                if isinstance(a.get("raw"), str):
                    a["raw"] = canon_raw(a["raw"], ignore, spec)
                s.pop("ms", None)
                continue
            if a.get("framing") in ("length", "chunked", "close"):
                a["framing"] = "body"
            if "headers" in a:
                a["headers"] = canon_heads(a["headers"], ignore | {"content-length", "transfer-encoding"}, spec)
            for u in s["upstream"]:
                if "headers" in u:
                    u["headers"] = canon_heads(u["headers"], ignore | {"content-length", "transfer-encoding"}, spec)
                u.pop("framing", None)
            if "raw" in a and isinstance(a["raw"], str):
                a["raw"] = a["raw"].split("\r\n")[0]
        s.pop("ms", None)
    return rec


def differ(truth, got, spec, own_words=False):
    """Rows that say where what was seen is not as recorded. With `own_words` a body that begins with NARU- is as good as the recorded one."""
    ignore = set(spec.get("ignore_headers", []))
    out = []
    t, g = canon(truth, ignore, spec), canon(got, ignore, spec)
    if own_words:
        for x, y in zip(t.get("steps", []), g.get("steps", [])):
            a, b = x.get("answer", {}), y.get("answer", {})
            if str(b.get("body", "")).startswith("NARU-") and b.get("status") == a.get("status"):
                b["body"] = a.get("body")
                b["headers"] = sorted([h for h in b["headers"] if h[0] != "content-type"] + [h for h in a["headers"] if h[0] == "content-type"])
    for x in t.get("steps", []) + g.get("steps", []):  # of what a control plane hears, the order within one stream and type
        if "heard" in x:
            reported(x["heard"])
        if "heard" in x and not spec.get("in_order"):
            x["heard"].sort(key=lambda u: (u["on"], str(u.get("type"))))
        first = {}
        for u in x.get("heard", []) if not spec.get("heed_node") else []:
            if first.setdefault(u["on"], u) and "node" in u:  # again: allowed, not needed; whole: in the first of a stream, of whatever type
                node = u.pop("node")
                first[u["on"]].update({"node of the stream": node} if node is not True else {})
    if spec.get("any_order"):
        for x in t.get("steps", []) + g.get("steps", []):
            x.get("upstream", []).sort(key=lambda u: (u["backend"], str(u.get("path"))))
    if "failed" in g:
        return [g["failed"]]
    if bool(t.get("refused")) != bool(g.get("refused")):
        if not g.get("refused"):
            return ["configuration accepted, the recording says refused"]
        lines = (g.get("log") or "").splitlines()
        return ["configuration refused"] + ([l.partition(": ")[2] or l for l in lines if "error[" in l] or lines[-12:])
    loose = spec.get("tolerance", 0.08)
    for i, (a, b) in enumerate(zip(t.get("steps", []), g.get("steps", []))):
        if "tally" in a:
            total = sum(a["tally"].values())
            for part in ("tally", "hits"):
                for k in set(a[part]) | set(b.get(part, {})):
                    if abs(a[part].get(k, 0) - b.get(part, {}).get(k, 0)) > max(2, loose * total):
                        out.append(f"step {i}: {part} {k}: expected {a[part].get(k, 0)}, got {b.get(part, {}).get(k, 0)} of {total}")
        elif a != b:
            out += [f"step {i}: {d}" for d in diff(a, b, set(spec.get("ignore", [])))]
    for k, v in t.get("stats", {}).items():
        if v == "No recorded values" and str(g.get("stats", {}).get(k)).startswith("P0("):
            continue  # Envoy shows a histogram from the next flush on, five seconds later
        if g.get("stats", {}).get(k) != v:
            out.append(f"stat {k}: expected {v}, got {g.get('stats', {}).get(k)}")
    for n, v in t.get("files", {}).items():
        if (g.get("files") or {}).get(n) != v:
            out.append(f"file {n}: expected {v!r}, got {(g.get('files') or {}).get(n)!r}")
    return out


def reported(heard):
    """Load reports of a stream as their sum: how many there are, and what is under way at each, hangs on the clock. Who reports has a name of its own."""
    sums, out = {}, []
    for u in heard:
        load = u.get("load")
        if load and "user_agent_name" in load.get("node", {}):
            load["node"]["user_agent_name"] = True
        for cluster in load.get("cluster_stats", []) if load else []:
            for at in cluster.get("localities", []):
                key = json.dumps([u["on"], {k: v for k, v in cluster.items() if k != "localities"}, at.get("locality"), at.get("priority")], sort_keys=True)
                for k in ("issued", "successful", "errors"):
                    sums.setdefault(key, {})[k] = sums.get(key, {}).get(k, 0) + at.get(k, 0)
        # One without clusters, after the first: none of those asked for is there yet.
        if not load or ("cluster_stats" not in load and not any(o["on"] == u["on"] and "load" in o for o in out)):
            out.append(u)
    heard[:] = out + [{"on": json.loads(k)[0], "reported": k, **v} for k, v in sorted(sums.items()) if any(v.values())]


def diff(a, b, ignore, where=""):
    if where.lstrip(".") in ignore:
        return []
    if isinstance(a, dict) and isinstance(b, dict):
        return [d for k in sorted(set(a) | set(b)) for d in diff(a.get(k), b.get(k), ignore, f"{where}.{k}")]
    if isinstance(a, list) and isinstance(b, list) and where.endswith("headers"):
        rows = [f"{where}: missing {x}" for x in a if x not in b] + [f"{where}: unexpected {x}" for x in b if x not in a]
        return rows or ([] if a == b else [f"{where}: order or repetition: expected {a}, got {b}"])
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [d for i, (x, y) in enumerate(zip(a, b)) for d in diff(x, y, ignore, f"{where}[{i}]")]
    if isinstance(a, list) and isinstance(b, list):
        rows = [f"{where}: missing {json.dumps(x)[:300]}" for x in a if x not in b] + [f"{where}: unexpected {json.dumps(x)[:300]}" for x in b if x not in a]
        return rows or [f"{where}: repeated otherwise: expected {len(a)}, got {len(b)}"]
    return [] if a == b else [f"{where}: expected {json.dumps(a)[:300]}, got {json.dumps(b)[:300]}"]


extra_keep = [False]
own_words = [False]
