// The other ways to watch (contract.md §2): a plain WebSocket, an event stream, pages by curl; their refusals, tickets and offsets.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { EventSource } from 'eventsource';
import WebSocket from 'ws';
import { discord, memberToken, settings, token, within } from './lib.mjs';

const { world, urls, channel } = settings;
const guild = world.guilds[0];
const first = urls[0];
const last = urls[urls.length - 1];
const humans = guild.members.filter((one) => !one.bot && one.id !== guild.owner_id && !one.roles.includes(settings.role));
const hidden = guild.channels.find((one) => one.private);
const bearer = memberToken(humans[0]);
const post = (content, id = channel) => discord('POST', `/channels/${id}/messages`, { content, author_id: humans[1].id });

/** A plain WebSocket that records what it gets. */
class Plain {
  constructor(url, { headers, path = '/ws', origin } = {}) {
    this.frames = [];
    this.watchers = new Set();
    this.number = 0;
    this.closed = null;
    this.socket = new WebSocket(`${url.replace(/^http/, 'ws')}${path}`, { headers, origin });
    this.socket.on('message', (text, isBinary) => {
      assert.equal(isBinary, false);
      this.frames.push(JSON.parse(text));
      for (const watcher of [...this.watchers]) watcher();
    });
    this.socket.on('close', (code, reason) => { this.closed = { code, reason: String(reason) }; for (const watcher of [...this.watchers]) watcher(); });
    this.failed = new Promise((resolve) => this.socket.on('unexpected-response', (_, answer) => resolve(answer.statusCode)));
    this.socket.on('error', () => {});
  }

  open() {
    return within(new Promise((resolve) => this.socket.once('open', resolve)), 'the socket opens');
  }

  send(frame) {
    this.socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  }

  first(fits, what) {
    const test = typeof fits === 'string' ? ({ event }) => event === fits : fits;
    return within(new Promise((resolve) => {
      const look = () => {
        const found = this.frames.find(test);
        if (found) { this.watchers.delete(look); resolve(found); }
      };
      this.watchers.add(look);
      look();
    }), what ?? String(fits));
  }

  ended() {
    return within(new Promise((resolve) => {
      const look = () => this.closed && resolve(this.closed);
      this.watchers.add(look);
      look();
    }), 'the socket is closed');
  }

  async ask(event, data) {
    this.number += 1;
    const id = this.number;
    this.send({ event, data, id });
    return (await this.first(({ ack }) => ack === id, `${event}'s acknowledgement`)).data;
  }
}

async function plain(url) {
  const client = new Plain(url);
  await client.open();
  client.send({ event: 'auth', data: { token: bearer } });
  await client.first('channels_list');
  return client;
}

async function webSocket() {
  const client = await plain(first);
  const info = await client.first('user_info');
  assert.equal(info.data.id, humans[0].id);
  const listed = await client.ask('get_channels');
  assert.equal(listed.success, true);
  assert.ok(!listed.channels.some(({ id }) => id === hidden.id));
  assert.deepEqual(await client.ask('join_channel', { channelId: channel }), { success: true, channelId: channel });
  const bulk = await client.first('messages_bulk');
  assert.equal(typeof bulk.offset, 'string');
  const posted = await post('to a plain socket');
  const told = await client.first(({ event, data }) => event === 'message' && data.id === posted.id);
  assert.equal(typeof told.offset, 'string');
  assert.equal(told.data.content, 'to a plain socket');
  assert.equal((await client.ask('join_channel', { channelId: hidden.id })).code, 'FORBIDDEN');
  assert.equal((await client.ask('shout', {})).code, 'UNKNOWN_EVENT');
  // Away, while three are posted, one of them deleted and one edited; back on the other instance.
  client.socket.close();
  await client.ended();
  const missed = [];
  for (const n of [1, 2, 3]) missed.push(await post(`missed ${n}`));
  await discord('DELETE', `/channels/${channel}/messages/${missed[1].id}`);
  await discord('PATCH', `/channels/${channel}/messages/${missed[2].id}`, { content: 'missed 3, edited' });
  await discord('DELETE', `/channels/${channel}/messages/${posted.id}`);
  const back = await plain(last);
  const answer = await back.ask('join_channel', { channelId: channel, offset: told.offset });
  assert.deepEqual([answer.success, answer.recovered], [true, true], JSON.stringify(answer));
  const sentinel = await post('after the return');
  await back.first(({ event, data }) => event === 'message' && data.id === sentinel.id);
  assert.ok(!back.frames.some(({ event }) => event === 'messages_bulk'), 'what is recovered needs no page');
  const history = back.frames.filter(({ offset }) => offset);
  const created = history.filter(({ event }) => event === 'message').map(({ data }) => data.id);
  assert.deepEqual(created, [missed[0].id, missed[2].id, sentinel.id], 'what was deleted since is not told');
  assert.ok(history.some(({ event, data }) => event === 'message_delete' && data.messageId === posted.id));
  assert.ok(history.some(({ event, data }) => event === 'message_update' && data.content === 'missed 3, edited')
    || history.some(({ event, data }) => event === 'message' && data.content === 'missed 3, edited'));
  assert.ok(!JSON.stringify(back.frames).includes('missed 2'));
  // An offset that says nothing: a page.
  const other = await plain(last);
  for (const offset of ['nonsense', '0000000000000001.5']) {
    const whole = await other.ask('join_channel', { channelId: channel, offset });
    assert.deepEqual([whole.success, whole.recovered], [true, false], JSON.stringify(whole));
    await other.first('messages_bulk');
    await other.ask('leave_channel', { channelId: channel });
  }
  back.socket.close();
  other.socket.close();
}

