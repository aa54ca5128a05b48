// What was posted before anybody listened is on the first page of whoever looks at the channel first, on each instance.
import assert from 'node:assert/strict';
import { Recorder, discord, memberToken, settings } from './lib.mjs';

const { world, urls, channel } = settings;
const guild = world.guilds[0];
const [first, second] = guild.members.filter((member) => !member.bot && member.id !== guild.owner_id);
const fault = async (body) => {
  const answer = await fetch(`${settings.sim}/sim/faults`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body),
  });
  assert.equal(answer.status, 204, await answer.text());
};

// The gateway hears nothing of these, and never will: its session ends, and the next one begins after them.
await fault({ kind: 'silence', seconds: 60 });
const posted = [];
for (let number = 1; number <= 130; number += 1) {
  posted.push(await discord('POST', `/channels/${channel}/messages`, { content: `before ${number}`, author_id: first.id }));
}
await discord('POST', `/channels/${channel}/messages`, {
  author_id: first.id, poll: { question: { text: 'Tea?' }, answers: [{ answer_id: 1, poll_media: { text: 'Yes' } }] },
});
await discord('DELETE', `/channels/${channel}/messages/${posted[99].id}`);
await fault({ kind: 'invalid_session', resumable: false });

// The first that is heard again: the new session has begun, and the channel is as it was at its beginning.
const marks = guild.channels.find((one) => one.type === 0 && !one.private && one.id !== channel);
const watcher = new Recorder(urls[0], { token: memberToken(second) });
await watcher.first('connect');
assert.equal((await watcher.ask('join_channel', { channelId: marks.id })).success, true);
let heard;
for (let tries = 0; !heard; tries += 1) {
  assert.ok(tries < 100, 'the gateway is back');
  await discord('POST', `/channels/${marks.id}/messages`, { content: 'mark' });
  heard = await watcher.first(([name, message]) => name === 'message' && message.content === 'mark', 'a mark', 500).catch(() => null);
}

const seen = [];
for (const url of urls) {
  const client = new Recorder(url, { token: memberToken(first) });
  await client.first('connect');
  // The directory in SQL may be a moment behind the new session.
  let page;
  for (let tries = 0; page === undefined; tries += 1) {
    assert.ok(tries < 20, 'the channel is filled');
    const answer = await client.ask('get_messages', { channelId: channel, limit: 100 });
    if (answer.messages?.some(({ content }) => content === 'before 130')) page = answer;
    else await new Promise((done) => setTimeout(done, 1_000));
  }
  assert.equal(page.messages.at(-1).poll.question, 'Tea?');
  assert.equal(page.hasMore, true);
  const older = await client.ask('get_messages', { channelId: channel, before: page.nextCursor, limit: 100 });
  const texts = [...older.messages, ...page.messages].map(({ content }) => content).filter((text) => text.startsWith('before'));
  const expected = posted.map(({ content }) => content).filter((text) => text !== 'before 100');
  assert.deepEqual(texts, expected, 'each once, in order, without what was deleted');
  assert.equal((await client.ask('join_channel', { channelId: channel, limit: 5 })).success, true);
  const [, bulk] = await client.first('messages_bulk');
  assert.deepEqual(bulk.messages.map(({ content }) => content), ['before 127', 'before 128', 'before 129', 'before 130', '']);
  seen.push(texts.length);
  client.close();
}
watcher.close();
console.log(JSON.stringify({ seen }));
