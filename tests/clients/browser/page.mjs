// Chromium reads the page that the instances serve: a login, three channels, messages, 500 back, an edit, a delete,
// a reaction, a reply, hostile text, what is new while away, a killed instance, lost access, a phone, axe.
// Settings: { url, urls, sim, world, screenshots? }.
import AxeBuilder from '@axe-core/playwright';
import assert from 'node:assert/strict';
import { discord, settings } from '../lib.mjs';
import { desk, launch, logIn, phone } from './chromium.mjs';
import { twoMembers } from './login.mjs';
import { pictures } from './pictures.mjs';
import { reconnection } from './reconnection.mjs';

const HISTORY = 520;
const guild = settings.world.guilds[0];
const channel = guild.channels.find(({ name }) => name === 'off-topic');
const secret = guild.channels.find(({ private: isPrivate, type }) => isPrivate && type === 0);
const people = guild.members.filter(({ bot }) => !bot);
// One role lets its members into the private channel.
const crew = guild.roles.find(({ name }) => name === 'Crew');
const reader = people.find(({ roles }) => roles.includes(crew.id));
// The first of the people owns the guild, and sees everything without a role.
const stranger = people.slice(1).find(({ roles }) => roles.length === 0);
const alarms = [];

const browser = await launch();
const done = {};
try {
  const page = await open(desk);
  await step('channels', channels);
  await step('login', (page) => twoMembers(page, { open, guild, secret, stranger }));
  await step('reconnection', (page) => reconnection(page, { channel, load, post, text }));
  await step('history', history);
  await step('edit', edit);
  await step('delete', remove);
  await step('reply', reply);
  await step('reaction', reaction);
  await step('hostile', hostile);
  await step('faces', faces);
  await step('axe', healthy);
  await step('away', away);
  await step('keyboard', keyboard);
  await step('revocation', revocation);
  await step('phone', narrow);
  // Only of a page that has shown all of this is a picture taken.
  if (settings.screenshots) await pictures({ folder: settings.screenshots, guild, open });
  assert.deepEqual(alarms, [], 'the page said nothing on the console and opened no dialog');
  console.log(JSON.stringify({ done }));

  async function step(name, run) {
    const told = await run(page).catch((error) => {
      throw new Error(`${name}: ${error.message}`, { cause: error });
    });
    done[name] = told ?? true;
  }
} finally {
  await browser.close();
}

