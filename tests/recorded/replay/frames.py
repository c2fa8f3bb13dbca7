"""HTTP/2 frames written by hand."""

KINDS = ["data", "headers", "priority", "rst", "settings", "push", "ping", "goaway", "window", "continuation"]


def make_frame(f, enc, sid=1):
    """{KIND: value, sid, flags: end/more/ack/padded, length, times} or {hex: ...}; `more` of headers: without END_HEADERS."""
    if "hex" in f:
        return bytes.fromhex(f["hex"].replace(" ", "")) * f.get("times", 1)
    kind = next(k for k in KINDS if k in f)
    v, flags, sid = f[kind], f.get("flags", []), f.get("sid", sid if kind not in ("settings", "ping", "goaway") else 0)
    bits = (1 if "end" in flags or "ack" in flags else 0) | (0 if "more" in flags or kind not in ("headers", "continuation") else 4) | (8 if "padded" in flags else 0)
    if isinstance(v, dict) and "hex" in v:
        body = bytes.fromhex(v["hex"].replace(" ", ""))
    elif kind in ("headers", "continuation"):
        body = enc.encode([(str(k), str(x)) for k, x in v], huffman=False) if isinstance(v, list) else v.encode("latin1")
        if "cut" in f:
            body = body[f["cut"][0]:f["cut"][1]]
    elif kind == "settings":
        body = b"".join(int(k).to_bytes(2, "big") + int(x).to_bytes(4, "big") for k, x in (v or {}).items())
    elif kind in ("rst", "window"):
        body = int(v).to_bytes(4, "big")
    elif kind == "goaway":
        body = (0).to_bytes(4, "big") + int(v).to_bytes(4, "big")
    else:
        body = v.encode("latin1")
    return (len(body).to_bytes(3, "big") + bytes([KINDS.index(kind), bits]) + sid.to_bytes(4, "big") + body) * f.get("times", 1)
