// The official client is cut and comes back, to this instance or another one: it goes on where it was, or anew.
import assert from 'node:assert/strict';
import { Recorder, discord, memberToken, settings, token } from './lib.mjs';

const { world, urls, channel, role, phase } = settings;
const guild = world.guilds[0];
const humans = guild.members.filter((one) => !one.bot && one.id !== guild.owner_id && !one.roles.includes(role));
const insider = guild.members.find((one) => one.roles.includes(role));
const hidden = guild.channels.find((one) => one.private && one.type === 0).id;
const second = guild.channels.find((one) => !one.private && one.type === 0 && one.id !== channel).id;
const changes = ['message', 'message_update', 'message_delete'];

async function joined(url, auth, channels) {
  const client = new Recorder(url, auth);
  await client.first('connect');
  assert.equal(client.socket.recovered, false);
  for (const channelId of channels) {
    assert.equal((await client.ask('join_channel', { channelId })).success, true);
  }
  return client;
}

/** Cuts the transport, lets something happen, and comes back to an instance. */
async function away(client, url, what) {
  client.socket.io.engine.close();
  assert.equal(client.socket.connected, false);
  await what();
  const since = client.events.length;
  client.socket.io.uri = url;
  client.socket.connect();
  await client.first((event) => client.events.indexOf(event) >= since && event[0].startsWith('connect'), 'it is back');
  return since;
}

const post = (id, content) => discord('POST', `/channels/${id}/messages`, { content, author_id: humans[1].id });
const remove = (id, { id: message }) => discord('DELETE', `/channels/${id}/messages/${message}`);

/** What a client was told of messages, without those of whose short life only one that was there could hear. */
function told(client, brief) {
  const history = client.events.filter(([name]) => changes.includes(name));
  const facts = history.map(([name, data]) => `${name} ${data.id ?? data.messageId} ${data.content ?? ''}`);
  return facts.filter((fact) => !brief.some(({ id }) => fact.includes(id)));
}

async function goesOn() {
  const auth = { token: memberToken(humans[0]) };
  const steady = await joined(urls.at(-1), auth, [channel, second]);
  const client = await joined(urls[0], auth, [channel, second]);
  const { id } = client.socket;
  const brief = [];
  let kept = await post(channel, 'before');
  await client.first(([name, data]) => name === 'message' && data.id === kept.id);
  for (let round = 0; round < 6; round += 1) {
    const since = await away(client, urls[(round + 1) % urls.length], async () => {
      await post(second, `${round} missed there`);
      const gone = await post(channel, `${round} missed and gone`);
      brief.push(gone);
      const next = await post(channel, `${round} missed here`);
      await discord('PATCH', `/channels/${channel}/messages/${next.id}`, { content: `${round} edited` });
      await remove(channel, gone);
      await remove(channel, kept);
      await discord('PUT', `/channels/${channel}/messages/${next.id}/reactions/${encodeURIComponent('👍')}/${humans[1].id}`);
      kept = next;
      // The instance knows it: only then is it deleted for who comes back.
      await steady.first(([name, data]) => name === 'message_delete' && data.messageId === gone.id);
      await steady.first(([name, data]) => name === 'reaction_update' && data.messageId === next.id);
    });
    assert.equal(client.socket.recovered, true, `round ${round}`);
    assert.equal(client.socket.id, id);
    const live = await post(second, `${round} live`);
    for (const one of [client, steady]) {
      await one.first(([name, data]) => name === 'message' && data.id === live.id, 'the live message');
    }
    await client.first((event) => client.events.indexOf(event) > since && event[0] === 'channels_list', 'a fresh list');
    await client.first(([name, data]) => name === 'reaction_update' && data.messageId === kept.id, 'the reactions');
    assert.ok(!JSON.stringify(client.events).includes('missed and gone'), 'no text of what was deleted');
  }
  assert.deepEqual(told(client, brief), told(steady, brief), 'nothing is missing, nothing comes twice');
  assert.equal(client.all('messages_bulk').length, 2, 'no page but the first ones');
  for (const one of [client, steady]) one.close();
}

async function losesWhatIsTaken() {
  const witness = await joined(urls.at(-1), { token: memberToken(insider) }, [hidden]);
  const client = await joined(urls[0], { token: memberToken(insider) }, [channel, hidden]);
  const patch = (roles) => discord('PATCH', `/guilds/${guild.id}/members/${insider.id}`, { roles });
  let heard;
  const since = await away(client, urls.at(-1), async () => {
    await post(hidden, 'a secret');
    await patch(insider.roles.filter((id) => id !== role));
    await witness.first('channel_left');
    heard = await post(channel, 'for all');
  });
  assert.equal(client.socket.recovered, true);
  const [, left] = await client.first('channel_left');
  assert.deepEqual(left, { channelId: hidden, reason: 'access_revoked' });
  await client.first(([name, data]) => name === 'message' && data.id === heard.id);
  assert.ok(!JSON.stringify(client.events.slice(since)).includes('a secret'));
  for (const one of [client, witness]) one.close();
  await patch(insider.roles);
}

async function comesAnew() {
  const auth = { token: memberToken(humans[2]) };
  const client = await joined(urls[0], auth, [channel]);
  const { id } = client.socket;
  client.socket.auth = { token: memberToken(humans[3]) };
  await away(client, urls.at(-1), async () => {});
  assert.equal(client.socket.recovered, false, 'another user');
  assert.notEqual(client.socket.id, id);
  assert.equal((await client.ask('leave_channel', { channelId: channel })).code, 'NOT_JOINED');
  client.socket.auth = auth;
  client.socket.disconnect().connect();
  await client.first(() => client.socket.connected);
  assert.equal(client.socket.recovered, false, 'it left by itself');
  await client.ask('join_channel', { channelId: channel });
  client.socket.io.engine.close();
  const { status } = await fetch(`${urls[0]}/api/auth/logout`, { method: 'POST', headers: { authorization: `Bearer ${auth.token}` } });
  assert.equal(status, 204);
  client.socket.connect();
  const [, , data] = await client.first('connect_error');
  assert.deepEqual(data, { code: 'AUTH_REVOKED' });
  client.close();
}

async function embedded() {
  const auth = { token: token({ discord_id: humans[4].id, username: 'page', channels: [channel] }) };
  const client = await joined(urls[0], auth, [channel]);
  let missed;
  await away(client, urls.at(-1), async () => { missed = await post(channel, 'for pages'); });
  assert.equal(client.socket.recovered, true);
  await client.first(([name, data]) => name === 'message' && data.id === missed.id);
  client.close();
}

async function withoutRedis() {
  const client = await joined(urls[0], { token: memberToken(humans[0]) }, [channel]);
  await away(client, urls.at(-1), async () => {});
  assert.equal(client.socket.recovered, false);
  assert.equal((await client.ask('join_channel', { channelId: channel })).success, true);
  client.close();
}

if (phase === 'away') {
  await withoutRedis();
} else {
  await goesOn();
  await losesWhatIsTaken();
  await comesAnew();
  await embedded();
}
console.log(JSON.stringify({ rounds: 6 }));
process.exit(0);
