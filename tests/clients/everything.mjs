// The official client over WebSocket goes through the whole of contract.md §1, on every instance at once.
import assert from 'node:assert/strict';
import { io as io4 } from 'socket.io-client';
import { io as io3 } from 'socket.io-client-3';
import { Recorder, discord, memberToken, settings, token, within } from './lib.mjs';

const { world, urls, channel } = settings;
const guild = world.guilds[0];
const first = urls[0];
const last = urls[urls.length - 1];
const humans = guild.members.filter((one) => !one.bot && one.id !== guild.owner_id && !one.roles.includes(settings.role));
const offset = /^[0-9a-f]{16}\.\d+$/;

async function refusals() {
  const good = { discord_id: humans[0].id, username: humans[0].username };
  const table = [
    [{}, 'Authentication token required', 'AUTH_REQUIRED'],
    [{ token: '' }, 'Authentication token required', 'AUTH_REQUIRED'],
    [{ token: 'garbage' }, 'Invalid authentication token', 'AUTH_INVALID'],
    [{ token: token(good, 'another secret of more than 32 bytes') }, 'Invalid authentication token', 'AUTH_INVALID'],
    [{ token: token({ ...good, exp: 1 }) }, 'Authentication token expired', 'AUTH_EXPIRED'],
    [{ token: token({ username: 'x' }) }, 'Invalid token payload', 'AUTH_PAYLOAD'],
    [{ token: token({ ...good, discord_id: 42 }) }, 'Invalid token payload', 'AUTH_PAYLOAD'],
    [{ token: token({ ...good, exp: undefined }) }, 'Invalid token payload', 'AUTH_PAYLOAD'],
  ];
  for (const namespace of ['/discord', '/']) {
    for (const [auth, message, code] of table) {
      const client = new Recorder(first, auth, { namespace });
      const [, said, data] = await client.first('connect_error');
      assert.deepEqual([said, data], [message, { code }]);
      client.close();
    }
  }
  const header = new Recorder(first, {}, { extraHeaders: { authorization: `Bearer ${memberToken(humans[0])}` } });
  await header.first('connect');
  header.close();
  const query = new Recorder(first, {}, { query: { token: memberToken(humans[0]) } });
  assert.equal((await query.first('connect_error'))[2].code, 'AUTH_REQUIRED');
  query.close();
  const foreign = new Recorder(first, { token: memberToken(humans[0]) }, { extraHeaders: { origin: 'https://evil.example' } });
  await foreign.first('connect_error');
  foreign.close();
}

