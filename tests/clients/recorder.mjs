// Watches a channel on every instance while things break; prints which numbers of the load each socket saw.
import { Recorder, memberToken, settings } from './lib.mjs';

const { world, urls, channel, count } = settings;
const human = world.guilds[0].members.find((member) => !member.bot);

async function watch(url) {
  const client = new Recorder(url, { token: memberToken(human) });
  await client.first('connect');
  const joined = await client.ask('join_channel', { channelId: channel });
  if (!joined.success) throw new Error(JSON.stringify(joined));
  return client;
}

const number = (message) => Number(/^n=(\d+);/.exec(message.content)?.[1]);
const clients = await Promise.all([...urls, ...urls].map(watch));
console.log('ready');
for (const client of clients) {
  const isLast = ([name, message]) => name === 'message' && number(message) === count;
  await client.first(isLast, 'the last number', 120_000).catch((error) => console.error(error.message));
}
const seen = clients.map((client) => ({
  numbers: client.all('message').map(([message]) => number(message)),
  disconnects: client.all('disconnect').length,
}));
for (const client of clients) client.close();
console.log(JSON.stringify(seen));
