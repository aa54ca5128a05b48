// Sockets join, leave and join again while messages pour in: page and live events meet without a gap or a double.
import assert from 'node:assert/strict';
import { Recorder, memberToken, settings } from './lib.mjs';

const { world, urls, channel, count } = settings;
const humans = world.guilds[0].members.filter((member) => !member.bot);
const number = (message) => Number(/^n=(\d+);/.exec(message.content)?.[1]);
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** The numbers of a socket's last page, and those that came after it. */
function seen(client) {
  const at = client.events.findLastIndex(([name]) => name === 'messages_bulk');
  const [, page] = client.events[at];
  const live = client.events.slice(at + 1).filter(([name]) => name === 'message').map(([, message]) => message);
  return { page: page.messages.map(number).filter(Boolean), live: live.map(number) };
}

/** What a page promises. */
function check(client) {
  const { page, live } = seen(client);
  const numbers = [...page, ...live];
  const first = numbers[0];
  assert.deepEqual(numbers, Array.from({ length: count - first + 1 }, (_, n) => first + n));
  return page.length;
}

/** What is known of a socket that did not see the last number. */
function told(client, n) {
  const { page, live } = seen(client);
  const [name, ...args] = client.events.at(-1);
  const last = `${name} ${JSON.stringify(args).slice(0, 200)}`;
  const joins = client.all('messages_bulk').length;
  return JSON.stringify({ n, connected: client.socket.connected, joins, page: [page[0], page.at(-1)], live: [live[0], live.at(-1)], last });
}

async function visit(client, n) {
  await client.first('connect');
  console.log('ready');
  for (let round = 0; round < 3; round += 1) {
    await pause((n * 37) % 500);
    const joined = await client.ask('join_channel', { channelId: channel, limit: 1 + ((n * 7 + round) % 100) });
    assert.equal(joined.success, true, JSON.stringify(joined));
    if (round < 2) {
      await pause((n * 53) % 300);
      assert.equal((await client.ask('leave_channel', { channelId: channel })).success, true);
    }
  }
  // On a busy machine the last join may come after the last message: then the page has it.
  if (seen(client).page.at(-1) !== count) {
    const isLast = ([name, message]) => name === 'message' && number(message) === count;
    await client.first(isLast, 'the last number', 60_000).catch((error) => { throw new Error(`${error.message}: ${told(client, n)}`); });
  }
  return check(client);
}

const clients = Array.from({ length: 40 }, (_, n) => new Recorder(urls[n % urls.length], { token: memberToken(humans[n % humans.length]) }));
const pages = await Promise.all(clients.map(visit));
for (const client of clients) client.close();
console.log(JSON.stringify({ joins: clients.length * 3, pages: pages.filter((length) => length > 0).length }));
