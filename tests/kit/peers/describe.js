// Prints, as JSON, what the published .proto files of @grpc/grpc-js-xds declare: messages with their fields, enums, services.
// Usage: node describe.js FILE... (paths below the package's deps folders, such as envoy/config/core/v3/base.proto)
'use strict';
const fs = require('fs');
const path = require('path');
const protobuf = require('protobufjs');

const deps = path.join(path.dirname(require.resolve('@grpc/grpc-js-xds/package.json')), 'deps');
const folders = ['envoy-api', 'xds', 'googleapis', 'protoc-gen-validate'].map(name => path.join(deps, name));
folders.push(path.dirname(require.resolve('protobufjs/package.json')));

const find = file => folders.map(folder => path.join(folder, file)).find(candidate => fs.existsSync(candidate));
const root = new protobuf.Root();
root.resolvePath = (_, file) => find(file) || file;
// With all that it imports: some of that is published elsewhere.
const whole = (file, seen = new Set()) => file.startsWith('google/protobuf/') || seen.has(file) || Boolean(find(file)) && [...fs.readFileSync(find(file), 'utf8')
  .matchAll(/^import (?:public )?"([^"]+)";/gm)].every(([, name]) => whole(name, seen.add(file)));
const present = process.argv.slice(2).filter(file => whole(file));
root.loadSync(present, { keepCase: true });
root.resolveAll();

const messages = {};
const enums = {};
const services = {};
const bare = type => type.fullName.slice(1);

function field(item) {
  const optional = Boolean(item.options && item.options.proto3_optional);
  return {
    number: item.id,
    type: item.resolvedType ? bare(item.resolvedType) : item.type,
    label: item.map ? `map<${item.keyType}>` : item.repeated ? 'repeated' : optional ? 'optional' : 'single',
    oneof: item.partOf && !optional ? item.partOf.name : '',
  };
}

function walk(space) {
  for (const item of space.nestedArray) {
    if (item instanceof protobuf.Type) {
      messages[bare(item)] = Object.fromEntries(item.fieldsArray.map(f => [f.name, field(f)]));
      walk(item);
    } else if (item instanceof protobuf.Enum) {
      enums[bare(item)] = item.values;
    } else if (item instanceof protobuf.Service) {
      services[bare(item)] = Object.fromEntries(item.methodsArray.map(m => {
        m.resolve();
        return [m.name, `${m.requestStream ? 'stream ' : ''}${bare(m.resolvedRequestType)} -> ${m.responseStream ? 'stream ' : ''}${bare(m.resolvedResponseType)}`];
      }));
    } else if (item instanceof protobuf.Namespace) {
      walk(item);
    }
  }
}
walk(root);
fs.writeSync(1, JSON.stringify({ present, messages, enums, services }));
