// Chromium shows one channel inside another site: live, without a way elsewhere, to the site that is named alone, and
// without logging anybody in. Settings: { url, site, sim, world, open, hidden, token, private, screenshots? }.
import assert from 'node:assert/strict';
import { discord, settings } from '../lib.mjs';
import { launch } from './chromium.mjs';

const { url, site, open: channel, hidden } = settings;
const guild = settings.world.guilds[0];
const name = guild.channels.find(({ id }) => id === channel).name;
const member = guild.members.find(({ bot }) => !bot);
// The sites are made up; the browser takes them for some of the internet, whose pages may not look at this machine.
const browser = await launch('--disable-features=LocalNetworkAccessChecks');
const done = {};
try {
  const context = await browser.newContext({ viewport: { width: 900, height: 700 }, locale: 'en-GB', timezoneId: 'UTC' });
  const page = await context.newPage();
  const said = [];
  page.on('console', (line) => said.push(line.text()));

  await step('reads', async () => {
    await discord('POST', `/channels/${channel}/messages`, { content: 'said before' });
    const frame = await embed(page, site, channel, settings.token);
    await frame.getByRole('heading', { level: 1, name }).waitFor();
    await frame.locator('[data-link=live]').waitFor();
    await frame.getByText('said before').waitFor();
  });
  await step('live', async () => {
    await discord('POST', `/channels/${channel}/messages`, { content: 'said while the blog is open' });
    await inside(page).getByText('said while the blog is open').waitFor();
    const { id } = await discord('POST', `/channels/${channel}/messages`, { content: `hello <@${member.id}>, are you there?` });
    const told = inside(page).locator(`[data-id="${id}"]`);
    await told.getByText('are you there?').waitFor();
    const mentioned = guild.members.find((one) => one.id === member.id);
    const text = (await told.locator('.mention').textContent()).trim();
    assert.ok(!text.includes(mentioned.username), `a mentioned member is not named: ${text}`);
    return { mention: text };
  });
  await step('bare', async () => {
    const frame = inside(page);
    for (const gone of ['.sidebar', '.account', '.menu', '.viewers']) assert.equal(await frame.locator(gone).count(), 0, gone);
    for (const way of ['Log out', 'Log in with Discord']) assert.equal(await frame.getByText(way).count(), 0, way);
    await picture('embed-light');
    const ground = () => frame.locator('body').evaluate((body) => getComputedStyle(body).backgroundColor);
    const light = await ground();
    await page.emulateMedia({ colorScheme: 'dark' });
    assert.notEqual(await ground(), light, 'dark as the system has it');
    await picture('embed-dark');
    await page.emulateMedia({ colorScheme: 'light' });
  });
  await step('token', async () => {
    const own = page.frames().find((one) => one.url().startsWith(url));
    assert.equal(own.url(), `${url}/embed/${channel}`, 'the token is gone from the address');
    assert.deepEqual(await own.evaluate(() => Object.keys(localStorage)), []);
    const ours = await context.newPage();
    await ours.goto(`${url}/`);
    await ours.getByRole('link', { name: 'Log in with Discord' }).waitFor();
    await ours.close();
    await page.reload();
    await inside(page).getByText('said while the blog is open').waitFor();
  });
  await step('elsewhere', async () => {
    // As a thread's link, or a channel's in a message.
    await inside(page).getByRole('heading', { level: 1, name }).evaluate((heading) => {
      const link = Object.assign(document.createElement('a'), { href: '#/channel/42', textContent: 'another' });
      heading.append(link);
    });
    const link = inside(page).getByRole('link', { name: 'another' });
    const [ours] = await Promise.all([context.waitForEvent('page'), link.click()]);
    await ours.waitForURL(`${url}/#/channel/42`);
    await ours.close();
    await inside(page).getByRole('heading', { level: 1, name }).waitFor();
  });
  await step('hidden', async () => {
    const refused = await embed(page, site, hidden, settings.token);
    await refused.getByText('This channel does not exist, or you may not see it.').waitFor();
    const shown = await embed(page, site, hidden, settings.private);
    await shown.getByRole('heading', { level: 1, name: 'crew-room' }).waitFor();
    await shown.locator('[data-link=live]').waitFor();
  });
  await step('invalid', async () => {
    const frame = await embed(page, site, channel, 'no.token.atall');
    await frame.getByRole('alert').getByText('This view is not valid.').waitFor();
    const none = await embed(page, site, channel, '');
    await none.getByRole('alert').getByText('This view is not valid.').waitFor();
    assert.equal((await fetch(`${url}/embed/general`)).status, 404);
  });
  await step('foreign', async () => {
    said.length = 0;
    await embed(page, 'http://evil.example', channel, settings.token);
    await refusal(said);
    assert.equal(await inside(page).locator('#app').count(), 0, 'nothing of ours is in the frame');
  });
  await step('others', async () => {
    for (const path of ['/', '/login']) {
      said.length = 0;
      await show(page, site, `${url}${path}`);
      await refusal(said);
      assert.equal(await inside(page).locator('#app').count(), 0, path);
    }
  });
  console.log(JSON.stringify({ done }));

  async function step(what, run) {
    const told = await run().catch((error) => {
      throw new Error(`${what}: ${error.message}; the browser said: ${said.join('; ')}`, { cause: error });
    });
    done[what] = told ?? true;
  }

  async function picture(file) {
    if (settings.screenshots) await page.screenshot({ path: `${settings.screenshots}/${file}.png` });
  }
} finally {
  await browser.close();
}

/** A page of a site that frames this address. */
async function show(page, origin, address) {
  const html = `<!doctype html><title>Blog</title><h1>A blog</h1><iframe src="${address}" width="460" height="560"></iframe>`;
  await page.route(`${origin}/**`, (route) => route.fulfill({ contentType: 'text/html', body: html }));
  // Another address each time: the frame of the last one is not taken over.
  await page.goto(`${origin}/${Math.random()}`);
}

async function embed(page, origin, id, token) {
  await show(page, origin, `${url}/embed/${id}${token ? `#token=${token}` : ''}`);
  return inside(page);
}

function inside(page) {
  return page.frameLocator('iframe');
}

/** The browser says that it does not show what may not be framed here. */
async function refusal(said) {
  const until = Date.now() + 10_000;
  while (!said.some((line) => /frame-ancestors|X-Frame-Options/i.test(line))) {
    assert.ok(Date.now() < until, `the browser refuses: ${said.join('; ')}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
