"""Pauses and ports that hold on a busy machine, and processes that end with whoever started them.

A pause is over when its time has passed and no thread of the proxy is left to run: a machine that gives the proxy no turn makes a scenario
slower, never different. Ports come from a range that the kernel gives to nobody else, in slices that one runner holds at a time.
"""
import asyncio, contextvars, ctypes, fcntl, os, signal, socket, tempfile, time

PROXY = contextvars.ContextVar("PROXY", default=None)  # process id of the proxy of this scenario
PATIENCE_S = 10  # a proxy that still runs after a pause and this long is taken as it is
SLICE = 250


def busy():
    """Whether a thread of the proxy runs or waits for its turn."""
    pid = PROXY.get()
    try:
        for task in os.listdir(f"/proc/{pid}/task") if pid else ():
            with open(f"/proc/{pid}/task/{task}/stat") as f:
                if f.read().rpartition(")")[2].split()[0] == "R":
                    return True
    except OSError:
        pass  # a thread, or the proxy, that ended meanwhile has nothing to run
    return False


def held_up():
    """Milliseconds that the proxy's threads computed or waited for their turn, and that this process waited for its own; only differences say something."""
    pid, ns = PROXY.get(), 0
    try:
        with open("/proc/self/schedstat") as f:
            ns += int(f.read().split()[1])
        for task in os.listdir(f"/proc/{pid}/task") if pid else ():
            with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                ns += sum(int(x) for x in f.read().split()[:2])
    except OSError:
        pass  # a kernel without these numbers, or a thread that ended meanwhile: nothing is held against the machine then
    return ns / 1e6


async def settled(patience=PATIENCE_S):
    """Waits until nothing of the proxy runs, seen twice; bounded."""
    until, calm = time.monotonic() + patience, 0
    while calm < 2 and time.monotonic() < until:
        calm = 0 if busy() else calm + 1
        await asyncio.sleep(0.003)


async def pause(seconds):
    await asyncio.sleep(seconds)
    await settled()


async def come(there, patience=PATIENCE_S):
    """Waits until what a step is known to bring is there; bounded. What takes a turn of a pool of threads is not seen by `settled`."""
    until = time.monotonic() + patience
    if there():
        return
    while not there() and time.monotonic() < until:
        await asyncio.sleep(0.01)
    await settled()


async def more(reader, seconds):
    """The next bytes, b"" at the end; TimeoutError where none come within this time, nor from what the proxy was still doing then."""
    reading = asyncio.ensure_future(reader.read(65536))
    try:
        await asyncio.wait([reading], timeout=seconds)
        if not reading.done():
            calm = asyncio.ensure_future(settled())
            await asyncio.wait([reading, calm], return_when=asyncio.FIRST_COMPLETED)
            calm.cancel()
        if not reading.done():
            await asyncio.sleep(0)
        if not reading.done():
            raise asyncio.TimeoutError
        return reading.result()
    finally:
        reading.cancel()


class Ports:
    """A slice of ports below those that the kernel gives to outgoing connections; no two runners of a machine hold the same."""

    def __init__(self):
        with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
            top = int(f.read().split()[0])
        for base in range(10000 if top > 12000 else 1100, top - SLICE, SLICE):
            self.lock = open(os.path.join(tempfile.gettempdir(), f"recorded-ports-{os.getuid()}-{base}"), "w")
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self.lock.close()
                continue
            self.base, self.at = base, 0
            return
        raise OSError("no slice of ports is free")

    def take(self, n):
        """n ports nobody listens on, each again only after all others of the slice."""
        out = []
        for _ in range(SLICE):
            port, self.at = self.base + self.at, (self.at + 1) % SLICE
            try:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    with socket.socket(socket.AF_INET, kind) as s:
                        s.bind(("127.0.0.1", port))
            except OSError:
                continue
            out.append(port)
            if len(out) == n:
                return out
        raise OSError(f"no {n} free ports from {self.base} on")


_ports = None


def free_ports(n):
    global _ports
    _ports = _ports or Ports()
    return _ports.take(n)


def end_with_parent():
    """Of a process just begun: the kernel kills it when the one that began it is gone."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
