// gRPC servers by grpc-js: each argument is ADDRESS:PORT=NAME, each answers every call of /demo.Echo/Name with its NAME.
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

for (const argument of process.argv.slice(2)) {
  const [address, name] = argument.split('=');
  const server = new grpc.Server();
  server.addService(service, { Name: (call, done) => done(null, name) });
  server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error) => {
    if (error) {
      console.error(`cannot listen on ${address}: ${error.message}`);
      process.exit(1);
    }
    console.log(`listening ${name}`);
  });
}
