// What is deleted stays deleted: its text is in no page, join, event stream, recovery or reply preview of any instance.
import assert from 'node:assert/strict';
import { Recorder, discord, memberToken, settings } from './lib.mjs';
import { away, bearer, everything, humans, nothing, post as postIn } from './told.mjs';

const { world, urls, channel, phase } = settings;
const guild = world.guilds[0];
const gone = `gone-${settings.mark}-`;
const kept = `kept-${settings.mark}.`;
const banned = humans.at(-1);
let count = 0;
const secret = () => `${gone}${count++}.`;
const post = (content, more) => postIn(channel, content, more);
const remove = (message) => discord('DELETE', `/channels/${message.channel_id}/messages/${message.id}`);

/** Nothing that is gone is told, and what was kept is. */
async function whole({ offset, threads, channels }, what) {
  for (const url of urls) {
    for (const place of [channel, ...threads]) {
      const said = await everything(url, place, offset);
      assert.ok(!said.includes(gone), `${what}: ${url} tells in ${place}: ${said.slice(said.indexOf(gone) - 300).slice(0, 600)}`);
      assert.ok(said.includes(kept), `${what}: what was not deleted is there`);
    }
    for (const place of channels) assert.ok(!(await nothing(url, place)).includes(gone), `${what}: a channel that is gone`);
  }
}

/** A thread of a message, which it quotes as Discord makes it. */
async function beginThread(start) {
  const thread = await discord('POST', `/channels/${channel}/messages/${start.id}/threads`, { name: 'a thread' });
  await postIn(thread.id, 'a beginning', { message_reference: { message_id: start.id, channel_id: channel } });
  await postIn(thread.id, kept);
  return thread.id;
}

async function deleteAll(watcher) {
  await post(kept);
  const doomed = [];
  for (let n = 0; n < 12; n += 1) doomed.push(await post(secret()));
  const reply = await post(`a reply, ${kept}`, { message_reference: { message_id: doomed[0].id } });
  const start = await post(secret());
  const quoting = await beginThread(start);
  // Only its thread is in anybody's memory there.
  const reader = new Recorder(urls.at(-1), { token: memberToken(humans[4]) });
  await reader.first(([name, list]) => name === 'channels_list' && list.some(({ id }) => id === quoting), 'the thread');
  assert.equal((await reader.ask('join_channel', { channelId: quoting })).success, true);
  const ended = await beginThread(await post(kept));
  await postIn(ended, secret());
  const other = (await discord('POST', `/guilds/${guild.id}/channels`, { name: 'doomed' })).id;
  await postIn(other, secret());
  const purged = [];
  for (let n = 0; n < 5; n += 1) purged.push(await post(secret(), { author_id: banned.id }));
  purged.push(await postIn(quoting, secret(), { author_id: banned.id }));
  await discord('PATCH', `/channels/${channel}/messages/${doomed[1].id}`, { content: `${secret()} edited` });
  await remove(doomed[0]);
  await remove(doomed[1]);
  await remove(start);
  await discord('POST', `/channels/${channel}/messages/bulk-delete`, { messages: doomed.slice(2).map(({ id }) => id) });
  await discord('DELETE', `/channels/${ended}`);
  await discord('DELETE', `/channels/${other}`);
  await discord('PUT', `/guilds/${guild.id}/bans/${banned.id}`, { delete_message_seconds: 3_600 });
  for (const { id, channel_id: place } of [...doomed, start, ...purged]) {
    const who = place === channel ? watcher : reader;
    await who.first(([name, one]) => name === 'message_delete' && one.messageId === id, `the deletion of ${id}`);
  }
  reader.close();
  return { reply, original: doomed[0], threads: [quoting], channels: [ended, other] };
}

if (phase === 'delete') {
  const watcher = new Recorder(urls[0], { token: memberToken(humans[3]) });
  await watcher.first('connect');
  await watcher.ask('join_channel', { channelId: channel });
  const [, , offset] = await watcher.first('messages_bulk');
  const absent = await away(urls[0], humans[0], [channel]);
  const { reply, original, threads, channels } = await deleteAll(watcher);
  const last = await post(`the last, ${kept}`);
  await watcher.first(([name, one]) => name === 'message' && one.id === last.id);
  const missed = await absent.back(urls.at(-1), last);
  assert.ok(!missed.includes(gone), 'a recovery');
  assert.ok(missed.includes(kept));
  const state = { offset, threads, channels };
  await whole(state, 'after the deletes');
  const page = await (await fetch(`${urls[0]}/api/channels/${channel}/messages?limit=100`, { headers: bearer })).json();
  const previewed = page.messages.find(({ id }) => id === reply.id);
  assert.deepEqual([previewed.reply.messageId, previewed.reply.content], [original.id, null], 'the preview of a deleted original is empty');
  console.log(JSON.stringify(state));
} else {
  await whole(settings.state, phase);
  console.log(JSON.stringify({ phase }));
}
process.exit(0);
