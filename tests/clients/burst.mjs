// A burst of directory changes (channels created and put into another order) delays nobody's messages for long.
import assert from 'node:assert/strict';
import { Recorder, discord, memberToken, settings } from './lib.mjs';

const { world, urls, channel } = settings;
const guild = world.guilds[0];
const humans = guild.members.filter((member) => !member.bot);
const clients = Array.from({ length: 40 }, (_, n) => new Recorder(urls[n % urls.length], { token: memberToken(humans[n % humans.length]) }));
for (const client of clients) {
  await client.first('connect');
  assert.equal((await client.ask('join_channel', { channelId: channel })).success, true);
}
const created = [];
for (let n = 0; n < 80; n += 1) {
  created.push(await discord('POST', `/guilds/${guild.id}/channels`, { name: `room-${n}`, type: 0 }));
}
for (const [n, { id }] of created.entries()) await discord('PATCH', `/channels/${id}`, { position: 200 - n });
const began = performance.now();
const posted = await discord('POST', `/channels/${channel}/messages`, { content: 'after the burst', author_id: humans[0].id });
for (const client of clients) await client.first(([name, message]) => name === 'message' && message.id === posted.id);
const took = performance.now() - began;
assert.ok(took < 5_000, `the message came after ${took} ms`);
const last = created[0];
for (const client of clients) {
  const isLatest = ([name, list]) => name === 'channels_list' && list.find(({ id }) => id === last.id)?.position === 200;
  await client.first(isLatest, 'the list after the burst');
  assert.equal(client.all('disconnect').length, 0);
}
const lists = Math.max(...clients.map((client) => client.all('channels_list').length));
assert.ok(lists < 160, `${lists} lists for 160 changes`);
for (const client of clients) client.close();
console.log(JSON.stringify({ messageMs: Math.round(took), lists }));
