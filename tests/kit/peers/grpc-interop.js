// grpc-js as a client or a server of /demo.Interop, whose messages are plain bytes.
// `server` prints "listening PORT"; `client ADDRESS` runs every scenario and prints "ok NAME" or "error NAME: WHY" for each, then "done".
'use strict';
const grpc = require('@grpc/grpc-js');

const raw = { s: (value) => Buffer.from(value), d: (bytes) => bytes };
const method = (name, requestStream, responseStream) => ({
  path: `/demo.Interop/${name}`, requestStream, responseStream,
  requestSerialize: raw.s, requestDeserialize: raw.d, responseSerialize: raw.s, responseDeserialize: raw.d,
});
const service = {
  Unary: method('Unary', false, false), Remaining: method('Remaining', false, false), Cancelled: method('Cancelled', false, false),
  Download: method('Download', false, true), Hold: method('Hold', false, true), Upload: method('Upload', true, false), Chat: method('Chat', true, true),
};

function fault(call) {
  const code = call.metadata.get('x-fail')[0];
  if (code === undefined) return null;
  const metadata = new grpc.Metadata();
  metadata.set('x-trail', 't');
  metadata.set('x-trail-bin', Buffer.from([0, 1, 255]));
  return { code: Number(code), details: 'because ✓ 100%', metadata };
}

function echo(call) {
  const metadata = new grpc.Metadata();
  for (const name of ['x-echo', 'x-echo-bin']) for (const value of call.metadata.get(name)) metadata.add(name, value);
  call.sendMetadata(metadata);
}

let cancelled = 0;
const handlers = {
  Unary(call, done) {
    const error = fault(call);
    if (error) return done(error);
    echo(call);
    const trailer = new grpc.Metadata();
    trailer.set('x-trail', 't');
    done(null, call.request, trailer);
  },
  Remaining: (call, done) => done(null, String(Math.round(new Date(call.getDeadline()) - Date.now()))),
  Cancelled: (call, done) => done(null, String(cancelled)),
  Download(call) {
    for (let i = 0, count = Number(call.request.toString()); i < count; i++) call.write(`item ${i}`);
    const error = fault(call);
    if (error) call.emit('error', error);
    else call.end();
  },
  Hold(call) {
    call.on('cancelled', () => cancelled++);
    call.write('begun');
  },
  Upload(call, done) {
    let count = 0, length = 0;
    call.on('data', (message) => { count++; length += message.length; });
    call.on('end', () => done(null, `${count} ${length}`));
  },
  Chat(call) {
    call.on('data', (message) => call.write(message));
    call.on('end', () => call.end());
    call.on('error', () => {});
  },
};

const check = (holds, what) => { if (!holds) throw new Error(what); };
const large = Buffer.alloc(3 * 1024 * 1024, 'l');

