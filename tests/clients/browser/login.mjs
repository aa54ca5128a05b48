// Chromium logs in as two members through the authorize page of the simulated Discord: the channel that was asked
// for is opened after it, a second tab needs no second login, and a logout ends both tabs and nobody else's.
// Settings: { url, world }; the fanout's logins are configured for the simulated Discord.
import assert from 'node:assert/strict';
import { settings } from '../lib.mjs';
import { desk, launch } from './chromium.mjs';

const guild = settings.world.guilds[0];
const channel = guild.channels.find(({ name }) => name === 'help');
const [first, second] = guild.members.filter(({ bot }) => !bot).slice(1);

const browser = await launch();
try {
  const one = await login(first);
  const other = await login(second);
  const tab = await one.context().newPage();
  await tab.goto(`${settings.url}/`);
  await live(tab);
  await one.getByRole('button', { name: 'Log out' }).click();
  await one.getByText('You are logged out.').waitFor();
  await tab.getByRole('link', { name: 'Log in with Discord' }).waitFor();
  await live(other);
  await one.goto(`${settings.url}/login?error=oauth_failed`);
  await one.getByRole('alert').getByText('Discord did not confirm the login').waitFor();
  console.log(JSON.stringify({ members: [first.username, second.username] }));
} finally {
  await browser.close();
}

async function login(member) {
  const page = await (await browser.newContext({ viewport: desk })).newPage();
  await page.goto(`${settings.url}/#/channel/${channel.id}`);
  await page.getByRole('link', { name: 'Log in with Discord' }).click();
  await page.getByText(member.username, { exact: true }).click();
  await live(page);
  assert.ok(page.url().endsWith(`#/channel/${channel.id}`), `the channel asked for is open: ${page.url()}`);
  await page.getByRole('heading', { level: 1, name: channel.name }).waitFor();
  return page;
}

function live(page) {
  return page.locator('[data-link=live]').waitFor();
}
