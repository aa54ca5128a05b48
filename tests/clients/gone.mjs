// What is deleted stays deleted: its text is in no page, join, event stream or reply preview of any instance.
import assert from 'node:assert/strict';
import { Recorder, discord, memberToken, settings, within } from './lib.mjs';

const { world, urls, channel, phase } = settings;
const guild = world.guilds[0];
const humans = guild.members.filter((one) => !one.bot && one.id !== guild.owner_id && !one.roles.includes(settings.role));
const bearer = { authorization: `Bearer ${memberToken(humans[0])}` };
const secrets = Array.from({ length: 12 }, (_, n) => `gone-${settings.mark}-${n}.`);
const kept = `kept-${settings.mark}.`;
const post = (content, more) => discord('POST', `/channels/${channel}/messages`, { content, author_id: humans[1].id, ...more });

/** Everything that an instance can be made to say about the channel. */
async function everything(url, offset) {
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
  const sentinel = await post(`sentinel-${Math.random()}.`);
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

async function whole(offset, what) {
  for (const url of urls) {
    const said = await everything(url, offset);
    for (const secret of secrets) assert.ok(!said.includes(secret), `${what}: ${secret} is told by ${url}`);
    assert.ok(said.includes(kept), `${what}: what was not deleted is there`);
  }
}

if (phase === 'delete') {
  const watcher = new Recorder(urls[0], { token: memberToken(humans[3]) });
  await watcher.first('connect');
  await watcher.ask('join_channel', { channelId: channel });
  const [, , offset] = await watcher.first('messages_bulk');
  await post(kept);
  const doomed = [];
  for (const secret of secrets) doomed.push(await post(secret));
  const reply = await post(`a reply, ${kept}`, { message_reference: { message_id: doomed[0].id } });
  await discord('PATCH', `/channels/${channel}/messages/${doomed[1].id}`, { content: `${secrets[1]} edited` });
  await discord('DELETE', `/channels/${channel}/messages/${doomed[0].id}`);
  await discord('DELETE', `/channels/${channel}/messages/${doomed[1].id}`);
  await discord('POST', `/channels/${channel}/messages/bulk-delete`, { messages: doomed.slice(2).map(({ id }) => id) });
  for (const { id } of doomed) await watcher.first(([name, one]) => name === 'message_delete' && one.messageId === id);
  await whole(offset, 'after the deletes');
  const page = await (await fetch(`${urls[0]}/api/channels/${channel}/messages?limit=100`, { headers: bearer })).json();
  const previewed = page.messages.find(({ id }) => id === reply.id);
  assert.deepEqual([previewed.reply.messageId, previewed.reply.content], [doomed[0].id, null], 'the preview of a deleted original is empty');
  console.log(JSON.stringify({ offset }));
} else {
  await whole(settings.offset, phase);
  console.log(JSON.stringify({ phase }));
}
process.exit(0);
