"""HTTP/1 by hand, so that nothing is added or hidden, and what backends, clients and control plane share."""
import asyncio, base64, contextvars, ssl

NOW = contextvars.ContextVar("NOW", default={})  # what a backend saw of the TLS of the connection it serves


def text(b):
    try:
        return b.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(b).decode()}


def shown(b, heads, step):
    """The body as text; of a step with `gunzip: true` unpacked where its content-encoding is gzip, since packed bytes differ from one library to another."""
    if step.get("gunzip") and (get(heads, "content-encoding") or "").lower() == "gzip":
        import zlib
        try:
            return {"gunzip": text(zlib.decompress(b, 47))}
        except zlib.error:
            pass
    return text(b)


# --- HTTP/1 by hand, so that nothing is added or hidden -------------------------------------------------------------------
async def read_head(r):
    raw = await r.readuntil(b"\r\n\r\n")
    lines = raw[:-4].split(b"\r\n")
    heads = []
    for l in lines[1:]:
        k, _, v = l.partition(b":")
        heads.append([k.decode("latin1"), v.strip().decode("latin1")])
    return lines[0].decode("latin1"), heads


def get(heads, name):
    for k, v in heads:
        if k.lower() == name:
            return v
    return None


async def read_body(r, heads, no_body=False, to_end=False):
    """-> (bytes, trailers, how)"""
    if no_body:
        return b"", [], "none"
    if "chunked" in (get(heads, "transfer-encoding") or "").lower():
        out, trailers = b"", []
        while True:
            head = await r.readline()
            if not head:  # ended in the middle, without the last chunk
                raise asyncio.IncompleteReadError(out, None)
            size = int(head.split(b";")[0].strip() or b"0", 16)
            if size == 0:
                while True:
                    l = await r.readline()
                    if l in (b"\r\n", b""):
                        return out, trailers, "chunked"
                    k, _, v = l.strip().partition(b":")
                    trailers.append([k.decode("latin1"), v.strip().decode("latin1")])
            out += await r.readexactly(size)
            await r.readline()
    n = get(heads, "content-length")
    if n is not None:
        return await r.readexactly(int(n)), [], "length"
    return (await r.read(), [], "close") if to_end else (b"", [], "none")

VERSIONS = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1, "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
