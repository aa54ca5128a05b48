// Everything that an instance can be made to say about a channel, and how a client is away for a while.
import assert from 'node:assert/strict';
import { Recorder, discord, memberToken, settings, within } from './lib.mjs';

const { world, role } = settings;
const guild = world.guilds[0];
export const humans = guild.members.filter((one) => !one.bot && one.id !== guild.owner_id && !one.roles.includes(role));
export const bearer = { authorization: `Bearer ${memberToken(humans[0])}` };
export const post = (channel, content, more) =>
  discord('POST', `/channels/${channel}/messages`, { content, author_id: humans[1].id, ...more });

/** What an instance tells of a channel: a join, all pages, a page over HTTP, and the event stream from an offset. */
export async function everything(url, channel, offset) {
  const client = new Recorder(url, { token: memberToken(humans[2]) });
  await client.first('connect');
  assert.equal((await client.ask('join_channel', { channelId: channel, limit: 100 })).success, true);
  const paged = [];
  let before;
  for (let pages = 0; pages < 10; pages += 1) {
    const page = await client.ask('get_messages', { channelId: channel, limit: 100, ...(before && { before }) });
    assert.equal(page.success, true, JSON.stringify(page));
    paged.push(page);
    before = page.nextCursor;
    if (!before) break;
  }
  const http = await (await fetch(`${url}/api/channels/${channel}/messages?limit=100`, { headers: bearer })).text();
  const controller = new AbortController();
  const replay = await fetch(`${url}/api/channels/${channel}/stream?offset=${offset}`, { headers: bearer, signal: controller.signal });
  assert.equal(replay.status, 200);
  const reader = replay.body.getReader();
  let streamed = '';
  // A sentinel, posted now, ends what the stream has to replay.
  const sentinel = await post(channel, `sentinel-${Math.random()}.`);
  await within((async () => {
    while (!streamed.includes(sentinel.content)) {
      const { value, done } = await reader.read();
      if (done) break;
      streamed += new TextDecoder().decode(value);
    }
  })(), 'the replay ends');
  controller.abort();
  const said = JSON.stringify([client.events, paged]) + http + streamed;
  client.close();
  return said;
}

/** An instance tells nothing of a channel. */
export async function nothing(url, channel) {
  const client = new Recorder(url, { token: memberToken(humans[2]) });
  await client.first('connect');
  for (const name of ['join_channel', 'get_messages']) {
    assert.equal((await client.ask(name, { channelId: channel })).code, 'FORBIDDEN', `${name} of what is gone`);
  }
  const { status } = await fetch(`${url}/api/channels/${channel}/messages`, { headers: bearer });
  assert.ok([403, 404].includes(status), `${status}`);
  const said = JSON.stringify(client.events);
  client.close();
  return said;
}

/** A client that has joined these channels and is cut off; `back` brings it to an instance and tells all that it heard. */
export async function away(url, member, channels) {
  const client = new Recorder(url, { token: memberToken(member) });
  await client.first('connect');
  for (const channelId of channels) assert.equal((await client.ask('join_channel', { channelId })).success, true);
  client.socket.io.engine.close();
  return {
    async back(other, last) {
      const since = client.events.length;
      client.socket.io.uri = other;
      client.socket.connect();
      await client.first((event) => client.events.indexOf(event) >= since && event[0].startsWith('connect'), 'it is back');
      assert.equal(client.socket.recovered, true, 'it goes on where it was');
      await client.first(([name, one]) => name === 'message' && one.id === last.id, 'the last that it has missed');
      const said = JSON.stringify(client.events);
      client.close();
      return said;
    },
  };
}