/** The page in a browser of its own, as a member sees it after the login. */
async function open(viewport, { member = reader, place = '', ...options } = {}) {
  const context = await browser.newContext({ viewport, locale: 'en-GB', timezoneId: 'UTC', ...options });
  const page = await context.newPage();
  page.on('dialog', (dialog) => {
    alarms.push(`dialog ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('pageerror', (error) => alarms.push(String(error)));
  // What the policy blocks is said on the console.
  page.on('console', (line) => {
    if (line.type() === 'error' && /Content Security Policy|Refused/.test(line.text())) alarms.push(line.text());
  });
  await logIn(page, `${settings.url}/${place}`, member);
  assert.ok(!page.url().includes('token'), 'the token is gone from the address');
  return page;
}

async function channels(page) {
  await page.locator('[data-channel]').nth(2).waitFor();
  assert.ok((await page.locator('[data-channel]').count()) >= 3, 'three channels');
  await page.locator(`[data-channel="${channel.id}"]`).click();
  await page.getByRole('heading', { level: 1, name: channel.name }).waitFor();
  assert.match(await page.title(), new RegExp(`#${channel.name} · ${guild.name}`));
}

/** Posts more than five pages, opens the channel afresh, and pages back to the first of them. */
async function history(page) {
  await load(HISTORY);
  const end = `the end ${Date.now()}`;
  await post(8, end);
  await text(page, end).waitFor({ timeout: 60_000 });
  await page.reload();
  await text(page, end).waitFor();
  assert.ok((await page.locator('.message').count()) >= 10, 'ten messages');
  const log = page.getByRole('log');
  const deadline = Date.now() + 60_000;
  while ((await text(page, 'n=1;').count()) === 0) {
    assert.ok(Date.now() < deadline, 'the first message is reached');
    await keepsItsPlace(log);
  }
  const shown = await page.locator('.message .markdown').allTextContents();
  const numbers = shown.map((line) => /^n=(\d+);/.exec(line)?.[1]).filter(Boolean).map(Number);
  // A world that this ran in before has an earlier load above this one.
  assert.deepEqual(numbers.slice(numbers.lastIndexOf(1)), Array.from({ length: HISTORY }, (_, at) => at + 1), 'each once, in order');
  await page.getByRole('button', { name: 'Jump to latest' }).click();
  await page.waitForFunction(() => {
    const log = document.querySelector('[role=log]');
    return log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  });
}

/** Scrolls to the top; what was the first message there stays where it is while older ones are added above. */
async function keepsItsPlace(log) {
  const moved = await log.evaluate(async (box) => {
    const messages = () => box.querySelectorAll('[data-id]');
    const before = messages().length;
    box.scrollTop = 300;
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    const first = [...messages()].find((each) => each.getBoundingClientRect().bottom > box.getBoundingClientRect().top);
    const top = first.getBoundingClientRect().top;
    for (let tries = 0; messages().length === before && tries < 200; tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    return messages().length === before ? 0 : Math.abs(first.getBoundingClientRect().top - top);
  });
  assert.ok(moved < 2, `the reader's place moved by ${moved} pixels`);
}

async function edit(page) {
  const { id } = await post(0, 'before the edit');
  await text(page, 'before the edit').waitFor();
  await discord('PATCH', `/channels/${channel.id}/messages/${id}`, { content: 'after the **edit**' });
  await message(page, id).locator('strong', { hasText: 'edit' }).waitFor();
  await message(page, id).locator('.edited').waitFor();
  assert.equal(await text(page, 'before the edit').count(), 0);
}

async function remove(page) {
  const { id } = await post(1, 'soon to be gone');
  await message(page, id).waitFor();
  await discord('DELETE', `/channels/${channel.id}/messages/${id}`);
  await message(page, id).waitFor({ state: 'detached' });
}

/** A reply shows what it answers, until that is deleted. */
async function reply(page) {
  const original = await post(2, 'a question');
  const answer = await post(3, 'an answer', { message_reference: { message_id: original.id } });
  await message(page, answer.id).getByRole('button', { name: 'a question' }).waitFor();
  await discord('DELETE', `/channels/${channel.id}/messages/${original.id}`);
  await message(page, answer.id).getByText('The original message was deleted').waitFor();
}

async function reaction(page) {
  const { id } = await post(4, 'react to this');
  await message(page, id).waitFor();
  const path = `/channels/${channel.id}/messages/${id}/reactions/${encodeURIComponent('🎉')}`;
  await discord('PUT', `${path}/${people[1].id}`);
  await discord('PUT', `${path}/${people[2].id}`);
  await message(page, id).locator('.reaction', { hasText: '2' }).waitFor();
}

/** Pictures come from where the settings say, and load. */
async function faces(page) {
  const images = page.locator('.message .avatar img');
  await images.last().scrollIntoViewIfNeeded();
  await images.last().evaluate((image) => image.decode());
  const source = await images.last().getAttribute('src');
  assert.ok(source.startsWith(`${settings.sim}/avatars/`), source);
}

async function hostile(page) {
  const lines = [
    '<img src=x onerror=alert(1)>',
    '<script>alert(2)</script><svg onload=alert(3)>',
    '[click](javascript:alert(4)) <javascript:alert(5)>',
    '[a](https://example.org" onmouseover="alert(6))',
  ];
  for (const line of lines) {
    const { id } = await post(5, line);
    const body = message(page, id).locator('.markdown');
    await body.waitFor();
    assert.equal(await body.textContent(), line, 'it is shown as it was written');
    assert.equal(await body.locator('img, script, svg, [onerror], [onload], [onmouseover]').count(), 0);
    assert.equal(await body.locator('a:not([href^="http"])').count(), 0);
  }
}

/** Scrolled up, the reader is told how much is new, and is taken there by one key. */
async function away(page) {
  const log = page.getByRole('log');
  await log.evaluate((box) => {
    box.scrollTop = box.scrollHeight - box.clientHeight - 400;
  });
  await page.getByRole('button', { name: 'Jump to latest' }).waitFor();
  await post(6, 'new one');
  await post(7, 'new two');
  await page.getByRole('button', { name: '2 new messages' }).waitFor();
  await page.locator('.day.new').waitFor();
  assert.match(await page.title(), /^\(2\) /);
  await log.press('End');
  await page.locator('.to-latest').waitFor({ state: 'detached' });
  await text(page, 'new two').waitFor();
}

/** From the open channel the arrow keys lead to its neighbour, Enter opens it, and back comes back. */
async function keyboard(page) {
  const current = page.locator('[data-channel][aria-current=page]');
  await current.focus();
  await page.keyboard.press('Home');
  const id = await page.evaluate(() => document.activeElement.dataset.channel);
  assert.ok(id && id !== channel.id, 'another channel has the focus');
  await page.keyboard.press('Enter');
  await page.waitForURL(`**/#/channel/${id}`);
  await page.goBack();
  await page.locator(`[data-channel="${channel.id}"][aria-current=page]`).waitFor();
  await text(page, 'new two').waitFor();
}

/** Access that is taken away empties the page at once, and comes back with the role. */
async function revocation(page) {
  const entry = page.locator(`[data-channel="${secret.id}"]`);
  await discord('POST', `/channels/${secret.id}/messages`, { content: 'between us', author_id: reader.id });
  await entry.click();
  await text(page, 'between us').waitFor();
  const member = `/guilds/${guild.id}/members/${reader.id}`;
  await discord('PATCH', member, { roles: [] });
  await page.getByRole('heading', { name: 'You no longer have access' }).waitFor();
  await entry.waitFor({ state: 'detached' });
  assert.ok(!(await page.content()).includes('between us'), 'nothing of it is left in the page');
  await discord('PATCH', member, { roles: reader.roles });
  await entry.waitFor();
}

/** On a phone the channels are behind a button, and Escape closes them. */
async function narrow() {
  const page = await open(phone, { colorScheme: 'dark' });
  await page.evaluate((id) => {
    location.hash = `#/channel/${id}`;
  }, channel.id);
  await text(page, 'new two').waitFor();
  const menu = page.getByRole('button', { name: 'Channels' });
  const list = page.locator(`[data-channel="${channel.id}"]`);
  assert.equal(await list.isVisible(), false);
  await menu.click();
  await list.waitFor();
  await healthy(page);
  await page.keyboard.press('Escape');
  await list.waitFor({ state: 'hidden' });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `nothing is wider than the phone (${wide})`);
  await page.context().close();
}

/** No serious violation of accessibility rules in what is shown now. */
async function healthy(page) {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  assert.deepEqual(serious.map(({ id, nodes }) => [id, nodes[0].html]), []);
}

function message(page, id) {
  return page.locator(`[data-id="${id}"]`);
}

function text(page, words) {
  return page.locator('.message .markdown', { hasText: new RegExp(`^${words}`) }).last();
}

function post(person, content, fields = {}) {
  const author_id = people[person % people.length].id;
  return discord('POST', `/channels/${channel.id}/messages`, { content, author_id, ...fields });
}

/** Lets the simulated Discord post, and waits until it has. */
async function load(count, rate = 400) {
  const before = (await stats()).messages_posted;
  const answer = await fetch(`${settings.sim}/sim/load`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ channelId: channel.id, rate, count }),
  });
  assert.equal(answer.status, 202, 'the load begins');
  const deadline = Date.now() + 30_000;
  while ((await stats()).messages_posted < before + count) {
    assert.ok(Date.now() < deadline, 'the load ends');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function stats() {
  return (await fetch(`${settings.sim}/sim/stats`)).json();
}