async function greeting(client, member) {
  const [, list] = await client.first('channels_list');
  assert.deepEqual((await client.first('channels'))[1], list);
  const [, info] = await client.first('user_info');
  assert.equal(info.id, member.id);
  assert.equal(info.username, member.username);
  assert.equal(typeof info.displayName, 'string');
  assert.ok(info.avatar.startsWith(`${settings.sim}/`), `where the settings say that images are: ${info.avatar}`);
  assert.equal(info.isBot, false);
  assert.match(info.createdAt, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  const own = list.find(({ id }) => id === channel);
  assert.equal(own.serverId, guild.id);
  assert.equal(own.serverName, guild.name);
  assert.equal(own.type, 'text');
  assert.equal(own.unreadCount, 0);
  assert.equal(own.isActive, true);
  assert.deepEqual(own.permissions, { canRead: true, canWrite: true, canManage: false });
  const names = new Set(list.map(({ type }) => type));
  assert.ok(names.has('voice') && names.has('forum') && names.has('announcement') && names.has('thread'));
  const hidden = guild.channels.find((one) => one.private);
  assert.ok(!list.some(({ id }) => id === hidden.id));
  for (const argument of [[], [null], [{}]]) {
    assert.deepEqual(await client.ask('get_channels', ...argument), { success: true, channels: list });
  }
}

async function joining(client) {
  const answer = await client.ask('join_channel', { channelId: channel, limit: 100 });
  assert.deepEqual(answer, { success: true, channelId: channel });
  const bulks = client.all('messages_bulk');
  assert.equal(bulks.length, 1, 'the page comes before the acknowledgement');
  const [page, at, ...rest] = bulks[0];
  assert.match(at, offset);
  assert.equal(rest.length, 0);
  assert.equal(page.channelId, channel);
  assert.equal(page.hasMore, page.nextCursor !== null);
  assert.deepEqual(await client.ask('join_channel', channel), { success: true, channelId: channel, alreadyJoined: true });
  assert.equal(client.all('messages_bulk').length, 1, 'no page for a second join');
}

const texts = [
  'plain', '"quotes" and \\backslashes\\', 'line\u2028separator\u2029paragraph', 'emoji 👩‍👩‍👧‍👦 🏳️‍🌈 é e\u0301',
  '<img src=x onerror=alert(1)> &amp; </script>', 'tabs\tand\nlines\r\n', '\u0001 control', '42["message",{}]', '𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \uFFFD',
];

async function live(clients) {
  const posted = [];
  for (const content of [...texts, ...Array.from({ length: 60 }, (_, n) => `number ${n}`)]) {
    const author = humans[posted.length % humans.length];
    posted.push(await discord('POST', `/channels/${channel}/messages`, { content, author_id: author.id }));
  }
  const edited = await discord('PATCH', `/channels/${channel}/messages/${posted[0].id}`, { content: 'edited "text"' });
  await discord('DELETE', `/channels/${channel}/messages/${posted[1].id}`);
  const bulk = posted.slice(2, 5).map(({ id }) => id);
  await discord('POST', `/channels/${channel}/messages/bulk-delete`, { messages: bulk });
  const reply = await discord('POST', `/channels/${channel}/messages`, {
    content: 'the last', author_id: humans[1].id, message_reference: { message_id: posted[6].id },
  });
  for (const client of clients) {
    await client.first(([name, message]) => name === 'message' && message.id === reply.id, 'the last message');
    const messages = client.all('message');
    assert.deepEqual(messages.map(([{ id }]) => id), [...posted, reply].map(({ id }) => id), 'each once, in order');
    messages.slice(0, -1).forEach(([message, at], index) => {
      const original = posted[index];
      assert.equal(message.content, original.content, 'byte for byte');
      assert.match(at, offset);
      assert.equal(message.author.id, original.author.id);
      assert.equal(message.author.username, original.author.username);
      assert.equal(message.channelId, channel);
      assert.equal(message.serverId, guild.id);
      assert.equal(Date.parse(message.timestamp), Math.floor(Date.parse(original.timestamp)));
      assert.deepEqual([message.edited, message.editedTimestamp], [false, null]);
      assert.deepEqual([message.attachments, message.embeds, message.reactions], [[], [], []]);
    });
    const [update, at] = client.all('message_update').find(([{ id }]) => id === edited.id);
    assert.match(at, offset);
    assert.deepEqual([update.content, update.edited], ['edited "text"', true]);
    assert.ok(Date.parse(update.editedTimestamp) >= Date.parse(update.timestamp));
    const deleted = client.all('message_delete');
    assert.deepEqual(deleted.map(([{ messageId }]) => messageId), [posted[1].id, ...bulk]);
    assert.ok(deleted.every(([one, at]) => one.channelId === channel && offset.test(at)));
    const replied = messages.at(-1)[0].reply;
    assert.deepEqual([replied.messageId, replied.content], [posted[6].id, posted[6].content]);
    const sequences = client.events.flat().filter((one) => typeof one === 'string' && offset.test(one));
    const numbers = sequences.map((one) => Number(one.split('.')[1]));
    assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b), 'offsets never go back');
  }
  return { posted, gone: new Set([posted[1].id, ...bulk]), reply };
}

async function paging(client, { posted, gone, reply }) {
  const expected = [...posted, reply].map(({ id }) => id).filter((id) => !gone.has(id));
  const seen = [];
  let before;
  for (let pages = 0; pages < 50; pages += 1) {
    const page = await client.ask('get_messages', { channelId: channel, limit: 20, ...(before && { before }) });
    assert.equal(page.success, true, JSON.stringify(page));
    assert.equal(page.channelId, channel);
    assert.ok(page.messages.length <= 20);
    seen.unshift(...page.messages.map(({ id }) => id));
    assert.equal(page.nextCursor, page.hasMore ? page.messages[0].id : null);
    if (!page.hasMore) break;
    before = page.nextCursor;
  }
  assert.deepEqual(seen.filter((id) => expected.includes(id)), expected);
  assert.equal(new Set(seen).size, seen.length);
  const oldest = await client.ask('get_messages', { channelId: channel, before: posted[0].id, limit: 1 });
  assert.ok(oldest.messages.every(({ id }) => BigInt(id) < BigInt(posted[0].id)));
}

