// Chromium goes through the login at Discord's authorize page, and through everything that must not become one: another
// state, a code that was used or is another's, a consent that was denied, an address that is not registered.
// Settings: { url, urls, sim, world }.
import assert from 'node:assert/strict';
import { Recorder, settings } from '../lib.mjs';
import { desk, launch, live } from './chromium.mjs';

const { url, urls, sim, world } = settings;
const guild = world.guilds[0];
const people = guild.members.filter(({ bot }) => !bot);
const [, member, other] = people;
const INVALID = 'That login took too long or was started elsewhere.';
const FAILED = 'Discord did not confirm the login.';
const COOKIE = 'discord_login';

const browser = await launch();
const done = {};
/** The callback of the login that succeeded, and its token. */
let used;
let token;
const reader = await begin();
try {
  await step('authorize', async () => {
    const { searchParams } = new URL(reader.page.url());
    assert.equal(searchParams.get('response_type'), 'code');
    assert.equal(searchParams.get('code_challenge_method'), 'S256');
    assert.match(searchParams.get('code_challenge'), /^[\w-]{43}$/);
    assert.ok(searchParams.get('state').length >= 16, 'a state that nobody guesses');
    const [cookie] = await cookies(reader);
    assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path], [true, 'Lax', '/api/auth']);
    const said = decodeURIComponent(cookie.value);
    assert.ok(!said.includes(searchParams.get('state')), 'what it holds is encrypted');
  });
  await step('login', async () => {
    const { page } = reader;
    const asked = [];
    page.on('request', (request) => asked.push(request.url()));
    const landed = page.waitForResponse((answer) => answer.url().includes('/api/auth/discord/callback'));
    await choose(page, member.username);
    const answer = await landed;
    used = answer.url();
    token = /#token=([^&]+)$/.exec(await answer.headerValue('location'))[1];
    await live(page);
    assert.equal(page.url().includes('token'), false, 'the token is gone from the address');
    // Back and forward again: no entry of the history has it.
    const entries = await page.evaluate(() => history.length);
    for (let back = 1; back < entries; back += 1) {
      await page.goBack().catch(() => undefined);
      assert.equal(page.url().includes(token), false, page.url());
    }
    await page.goto(`${url}/`);
    await live(page);
    assert.deepEqual(asked.filter((one) => one.split('#')[0].includes(token)), [], 'no server was sent it in an address');
    assert.deepEqual(await cookies(reader), [], 'the cookie of the login is cleared');
    assert.equal(await page.evaluate(() => localStorage.getItem('discord-stream.token')), token);
  });
  await step('state', async () => {
    const { page } = await begin();
    await page.getByRole('link', { name: member.username }).evaluate((link) => {
      const to = new URL(link.href);
      to.searchParams.set('state', 'another');
      link.href = to.href;
    });
    await choose(page, member.username);
    await trouble(page, INVALID, 'invalid_state');
    await page.context().close();
  });
  await step('replay', async () => {
    // The same address again, where the login was: its cookie is gone.
    const again = await fetch(used, { redirect: 'manual' });
    assert.match(again.headers.get('location'), /\/login\?error=invalid_state$/);
    // And in a browser with a login of its own under way, whose state it is not.
    const second = await begin();
    await second.page.goto(used);
    await trouble(second.page, INVALID, 'invalid_state');
    // A code that was used, and one that was not but belongs to another login: neither is exchanged.
    const fresh = await begin();
    const code = new URL(await ledBack(fresh.page)).searchParams.get('code');
    for (const stolen of [new URL(used).searchParams.get('code'), code]) {
      const thief = await begin();
      const back = new URL(await ledBack(thief.page));
      back.searchParams.set('code', stolen);
      await thief.page.goto(back.href);
      await trouble(thief.page, FAILED, 'oauth_failed');
      await thief.page.context().close();
    }
    for (const { page } of [second, fresh]) await page.context().close();
  });
  await step('denied', async () => {
    const { page } = await begin();
    await choose(page, 'Deny');
    await trouble(page, FAILED, 'oauth_failed');
    await page.getByRole('link', { name: 'Log in with Discord' }).click();
    await choose(page, other.username);
    await live(page);
    await page.context().close();
  });
  await step('foreign', async () => {
    const { page } = await begin();
    const asked = new URL(page.url());
    const own = asked.searchParams.get('redirect_uri');
    const wrong = ['https://evil.example/api/auth/discord/callback', `${own}/more`, `${own}?x=1`, `${own}#x`, own.replace('http:', 'https:'), own.replace('127.0.0.1', '127.0.0.1.evil.example'), `${own.slice(0, -1)}`, ''];
    for (const uri of wrong) {
      asked.searchParams.set('redirect_uri', uri);
      const answer = await page.goto(asked.href);
      assert.equal(answer.status(), 400, uri);
      await page.getByRole('heading', { name: 'Invalid OAuth2 redirect_uri' }).waitFor();
      assert.equal(await page.getByRole('link').count(), 0, `${uri} leads nowhere`);
    }
    // Nor does a login lead to a site of somebody else afterwards.
    for (const to of ['https://evil.example/', '//evil.example/', `${url}.evil.example/`, `${url}@evil.example/`]) {
      await page.goto(`${url}/api/auth/discord/login?return_to=${encodeURIComponent(to)}`);
      await choose(page, other.username);
      await live(page);
      assert.equal(new URL(page.url()).origin, new URL(url).origin, to);
    }
    await page.context().close();
  });
  await step('refresh', async () => {
    const { page } = reader;
    const renewed = await page.evaluate(async (bearer) => {
      const answer = await fetch('/api/auth/refresh', { method: 'POST', headers: { authorization: `Bearer ${bearer}` } });
      return answer.json();
    }, token);
    assert.ok(renewed.token && renewed.token !== token, 'another token');
    // As another tab that has renewed it: the open page goes on with the new one.
    const tab = await page.context().newPage();
    await tab.goto(`${url}/`);
    await tab.evaluate((fresh) => localStorage.setItem('discord-stream.token', fresh), renewed.token);
    await tab.close();
    await live(page);
    token = renewed.token;
  });
  await step('logout', async () => {
    const { page } = reader;
    await page.reload();
    await live(page);
    const sockets = urls.map((one) => new Recorder(one, { token }));
    for (const socket of sockets) await socket.first('user_info');
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByText('You are logged out.').waitFor();
    for (const socket of sockets) await socket.first('disconnect', 'the sockets are closed on all instances', 2_000);
    assert.equal(await page.evaluate(() => localStorage.getItem('discord-stream.token')), null);
    for (const one of urls) {
      const refused = await fetch(`${one}/api/channels`, { headers: { authorization: `Bearer ${token}` } });
      assert.deepEqual([refused.status, (await refused.json()).code], [401, 'AUTH_REVOKED']);
    }
    await page.goto(`${url}/#token=${token}`);
    await page.getByText('Your session was ended. Please log in again.').waitFor();
  });
  console.log(JSON.stringify({ done }));
} finally {
  await browser.close();
}
process.exit(0);

