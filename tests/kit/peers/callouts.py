# grpcio as the services that filters ask: any method is answered with the bytes given in hexadecimal, or as the request's bytes say.
# Usage: callouts.py HEX. Prints "port N", then a line for each question: method, metadata, message in hexadecimal.
import sys
from concurrent import futures

import grpc

ANSWER = bytes.fromhex(sys.argv[1])


def answer(method):
    def unary(request, context):
        metadata = ",".join(f"{k}={v}" for k, v in context.invocation_metadata())
        print(f"{method} {round(context.time_remaining() or -1)} {metadata} {request.hex()}", flush=True)
        if b"unavailable" in request:
            context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        return ANSWER

    return unary


class Any(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(answer(details.method))


server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Any()])
print("port", server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
