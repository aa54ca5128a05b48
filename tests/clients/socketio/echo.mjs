// One scenario for every official JavaScript client, on every transport, against a server with the example's contract
// (`reference.mjs`): what it sends comes back whole, in order and once, and connections end and return as they should.
import assert from 'node:assert/strict';
import { settings, within } from '../lib.mjs';
import { TRANSPORTS, carriedBy, client, record, until } from './clients.mjs';

const kind = await client(settings.client);
const PINGS = 3;
const IN_A_ROW = 200;

const AUTH = { token: 'a.b.c', 'é€': '😀\u2028', deep: { list: [1, null] } };
const QUERY = { first: 'a b&c', second: 'é€😀' };
const TEXT = 'é € 😀 \u2028 \u2029 "quoted" \\ / \u001e \u007f 42["x"] 👩‍👩‍👧‍👦';
const LARGE = `${TEXT}|`.repeat(Math.ceil((100 * 1024) / Buffer.byteLength(`${TEXT}|`)));
const bytes = (length) => Buffer.from(Array.from({ length }, (_, n) => (n * 7) % 256));

const PLAIN = [
  [], [1], ['text', 2, true, null], [TEXT, [TEXT], { [TEXT]: TEXT }], ['', {}, []], [0, -1.5, 2 ** 53 - 1, 1e-7],
  [{ a: { b: [{ c: [] }, 'd'] } }, [[['deep']]]], ['_placeholder', { _placeholder: false, num: 0 }],
];
const BINARY = [
  [bytes(5)], [bytes(0)], [bytes(256), 'text', bytes(1)], [{ nested: { list: [bytes(3), { more: bytes(4) }] } }, TEXT],
  // An answer has one more: ten, the most that the official parser takes in one packet.
  [Array.from({ length: 9 }, (_, n) => bytes(n + 1))], [bytes(100 * 1024)],
];

/** Binary as it was sent, whatever class the client shows it in. */
function plain(value) {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return Buffer.from(value.buffer ?? value, value.byteOffset, value.byteLength);
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
  return value;
}

/** What comes back, awaited by number: the n-th event of a name. */
async function nth(socket, name, number) {
  await until(socket, () => socket.all(name).length > number, `${name} number ${number + 1}`);
  return plain(socket.all(name)[number]);
}

async function echoes(socket, table) {
  for (const args of table) {
    const number = socket.all('message-back').length;
    socket.socket.emit('message', ...args);
    assert.deepEqual(await nth(socket, 'message-back', number), args);
  }
}

/** The acknowledgement's arguments, all of them. */
function acknowledged(socket, name, ...args) {
  return within(new Promise((resolve) => {
    socket.socket.emit(name, ...args, (...answer) => resolve(plain(answer)));
  }), `${name}'s acknowledgement`);
}

async function acknowledgements(socket, table) {
  for (const args of table) assert.deepEqual(await acknowledged(socket, 'message-with-ack', ...args), args);
  const many = Array.from({ length: 50 }, (_, n) => acknowledged(socket, 'message-with-ack', n));
  assert.deepEqual(await Promise.all(many), Array.from({ length: 50 }, (_, n) => [n]), 'each its own');
}

/** The server asks, the client's acknowledgement is the answer, and the server tells what it heard. */
async function questions(socket, table) {
  for (const args of table) {
    const number = socket.all('answered').length;
    socket.socket.once('question', (...asked) => {
      const answer = asked.pop();
      answer(...asked, 'answer', bytes(6));
    });
    socket.socket.emit('ask', ...args);
    assert.deepEqual(await nth(socket, 'answered', number), [...args, 'answer', bytes(6)]);
  }
}

/** Sent without waiting, from the first moment: also while the transport changes. */
async function inARow(socket) {
  const number = socket.all('message-back').length;
  const sent = Array.from({ length: IN_A_ROW }, (_, n) => (n % 10 === 3 ? [n, bytes(n)] : [n]));
  for (const args of sent) socket.socket.emit('message', ...args);
  await nth(socket, 'message-back', number + IN_A_ROW - 1);
  assert.deepEqual(plain(socket.all('message-back').slice(number)), sent, 'each once, in order');
}

async function everything(socket) {
  await echoes(socket, PLAIN);
  await echoes(socket, [[LARGE], [{ large: LARGE }, LARGE]]);
  await echoes(socket, BINARY);
  await acknowledgements(socket, [...PLAIN, ...BINARY, [LARGE]]);
  await questions(socket, [...PLAIN, ...BINARY, [LARGE]]);
}

async function greeted(socket, times) {
  await until(socket, () => socket.all('connect').length === times, `connected ${times} times`);
  return nth(socket, 'auth', times - 1);
}

