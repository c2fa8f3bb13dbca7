# A gRPC client by gRPC's C core with its xDS resolver: calls /demo.Echo/Name of TARGET (argument 1) again and again and prints
# "answer NAME" or "error CODE TEXT" for each call. Argument 2 says how many calls; 0 goes on until it is killed, a call every 20 ms.
# Further arguments KEY=VALUE are metadata of each call; seconds=N is how long a call may take (default 20). The bootstrap is in GRPC_XDS_BOOTSTRAP_CONFIG.
import sys
import time

import grpc


def main():
    target, count = sys.argv[1], int(sys.argv[2])
    metadata = [tuple(pair.split("=", 1)) for pair in sys.argv[3:]]
    seconds = float(dict(metadata).get("seconds", 20))
    with grpc.insecure_channel(target) as channel:
        name = channel.unary_unary("/demo.Echo/Name", request_serializer=lambda value: value, response_deserializer=lambda value: value)
        made = 0
        while count == 0 or made < count:
            made += 1
            try:
                print("answer", name(b"x", timeout=seconds, metadata=metadata).decode(), flush=True)
            except grpc.RpcError as error:
                print("error", error.code().value[0], " ".join(str(error.details()).split()), flush=True)
            if count == 0:
                time.sleep(0.02)


main()
