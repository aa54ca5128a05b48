// A client whose recovery can't be whole comes anew, joins, and pages back to what it had: the union is everything.
import assert from 'node:assert/strict';
import { Recorder, discord, memberToken, settings } from './lib.mjs';

const { world, urls, channel } = settings;
const guild = world.guilds[0];
const humans = guild.members.filter((one) => !one.bot && one.id !== guild.owner_id);
const aside = guild.channels.find((one) => !one.private && one.type === 0 && one.id !== channel).id;
const number = (message) => Number(/^n=(\d+);/.exec(message.content)?.[1]);

async function asked() {
  for (;;) {
    const [newest] = await discord('GET', `/channels/${aside}/messages?limit=1`);
    if (newest?.content === 'come back') return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Asks until a dependency that is away is back. */
async function ask(client, event, payload) {
  for (;;) {
    const answer = await client.ask(event, payload);
    if (answer.code !== 'UNAVAILABLE') return answer;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

const client = new Recorder(urls[0], { token: memberToken(humans[0]) });
await client.first('connect');
assert.equal((await client.ask('join_channel', { channelId: channel })).success, true);
const before = await discord('POST', `/channels/${channel}/messages`, { content: 'n=0;' });
await client.first(([name, data]) => name === 'message' && data.id === before.id);
const { id } = client.socket;
client.socket.io.engine.close();
console.log('ready');
await asked();
const since = client.events.length;
client.socket.io.uri = urls.at(-1);
client.socket.connect();
await client.first((event) => client.events.indexOf(event) >= since && event[0].startsWith('connect'), 'it is back');
assert.equal(client.socket.recovered, false);
assert.notEqual(client.socket.id, id);
assert.equal((await client.ask('leave_channel', { channelId: channel })).code, 'NOT_JOINED');
assert.ok(!client.events.slice(since).some(([name]) => name === 'message'), 'no part of what was missed');
assert.equal((await ask(client, 'join_channel', { channelId: channel, limit: 100 })).success, true);
const [page] = client.all('messages_bulk').slice(-1);
let { messages, nextCursor } = page[0];
while (!messages.some((one) => one.id === before.id)) {
  assert.ok(nextCursor, 'there are older ones');
  const older = await ask(client, 'get_messages', { channelId: channel, before: nextCursor, limit: 100 });
  messages = [...older.messages, ...messages];
  nextCursor = older.nextCursor;
}
const missed = messages.slice(messages.findIndex((one) => one.id === before.id) + 1);
const right = Array.from({ length: settings.count }, (_, n) => n + 1);
assert.deepEqual(missed.map(number), right, 'the union is everything');
const live = await discord('POST', `/channels/${channel}/messages`, { content: 'live' });
await client.first(([name, data]) => name === 'message' && data.id === live.id);
client.close();
console.log(JSON.stringify({ recovered: false, missed: missed.length }));
