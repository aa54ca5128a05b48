// Holds the simulated Discord against discord.js: what the most used library of others makes of it is what it is.
// node crosscheck.mjs http://127.0.0.1:4000 — names each check that fails and ends with 1; else prints their number.
import assert from 'node:assert/strict';
import { Client, GatewayIntentBits, Partials } from 'discord.js';

const sim = process.argv[2]?.replace(/\/$/, '');
if (!sim) throw new Error('usage: node crosscheck.mjs SIM_URL');

const PATIENCE_MS = 15_000;
const world = await (await fetch(`${sim}/sim/world`)).json();
const place = world.guilds[0];
const humans = place.members.filter((member) => !member.bot);
const general = place.channels.find((channel) => channel.type === 0 && !channel.private);
const hidden = place.channels.find((channel) => channel.private);
const speaker = humans.find((member) => member.id !== place.owner_id);

/** Calls the simulator beside the library. */
async function call(method, path, body) {
  const answer = await fetch(`${sim}${path}`, {
    method,
    headers: { authorization: `Bot ${world.token}`, 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.status === 204 || answer.status === 202 ? null : answer.json();
}
const api = (method, path, body) => call(method, `/api/v10${path}`, body);
const say = (content, more = {}) =>
  api('POST', `/channels/${general.id}/messages`, { content, author_id: speaker.id, ...more });
const stats = () => call('GET', '/sim/stats');

const client = new Client({
  intents: [
    GatewayIntentBits.Guilds, GatewayIntentBits.GuildMembers, GatewayIntentBits.GuildModeration,
    GatewayIntentBits.GuildExpressions, GatewayIntentBits.GuildWebhooks, GatewayIntentBits.GuildMessages,
    GatewayIntentBits.GuildMessageReactions, GatewayIntentBits.GuildMessageTyping, GatewayIntentBits.MessageContent,
  ],
  partials: [Partials.Message, Partials.Reaction, Partials.ThreadMember, Partials.GuildMember],
  rest: { api: `${sim}/api` },
});
client.on('error', (error) => console.error('client error', error));

/** The arguments of the next event of a name that fits. Called before what causes it. */
function next(name, fits = () => true) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      client.off(name, look);
      reject(new Error(`no ${name} in time`));
    }, PATIENCE_MS);
    const look = (...args) => {
      if (!fits(...args)) return;
      clearTimeout(timer);
      client.off(name, look);
      resolve(args);
    };
    client.on(name, look);
  });
}

/** Does something and waits for the events that must follow. */
async function after(action, ...events) {
  const waits = events.map(([name, fits]) => next(name, fits));
  const [result, ...seen] = await Promise.all([action(), ...waits]);
  return [result, ...seen];
}

let passed = 0;
const failed = [];
async function check(name, body) {
  try {
    await body();
    passed += 1;
  } catch (error) {
    failed.push(name);
    console.error(`FAILED ${name}: ${error.stack ?? error}`);
  }
}

const ready = next('clientReady');
await client.login(world.token);
await ready;
const guild = client.guilds.cache.get(place.id);
const channel = client.channels.cache.get(general.id);

await check('login: the guilds, channels, roles and emojis of /sim/world', async () => {
  assert.equal(client.user.id, world.client_id);
  assert.deepEqual([...client.guilds.cache.keys()].sort(), world.guilds.map(({ id }) => id).sort());
  for (const { id, name, owner_id: owner, channels, roles, members } of world.guilds) {
    const seen = client.guilds.cache.get(id);
    assert.equal(seen.name, name);
    assert.equal(seen.ownerId, owner);
    assert.equal(seen.memberCount, members.length);
    for (const expected of channels) {
      const found = client.channels.cache.get(expected.id);
      assert.equal(found?.name, expected.name);
      assert.equal(found.type, expected.type);
    }
    for (const role of roles) assert.equal(seen.roles.cache.get(role.id)?.name, role.name);
    assert.ok(seen.emojis.cache.size > 0);
    assert.ok(seen.available);
  }
});

