// One script, seen twice: by discord.js at the simulated Discord, and by a viewer behind ingest. Both must see the same.
import assert from 'node:assert/strict';
import { Client, GatewayIntentBits, Partials } from 'discord.js';
import { Recorder, discord, memberToken, settings, within } from './lib.mjs';

const { world, urls, channel, sim } = settings;
const guild = world.guilds[0];
const humans = guild.members.filter((one) => !one.bot && one.id !== guild.owner_id);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const fault = async (body) => {
  const answer = await fetch(`${sim}/sim/faults`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  assert.equal(answer.status, 204, await answer.text());
};

/** What discord.js sees of the channel, in the words of our contract. */
const theirs = [];
const library = new Client({
  intents: [
    GatewayIntentBits.Guilds, GatewayIntentBits.GuildMessages, GatewayIntentBits.GuildMessageReactions,
    GatewayIntentBits.MessageContent,
  ],
  partials: [Partials.Message, Partials.Reaction],
  rest: { api: `${sim}/api` },
});
library.on('error', (error) => console.error(error));
const isHere = (one) => (one.channelId ?? one.channel?.id) === channel;
const shown = (one) => [one.id, one.author.id, one.content, one.reference?.messageId ?? null, [...one.attachments.values()].map(({ name }) => name)];
library.on('messageCreate', (one) => isHere(one) && theirs.push(['message', ...shown(one)]));
library.on('messageUpdate', (_, one) => isHere(one) && theirs.push(['message_update', ...shown(one)]));
library.on('messageDelete', (one) => isHere(one) && theirs.push(['message_delete', one.id]));
library.on('messageDeleteBulk', (all) => {
  // The library hands over a collection; Discord's order is the order of its keys.
  for (const [id, one] of all) if (isHere(one)) theirs.push(['message_delete', id]);
});
const ready = new Promise((resolve) => library.once('clientReady', resolve));
await library.login(world.token);
await within(ready, 'discord.js is ready');

const viewer = new Recorder(urls[0], { token: memberToken(humans[0]) });
await viewer.first('connect');
assert.equal((await viewer.ask('join_channel', { channelId: channel })).success, true);
const history = new Set(['message', 'message_update', 'message_delete']);
const ours = () => viewer.events.filter(([name]) => history.has(name)).map(([name, one]) => (name === 'message_delete'
  ? [name, one.messageId]
  : [name, one.id, one.author.id, one.content, one.reply?.messageId ?? null, one.attachments.map(({ filename }) => filename)]));

const post = (content, more = {}) => discord('POST', `/channels/${channel}/messages`, {
  content, author_id: humans[Math.floor(Math.random() * humans.length)].id, ...more,
});
const edit = (one, content) => discord('PATCH', `/channels/${channel}/messages/${one.id}`, { content });

async function script(round) {
  const posted = [];
  for (let n = 0; n < 30; n += 1) {
    const answered = n % 7 === 3 ? { message_reference: { message_id: posted[n - 1].id } } : {};
    posted.push(await post(`${round}.${n} "é" 🏳️‍🌈 <@${humans[1].id}> **b** \u2028`, answered));
    if (n % 4 === 1) await edit(posted[n], `${round}.${n} edited`);
    if (n % 5 === 4) await discord('DELETE', `/channels/${channel}/messages/${posted[n].id}`);
  }
  const pinned = posted[2].id;
  await discord('PUT', `/channels/${channel}/pins/${pinned}`);
  await discord('POST', `/channels/${channel}/messages/bulk-delete`, { messages: [5, 6, 7, 8].map((n) => posted[n].id) });
  return posted;
}

await script(1);
// Both lose their connection in the middle of it, and both resume.
const [second] = await Promise.all([script(2), pause(150).then(() => fault({ kind: 'reconnect' }))]);
await script(3);
const last = await post('the last');
await within((async () => {
  while (!theirs.some(([, id]) => id === last.id)) await pause(20);
})(), 'discord.js has seen the last');
await viewer.first(([name, one]) => name === 'message' && one.id === last.id);

// A pin changes a message for Discord and nothing that it shows; the library tells of it as we do.
assert.deepEqual(ours(), theirs);
assert.ok(theirs.filter(([name]) => name === 'message_update').length >= 24, 'edits were seen');
assert.ok(theirs.filter(([name]) => name === 'message_delete').length >= 30, 'deletes were seen');

// Reactions are totals with us and changes with them: the totals of Discord's own answer are what both end at.
const message = await post('react');
for (const [index, emoji] of ['👍', '🎉', '👍', '👍'].entries()) {
  await discord('PUT', `/channels/${channel}/messages/${message.id}/reactions/${encodeURIComponent(emoji)}/${humans[index].id}`);
}
const [, total] = await viewer.first(([name, one]) => name === 'reaction_update' && one.messageId === message.id
  && one.reactions.reduce((sum, { count }) => sum + count, 0) === 4);
const fetched = await (await library.channels.fetch(channel)).messages.fetch({ message: message.id, force: true });
assert.deepEqual(total.reactions.map(({ emoji, count }) => [emoji, count]), [...fetched.reactions.cache.values()].map(({ emoji, count }) => [emoji.name, count]));
assert.equal(second.length, 30);
viewer.close();
await library.destroy();
console.log(JSON.stringify({ events: theirs.length }));
process.exit(0);
