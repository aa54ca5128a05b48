// What changes while the gateway's session is lost: who lost a role or was kicked is found out when it is back.
import assert from 'node:assert/strict';
import { Recorder, discord, memberToken, settings } from './lib.mjs';

const { world, urls, channel, role } = settings;
const guild = world.guilds[0];
const hidden = guild.channels.find((one) => one.private && one.type === 0);
const humans = guild.members.filter((member) => !member.bot && member.id !== guild.owner_id);
const insider = humans.find((member) => member.roles.includes(role));
const [kicked, absent] = humans.filter((member) => !member.roles.includes(role));
const fault = async (body) => {
  const answer = await fetch(`${settings.sim}/sim/faults`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body),
  });
  assert.equal(answer.status, 204, await answer.text());
};

const inside = new Recorder(urls[0], { token: memberToken(insider) });
const leaving = new Recorder(urls.at(-1), { token: memberToken(kicked) });
const before = new Recorder(urls.at(-1), { token: memberToken(absent) });
for (const [client, id] of [[inside, hidden.id], [leaving, channel], [before, channel]]) {
  await client.first('connect');
  assert.equal((await client.ask('join_channel', { channelId: id })).success, true);
}
before.close();

// Nothing of this is heard, and the session that would replay it is refused.
await fault({ kind: 'silence', seconds: 60 });
await discord('PATCH', `/guilds/${guild.id}/members/${insider.id}`, { roles: insider.roles.filter((id) => id !== role) });
for (const { id } of [kicked, absent]) await discord('DELETE', `/guilds/${guild.id}/members/${id}`);
await fault({ kind: 'invalid_session', resumable: false });

const [, left] = await inside.first('channel_left', 'who lost the role is out', 60_000);
assert.deepEqual(left, { channelId: hidden.id, reason: 'access_revoked' });
await leaving.first('channel_left', 'who was kicked is out', 60_000);
await leaving.first(([name, list]) => name === 'channels_list' && !list.some(({ serverId }) => serverId === guild.id), 'a list without the server');
const after = new Recorder(urls.at(-1), { token: memberToken(absent) });
const [, list] = await after.first('channels_list');
assert.ok(!list.some(({ serverId }) => serverId === guild.id), 'who was kicked comes back to nothing');
assert.equal((await after.ask('join_channel', { channelId: channel })).code, 'FORBIDDEN');
for (const client of [inside, leaving, after]) client.close();
console.log(JSON.stringify({ left: 2 }));