await check('permissions: an ordinary bot that sees the private channel, as few others do', async () => {
  assert.ok(!guild.members.me.permissions.has('Administrator'));
  const room = client.channels.cache.get(hidden.id);
  assert.ok(room.viewable);
  const everyone = room.permissionsFor(guild.roles.everyone);
  assert.ok(!everyone.has('ViewChannel'));
  await guild.members.fetch({ user: humans.slice(0, 20).map(({ id }) => id) });
  const inside = humans.filter(({ id }) => id !== place.owner_id)
    .filter(({ id }) => room.permissionsFor(guild.members.cache.get(id))?.has('ViewChannel'));
  assert.equal(inside.length, 3);
});

await check('members: one by REST, some by op 8, all by op 8', async () => {
  const one = await guild.members.fetch({ user: speaker.id, force: true, cache: false });
  assert.equal(one.user.username, speaker.username);
  assert.ok(one.joinedAt instanceof Date);
  const some = await guild.members.fetch({ user: [humans[0].id, humans[1].id] });
  assert.equal(some.size, 2);
  const found = await guild.members.fetch({ query: speaker.username.slice(0, 3), limit: 10 });
  assert.ok(found.has(speaker.id));
  const all = await guild.members.fetch();
  assert.deepEqual([...all.keys()].sort(), place.members.map(({ id }) => id).sort());
  await assert.rejects(guild.members.fetch({ user: '77', force: true }), { code: 10007 });
});

let message;
await check('messageCreate: author, member, mentions, embeds, attachments', async () => {
  const role = place.roles.find(({ name }) => name === 'Crew');
  const [posted, [seen]] = await after(
    () => say(`hello <@${humans[0].id}> <@&${role.id}> <#${general.id}>`, {
      embeds: [{ title: 'A title', description: 'text', color: 255, fields: [{ name: 'n', value: 'v', inline: true }] }],
      attachments: [{ filename: 'hills.png', size: 9, content_type: 'image/png', width: 640, height: 400 }],
    }),
    ['messageCreate'],
  );
  assert.equal(seen.id, posted.id);
  assert.equal(seen.author.username, speaker.username);
  assert.equal(seen.member.id, speaker.id);
  assert.equal(seen.guild.id, place.id);
  assert.ok(seen.mentions.users.has(humans[0].id));
  assert.ok(seen.mentions.roles.has(role.id));
  assert.ok(seen.mentions.channels.has(general.id));
  assert.equal(seen.embeds[0].fields[0].inline, true);
  const file = seen.attachments.first();
  assert.equal(file.width, 640);
  const picture = await fetch(file.url);
  assert.equal(picture.headers.get('content-type'), 'image/png');
  assert.ok(Math.abs(seen.createdTimestamp - Date.now()) < 60_000);
  message = seen;
});

await check('replies, and one whose original is gone', async () => {
  const original = await say('to be answered');
  const [, [reply]] = await after(
    () => say('an answer', { message_reference: { message_id: original.id } }),
    ['messageCreate', ({ content }) => content === 'an answer'],
  );
  assert.equal(reply.type, 19);
  assert.equal(reply.reference.messageId, original.id);
  assert.equal((await reply.fetchReference()).content, 'to be answered');
  await after(() => api('DELETE', `/channels/${general.id}/messages/${original.id}`), ['messageDelete']);
  await assert.rejects(reply.fetchReference(), { code: 10008 });
});

await check('messageUpdate: whole, with the time of the edit', async () => {
  const [, [old, changed]] = await after(
    () => api('PATCH', `/channels/${general.id}/messages/${message.id}`, { content: 'changed' }), ['messageUpdate'],
  );
  assert.ok(old.content.startsWith('hello'));
  assert.equal(changed.content, 'changed');
  assert.ok(changed.editedTimestamp);
  assert.equal(changed.embeds.length, 1);
});

