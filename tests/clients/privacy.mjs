// What a viewer without the role can find in every byte that reaches them: nothing of the private channel.
import assert from 'node:assert/strict';
import { WebSocket } from 'ws';
import { Recorder, discord, memberToken, settings, within } from './lib.mjs';

const { world, urls } = settings;
const guild = world.guilds[0];
const hidden = guild.channels.find((channel) => channel.private && channel.type === 0);
const role = settings.role;
const humans = guild.members.filter((member) => !member.bot && member.id !== guild.owner_id);
const insider = humans.find((member) => member.roles.includes(role));
const outsider = humans.find((member) => !member.roles.includes(role));

/** Socket.IO by hand, keeping every frame as it came. */
class RawClient {
  constructor(url, member) {
    this.frames = [];
    this.acks = new Map();
    this.next = 0;
    this.socket = new WebSocket(`${url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
    this.connected = new Promise((resolve, reject) => {
      this.socket.on('error', reject);
      this.socket.on('message', (data) => {
        const frame = String(data);
        this.frames.push(frame);
        if (frame[0] === '0') this.socket.send(`40/discord,${JSON.stringify({ token: memberToken(member) })}`);
        else if (frame === '2') this.socket.send('3');
        else if (frame.startsWith('40/discord,')) resolve();
        else if (frame.startsWith('43/discord,')) {
          const [, id, json] = /^43\/discord,(\d+)(.*)$/s.exec(frame);
          this.acks.get(Number(id))(JSON.parse(json)[0]);
        }
      });
    });
  }

  ask(name, data) {
    const id = this.next++;
    const answered = new Promise((resolve) => this.acks.set(id, resolve));
    this.socket.send(`42/discord,${id}${JSON.stringify([name, data])}`);
    return within(answered, name);
  }

  text() {
    return this.frames.join('\n');
  }

  close() {
    this.socket.close();
  }
}

const SECRETS = ['zanzibar', 'quetzalcoatl'];
const say = (channel, content) => discord('POST', `/channels/${channel}/messages`, { content, author_id: insider.id });
const seen = (client, id) => client.first(([name, message]) => name === 'message' && message.id === id);

async function bodies(url) {
  const texts = [];
  for (const path of ['/', '/api/health', '/api/metrics', '/api/status', '/api/ready', '/api/live', `/api/channels/${hidden.id}x`]) {
    texts.push(await (await fetch(`${url}${path}`)).text());
  }
  return texts.map((text) => text.replaceAll(`${hidden.id}x`, '')).join('\n');
}

function finds(text, from) {
  return [hidden.id, hidden.name, ...SECRETS].filter((word) => text.slice(from).includes(word));
}

// With the role: seen, joined, read.
const inside = new Recorder(urls[0], { token: memberToken(insider) });
await inside.first('connect');
const [, list] = await inside.first('channels_list');
assert.ok(list.some(({ id }) => id === hidden.id), 'who has the role sees the channel');
assert.equal((await inside.ask('join_channel', { channelId: hidden.id })).success, true);
const insideRaw = new RawClient(urls.at(-1), insider);
await insideRaw.connected;
await insideRaw.ask('join_channel', { channelId: hidden.id });

// Without it: nothing, whatever is tried.
const outside = new RawClient(urls.at(-1), outsider);
await outside.connected;
for (const [name, data] of [['join_channel', { channelId: hidden.id }], ['get_messages', { channelId: hidden.id }], ['join_channel', hidden.id]]) {
  assert.equal((await outside.ask(name, data)).code, 'FORBIDDEN');
}
assert.equal((await outside.ask('leave_channel', { channelId: hidden.id })).code, 'NOT_JOINED');
await outside.ask('join_channel', { channelId: settings.channel });
const secret = await say(hidden.id, `${SECRETS[0]} is only for the crew`);
await seen(inside, secret.id);
const edited = await discord('PATCH', `/channels/${hidden.id}/messages/${secret.id}`, { content: `${SECRETS[1]} too` });
await inside.first(([name, message]) => name === 'message_update' && message.id === edited.id);
await outside.ask('get_channels');
const marker = await say(settings.channel, 'a marker for everybody');
await within((async () => {
  while (!outside.text().includes(marker.id)) await new Promise((resolve) => { outside.socket.once('message', resolve); });
})(), 'the marker');
assert.deepEqual(finds(outside.text(), 0), [], 'nothing of the channel in any frame');
for (const url of urls) assert.deepEqual(finds(await bodies(url), 0), [], 'nor in any body');
assert.ok(finds(insideRaw.text(), 0).length === 4, 'what is searched for can be found');

// The role is taken: out at once, on every instance, and from there on nothing.
const began = performance.now();
await discord('PATCH', `/guilds/${guild.id}/members/${insider.id}`, { roles: insider.roles.filter((id) => id !== role) });
const [, left] = await inside.first('channel_left');
const took = performance.now() - began;
assert.deepEqual(left, { channelId: hidden.id, reason: 'access_revoked' });
await within((async () => {
  while (!insideRaw.text().includes('channel_left')) await new Promise((resolve) => { insideRaw.socket.once('message', resolve); });
})(), 'channel_left on the other instance');
assert.ok(took < 1000, `out within a second, took ${took} ms`);
await inside.first(([name, channels]) => name === 'channels_list' && !channels.some(({ id }) => id === hidden.id), 'a new list without the channel');
const lists = inside.all('channels_list');
const from = insideRaw.text().indexOf('channel_left') + `channel_left",{"channelId":"${hidden.id}","reason":"access_revoked"}]`.length;
await say(hidden.id, `${SECRETS[0]} again`);
await discord('DELETE', `/channels/${hidden.id}/messages/${secret.id}`);
for (const [name, data] of [['join_channel', { channelId: hidden.id }], ['get_messages', { channelId: hidden.id }]]) {
  assert.equal((await insideRaw.ask(name, data)).code, 'FORBIDDEN');
}
await insideRaw.ask('get_channels', null);
assert.equal((await insideRaw.ask('join_channel', { channelId: settings.channel })).success, true);
const second = await say(settings.channel, 'another marker');
await within((async () => {
  while (!insideRaw.text().includes(second.id)) await new Promise((resolve) => { insideRaw.socket.once('message', resolve); });
})(), 'the second marker');
assert.deepEqual(finds(insideRaw.text(), from), [], 'the same for who had the role');

// And given back: seen again.
await discord('PATCH', `/guilds/${guild.id}/members/${insider.id}`, { roles: insider.roles });
await inside.first(() => inside.all('channels_list').length > lists.length && inside.all('channels_list').at(-1)[0].some(({ id }) => id === hidden.id), 'the channel again');

// The role itself is deleted, of which Discord says nothing to its members: out as well.
assert.equal((await inside.ask('join_channel', { channelId: hidden.id })).success, true);
await discord('DELETE', `/guilds/${guild.id}/roles/${role}`);
await inside.first(() => inside.all('channel_left').length === 2, 'out of the channel again');
await say(hidden.id, `${SECRETS[1]} for nobody`);
assert.equal((await inside.ask('get_messages', { channelId: hidden.id })).code, 'FORBIDDEN');
assert.ok(!JSON.stringify(inside.events.slice(inside.events.findLastIndex(([name]) => name === 'channel_left'))).includes(SECRETS[1]));
for (const client of [inside, insideRaw, outside]) client.close();
console.log(JSON.stringify({ frames: outside.frames.length, revocationMs: Math.round(took) }));
