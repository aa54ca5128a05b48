// A crowd whose instance is killed while messages pour in: all are back at another one, and have missed nothing.
import assert from 'node:assert/strict';
import { Recorder, memberToken, settings } from './lib.mjs';

const { world, urls, channel, count } = settings;
const humans = world.guilds[0].members.filter((member) => !member.bot);
const number = (message) => Number(/^n=(\d+);/.exec(message.content)?.[1]);

const clients = Array.from({ length: 60 }, (_, n) => new Recorder(urls[0], { token: memberToken(humans[n % humans.length]) }, {
  reconnection: true, reconnectionDelay: 100, reconnectionDelayMax: 500,
}));
await Promise.all(clients.map(async (client) => {
  await client.first('connect');
  assert.equal((await client.ask('join_channel', { channelId: channel })).success, true);
  client.socket.io.uri = urls.at(-1);
}));
console.log('ready');
await Promise.all(clients.map(async (client) => {
  await client.first(([name, message]) => name === 'message' && number(message) === count, 'the last number', 60_000);
  const numbers = client.all('message').map(([message]) => number(message)).filter(Boolean);
  assert.deepEqual(numbers, Array.from({ length: count }, (_, n) => n + 1));
  assert.equal(client.all('connect').length, 2);
  assert.equal(client.socket.recovered, true);
  assert.equal(client.all('messages_bulk').length, 1);
  client.close();
}));
console.log(JSON.stringify({ clients: clients.length }));