await check('reactions: added, removed, an emoji of the guild, all of one, all', async () => {
  const own = guild.emojis.cache.first();
  const base = `/channels/${general.id}/messages/${message.id}/reactions`;
  const party = encodeURIComponent('🎉');
  const [, [reaction, user]] = await after(
    () => api('PUT', `${base}/${party}/${speaker.id}`), ['messageReactionAdd'],
  );
  assert.equal(reaction.emoji.name, '🎉');
  assert.equal(user.id, speaker.id);
  assert.equal(reaction.count, 1);
  const [, [custom]] = await after(
    () => api('PUT', `${base}/${own.name}:${own.id}/${humans[0].id}`), ['messageReactionAdd'],
  );
  assert.equal(custom.emoji.id, own.id);
  assert.equal((await fetch(`${sim}/emojis/${own.id}.png`)).status, 200);
  await after(() => api('DELETE', `${base}/${party}/${speaker.id}`), ['messageReactionRemove']);
  await after(() => api('DELETE', `${base}/${own.name}:${own.id}`), ['messageReactionRemoveEmoji']);
  await api('PUT', `${base}/${party}/@me`);
  await after(() => api('DELETE', base), ['messageReactionRemoveAll']);
  const fresh = await channel.messages.fetch({ message: message.id, force: true });
  assert.equal(fresh.reactions.cache.size, 0);
});

await check('typing', async () => {
  const [, [typing]] = await after(
    () => api('POST', `/channels/${general.id}/typing`, { author_id: speaker.id }), ['typingStart'],
  );
  assert.equal(typing.user.id, speaker.id);
  assert.equal(typing.channel.id, general.id);
});

await check('messageDelete and messageDeleteBulk', async () => {
  await after(
    () => api('DELETE', `/channels/${general.id}/messages/${message.id}`),
    ['messageDelete', (gone) => gone.id === message.id],
  );
  const posted = [await say('one'), await say('two'), await say('three')];
  const ids = posted.map(({ id }) => id);
  const [, [gone]] = await after(() => channel.bulkDelete(ids), ['messageDeleteBulk']);
  assert.deepEqual([...gone.keys()].sort(), ids);
});

await check('pins', async () => {
  const { id } = await say('keep this');
  const pinned = await channel.messages.fetch(id);
  await after(() => pinned.pin(), ['channelPinsUpdate'], ['messageUpdate', (_, changed) => changed.pinned]);
  const pins = await channel.messages.fetchPins();
  assert.equal(pins.items[0].message.id, id);
  await after(() => pinned.unpin(), ['channelPinsUpdate']);
});

await check('threads: from a message, archived, opened, members, deleted', async () => {
  const { id } = await say('let us talk about this');
  const starter = await channel.messages.fetch(id);
  const path = `/channels/${general.id}/messages/${starter.id}/threads`;
  const [, [created, isNew]] = await after(() => api('POST', path, { name: 'Aside' }), ['threadCreate']);
  const thread = await client.channels.fetch(id);
  assert.equal(created.id, id);
  assert.equal(created.parentId, general.id);
  assert.equal(isNew, true);
  await after(() => thread.send('inside'), ['messageCreate', (inside) => inside.channelId === thread.id]);
  await after(() => thread.members.add(speaker.id), ['threadMembersUpdate', (added) => added.has(speaker.id)]);
  const [, [, archived]] = await after(() => thread.setArchived(true), ['threadUpdate']);
  assert.equal(archived.archived, true);
  const past = await channel.threads.fetchArchived();
  assert.ok(past.threads.has(thread.id));
  await after(() => thread.setArchived(false), ['threadUpdate', (_, now) => now.archived === false]);
  assert.ok((await guild.channels.fetchActiveThreads()).threads.has(thread.id));
  // Not by the library's own method: it forgets the thread before it hears of the end.
  await after(() => api('DELETE', `/channels/${thread.id}`), ['threadDelete', (gone) => gone.id === thread.id]);
});

