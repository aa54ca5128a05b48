// Viewers of whom nobody here has heard join all at once; nobody waits for another's slow answer.
import assert from 'node:assert/strict';
import { Recorder, memberToken, settings } from './lib.mjs';

const { world, urls, channel, count } = settings;
const guild = world.guilds[0];
const known = new Set(settings.known);
const strangers = guild.members.filter((one) => !one.bot && !known.has(one.id)).slice(0, count);
assert.equal(strangers.length, count);

async function enter(member, index) {
  const began = Date.now();
  const client = new Recorder(urls[index % urls.length], { token: memberToken(member) });
  await client.first('connect');
  let answer;
  for (let tries = 0; tries < 20; tries += 1) {
    answer = await client.ask('join_channel', { channelId: channel });
    if (answer.success || answer.code !== 'UNAVAILABLE') break;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  assert.equal(answer.success, true, `${member.username}: ${JSON.stringify(answer)}`);
  return { client, took: Date.now() - began };
}

const entered = await Promise.all(strangers.map(enter));
const times = entered.map(({ took }) => took).sort((a, b) => a - b);
for (const { client } of entered) client.close();
console.log(JSON.stringify({ joined: entered.length, median: times[Math.floor(times.length / 2)], slowest: times.at(-1) }));
process.exit(0);
