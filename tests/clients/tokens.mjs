// Tokens on open sockets: expiry with its grace, a refresh, and a logout that closes them on every instance.
import assert from 'node:assert/strict';
import { io as io3 } from 'socket.io-client-3';
import { Recorder, discord, memberToken, settings, token } from './lib.mjs';

const { world, urls, channel } = settings;
const guild = world.guilds[0];
const first = urls[0];
const last = urls[urls.length - 1];
const humans = guild.members.filter((one) => !one.bot && one.id !== guild.owner_id && !one.roles.includes(settings.role));
const now = () => Math.floor(Date.now() / 1000);
const claims = (member, more) => ({ discord_id: member.id, username: member.username, ...more });
/** Clocks may differ by 30 s: a token that ended 26 s ago is good for four more. */
const nearlyOver = (member) => token(claims(member, { exp: now() - 26, jti: `j-${Math.random()}` }));

async function connect(url, jwt, options) {
  const client = new Recorder(url, { token: jwt }, options);
  await client.first('connect');
  assert.equal((await client.ask('join_channel', { channelId: channel })).success, true);
  return client;
}

const expired = ([name, one]) => name === 'error' && one.code === 'AUTH_EXPIRED';

async function expiry() {
  const began = Date.now();
  const client = await connect(first, nearlyOver(humans[0]), { connect: io3 });
  await client.first(expired, 'the end of the token', 15_000);
  const told = Date.now();
  assert.equal((await client.ask('get_channels')).code, 'AUTH_EXPIRED');
  assert.equal((await client.ask('get_messages', { channelId: channel })).code, 'AUTH_EXPIRED');
  const posted = await discord('POST', `/channels/${channel}/messages`, { content: 'in the grace', author_id: humans[1].id });
  await client.first(([name, one]) => name === 'message' && one.id === posted.id, 'live events go on');
  assert.equal((await client.ask('leave_channel', { channelId: channel })).success, true, 'leaving is always allowed');
  const [, reason] = await client.first('disconnect', 'the end of the grace', 40_000);
  assert.equal(reason, 'io server disconnect', 'a DISCONNECT: the client must not come back by itself');
  const grace = Date.now() - told;
  assert.ok(grace > 20_000 && grace < 32_000, `a grace of ${grace} ms`);
  return { expiry: told - began, grace };
}

async function refresh() {
  const member = humans[2];
  const client = await connect(last, nearlyOver(member));
  await client.first(expired, 'the end of the token', 15_000);
  const table = [
    [undefined, 'BAD_REQUEST'], [{}, 'BAD_REQUEST'], [{ token: 5 }, 'BAD_REQUEST'], [{ token: 'garbage' }, 'AUTH_INVALID'],
    [{ token: memberToken(humans[3]) }, 'AUTH_INVALID'],
    [{ token: token(claims(member, { channels: [channel] })) }, 'AUTH_INVALID'],
  ];
  for (const [payload, code] of table) {
    const answer = await client.ask('refresh_token', ...(payload === undefined ? [] : [payload]));
    assert.equal(answer.success, false, JSON.stringify(answer));
    assert.equal(typeof answer.error, 'string');
    assert.ok(answer.code === code || answer.code.startsWith('AUTH_'), `${code}: ${JSON.stringify(answer)}`);
  }
  assert.deepEqual(await client.ask('refresh_token', { token: memberToken(member) }), { success: true });
  assert.equal((await client.ask('get_channels')).success, true);
  const posted = await discord('POST', `/channels/${channel}/messages`, { content: 'after the refresh', author_id: humans[1].id });
  await client.first(([name, one]) => name === 'message' && one.id === posted.id, 'still joined');
  return client;
}

async function logout(still) {
  const jwt = token(claims(humans[4], { jti: 'a session' }));
  const plain = token(claims(humans[4], { iat: now(), exp: now() + 1234 }));
  const sockets = [await connect(first, jwt), await connect(last, jwt, { connect: io3 }), await connect(last, jwt, { namespace: '/' })];
  const other = await connect(last, plain);
  const post = (bearer) => fetch(`${first}/api/auth/logout`, { method: 'POST', headers: bearer ? { authorization: `Bearer ${bearer}` } : {} });
  assert.equal((await post()).status, 401);
  const began = Date.now();
  assert.equal((await post(jwt)).status, 204);
  for (const client of sockets) {
    const [, reason] = await client.first('disconnect', 'the socket of a revoked token ends');
    assert.equal(reason, 'io server disconnect');
  }
  const took = Date.now() - began;
  assert.ok(took < 1_000, `${took} ms`);
  for (const url of urls) {
    const again = new Recorder(url, { token: jwt });
    const [, message, data] = await again.first('connect_error');
    assert.deepEqual([message, data.code], ['Authentication token revoked', 'AUTH_REVOKED']);
    const answer = await fetch(`${url}/api/channels`, { headers: { authorization: `Bearer ${jwt}` } });
    assert.deepEqual([answer.status, (await answer.json()).code], [401, 'AUTH_REVOKED']);
  }
  assert.equal((await other.ask('get_channels')).success, true, 'another token of the same user lives on');
  // A token without a jti is known by its header and payload.
  assert.equal((await post(plain)).status, 204);
  await other.first('disconnect');
  const renewed = await fetch(`${first}/api/auth/refresh`, { method: 'POST', headers: { authorization: `Bearer ${plain}` } });
  assert.equal(renewed.status, 401);
  const fresh = await fetch(`${last}/api/auth/refresh`, { method: 'POST', headers: { authorization: `Bearer ${token(claims(humans[5], { iat: now() }))}` } });
  assert.equal(fresh.status, 200, await fresh.clone().text());
  const issued = await fresh.json();
  (await connect(first, issued.token)).close();
  assert.equal((await still.ask('get_channels')).success, true);
  return took;
}

const [over, still] = await Promise.all([expiry(), refresh()]);
const took = await logout(still);
console.log(JSON.stringify({ ...over, logout: took }));
process.exit(0);