await check('forum posts and uploads', async () => {
  const forum = guild.channels.cache.find(({ type }) => type === 15);
  const [post] = await after(
    () => forum.threads.create({ name: 'An idea', message: { content: 'What if?' } }), ['threadCreate'],
  );
  assert.equal((await post.fetchStarterMessage())?.content, 'What if?');
  const files = [{ attachment: Buffer.from('some text'), name: 'notes.txt', description: 'notes' }];
  const [, [seen]] = await after(
    () => channel.send({ content: 'a file', files }), ['messageCreate', ({ content }) => content === 'a file'],
  );
  const file = seen.attachments.first();
  assert.equal(file.name, 'notes.txt');
  assert.equal(file.description, 'notes');
  assert.equal(await (await fetch(file.url)).text(), 'some text');
});

await check('webhooks', async () => {
  const [webhook] = await after(() => channel.createWebhook({ name: 'Weather' }), ['webhooksUpdate']);
  const [, [seen]] = await after(
    () => webhook.send({ content: 'rain', username: 'Cloud' }), ['messageCreate', ({ webhookId }) => webhookId],
  );
  assert.equal(seen.webhookId, webhook.id);
  assert.equal(seen.author.username, 'Cloud');
  assert.equal(seen.member, null);
  const edited = await webhook.editMessage(seen.id, { content: 'sun' });
  assert.equal(edited.content, 'sun');
  await webhook.deleteMessage(seen.id);
  await after(() => webhook.delete(), ['webhooksUpdate']);
});

await check('channels: created, changed, overwritten, deleted', async () => {
  const [made, [created]] = await after(() => guild.channels.create({ name: 'fresh', type: 0 }), ['channelCreate']);
  assert.equal(created.name, 'fresh');
  const [, [, renamed]] = await after(() => made.edit({ name: 'fresher', topic: 'new' }), ['channelUpdate']);
  assert.deepEqual([renamed.name, renamed.topic], ['fresher', 'new']);
  const [, [, closed]] = await after(
    () => made.permissionOverwrites.create(guild.roles.everyone, { ViewChannel: false }), ['channelUpdate'],
  );
  assert.ok(!closed.viewable);
  await assert.rejects(made.messages.fetch({ limit: 1 }), { code: 50001, status: 403 });
  await after(() => made.permissionOverwrites.delete(guild.roles.everyone), ['channelUpdate']);
  await after(() => made.delete(), ['channelDelete', ({ id }) => id === made.id]);
});

await check('roles: created, changed, given, taken, deleted', async () => {
  const [role, [created]] = await after(() => guild.roles.create({ name: 'Guest' }), ['roleCreate']);
  assert.equal(created.name, 'Guest');
  await after(() => role.edit({ permissions: ['ViewChannel'] }), ['roleUpdate', (_, now) => now.id === role.id]);
  const member = await guild.members.fetch(speaker.id);
  const has = (expected) => (_, now) => now.id === speaker.id && now.roles.cache.has(role.id) === expected;
  await after(() => member.roles.add(role), ['guildMemberUpdate', has(true)]);
  await after(() => member.roles.remove(role), ['guildMemberUpdate', has(false)]);
  await after(() => role.delete(), ['roleDelete', ({ id }) => id === role.id]);
});

await check('members: nick, timeout, kick, return, ban with a purge', async () => {
  const member = await guild.members.fetch(speaker.id);
  await after(() => member.setNickname('Nick'), ['guildMemberUpdate', (_, now) => now.nickname === 'Nick']);
  await after(() => member.timeout(60_000), ['guildMemberUpdate', (_, now) => now.isCommunicationDisabled()]);
  await after(() => member.kick(), ['guildMemberRemove', ({ id }) => id === speaker.id]);
  await after(() => api('PUT', `/guilds/${place.id}/members/${speaker.id}`, {}), ['guildMemberAdd']);
  await say('about to go');
  await after(
    () => guild.bans.create(speaker.id, { deleteMessageSeconds: 600 }),
    ['guildBanAdd'], ['guildMemberRemove'], ['messageDeleteBulk'],
  );
  assert.ok((await guild.bans.fetch()).has(speaker.id));
  await after(() => guild.bans.remove(speaker.id), ['guildBanRemove']);
  await after(() => api('PUT', `/guilds/${place.id}/members/${speaker.id}`, { roles: speaker.roles }), ['guildMemberAdd']);
});

