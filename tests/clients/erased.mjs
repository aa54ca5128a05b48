// A user is erased: while people look, what they wrote goes, and afterwards nothing tells of it.
import assert from 'node:assert/strict';
import { Recorder, discord, memberToken, settings } from './lib.mjs';
import { away, bearer, everything, humans, post as postIn } from './told.mjs';

const { urls, channel, mark } = settings;
const text = `erased-${mark}-`;
const kept = `kept-${mark}.`;
const erased = humans.at(-1);
let count = 0;
const post = (content, more) => postIn(channel, content, more);
const theirs = (more) => post(`${text}${count++}.`, { author_id: erased.id, ...more });

const watchers = [];
for (const url of urls) {
  const watcher = new Recorder(url, { token: memberToken(humans[3]) });
  await watcher.first('connect');
  await watcher.ask('join_channel', { channelId: channel });
  watchers.push(watcher);
}
const [, , offset] = await watchers[0].first('messages_bulk');
const absent = await away(urls[0], humans[0], [channel]);
await post(kept);
const own = [];
for (let n = 0; n < 5; n += 1) own.push(await theirs());
await discord('PATCH', `/channels/${channel}/messages/${own[1].id}`, { content: `${text}edited.` });
const reply = await post(`a reply, ${kept}`, { message_reference: { message_id: own[0].id } });
const forward = await post(undefined, { message_reference: { type: 1, message_id: own[2].id, channel_id: channel } });
const copied = await post(`of a copy, ${kept}`, { message_reference: { message_id: forward.id } });
const thread = (await discord('POST', `/channels/${channel}/messages/${own[3].id}/threads`, { name: 'a thread' })).id;
await postIn(thread, 'a beginning', { message_reference: { message_id: own[3].id, channel_id: channel } });
await postIn(thread, kept);
own.push(await postIn(thread, `${text}thread.`, { author_id: erased.id }));
await watchers.at(-1).first(([name, one]) => name === 'message' && one.id === copied.id);
console.log('ready');

// What the eraser says to everybody.
for (const watcher of watchers) {
  for (const { id } of own.slice(0, 5)) {
    await watcher.first(([name, one]) => name === 'message_delete' && one.messageId === id, `the deletion of ${id}`, 90_000);
  }
  await watcher.first(([name, one]) => name === 'message_update' && one.id === forward.id, 'the copy is changed');
}
// The load that is begun when the eraser has ended.
for (const watcher of watchers) {
  await watcher.first(([name, one]) => name === 'message' && one.content.startsWith('n=1;'), 'the eraser has ended', 90_000);
}
await theirs();
const last = await post(`the last, ${kept}`);
const missed = await absent.back(urls.at(-1), last);
assert.ok(!missed.includes(text), 'a recovery');
for (const url of urls) {
  for (const place of [channel, thread]) {
    const said = await everything(url, place, offset);
    assert.ok(!said.includes(text), `${url} tells in ${place}: ${said.slice(said.indexOf(text) - 300).slice(0, 600)}`);
    assert.ok(said.includes(kept), 'the others are there');
  }
  const page = await (await fetch(`${url}/api/channels/${channel}/messages?limit=100`, { headers: bearer })).json();
  const answers = page.messages.find(({ id }) => id === reply.id).reply;
  assert.deepEqual([answers.author, answers.content], [null, null], 'whom they answered');
}
console.log(JSON.stringify({ own: own.length, user: erased.id, text }));
process.exit(0);