async function webSocketRefusals() {
  const byHeader = new Plain(first, { headers: { authorization: `Bearer ${bearer}` } });
  await byHeader.first('user_info');
  byHeader.socket.close();
  const table = [
    [{ token: 'garbage' }, 'AUTH_INVALID'], [{}, 'AUTH_REQUIRED'], [{ token: token({ username: 'x' }) }, 'AUTH_PAYLOAD'],
    [{ token: token({ discord_id: humans[0].id, username: 'x', exp: 1 }) }, 'AUTH_EXPIRED'],
  ];
  for (const [data, code] of table) {
    const refused = new Plain(first);
    await refused.open();
    refused.send({ event: 'auth', data });
    assert.equal((await refused.first('error')).data.code, code);
    assert.equal((await refused.ended()).code, 1008);
  }
  const inUrl = new Plain(first, { path: `/ws?token=${bearer}` });
  const status = await Promise.race([inUrl.failed, inUrl.first('error').then(({ data }) => data.code)]);
  assert.ok([400, 401, 'AUTH_REQUIRED', 'BAD_REQUEST'].includes(status), `a token in the URL: ${status}`);
  assert.equal(await new Plain(first, { origin: 'https://evil.example' }).failed, 403);
  const unasked = new Plain(first);
  await unasked.open();
  unasked.send({ event: 'get_channels', id: 1 });
  assert.equal((await unasked.first('error')).data.code, 'AUTH_REQUIRED');
  assert.equal((await unasked.ended()).code, 1008);
  const garbled = await plain(first);
  garbled.send('this is no JSON');
  const refused = await garbled.first('error');
  assert.equal(refused.data.code, 'BAD_REQUEST');
  garbled.socket.terminate();
}

const stream = (url, headers = {}, path = `/api/channels/${channel}/stream`) => fetch(`${url}${path}`, { headers });

/** An official EventSource with a header that a browser could not set, or a ticket. */
function source(url, headers = {}, path = `/api/channels/${channel}/stream`) {
  const events = [];
  const one = new EventSource(`${url}${path}`, { fetch: (to, init) => fetch(to, { ...init, headers: { ...init.headers, ...headers } }) });
  const watchers = new Set();
  for (const name of ['messages_bulk', 'message', 'message_update', 'message_delete', 'reaction_update', 'error', 'channel_left']) {
    one.addEventListener(name, (event) => {
      if (event.data === undefined) return;
      events.push({ name, data: JSON.parse(event.data), id: event.lastEventId });
      for (const watcher of [...watchers]) watcher();
    });
  }
  const find = (fits, what) => within(new Promise((resolve) => {
    const look = () => { const found = events.find(fits); if (found) resolve(found); };
    watchers.add(look);
    look();
  }), what);
  return { one, events, find };
}

