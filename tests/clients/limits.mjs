// The limits of one user, spent over two instances; which phase is tried, the caller says (shared, alone).
import assert from 'node:assert/strict';
import { Recorder, memberToken, settings } from './lib.mjs';

const { world, urls, channel, max, window } = settings;
const guild = world.guilds[0];
const humans = guild.members.filter((one) => !one.bot && one.id !== guild.owner_id);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Floods every instance at once as one user; how many were let through, and the last refusal. */
async function flood(member, perInstance) {
  const clients = await Promise.all(urls.map(async (url) => {
    const client = new Recorder(url, { token: memberToken(member) });
    await client.first('connect');
    await client.first('channels_list');
    return client;
  }));
  const began = Date.now();
  const answers = await Promise.all(clients.flatMap((client) => Array.from({ length: perInstance }, () => client.ask('get_channels'))));
  const seconds = (Date.now() - began) / 1000;
  const refused = answers.filter(({ success }) => !success);
  for (const one of refused) {
    assert.equal(one.code, 'RATE_LIMITED', JSON.stringify(one));
    assert.ok(one.retryAfter > 0 && Number.isFinite(one.retryAfter));
  }
  return { clients, allowed: answers.length - refused.length, refused, seconds };
}

/** What a limit of `max` a window lets through in this time: the burst, and what has come back meanwhile. */
const most = (seconds, instances) => instances * (max + Math.ceil((seconds * 1000 * max) / window) + 1);

async function shared(member) {
  const { clients, allowed, refused, seconds } = await flood(member, max);
  assert.ok(allowed >= max, `${allowed} of ${max}`);
  assert.ok(allowed <= most(seconds, 1), `${allowed} are more than one limit in ${seconds} s`);
  assert.ok(refused.length > 0);
  for (const client of clients) {
    const [, told] = await client.first('rate_limited');
    assert.equal(typeof told.message, 'string');
    assert.ok(told.retryAfter > 0);
  }
  // HTTP and sockets are counted together.
  const answer = await fetch(`${urls[0]}/api/channels`, { headers: { authorization: `Bearer ${memberToken(member)}` } });
  assert.equal(answer.status, 429);
  assert.ok(Number(answer.headers.get('retry-after')) >= 1);
  assert.equal((await answer.json()).code, 'RATE_LIMITED');
  // The exempt ones still work, and another user is not concerned.
  assert.notEqual((await clients[0].ask('leave_channel', { channelId: channel })).code, 'RATE_LIMITED');
  const other = new Recorder(urls[0], { token: memberToken(humans.find(({ id }) => id !== member.id)) });
  await other.first('connect');
  assert.equal((await other.ask('get_channels')).success, true);
  other.close();
  // Honest: the call made at `retryAfter` succeeds.
  for (let round = 0; round < 3; round += 1) {
    let told;
    do told = await clients[round % clients.length].ask('get_channels'); while (told.success);
    await pause(told.retryAfter * 1000);
    const then = await clients[(round + 1) % clients.length].ask('get_channels');
    assert.equal(then.success, true, `the call made at retryAfter (${told.retryAfter} s): ${JSON.stringify(then)}`);
  }
  for (const client of clients) client.close();
  return allowed;
}

async function alone(member) {
  const { clients, allowed, seconds } = await flood(member, max * 2);
  assert.ok(allowed > most(seconds, 1) || allowed >= urls.length * max, `${allowed}: each instance has its own limit`);
  assert.ok(allowed <= most(seconds, urls.length), `${allowed} are more than a limit an instance in ${seconds} s`);
  for (const client of clients) client.close();
  return allowed;
}

const result = settings.phase === 'shared' ? await shared(humans[settings.user]) : await alone(humans[settings.user]);
console.log(JSON.stringify({ allowed: result }));
process.exit(0);
