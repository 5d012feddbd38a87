// Serve is what any plugin in JavaScript can take over: the handshake, the certificate, and the way from messages to
// plain values and back. A value is null, true, 1, 1.5, "text", { $time: "2026-01-01T00:00:00Z" }, an array or an object;
// undefined is "not delivered".
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const { certificate } = require('./certificate');

// A Failure is an error of the system behind the plugin; its kind is one of Error.Kind in fieldsync.proto.
class Failure extends Error {
  constructor(kind, detail, { hint = '', fields = [], retryAfter = 0 } = {}) {
    super(detail);
    Object.assign(this, { kind, hint, fields, retryAfter });
  }
}

// What has no kind is a mistake of the plugin's own: fieldsync knows what it means for a read, and for a write.
const errorOf = (e) => ({ kind: e.kind ?? 'UNSPECIFIED', detail: e.message, hint: e.hint ?? '', fields: e.fields ?? [], retry_after_ms: e.retryAfter ?? 0 });

function toWire(v) {
  if (v === undefined) return {};
  if (v === null) return { nothing: 'NULL' };
  if (typeof v === 'boolean') return { truth: v };
  if (typeof v === 'number') return Number.isSafeInteger(v) ? { whole: v } : { decimal: v };
  if (typeof v === 'string') return { text: v };
  if (Array.isArray(v)) return { list: JSON.stringify(v) };
  if (typeof v.$time === 'string') return { time: v.$time };
  return { object: JSON.stringify(v) };
}

function fromWire(x) {
  switch (x?.content) {
    case 'nothing':
      return x.nothing === 'NULL' ? null : undefined;
    case 'truth':
    case 'decimal':
    case 'text':
      return x[x.content];
    case 'whole':
      if (!Number.isSafeInteger(x.whole)) throw new Failure('REFUSED', `${x.whole} is larger than numbers here can be`);
      return x.whole;
    case 'time':
      return { $time: x.time };
    case 'list':
    case 'object':
      return JSON.parse(x[x.content]);
  }
  return undefined;
}

const recordOf = (r) => ({ ...r, values: r.values.map(toWire) });
const fieldOf = (f) => ({ ...f, choices: (f.choices ?? []).map((c) => ({ ...c, value: toWire(c.value) })) });

const perMessage = 200; // records

// serve answers for one connection, which open makes of its settings.
function serve(name, open) {
  if (process.env.FIELDSYNC_PLUGIN !== 'fieldsync.plugin.v1') {
    console.error(`This is a plugin of fieldsync (${name}). Put its folder into the folder plugins beside the mapping files.`);
    process.exit(1);
  }
  let connection;
  const collections = new Map();
  const collection = (n) => {
    if (!collections.has(n)) collections.set(n, connection.collection(n));
    return collections.get(n);
  };
  const unary = (answer) => (call, done) => {
    try {
      done(null, answer(call.request) ?? {});
    } catch (e) {
      done(null, { error: errorOf(e) });
    }
  };
  // stream sends what answer yields, some at a time, no faster than it is taken, and at the end what it returns.
  const stream = (answer, end) => async (call) => {
    const send = (m) => call.write(m) || call.cancelled || new Promise((go) => call.once('drain', go).once('cancelled', go));
    try {
      const records = answer(call.request);
      let some = [];
      for (let r = records.next(); ; r = records.next()) {
        if (call.cancelled) return;
        if (!r.done) some.push(recordOf(r.value));
        if (some.length === perMessage || (r.done && some.length)) {
          await send({ records: some });
          some = [];
        }
        if (r.done) {
          if (end) await send(end(r.value));
          break;
        }
      }
    } catch (e) {
      call.write({ error: errorOf(e) });
    }
    call.end();
  };
  const changes = (q) => q.fields.map((f) => [f.path, fromWire(f.value)]);

  const proto = grpc.loadPackageDefinition(
    loader.loadSync(path.join(__dirname, 'fieldsync.proto'), { keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true }),
  );
  const server = new grpc.Server({ 'grpc.max_receive_message_length': 16 << 20, 'grpc.max_send_message_length': 16 << 20 });
  server.addService(proto.fieldsync.plugin.v1.Connector.service, {
    Open: unary((q) => {
      connection = open(JSON.parse(q.settings), { folder: q.folder, connection: q.connection });
      return { name };
    }),
    Collection: unary((q) => ({ abilities: collection(q.name).abilities })),
    Describe: unary((q) => {
      const s = collection(q.collection).schema;
      return { schema: { ...s, fields: s.fields.map(fieldOf) } };
    }),
    Check: unary(() => ({ findings: connection.check() })),
    Scan: stream((q) => collection(q.collection).scan(q), (end) => ({ end })),
    Read: stream((q) => collection(q.collection).read(q)),
    Find: stream((q) => collection(q.collection).find({ ...q, values: q.values.map(fromWire) })),
    Create: unary((q) => ({ record: recordOf(collection(q.collection).create({ ...q, changes: changes(q) })) })),
    Update: unary((q) => ({ record: recordOf(collection(q.collection).update({ ...q, changes: changes(q) })) })),
    Delete: unary((q) => collection(q.collection).delete(q)),
  });

  // fieldsync never says anything on standard input; it closes when fieldsync ends.
  process.stdin.on('end', () => process.exit(0)).resume();

  const own = certificate();
  const credentials = grpc.ServerCredentials.createSsl(Buffer.from(process.env.PLUGIN_CLIENT_CERT), [{ private_key: own.key, cert_chain: own.pem }], true);
  const socket = path.join(process.env.PLUGIN_UNIX_SOCKET_DIR, 'plugin.sock');
  server.bindAsync(`unix:${socket}`, credentials, (err) => {
    if (err) throw err;
    fs.writeSync(1, `1|1|unix|${socket}|grpc|${own.der.toString('base64').replace(/=+$/, '')}\n`);
  });
}

module.exports = { Failure, serve };
