// What the page of the demo would show: the channels, and what a channel holds and brings.
import { Recorder, settings, within } from './lib.mjs';

const client = new Recorder(settings.url, { token: settings.token });
await client.first('connect');
const [, channels] = await client.first('channels_list');
const text = channels.filter(({ type }) => type === 'text' || type === 'announcement');
for (const { id } of text) {
  const joined = await client.ask('join_channel', { channelId: id, limit: 100 });
  if (!joined.success) throw new Error(JSON.stringify(joined));
}
const pages = client.all('messages_bulk').flatMap(([page]) => page.messages.map(({ id }) => id));
const live = async () => {
  while (client.all('message').length < settings.live) {
    await new Promise((resolve) => { client.socket.once('message', resolve); });
  }
};
await within(live(), 'live messages');
const messages = client.all('message').map(([{ id }]) => id);
client.close();
console.log(JSON.stringify({ channels: channels.length, pages, live: messages }));
