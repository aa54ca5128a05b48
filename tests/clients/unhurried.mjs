// While Discord answers slowly about some, those who are known come in at once, and so does everybody in the end.
import assert from 'node:assert/strict';
import { Recorder, memberToken, settings } from './lib.mjs';

const { world, urls, channel, count } = settings;
const guild = world.guilds[0];
const known = new Set(settings.known);
const humans = guild.members.filter((one) => !one.bot);
const strangers = humans.filter((one) => !known.has(one.id)).slice(0, count);
const familiar = humans.find((one) => one.id === settings.familiar);
assert.equal(strangers.length, count);

async function enter(member, url) {
  const began = Date.now();
  const client = new Recorder(url, { token: memberToken(member) });
  await client.first('connect', 'the connection', 60_000);
  let answer;
  do {
    answer = await client.ask('join_channel', { channelId: channel });
    if (!answer.success) await new Promise((resolve) => setTimeout(resolve, 100));
  } while (answer.code === 'UNAVAILABLE' && Date.now() - began < 60_000);
  assert.equal(answer.success, true, JSON.stringify(answer));
  client.close();
  return Date.now() - began;
}

// Once, unhurried, so that this member is known to every instance.
for (const url of urls) await enter(familiar, url);
// The gateway brings no members, and each question by REST takes its time.
for (const fault of [{ kind: 'silence', seconds: 15 }, { kind: 'slow', ms: 1_500, seconds: 30, route: 'GET /guilds/{}/members/{}' }]) {
  const answer = await fetch(`${settings.sim}/sim/faults`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(fault),
  });
  assert.equal(answer.status, 204, await answer.text());
}
const slow = Promise.all(strangers.map((member, index) => enter(member, urls[index % urls.length])));
const quick = [];
for (let round = 0; round < 5; round += 1) for (const url of urls) quick.push(await enter(familiar, url));
const slowest = Math.max(...await slow);
console.log(JSON.stringify({ quick: Math.max(...quick), slowest }));
process.exit(0);
