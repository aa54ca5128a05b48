// A member whom nobody has met connects while ingest is away: not forbidden, but not yet; and then by itself.
import assert from 'node:assert/strict';
import { Recorder, memberToken, settings } from './lib.mjs';

const { world, urls, channel } = settings;
const member = world.guilds[0].members.filter((one) => !one.bot).at(-1);
const client = new Recorder(urls[0], { token: memberToken(member) });
await client.first('connect');
for (const [name, data] of [['join_channel', { channelId: channel }], ['get_messages', { channelId: channel }], ['get_channels', null]]) {
  const answer = await client.ask(name, data);
  assert.deepEqual([answer.success, answer.code], [false, 'UNAVAILABLE'], name);
}
console.log('ready');
await client.first(([name, list]) => name === 'channels_list' && list.some(({ id }) => id === channel), 'the list', 60_000);
assert.equal((await client.ask('join_channel', { channelId: channel })).success, true);
assert.equal(client.all('disconnect').length, 0);
client.close();
console.log(JSON.stringify({ lists: client.all('channels_list').length }));
