# grpcio as a client or a server of /demo.Interop, whose messages are plain bytes; see grpc-interop.js for what is printed.
import sys
import threading
import time
from concurrent import futures

import grpc

REASON = "because \u2713 100%"
CODES = {code.value[0]: code for code in grpc.StatusCode}
cancelled = 0
lock = threading.Lock()


def fault(context):
    wanted = dict(context.invocation_metadata()).get("x-fail")
    if wanted is not None:
        context.set_trailing_metadata((("x-trail", "t"), ("x-trail-bin", b"\x00\x01\xff")))
        context.abort(CODES[int(wanted)], REASON)


def unary(request, context):
    fault(context)
    context.send_initial_metadata([(k, v) for k, v in context.invocation_metadata() if k in ("x-echo", "x-echo-bin")])
    context.set_trailing_metadata((("x-trail", "t"),))
    return request


def remaining(_, context):
    return str(round(context.time_remaining() * 1000)).encode()


def count_cancelled(_, context):
    return str(cancelled).encode()


def download(request, context):
    for i in range(int(request)):
        yield f"item {i}".encode()
    fault(context)


def hold(_, context):
    global cancelled
    over = threading.Event()
    if not context.add_callback(over.set):
        over.set()
    try:
        # A call that ends before this message was sent is closed here and never resumed.
        yield b"begun"
        over.wait()
    finally:
        with lock:
            cancelled += 1


def upload(requests, context):
    count = length = 0
    for message in requests:
        count += 1
        length += len(message)
    return f"{count} {length}".encode()


def chat(requests, context):
    yield from requests


class Interop(grpc.GenericRpcHandler):
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Remaining": grpc.unary_unary_rpc_method_handler(remaining),
        "Cancelled": grpc.unary_unary_rpc_method_handler(count_cancelled),
        "Download": grpc.unary_stream_rpc_method_handler(download),
        "Hold": grpc.unary_stream_rpc_method_handler(hold),
        "Upload": grpc.stream_unary_rpc_method_handler(upload),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
    }

    def service(self, details):
        folder, _, name = details.method.rpartition("/")
        return self.handlers.get(name) if folder == "/demo.Interop" else None


def check(holds, what):
    if not holds:
        raise AssertionError(what)


class Scenarios:
    def __init__(self, channel):
        def of(make, name):
            return make(f"/demo.Interop/{name}")

        self.unary_ = of(channel.unary_unary, "Unary")
        self.remaining = of(channel.unary_unary, "Remaining")
        self.cancelled = of(channel.unary_unary, "Cancelled")
        self.download_ = of(channel.unary_stream, "Download")
        self.hold = of(channel.unary_stream, "Hold")
        self.upload_ = of(channel.stream_unary, "Upload")
        self.chat_ = of(channel.stream_stream, "Chat")

    def unary(self):
        check(self.unary_(b"hello") == b"hello", "answer")

    def empty(self):
        check(self.unary_(b"") == b"", "answer")

    def large(self):
        check(self.unary_(b"l" * 3 * 1024 * 1024) == b"l" * 3 * 1024 * 1024, "answer")

    def metadata(self):
        _, call = self.unary_.with_call(b"m", metadata=(("x-echo", "one"), ("x-echo-bin", b"\x00\xc8\xff\x0a")))
        seen = dict(call.initial_metadata())
        check(seen["x-echo"] == "one" and seen["x-echo-bin"] == b"\x00\xc8\xff\x0a", str(seen))
        check(dict(call.trailing_metadata())["x-trail"] == "t", "trailer")

    def errors(self):
        for code in range(1, 17):
            try:
                self.unary_(b"e", metadata=(("x-fail", str(code)),))
                check(False, f"{code} was no error")
            except grpc.RpcError as error:
                check(error.code() == CODES[code] and error.details() == REASON, f"{code} became {error.code()} {error.details()}")
                trailers = dict(error.trailing_metadata())
                check(trailers["x-trail"] == "t" and trailers["x-trail-bin"] == b"\x00\x01\xff", str(trailers))

    def download(self):
        messages = list(self.download_(b"1000"))
        check(len(messages) == 1000 and messages[-1] == b"item 999", "messages")

    def downloadError(self):
        messages = []
        try:
            for message in self.download_(b"5", metadata=(("x-fail", "9"),)):
                messages.append(message)
            check(False, "no error")
        except grpc.RpcError as error:
            check(len(messages) == 5 and error.code() == CODES[9], f"{len(messages)} messages, {error.code()}")

    def upload(self):
        answer = self.upload_(iter([bytes(1000)] * 500))
        check(answer == b"500 500000", str(answer))

    def chat(self):
        turns = []
        more = threading.Semaphore(1)

        def ask():
            for i in range(50):
                more.acquire()
                yield f"turn {i}".encode()

        for message in self.chat_(ask()):
            turns.append(message)
            more.release()
        check(len(turns) == 50 and turns[-1] == b"turn 49", "replies")

    def deadlinePasses(self):
        left = int(self.remaining(b"", timeout=20))
        check(5000 < left <= 20500, f"{left} ms left")

    def deadlineEnds(self):
        try:
            list(self.hold(b"", timeout=0.3))
            check(False, "no error")
        except grpc.RpcError as error:
            check(error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, str(error.code()))

    def cancel(self):
        before = int(self.cancelled(b""))
        call = self.hold(b"")
        check(next(call) == b"begun", "begun")
        call.cancel()
        check(call.code() == grpc.StatusCode.CANCELLED, str(call.code()))
        end = time.monotonic() + 20
        while int(self.cancelled(b"")) <= before:
            check(time.monotonic() < end, "the server never heard of it")

    def many(self):
        calls = [self.unary_.future(f"call {i}".encode()) for i in range(300)]
        for i, call in enumerate(calls):
            check(call.result() == f"call {i}".encode(), f"call {i}")


def main():
    if sys.argv[1] == "server":
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=32), options=(("grpc.max_receive_message_length", -1),))
        server.add_generic_rpc_handlers((Interop(),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        print(f"listening {port}", flush=True)
        server.wait_for_termination()
        return
    with grpc.insecure_channel(sys.argv[2], options=(("grpc.enable_http_proxy", 0),)) as channel:
        scenarios = Scenarios(channel)
        for name in ("unary", "empty", "large", "metadata", "errors", "download", "downloadError", "upload", "chat", "deadlinePasses", "deadlineEnds", "cancel", "many"):
            try:
                getattr(scenarios, name)()
                print(f"ok {name}", flush=True)
            except Exception as error:
                print(f"error {name}: {error!r}".replace("\n", " "), flush=True)
        print("done", flush=True)


main()
