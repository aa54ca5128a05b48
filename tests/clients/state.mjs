// State, not history: reactions, typing, channels, threads and viewer counts, on every instance, to exactly whom they concern.
import assert from 'node:assert/strict';
import { io as io4 } from 'socket.io-client';
import { io as io3 } from 'socket.io-client-3';
import { Recorder, discord, memberToken, settings, within } from './lib.mjs';

const { world, urls, channel } = settings;
const guild = world.guilds[0];
const first = urls[0];
const last = urls[urls.length - 1];
const humans = guild.members.filter((one) => !one.bot && one.id !== guild.owner_id && !one.roles.includes(settings.role));
const insiders = guild.members.filter((one) => one.roles.includes(settings.role));
const hidden = guild.channels.find((one) => one.private);

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const post = (id, content, author = humans[0]) => discord('POST', `/channels/${id}/messages`, { content, author_id: author.id });
const react = (message, emoji, user) => discord('PUT', `/channels/${message.channel_id}/messages/${message.id}/reactions/${encodeURIComponent(emoji)}/${user.id}`);

async function connect(url, member, options) {
  const client = new Recorder(url, { token: memberToken(member) }, options);
  await client.first('connect');
  await client.first('channels_list');
  return client;
}

async function join(client, channelId) {
  const answer = await client.ask('join_channel', { channelId });
  assert.equal(answer.success, true, JSON.stringify(answer));
}

/** No event but the four that are history ends in a string. */
function offsetsAreWhereTheyBelong(clients) {
  const history = new Set(['messages_bulk', 'message', 'message_update', 'message_delete']);
  for (const [name, ...args] of clients.flatMap(({ events }) => events)) {
    if (['connect', 'disconnect', 'connect_error'].includes(name)) continue;
    assert.equal(typeof args.at(-1) === 'string', history.has(name), name);
  }
}

async function reactions(clients) {
  const message = await post(channel, 'react to this');
  for (const client of clients) await client.first(([name, one]) => name === 'message' && one.id === message.id);
  await react(message, '👍', humans[0]);
  await react(message, '👍', humans[1]);
  await react(message, '🎉', humans[2]);
  const total = (of) => ([name, one]) => name === 'reaction_update' && one.messageId === message.id
    && JSON.stringify(one.reactions) === JSON.stringify(of);
  const both = [{ emoji: '👍', count: 2, users: [] }, { emoji: '🎉', count: 1, users: [] }];
  for (const client of clients) {
    const [, update, ...rest] = await client.first(total(both), 'the total of three reactions');
    assert.equal(update.channelId, channel);
    assert.equal(rest.length, 0, 'reactions are state: they carry no offset');
  }
  // A burst is merged: at most two a second a message, and the last state is the right one.
  const before = clients[0].all('reaction_update').length;
  const began = Date.now();
  for (let round = 0; round < 10; round += 1) {
    for (const member of humans.slice(0, 4)) await react(message, '🔥', member);
    for (const member of humans.slice(0, 4)) {
      await discord('DELETE', `/channels/${channel}/messages/${message.id}/reactions/${encodeURIComponent('🔥')}/${member.id}`);
    }
  }
  await react(message, '✅', humans[3]);
  const after = [...both, { emoji: '✅', count: 1, users: [] }];
  for (const client of clients) await client.first(total(after), 'the total after the burst');
  const updates = clients[0].all('reaction_update').length - before;
  const seconds = (Date.now() - began) / 1000;
  assert.ok(updates <= 2 * seconds + 2, `${updates} updates in ${seconds} s`);
  // An edit clears no reaction, and a page shows them.
  await discord('PATCH', `/channels/${channel}/messages/${message.id}`, { content: 'react to this, edited' });
  for (const client of clients) {
    const [, edited] = await client.first(([name, one]) => name === 'message_update' && one.id === message.id && one.edited);
    assert.deepEqual(edited.reactions, after);
  }
  const late = await connect(last, humans[4]);
  await join(late, channel);
  const [, page] = await late.first('messages_bulk');
  assert.deepEqual(page.messages.find(({ id }) => id === message.id).reactions, after);
  await discord('DELETE', `/channels/${channel}/messages/${message.id}/reactions`);
  for (const client of [...clients, late]) await client.first(total([]), 'no reactions at all');
  late.close();
  return updates;
}

async function typing(inside, outside) {
  await discord('POST', `/channels/${channel}/typing`, { author_id: humans[3].id });
  for (const client of inside) {
    const [, told] = await client.first(([name, one]) => name === 'typing_start' && one.userId === humans[3].id);
    assert.equal(told.channelId, channel);
    assert.equal(typeof told.username, 'string');
  }
  assert.equal(outside.all('typing_start').length, 0, 'who has not joined hears nobody type');
}

/** The first event from this index on that fits. */
const later = (client, from, fits, what) => within((async () => {
  while (!client.events.slice(from).some(fits)) await pause(20);
})(), what);

