// What breaks the rules is closed, with the code of the protocol; nobody else notices.
import assert from 'node:assert/strict';
import { WebSocket } from 'ws';
import { Recorder, discord, memberToken, settings, within } from './lib.mjs';

const { world, urls, channel } = settings;
const human = world.guilds[0].members.find((member) => !member.bot);
const open = () => new WebSocket(`${urls[0].replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
const connect = `40/discord,${JSON.stringify({ token: memberToken(human) })}`;

/** The close code after these frames, the first of them before anything else. */
function closeOf(...frames) {
  const socket = open();
  return within(new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('close', resolve);
    socket.once('message', () => frames.forEach((frame) => socket.send(frame)));
  }), `the close after ${String(frames.at(-1)).slice(0, 40)}`);
}

const witness = new Recorder(urls[0], { token: memberToken(human) });
await witness.first('connect');
assert.equal((await witness.ask('join_channel', { channelId: channel })).success, true);

const huge = 'x'.repeat(1_000_001);
const table = [
  [1002, ['nonsense']], [1002, ['']], [1002, ['9']], [1002, ['4']], [1002, ['4x']], [1002, ['42/discord,["early"]']],
  [1002, [connect, '42/discord,{"not":"an array"}']], [1002, [connect, '42/discord,["unclosed']],
  [1002, [connect, '42/discord,[]']], [1002, [connect, '42/discord,[7']], [1002, [connect, '42/nowhere,["x"]']],
  [1002, ['40/discord,not json']],
  [1002, [connect, Buffer.from([1, 2, 3])]],
  [1009, [`40/discord,${JSON.stringify({ token: 'x'.repeat(20_000) })}`]],
];
for (const [code, frames] of table) {
  assert.equal(await closeOf(...frames), code, String(frames.at(-1)).slice(0, 60));
}

// Over the limit once connected: 1009 too, and just below it is read.
const big = open();
const closed = within(new Promise((resolve) => big.on('close', resolve)), '1009');
await within(new Promise((resolve) => {
  big.on('message', (data) => {
    if (String(data)[0] === '0') big.send(connect);
    if (String(data).startsWith('40/discord,')) resolve();
  });
}), 'connected');
const answered = within(new Promise((resolve) => {
  big.on('message', (data) => { if (String(data).startsWith('43/discord,7')) resolve(JSON.parse(String(data).slice(12))[0]); });
}), 'an answer');
big.send(`42/discord,7${JSON.stringify(['join_channel', { channelId: 'y'.repeat(900_000) }])}`);
assert.equal((await answered).code, 'BAD_REQUEST');
big.send(`42/discord,8${JSON.stringify(['join_channel', { channelId: huge }])}`);
assert.equal(await closed, 1009);

// Deep JSON, odd names and many arguments are refused or ignored; the socket lives on.
for (const payload of ['['.repeat(1_000) + ']'.repeat(1_000), '{"a":'.repeat(1_000) + '1' + '}'.repeat(1_000)]) {
  const answer = await witness.ask('join_channel', JSON.parse(payload));
  assert.equal(answer.code, 'BAD_REQUEST');
}
assert.equal((await witness.ask('__proto__')).code, 'UNKNOWN_EVENT');
assert.equal((await witness.ask('')).code, 'UNKNOWN_EVENT');
assert.equal((await witness.ask('get_channels', null, 1, 2, 3)).success, true);

// Plain HTTP where a handshake is expected, and the other way round.
const status = async (path, init) => (await fetch(`${urls[0]}${path}`, init)).status;
assert.equal(await status('/socket.io/?EIO=4&transport=polling', { method: 'POST' }), 400);
assert.equal(await status('/socket.io/?EIO=4&transport=polling&sid=nobody'), 400);
assert.equal(await status('/socket.io/?EIO=4&transport=websocket'), 400);
const missing = await (await fetch(`${urls[0]}/api/nothing?x=1`)).json();
assert.deepEqual([missing.error, missing.message], ['Not found', 'Route GET /api/nothing not found']);
const elsewhere = new WebSocket(`${urls[0].replace('http', 'ws')}/elsewhere`);
const [answer] = await within(new Promise((resolve) => {
  elsewhere.on('unexpected-response', (request, response) => resolve([response.statusCode]));
  elsewhere.on('error', () => {});
}), 'a refusal');
assert.equal(answer, 404);
for (const origin of ['https://evil.example', 'null']) {
  const foreign = new WebSocket(open().url, { origin });
  const refused = await within(new Promise((resolve) => {
    foreign.on('unexpected-response', (request, response) => resolve(response.statusCode));
    foreign.on('error', () => {});
  }), 'a refused origin');
  assert.equal(refused, 403);
}

// Nobody else has noticed.
const posted = await discord('POST', `/channels/${channel}/messages`, { content: 'still here', author_id: human.id });
await witness.first(([name, message]) => name === 'message' && message.id === posted.id);
assert.equal(witness.all('disconnect').length, 0);
witness.close();
console.log(JSON.stringify({ closes: table.length + 1 }));
process.exit(0);