async function refusal(manager, other) {
  const refused = record(kind, manager.socket('/unknown', { auth: AUTH }));
  refused.socket.connect();
  const [, error] = await refused.first('refused', 'a refusal');
  assert.equal(error.message ?? error, 'Invalid namespace');
  assert.equal(refused.socket.connected, false);
  refused.close();
  await echoes(other, [['after the refusal of another']]);
}

async function namespaces(root, custom) {
  assert.equal(root.socket.io.engine, custom.socket.io.engine, 'one connection');
  await Promise.all([inARow(root), inARow(custom)]);
  const heard = root.all('disconnect').length;
  custom.close();
  assert.deepEqual(custom.all('disconnect'), [['io client disconnect']]);
  await echoes(root, [['after the other has left']]);
  custom.socket.connect();
  await greeted(custom, 2);
  await echoes(custom, [['again here']]);
  assert.equal(root.all('disconnect').length, heard);
}

function heartbeats(manager) {
  // Since Engine.IO 4 the server asks and the client answers; before, it was the other way round.
  const told = kind.old ? 'pong' : 'ping';
  return within(new Promise((resolve) => {
    let count = 0;
    manager.engine.on('packet', ({ type }) => {
      if (type === told) count += 1;
      if (count === PINGS) resolve();
    });
  }), `${PINGS} ${told}s`);
}

async function comesBack(manager, root, custom, carrier) {
  const [before, times] = [manager.engine.id, root.all('connect').length];
  const [customTimes, dropped] = [custom.all('connect').length, root.all('disconnect').length];
  root.socket.emit('drop');
  await until(root, () => root.all('disconnect').length > dropped, 'the end of the transport');
  assert.deepEqual(root.all('disconnect').at(-1)[0], 'transport close');
  await greeted(root, times + 1);
  await greeted(custom, customTimes + 1);
  assert.notEqual(manager.engine.id, before, 'a new connection');
  await inARow(root);
  await carriedBy(manager, carrier);
  await everything(root);
  await echoes(custom, [[TEXT], BINARY[3]]);
}

async function staysAway(manager, root, custom) {
  let attempts = 0;
  manager.on('reconnect_attempt', () => { attempts += 1; });
  const { engine } = manager;
  const ended = within(new Promise((resolve) => { engine.on('close', resolve); }), 'the end of an empty connection');
  const last = (socket) => until(
    socket, () => socket.all('disconnect').at(-1)?.[0] === 'io server disconnect', 'the server disconnects it',
  );
  custom.socket.emit('bye');
  await last(custom);
  await echoes(root, [['after the server sent the other away']]);
  assert.equal(custom.socket.connected, false);
  const times = root.all('connect').length;
  root.socket.emit('bye');
  await last(root);
  // Who has nobody left on a connection closes it.
  await ended;
  root.socket.connect();
  await greeted(root, times + 1);
  await echoes(root, [['asked to come back']]);
  assert.equal(custom.socket.connected, false);
  assert.equal(attempts, 0, 'it does not come back by itself');
}

async function scenario(transport) {
  const manager = new kind.Manager(settings.url, {
    transports: TRANSPORTS[transport], autoConnect: false,
    reconnectionDelay: 20, reconnectionDelayMax: 100, randomizationFactor: 0,
  });
  const carrier = transport === 'polling' ? 'polling' : 'websocket';
  const root = record(kind, manager.socket('/', { auth: AUTH }));
  const custom = record(kind, manager.socket('/custom', { auth: AUTH, query: QUERY }));
  root.socket.connect();
  custom.socket.connect();
  assert.deepEqual(await greeted(root, 1), [kind.old ? {} : AUTH]);
  await inARow(root);
  // What an old client has for a payload is the query of the namespace.
  assert.deepEqual(await greeted(custom, 1), [kind.old ? QUERY : AUTH]);
  await carriedBy(manager, carrier);
  await everything(root);
  await everything(custom);
  await namespaces(root, custom);
  await refusal(manager, root);
  await heartbeats(manager);
  await comesBack(manager, root, custom, carrier);
  assert.equal(manager.engine.transport.name, carrier);
  await staysAway(manager, root, custom);
  root.close();
}

const failures = [];
for (const transport of Object.keys(TRANSPORTS)) {
  await scenario(transport).catch((error) => failures.push(`${settings.client} by ${transport}: ${error.stack}`));
}
for (const failure of failures) console.error(failure);
console.log(JSON.stringify({ client: settings.client, passed: Object.keys(TRANSPORTS).length - failures.length }));
process.exit(failures.length === 0 ? 0 : 1);