async function badInput(client) {
  const hidden = guild.channels.find((one) => one.private).id;
  const category = guild.channels.find((one) => one.type === 4).id;
  const table = [
    ['join_channel', undefined, 'BAD_REQUEST', 'channelId'], ['join_channel', null, 'BAD_REQUEST', 'channelId'],
    ['join_channel', {}, 'BAD_REQUEST', 'channelId'], ['join_channel', { channelId: 7 }, 'BAD_REQUEST', 'channelId'],
    ['join_channel', { channelId: 'x'.repeat(50_000) }, 'BAD_REQUEST', 'channelId'], ['join_channel', [], 'BAD_REQUEST', 'channelId'],
    ['join_channel', { channelId: channel, limit: 0 }, 'BAD_REQUEST', 'limit'],
    ['join_channel', { channelId: channel, limit: '50' }, 'BAD_REQUEST', 'limit'],
    ['get_messages', { channelId: channel, limit: 101 }, 'BAD_REQUEST', 'limit'],
    ['get_messages', { channelId: channel, before: 5 }, 'BAD_REQUEST', 'before'],
    ['leave_channel', { channelId: '12345' }, 'NOT_JOINED', ''],
    ['join_channel', { channelId: '12345' }, 'FORBIDDEN', ''], ['join_channel', { channelId: hidden }, 'FORBIDDEN', ''],
    ['join_channel', { channelId: category }, 'FORBIDDEN', ''], ['get_messages', { channelId: hidden }, 'FORBIDDEN', ''],
    ['shout', { loud: true }, 'UNKNOWN_EVENT', ''],
  ];
  for (const [name, payload, code, text] of table) {
    const answer = await client.ask(name, ...(payload === undefined ? [] : [payload]));
    assert.equal(answer.success, false, name);
    assert.equal(answer.code, code, `${name} ${JSON.stringify(payload)?.slice(0, 60)}`);
    assert.ok(answer.error.includes(text));
  }
  const listed = await client.ask('get_channels', 'everything');
  assert.deepEqual([listed.success, listed.code, listed.channels], [false, 'BAD_REQUEST', []]);
  client.socket.emit('join_channel', { channelId: hidden });
  const [, error] = await client.first('error');
  assert.deepEqual([error.code, error.severity], ['FORBIDDEN', 'MEDIUM']);
  const unknown = await client.ask('join_channel', { channelId: '12345' });
  assert.deepEqual(await client.ask('join_channel', { channelId: hidden }), unknown, 'nobody learns which ids exist');
}

async function leaving(client, other) {
  assert.deepEqual(await client.ask('leave_channel', { channelId: channel }), { success: true, channelId: channel });
  assert.equal((await client.ask('leave_channel', { channelId: channel })).code, 'NOT_JOINED');
  const count = client.all('message').length;
  const posted = await discord('POST', `/channels/${channel}/messages`, { content: 'after leaving', author_id: humans[0].id });
  await other.first(([name, message]) => name === 'message' && message.id === posted.id);
  await client.ask('get_channels');
  assert.equal(client.all('message').length, count);
}

async function switching(client) {
  const quick = guild.channels.filter((one) => one.type === 0 && !one.private && one.id !== channel).slice(0, 2);
  for (const { id } of quick) {
    const answers = Promise.all([
      client.ask('join_channel', { channelId: id }), client.ask('leave_channel', { channelId: id }),
      client.ask('join_channel', { channelId: id }), client.ask('join_channel', { channelId: id }),
    ]);
    const [, left, joined, again] = await answers;
    assert.deepEqual([left.success, joined.success, again.alreadyJoined], [true, true, true]);
    await client.ask('leave_channel', { channelId: id });
    const posted = await discord('POST', `/channels/${id}/messages`, { content: 'nobody is here', author_id: humans[0].id });
    await client.ask('get_messages', { channelId: id });
    assert.ok(!client.all('message').some(([message]) => message.id === posted.id), 'who has left has left');
  }
}

async function emptyChannels(client) {
  const forum = guild.channels.find((one) => one.type === 15);
  assert.equal((await client.ask('join_channel', { channelId: forum.id })).success, true);
  const [, page] = await client.first(([name, data]) => name === 'messages_bulk' && data.channelId === forum.id);
  assert.deepEqual([page.messages, page.hasMore, page.nextCursor], [[], false, null]);
}

await refusals();
const discordClient = new Recorder(first, { token: memberToken(humans[0]) }, { connect: io4 });
const rootClient = new Recorder(last, { token: memberToken(humans[1]) }, { namespace: '/', connect: io4 });
const olderClient = new Recorder(last, { token: memberToken(humans[2]) }, { connect: io3 });
const clients = [discordClient, rootClient, olderClient];
for (const [index, client] of clients.entries()) {
  await client.first('connect');
  // The third's events are recorded by name, because that client's onAny came with version 3 as well.
  await greeting(client, humans[index]);
  await joining(client);
}
const told = await live(clients);
const late = new Recorder(last, { token: memberToken(humans[0]) });
await late.first('connect');
await late.ask('join_channel', { channelId: channel, limit: 100 });
const [, page] = await late.first('messages_bulk');
const expected = [...told.posted, told.reply].map(({ id }) => id).filter((id) => !told.gone.has(id));
assert.deepEqual(page.messages.map(({ id }) => id).filter((id) => expected.includes(id)), expected, 'the page has it all');
assert.equal(page.messages.find(({ id }) => id === told.posted[0].id).content, 'edited "text"');
await paging(rootClient, told);
await badInput(discordClient);
await leaving(discordClient, rootClient);
await switching(discordClient);
await emptyChannels(rootClient);
assert.ok(clients.every(({ socket }) => socket.connected), 'nothing of this has cost a connection');
for (const client of [...clients, late]) client.close();
console.log(JSON.stringify({ clients: clients.length, messages: told.posted.length + 1 }));