await check('the guild: changed, in an outage, back', async () => {
  await after(() => guild.setName('Renamed'), ['guildUpdate', (_, now) => now.name === 'Renamed']);
  await after(() => guild.setName(place.name), ['guildUpdate']);
  await after(() => call('POST', `/sim/guilds/${place.id}`, { state: 'unavailable' }), ['guildUnavailable']);
  await after(() => call('POST', `/sim/guilds/${place.id}`, { state: 'available' }), ['guildAvailable']);
});

await check('history: pages that meet without a gap', async () => {
  const posted = [];
  for (let number = 0; number < 25; number += 1) posted.push((await say(`page ${number}`)).id);
  const read = [];
  let before;
  while (read.length < 25) {
    const page = await channel.messages.fetch({ limit: 10, before, cache: false });
    read.push(...page.keys());
    before = page.lastKey();
  }
  assert.deepEqual(read.slice(0, 25), posted.toReversed());
  const newer = await channel.messages.fetch({ limit: 5, after: posted[0], cache: false });
  assert.deepEqual([...newer.keys()].sort(), posted.slice(1, 6));
});

await check('rate limits: the headers are understood, so that nothing is ever refused', async () => {
  await call('POST', '/sim/limits', { bucketLimit: 3, bucketSeconds: 0.5 });
  const before = await stats();
  let waits = 0;
  const count = () => { waits += 1; };
  client.rest.on('rateLimited', count);
  for (let number = 0; number < 7; number += 1) await channel.messages.fetch({ limit: 1, cache: false });
  client.rest.off('rateLimited', count);
  await call('POST', '/sim/limits', { bucketLimit: 1000, bucketSeconds: 1 });
  const now = await stats();
  assert.ok(waits >= 2, `it waited ${waits} times`);
  assert.deepEqual([now.invalid - before.invalid, now.tooEarly - before.tooEarly], [0, 0]);
});

await check('a 429 is waited for and the call succeeds', async () => {
  for (const scope of ['user', 'global', 'shared']) {
    const before = await stats();
    await call('POST', '/sim/faults', { kind: 'rest_429', scope, ms: 400, route: 'GET /channels/{}/messages' });
    const began = performance.now();
    await channel.messages.fetch({ limit: 1, cache: false });
    assert.ok(performance.now() - began >= 400, scope);
    assert.equal((await stats()).tooEarly, before.tooEarly, scope);
  }
  await call('POST', '/sim/faults', { kind: 'rest_5xx', count: 1, route: 'GET /channels/{}/messages' });
  await channel.messages.fetch({ limit: 1, cache: false });
});

for (const kind of ['reconnect', 'drop']) {
  await check(`RESUME after ${kind}: what was missed comes, once and in order`, async () => {
    const before = await stats();
    const seen = [];
    const note = ({ content }) => { if (content.startsWith(kind)) seen.push(content); };
    client.on('messageCreate', note);
    await after(async () => {
      await call('POST', '/sim/faults', { kind });
      for (let number = 0; number < 10; number += 1) await say(`${kind} ${number}`);
    }, ['shardResume'], ['messageCreate', ({ content }) => content === `${kind} 9`]);
    client.off('messageCreate', note);
    assert.deepEqual(seen, Array.from({ length: 10 }, (_, number) => `${kind} ${number}`));
    const now = await stats();
    assert.deepEqual([now.identifies - before.identifies, now.resumes - before.resumes], [0, 1]);
  });
}

await client.destroy();
console.log(JSON.stringify({ passed, failed }));
process.exit(failed.length > 0 ? 1 : 0);