async function eventStream() {
  const { one, events, find } = source(first, { authorization: `Bearer ${bearer}` });
  const bulk = await find(({ name }) => name === 'messages_bulk', 'the page');
  assert.match(bulk.id, /\S/);
  const posted = await post('to an event stream');
  const told = await find(({ name, data }) => name === 'message' && data.id === posted.id, 'a live message');
  one.close();
  const missed = await post('missed by the stream');
  const resumed = source(last, { authorization: `Bearer ${bearer}`, 'last-event-id': told.id });
  await resumed.find(({ name, data }) => name === 'message' && data.id === missed.id, 'what was missed');
  assert.ok(!resumed.events.some(({ name }) => name === 'messages_bulk'), 'a resumed stream needs no page');
  resumed.one.close();
  const unusable = source(last, { authorization: `Bearer ${bearer}`, 'last-event-id': 'nonsense' });
  await unusable.find(({ name }) => name === 'messages_bulk', 'a page for an unusable id');
  unusable.one.close();
  assert.equal(events.filter(({ name }) => name === 'messages_bulk').length, 1);
  const raw = await stream(first, { authorization: `Bearer ${bearer}` });
  assert.match(raw.headers.get('content-type'), /^text\/event-stream/);
  const { value } = await raw.body.getReader().read();
  assert.match(new TextDecoder().decode(value), /retry: ?\d+/);
}

async function tickets() {
  const ask = (url, body, headers) => fetch(`${url}/api/auth/ticket`, {
    method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body),
  });
  assert.equal((await ask(first, { channelId: channel }, {})).status, 401);
  const authorization = `Bearer ${bearer}`;
  assert.equal((await ask(first, { channelId: hidden.id }, { authorization })).status, 403);
  assert.equal((await ask(first, {}, { authorization })).status, 400);
  const answer = await ask(first, { channelId: channel }, { authorization });
  assert.equal(answer.status, 200);
  const { ticket, expiresIn } = await answer.json();
  assert.ok(expiresIn <= 30 && expiresIn > 0);
  const path = `/api/channels/${channel}/stream?ticket=${encodeURIComponent(ticket)}`;
  const watched = source(last, {}, path);
  const bulk = await watched.find(({ name }) => name === 'messages_bulk', 'the page by a ticket');
  watched.one.close();
  // It may come back to the same stream, with its offset.
  const again = source(last, { 'last-event-id': bulk.id }, path);
  const posted = await post('to a ticket');
  await again.find(({ name, data }) => name === 'message' && data.id === posted.id, 'live by a ticket');
  again.one.close();
  const other = guild.channels.find(({ id, type, private: isPrivate }) => type === 0 && !isPrivate && id !== channel);
  assert.equal((await stream(first, {}, `/api/channels/${other.id}/stream?ticket=${encodeURIComponent(ticket)}`)).status, 204, 'a foreign ticket');
  assert.equal((await stream(first, {}, `/api/channels/${channel}/stream?ticket=nonsense`)).status, 204);
}

const run = promisify(execFile);

/** curl's view of a route: status, headers, JSON. */
async function curl(url, ...args) {
  const { stdout } = await run('curl', ['-s', '-i', '--max-time', '10', ...args, url]);
  const [head, ...body] = stdout.split('\r\n\r\n');
  const headers = Object.fromEntries(head.split('\r\n').slice(1).map((line) => {
    const at = line.indexOf(':');
    return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()];
  }));
  const text = body.join('\r\n\r\n');
  return { status: Number(head.split(' ')[1]), headers, text, json: headers['content-type']?.includes('json') ? JSON.parse(text) : null };
}

async function newest(id, authorization) {
  for (;;) {
    const page = await curl(`${last}/api/channels/${channel}/messages?limit=1`, ...authorization);
    if (page.json.messages.at(-1)?.id === id) return;
    await new Promise((resume) => { setTimeout(resume, 100); });
  }
}

