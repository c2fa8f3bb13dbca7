# A gRPC service of grpcio and Protobuf's own Python, with rules of google.api.http. Prints "descriptors BASE64" (a FileDescriptorSet), then
# "port N", then each request as "got METHOD JSON", as Python understands it.
# Get echoes what names a tree; Plant echoes it; List streams three; Count answers how many came; Fail ends with a status and details; Photo
# gives and takes bytes (google.api.HttpBody), Film streams them; Pack answers compressed.
import base64
import json
import sys
from concurrent import futures

import grpc
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, duration_pb2, field_mask_pb2, json_format, message_factory, struct_pb2
from google.protobuf import timestamp_pb2, wrappers_pb2

F = descriptor_pb2.FieldDescriptorProto
HTTP = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 6, "body": 7, "response_body": 12}


def counted(number, text):
    data = text if isinstance(text, bytes) else text.encode()
    length, out = len(data), bytearray()
    tag = number << 3 | 2
    for value in (tag, length):
        while value >= 0x80:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
    return bytes(out) + data


def rule(fields):
    out = b""
    for name, value in fields.items():
        if name == "custom":
            out += counted(8, counted(1, value[0]) + counted(2, value[1]))
        elif name == "more":
            out += b"".join(counted(11, rule(one)) for one in value)
        else:
            out += counted(HTTP[name], value)
    return out


def field(message, name, number, kind, of="", repeated=False, oneof=None):
    made = message.field.add(name=name, number=number, type=kind, label=F.LABEL_REPEATED if repeated else F.LABEL_OPTIONAL)
    if of:
        made.type_name = of
    if oneof is not None:
        made.oneof_index = oneof
    made.json_name = "".join(p if i == 0 else p.capitalize() for i, p in enumerate(name.split("_")))


def method(service, name, takes, gives, client=False, server=False, **rules):
    made = service.method.add(name=name, input_type=takes, output_type=gives, client_streaming=client, server_streaming=server)
    if rules:
        made.options.MergeFromString(counted(72295728, rule(rules)))


body = descriptor_pb2.FileDescriptorProto(name="google/api/httpbody.proto", package="google.api", syntax="proto3", dependency=["google/protobuf/any.proto"])
http = body.message_type.add(name="HttpBody")
field(http, "content_type", 1, F.TYPE_STRING)
field(http, "data", 2, F.TYPE_BYTES)
field(http, "extensions", 3, F.TYPE_MESSAGE, ".google.protobuf.Any", repeated=True)

known = [m.DESCRIPTOR for m in (any_pb2, duration_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)]
file = descriptor_pb2.FileDescriptorProto(name="grove.proto", package="grove.v1", syntax="proto3", dependency=[d.name for d in known] + [body.name])
kind = file.enum_type.add(name="Kind")
for i, name in enumerate(["UNKNOWN_KIND", "APPLE", "PEAR"]):
    kind.value.add(name=name, number=i)
tree = file.message_type.add(name="Tree")
tree.oneof_decl.add(name="use")
for number, (name, type_, *rest) in enumerate([
        ("id", F.TYPE_STRING), ("height_cm", F.TYPE_INT32), ("kind", F.TYPE_ENUM, ".grove.v1.Kind"), ("parent", F.TYPE_MESSAGE, ".grove.v1.Tree"),
        ("seeds", F.TYPE_INT64), ("felled", F.TYPE_BOOL), ("bark", F.TYPE_BYTES), ("weight", F.TYPE_DOUBLE),
        ("planted", F.TYPE_MESSAGE, ".google.protobuf.Timestamp"), ("age", F.TYPE_MESSAGE, ".google.protobuf.Duration"),
        ("mask", F.TYPE_MESSAGE, ".google.protobuf.FieldMask"), ("notes", F.TYPE_MESSAGE, ".google.protobuf.Struct"),
        ("count", F.TYPE_MESSAGE, ".google.protobuf.Int64Value"), ("extra", F.TYPE_MESSAGE, ".google.protobuf.Any")], 1):
    field(tree, name, number, type_, *rest)
