# grpcio as an external processor: each message of a stream is answered as the first rule says whose hexadecimal text it holds.
# Usage: processor.py TEXT=ANSWER...; an answer is bytes in hexadecimal (several with "+"), "!N" an error, "." the end, "-" nothing. What no rule
# is for is answered with an empty answer of its kind. Prints "port N", then each message as "got HEX" and each end of a stream as "over".
import sys
from concurrent import futures

import grpc

RULES = [rule.rsplit("=", 1) for rule in sys.argv[1:]]
EMPTY = {0x12: "0a00", 0x1A: "1200", 0x22: "1a00", 0x2A: "2200", 0x32: "2a00", 0x3A: "3200"}


def process(requests, context):
    context.add_callback(lambda: print("over", flush=True))
    for request in requests:
        print("got", request.hex(), flush=True)
        answer = next((a for text, a in RULES if text in request.hex()), EMPTY.get(request[0], "-"))
        if answer == ".":
            return
        if answer.startswith("!"):
            context.abort(next(c for c in grpc.StatusCode if c.value[0] == int(answer[1:])), "away")
        if answer != "-":
            for one in answer.split("+"):
                yield bytes.fromhex(one)


class Processor(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.stream_stream_rpc_method_handler(process)


server = grpc.server(futures.ThreadPoolExecutor(16), handlers=[Processor()])
print("port", server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