function scenarios(client) {
  const unary = (name, request, metadata, options) => new Promise((resolve) => {
    const seen = {};
    const call = client[name](request, metadata ?? new grpc.Metadata(), options ?? {}, (error, answer) => { seen.error = error; seen.answer = answer; });
    call.on('metadata', (m) => { seen.metadata = m; });
    call.on('status', (status) => resolve({ ...seen, status }));
  });
  const drain = (call) => new Promise((resolve) => {
    const messages = [];
    call.on('data', (message) => messages.push(message));
    call.on('error', () => {});
    call.on('status', (status) => resolve({ messages, status }));
  });
  const count = async () => Number((await unary('Cancelled', '')).answer.toString());
  return {
    async unary() { check((await unary('Unary', 'hello')).answer.toString() === 'hello', 'answer'); },
    async empty() { check((await unary('Unary', '')).answer.length === 0, 'answer'); },
    async large() { check(large.equals((await unary('Unary', large)).answer), 'answer'); },
    async metadata() {
      const metadata = new grpc.Metadata();
      metadata.add('x-echo', 'one');
      metadata.add('x-echo-bin', Buffer.from([0, 200, 255, 10]));
      const seen = await unary('Unary', 'm', metadata);
      check(seen.metadata.get('x-echo')[0] === 'one', 'x-echo');
      check(Buffer.from([0, 200, 255, 10]).equals(seen.metadata.get('x-echo-bin')[0]), 'x-echo-bin');
      check(seen.status.metadata.get('x-trail')[0] === 't', 'trailer');
    },
    async errors() {
      for (let code = 1; code <= 16; code++) {
        const metadata = new grpc.Metadata();
        metadata.set('x-fail', String(code));
        const { status } = await unary('Unary', 'e', metadata);
        check(status.code === code && status.details === 'because ✓ 100%', `${code} became ${status.code} ${status.details}`);
        check(status.metadata.get('x-trail')[0] === 't', 'trailer');
        check(Buffer.from([0, 1, 255]).equals(status.metadata.get('x-trail-bin')[0]), 'binary trailer');
      }
    },
    async download() {
      const { messages, status } = await drain(client.Download('1000'));
      check(messages.length === 1000 && messages[999].toString() === 'item 999' && status.code === 0, 'messages');
    },
    async downloadError() {
      const metadata = new grpc.Metadata();
      metadata.set('x-fail', '9');
      const { messages, status } = await drain(client.Download('5', metadata));
      check(messages.length === 5 && status.code === 9, `${messages.length} messages, ${status.code}`);
    },
    async upload() {
      const answer = await new Promise((resolve, reject) => {
        const call = client.Upload((error, value) => (error ? reject(error) : resolve(value)));
        for (let i = 0; i < 500; i++) call.write(Buffer.alloc(1000));
        call.end();
      });
      check(answer.toString() === '500 500000', answer.toString());
    },
    async chat() {
      const call = client.Chat();
      const replies = [];
      await new Promise((resolve, reject) => {
        call.on('data', (message) => {
          replies.push(message.toString());
          if (replies.length === 50) call.end();
          else call.write(`turn ${replies.length}`);
        });
        call.on('error', reject);
        call.on('status', resolve);
        call.write('turn 0');
      });
      check(replies.length === 50 && replies[49] === 'turn 49', 'replies');
    },
    async deadlinePasses() {
      const left = Number((await unary('Remaining', '', null, { deadline: Date.now() + 20000 })).answer.toString());
      check(left > 5000 && left <= 20500, `${left} ms left`);
    },
    async deadlineEnds() {
      const { status } = await drain(client.Hold('', new grpc.Metadata(), { deadline: Date.now() + 300 }));
      check(status.code === 4, `${status.code}`);
    },
    async cancel() {
      const before = await count();
      const call = client.Hold('');
      call.once('data', () => call.cancel());
      const { status } = await drain(call);
      check(status.code === 1, `${status.code}`);
      for (const until = Date.now() + 30000; (await count()) <= before;) check(Date.now() < until, 'the server never heard of it');
    },
    async many() {
      const answers = await Promise.all(Array.from({ length: 300 }, (_, i) => unary('Unary', `call ${i}`)));
      answers.forEach((seen, i) => check(seen.answer && seen.answer.toString() === `call ${i}`, `call ${i}: ${seen.status.details}`));
    },
  };
}

async function main() {
  const [mode, address] = process.argv.slice(2);
  if (mode === 'server') {
    const server = new grpc.Server();
    server.addService(service, handlers);
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
      if (error) throw error;
      console.log(`listening ${port}`);
    });
    return;
  }
  const Client = grpc.makeGenericClientConstructor(service, 'demo.Interop');
  const client = new Client(address, grpc.credentials.createInsecure());
  for (const [name, run] of Object.entries(scenarios(client))) {
    try {
      await run();
      console.log(`ok ${name}`);
    } catch (error) {
      console.log(`error ${name}: ${error.message}`);
    }
  }
  console.log('done');
  client.close();
}
main();
