// gRPC servers by grpc-js: each argument is ADDRESS:PORT=NAME, each answers every call of /demo.Echo/Name with its NAME.
// grpc.health.v1.Health/Check says SERVING for the whole and for demo.Echo, NOT_SERVING for demo.Down, and NOT_FOUND for others.
// Prints "listening NAME" once for each, and runs until it is killed.
'use strict';
const grpc = require('@grpc/grpc-js');

const text = { serialize: (value) => Buffer.from(value), deserialize: (bytes) => bytes.toString() };
const service = {
  Name: {
    path: '/demo.Echo/Name',
    requestStream: false,
    responseStream: false,
    requestSerialize: text.serialize,
    requestDeserialize: text.deserialize,
    responseSerialize: text.serialize,
    responseDeserialize: text.deserialize,
  },
};

const bytes = { serialize: (value) => value, deserialize: (value) => value };
const health = {
  Check: {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes.serialize,
    requestDeserialize: bytes.deserialize,
    responseSerialize: bytes.serialize,
    responseDeserialize: bytes.deserialize,
  },
};

// HealthCheckRequest { string service = 1 }, HealthCheckResponse { ServingStatus status = 1 }.
function check(call, done) {
  const asked = call.request.length > 2 ? call.request.subarray(2).toString() : '';
  const status = { '': 1, 'demo.Echo': 1, 'demo.Down': 2 }[asked];
  if (status === undefined) done({ code: grpc.status.NOT_FOUND, details: 'unknown service' });
  else done(null, Buffer.from([8, status]));
}

for (const argument of process.argv.slice(2)) {
  const [address, name] = argument.split('=');
  const server = new grpc.Server();
  server.addService(service, { Name: (call, done) => done(null, name) });
  server.addService(health, { Check: check });
  server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error) => {
    if (error) {
      console.error(`cannot listen on ${address}: ${error.message}`);
      process.exit(1);
    }
    console.log(`listening ${name}`);
  });
}
