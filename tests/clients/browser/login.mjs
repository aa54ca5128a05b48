// Two members are logged in beside each other: the channel that was asked for is opened after the login, each sees
// what is theirs, a second tab needs no second login, and a logout ends both tabs and nobody else's.
import assert from 'node:assert/strict';
import { settings } from '../lib.mjs';
import { desk, live } from './chromium.mjs';

export async function twoMembers(first, { open, guild, secret, stranger }) {
  const asked = guild.channels.find(({ name }) => name === 'help');
  const second = await open(desk, { member: stranger, place: `#/channel/${asked.id}` });
  assert.ok(second.url().endsWith(`#/channel/${asked.id}`), `the channel asked for is open: ${second.url()}`);
  await second.getByRole('heading', { level: 1, name: asked.name }).waitFor();
  assert.equal(await entry(first, secret).count(), 1, 'the crew has its channel');
  assert.equal(await entry(second, secret).count(), 0, 'a stranger to the crew has not');
  const tab = await second.context().newPage();
  await tab.goto(`${settings.url}/`);
  await live(tab);
  await second.getByRole('button', { name: 'Log out' }).click();
  await second.getByText('You are logged out.').waitFor();
  await tab.getByRole('link', { name: 'Log in with Discord' }).waitFor();
  await live(first);
  await second.goto(`${settings.url}/login?error=oauth_failed`);
  await second.getByRole('alert').getByText('Discord did not confirm the login').waitFor();
  await second.context().close();
}

function entry(page, channel) {
  return page.locator(`[data-channel="${channel.id}"]`);
}