async function pages() {
  const authorization = ['-H', `authorization: Bearer ${bearer}`];
  const listed = await curl(`${last}/api/channels`, ...authorization);
  assert.equal(listed.status, 200);
  assert.ok(listed.json.channels.some(({ id }) => id === channel));
  assert.ok(!listed.json.channels.some(({ id }) => id === hidden.id));
  const posted = [];
  for (let n = 0; n < 7; n += 1) posted.push((await post(`page ${n}`)).id);
  // Discord has answered before its event comes.
  await within(newest(posted.at(-1), authorization), 'the last message on a page');
  const seen = [];
  let before = '';
  do {
    const page = await curl(`${last}/api/channels/${channel}/messages?limit=3${before}`, ...authorization);
    assert.equal(page.status, 200, page.text);
    assert.deepEqual(Object.keys(page.json).sort(), ['channelId', 'hasMore', 'messages', 'nextCursor']);
    seen.unshift(...page.json.messages.map(({ id }) => id));
    before = page.json.nextCursor ? `&before=${page.json.nextCursor}` : '';
  } while (before && seen.length < 7);
  assert.deepEqual(seen.slice(-7), posted);
  const table = [
    [`/api/channels/${channel}/messages`, [], 401, 'AUTH_REQUIRED'],
    ['/api/channels', ['-H', 'authorization: Bearer garbage'], 401, 'AUTH_INVALID'],
    [`/api/channels/${hidden.id}/messages`, authorization, 403, 'FORBIDDEN'],
    ['/api/channels/12345/messages', authorization, 403, 'FORBIDDEN'],
    [`/api/channels/${channel}/messages?limit=0`, authorization, 400, 'BAD_REQUEST'],
    [`/api/channels/${channel}/messages?limit=101`, authorization, 400, 'BAD_REQUEST'],
    [`/api/channels/${channel}/messages?before=x`, authorization, 400, 'BAD_REQUEST'],
    ['/api/channels/x/messages', authorization, 400, 'BAD_REQUEST'],
    [`/api/channels/${hidden.id}/stream`, authorization, 403, 'FORBIDDEN'],
    [`/api/channels/${channel}/stream`, [], 401, 'AUTH_REQUIRED'],
    // A token in the URL is refused, whatever else is said (contract.md §2).
    [`/api/channels?token=${bearer}`, [], 400, 'BAD_REQUEST'],
    [`/api/channels?token=${bearer}`, authorization, 400, 'BAD_REQUEST'],
  ];
  for (const [path, args, status, code] of table) {
    const answer = await curl(`${first}${path}`, ...args);
    assert.deepEqual([answer.status, answer.json?.code], [status, code], `${path}: ${answer.text}`);
    assert.deepEqual([typeof answer.json.error, typeof answer.json.message, typeof answer.json.timestamp], ['string', 'string', 'string']);
  }
}

async function routes() {
  const root = await curl(`${first}/`, '-H', 'accept: application/json');
  assert.equal(root.json.status, 'running');
  const page = await curl(`${first}/`, '-H', 'accept: text/html');
  assert.match(page.headers['content-type'], /^text\/html/);
  for (const answer of [root, page]) {
    assert.equal(answer.headers['x-content-type-options'], 'nosniff');
    assert.match(answer.headers['content-security-policy'], /default-src 'self'/);
    assert.ok(!/unsafe-inline|unsafe-eval/.test(answer.headers['content-security-policy'].replace(/style-src[^;]*/, '')));
    assert.equal(answer.headers['referrer-policy'], 'no-referrer');
    assert.equal(answer.headers['strict-transport-security'], undefined, 'HSTS only where PUBLIC_URL is https');
    assert.equal(answer.headers.server, undefined);
  }
  const missing = await curl(`${first}/nowhere`);
  assert.deepEqual([missing.status, missing.json.error, missing.json.message], [404, 'Not found', 'Route GET /nowhere not found']);
  const health = await curl(`${first}/api/health`);
  assert.deepEqual([health.status, health.json.status], [200, 'healthy'], health.text);
  assert.deepEqual(['nats', 'database', 'redis'].map((name) => typeof health.json.checks[name]), ['string', 'string', 'string']);
  for (const [path, key, value] of [['/api/ready', 'status', 'ready'], ['/api/live', 'status', 'alive']]) {
    const answer = await curl(`${first}${path}`);
    assert.deepEqual([answer.status, answer.json[key]], [200, value]);
  }
  const status = await curl(`${first}/api/status`);
  assert.ok(!/"(pid|host|url)"/.test(status.text), 'no details for just anybody');
  const metrics = await curl(`${first}/api/metrics`);
  assert.deepEqual(metrics.json.rooms.activeChannels, []);
  assert.equal((await curl(`${first}/metrics`)).status, 404, "Prometheus' page is not on the public port");
  const origin = new URL(first).origin;
  const own = await curl(`${first}/api/health`, '-H', `origin: ${origin}`);
  assert.equal(own.status, 200);
  const foreign = await curl(`${first}/api/channels`, '-H', 'origin: https://evil.example', '-H', `authorization: Bearer ${bearer}`);
  assert.equal(foreign.headers['access-control-allow-origin'], undefined);
}

await webSocket();
await webSocketRefusals();
await eventStream();
await tickets();
await pages();
await routes();
console.log(JSON.stringify({ ways: 4 }));
process.exit(0);