async function viewers(clients, member) {
  const count = (n) => ([name, one]) => name === 'viewers' && one.channelId === channel && one.count === n;
  const distinct = new Set(clients.map(({ member: { id } }) => id)).size;
  const told = (client) => client.all('viewers').at(-1)?.[0].count;
  for (const { client } of clients) {
    await within((async () => { while (told(client) !== distinct) await pause(20); })(), `a count of ${distinct} over all instances`);
  }
  let seen = clients.map(({ client }) => client.events.length);
  const more = await connect(last, member);
  await join(more, channel);
  for (const [index, { client }] of clients.entries()) await later(client, seen[index], count(distinct + 1), `a count of ${distinct + 1}`);
  seen = clients.map(({ client }) => client.events.length);
  more.close();
  for (const [index, { client }] of clients.entries()) await later(client, seen[index], count(distinct), 'the count after one has gone');
}

async function channels(insider, outsider) {
  // In a channel that both see: told to both, with each one's own permissions.
  const topic = `topic ${Date.now()}`;
  await discord('PATCH', `/channels/${channel}`, { topic });
  for (const client of [insider, outsider]) {
    const [, changed] = await client.first(([name, one]) => name === 'channel_update' && one.topic === topic);
    assert.deepEqual([changed.id, changed.serverId, changed.type], [channel, guild.id, 'text']);
    assert.equal(changed.permissions.canRead, true);
  }
  // In a channel that one of them does not see: not a word.
  const secret = `secret ${Date.now()}`;
  await discord('PATCH', `/channels/${hidden.id}`, { topic: secret });
  await insider.first(([name, one]) => name === 'channel_update' && one.topic === secret);
  await outsider.ask('get_channels');
  assert.ok(!JSON.stringify(outsider.events).includes(secret));
  assert.ok(!JSON.stringify(outsider.events).includes(hidden.id));
  // Made, joined, and deleted.
  const made = await discord('POST', `/guilds/${guild.id}/channels`, { name: 'short-lived', type: 0 });
  const listed = ([name, list]) => name === 'channels_list' && list.some(({ id }) => id === made.id);
  for (const client of [insider, outsider]) {
    await client.first(listed, 'a new channel is listed');
    await join(client, made.id);
  }
  await discord('DELETE', `/channels/${made.id}`);
  for (const client of [insider, outsider]) {
    const [, left] = await client.first(([name, one]) => name === 'channel_left' && one.channelId === made.id);
    assert.equal(left.reason, 'channel_deleted');
    const list = client.all('channels_list').at(-1)[0];
    if (list.some(({ id }) => id === made.id)) {
      const before = client.events.length;
      await within((async () => {
        while (!client.events.slice(before).some(([name]) => name === 'channels_list')) await pause(20);
      })(), 'a list without it');
    }
    assert.equal((await client.ask('join_channel', { channelId: made.id })).code, 'FORBIDDEN');
  }
}

async function threads(insider, outsider) {
  const parent = await discord('POST', `/guilds/${guild.id}/channels`, { name: 'with-threads', type: 0 });
  const thread = await discord('POST', `/channels/${parent.id}/threads`, { name: 'a thread', type: 11 });
  for (const client of [insider, outsider]) {
    const [, list] = await client.first(([name, all]) => name === 'channels_list' && all.some(({ id }) => id === thread.id), 'the thread is listed');
    const own = list.find(({ id }) => id === thread.id);
    assert.deepEqual([own.type, own.parentId, own.isActive], ['thread', parent.id, true]);
    await join(client, thread.id);
  }
  const message = await post(thread.id, 'within the thread');
  for (const client of [insider, outsider]) {
    const [, told] = await client.first(([name, one]) => name === 'message' && one.id === message.id);
    assert.equal(told.channelId, thread.id);
  }
  await discord('PATCH', `/channels/${thread.id}`, { archived: true });
  await outsider.first(([name, one]) => (name === 'channel_update' && one.id === thread.id && one.isActive === false)
    || (name === 'channels_list' && one.some(({ id, isActive }) => id === thread.id && !isActive)), 'the thread is archived');
  await discord('DELETE', `/channels/${parent.id}`);
  for (const client of [insider, outsider]) {
    const [, left] = await client.first(([name, one]) => name === 'channel_left' && one.channelId === thread.id);
    assert.equal(left.reason, 'channel_deleted', 'a thread goes with its channel');
  }
}

const members = [humans[0], humans[1], insiders[0]];
const four = await connect(first, members[0], { connect: io4 });
const three = await connect(last, members[1], { connect: io3 });
const insider = await connect(last, members[2], { namespace: '/', connect: io4 });
const elsewhere = await connect(first, humans[5]);
for (const client of [four, three, insider]) await join(client, channel);
const merged = await reactions([four, three, insider]);
await typing([four, three, insider], elsewhere);
await viewers([four, three, insider].map((client, index) => ({ client, member: members[index] })), humans[4]);
await channels(insider, four);
await threads(insider, four);
offsetsAreWhereTheyBelong([four, three, insider, elsewhere]);
for (const client of [four, three, insider, elsewhere]) client.close();
console.log(JSON.stringify({ merged }));