field(tree, "tags", 20, F.TYPE_STRING, repeated=True)
field(tree, "rings", 21, F.TYPE_UINT32, repeated=True)
entry = tree.nested_type.add(name="PickedEntry")
entry.options.map_entry = True
field(entry, "key", 1, F.TYPE_STRING)
field(entry, "value", 2, F.TYPE_INT32)
field(tree, "picked", 22, F.TYPE_MESSAGE, ".grove.v1.Tree.PickedEntry", repeated=True)
field(tree, "cider", 30, F.TYPE_STRING, oneof=0)
field(tree, "timber", 31, F.TYPE_INT32, oneof=0)
photo = file.message_type.add(name="Photo")
field(photo, "name", 1, F.TYPE_STRING)
field(photo, "picture", 2, F.TYPE_MESSAGE, ".google.api.HttpBody")
T, P, B = ".grove.v1.Tree", ".grove.v1.Photo", ".google.api.HttpBody"
service = file.service.add(name="Trees")
method(service, "Get", T, T, get="/v1/trees/{id}", more=[{"get": "/v1/rows/{parent.id}/trees/{id=north/*}"}, {"custom": ("OPTIONS", "/v1/trees/{id}")}])
method(service, "Plant", T, T, post="/v1/trees", body="*", more=[{"patch": "/v1/trees/{id}", "body": "parent"}, {"put": "/v1/trees/{id}:graft", "body": "*"}])
method(service, "Tags", T, T, get="/v1/tags", response_body="tags")
method(service, "List", T, T, server=True, get="/v1/list/{id}")
method(service, "Count", T, T, client=True, post="/v1/count", body="*")
method(service, "Both", T, T, client=True, server=True, post="/v1/both", body="*")
method(service, "Fail", T, T, get="/v1/fail/{id}")
method(service, "FailLate", T, T, server=True, get="/v1/late/{id}")
method(service, "Pack", T, T, get="/v1/pack/{id}")
method(service, "Photo", P, B, post="/v1/photos/{name}", body="picture")
method(service, "Album", P, P, get="/v1/album/{name}", response_body="picture")
method(service, "Film", B, B, client=True, server=True, post="/v1/film", body="*")
method(service, "Bare", T, T)

files = [f for d in known for f in [descriptor_pb2.FileDescriptorProto()] if d.CopyToProto(f) is None] + [body, file]
pool = descriptor_pool.DescriptorPool()
for one in files:
    pool.Add(one)
every = descriptor_pb2.FileDescriptorSet(file=files)
Tree, Photo, HttpBody = (message_factory.MessageFactory(pool).GetPrototype(pool.FindMessageTypeByName(n)) for n in ("grove.v1.Tree", "grove.v1.Photo", "google.api.HttpBody"))


def shown(name, message):
    print("got", name, json.dumps(json_format.MessageToDict(message, descriptor_pool=pool), sort_keys=True), flush=True)


def read(name, type_, data):
    message = type_.FromString(data)
    shown(name, message)
    return message


def fail(data, context):
    message = read("Fail", Tree, data)
    code, _, how = message.id.partition("-")
    detail = any_pb2.Any()
    detail.Pack(Tree(id="why"))
    if how == "strange":
        detail = any_pb2.Any(type_url="type.googleapis.com/no.Such", value=b"\x08\x01")
    if how:
        status = b"\x08" + bytes([int(code)]) + counted(2, "no such") + counted(3, detail.SerializeToString())
        context.set_trailing_metadata([("grpc-status-details-bin", status)])
    context.abort(next(c for c in grpc.StatusCode if c.value[0] == int(code)), "no such tree: é")


def late(data, context):
    read("FailLate", Tree, data)
    yield Tree(id="one").SerializeToString()
    context.abort(grpc.StatusCode.NOT_FOUND, "gone")


def listed(data, context):
    message = read("List", Tree, data)
    for i in range(0 if message.id == "none" else 3):
        yield Tree(id=message.id, height_cm=i).SerializeToString()


def count(requests, context):
    return Tree(height_cm=len([read("Count", Tree, r) for r in requests])).SerializeToString()


def both(requests, context):
    for request in requests:
        yield read("Both", Tree, request).SerializeToString()


def film(requests, context):
    for request in requests:
        got = read("Film", HttpBody, request)
        yield HttpBody(content_type="text/film", data=b"<" + got.data + b">").SerializeToString()


def take(data, context):
    got = read("Photo", Photo, data)
    return HttpBody(content_type="image/" + got.name, data=got.picture.content_type.encode() + b":" + got.picture.data).SerializeToString()


def pack(data, context):
    context.set_compression(grpc.Compression.Gzip)
    return Tree(id="x" * 4000).SerializeToString()


def echo(name):
    return lambda data, context: read(name, Tree, data).SerializeToString()


unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
HANDLERS = {
    "Get": unary(echo("Get")), "Plant": unary(echo("Plant")), "Tags": unary(echo("Tags")), "Bare": unary(echo("Bare")), "Fail": unary(fail),
    "Pack": unary(pack), "Photo": unary(take), "List": stream(listed), "FailLate": stream(late), "Count": grpc.stream_unary_rpc_method_handler(count),
    "Album": unary(lambda data, context: Photo(name="n", picture=HttpBody(content_type="text/album", data=b"pages")).SerializeToString()),
    "Both": grpc.stream_stream_rpc_method_handler(both), "Film": grpc.stream_stream_rpc_method_handler(film),
}


class Trees(grpc.GenericRpcHandler):
    def service(self, details):
        return HANDLERS.get(details.method.rpartition("/")[2])


print("descriptors", base64.b64encode(every.SerializeToString()).decode(), flush=True)
if len(sys.argv) > 1:
    sys.exit()
server = grpc.server(futures.ThreadPoolExecutor(16), handlers=[Trees()])
print("port", server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
