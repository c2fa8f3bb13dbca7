// A gRPC client by grpc-js with its xDS resolver: calls /demo.Echo/Name of TARGET (argument 1) again and again and prints
// "answer NAME" or "error CODE TEXT" for each call. Argument 2 says how many calls; 0 goes on until it is killed, a call every 20 ms.
// Further arguments KEY=VALUE are metadata of each call; seconds=N is how long a call may take (default 20). The bootstrap is in GRPC_XDS_BOOTSTRAP_CONFIG.
'use strict';
const grpc = require('@grpc/grpc-js');
require('@grpc/grpc-js-xds').register();

const [target, count, ...pairs] = process.argv.slice(2);
const calls = Number(count);
const seconds = Number((pairs.find((pair) => pair.startsWith('seconds=')) ?? 'seconds=20').slice(8));
const client = new grpc.Client(target, grpc.credentials.createInsecure());
const text = { serialize: (value) => Buffer.from(value), deserialize: (bytes) => bytes.toString() };

function call() {
  const metadata = new grpc.Metadata();
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    metadata.set(pair.slice(0, at), pair.slice(at + 1));
  }
  return new Promise((done) => {
    client.makeUnaryRequest('/demo.Echo/Name', text.serialize, text.deserialize, 'x', metadata, { deadline: Date.now() + seconds * 1000 },
      (error, value) => done(error ? `error ${error.code} ${error.details}` : `answer ${value}`));
  });
}

(async () => {
  for (let made = 0; calls === 0 || made < calls; made++) {
    console.log((await call()).replace(/\s+/g, ' '));
    if (calls === 0) await new Promise((done) => setTimeout(done, 20));
  }
  process.exit(0);
})();