async function step(what, run) {
  const told = await run().catch((error) => {
    throw new Error(`${what}: ${error.message}`, { cause: error });
  });
  done[what] = told ?? true;
}

/** A browser of its own, at the authorize page of a login that has begun. */
async function begin() {
  const context = await browser.newContext({ viewport: desk, locale: 'en-GB', timezoneId: 'UTC' });
  const page = await context.newPage();
  await page.goto(`${url}/`);
  await page.getByRole('link', { name: 'Log in with Discord' }).click();
  await page.waitForURL(`${sim}/oauth2/authorize?**`);
  return { page };
}

async function choose(page, who) {
  await page.getByRole('link', { name: who }).first().click();
}

/** Where Discord would send the browser, which is not gone there. */
async function ledBack(page) {
  const link = await page.getByRole('link', { name: member.username }).first().getAttribute('href');
  const answer = await fetch(new URL(link, sim), { redirect: 'manual' });
  assert.equal(answer.status, 302);
  return answer.headers.get('location');
}

async function cookies({ page }) {
  const all = await page.context().cookies(`${url}/api/auth/discord/callback`);
  return all.filter(({ name }) => name === COOKIE);
}

/** The login page says why there is no login, and nobody is logged in. */
async function trouble(page, text, error) {
  await page.getByRole('alert').getByText(text).waitFor();
  assert.equal(page.url(), `${url}/login?error=${error}`);
  assert.equal(await page.evaluate(() => localStorage.getItem('discord-stream.token')), null);
}
