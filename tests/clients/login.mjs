// Login with Discord's OAuth2, as a browser goes through it: redirects, cookies, and what must be refused.
import assert from 'node:assert/strict';
import { Recorder, settings } from './lib.mjs';

const { world, urls, channel } = settings;
const guild = world.guilds[0];
const first = urls[0];
const last = urls[urls.length - 1];
const member = guild.members.find((one) => !one.bot && one.id !== guild.owner_id);
const follow = (url, cookie, init = {}) => fetch(url, { redirect: 'manual', ...init, headers: { ...(cookie && { cookie }), ...init.headers } });

async function begin(url) {
  const answer = await follow(`${url}/api/auth/discord/login`);
  assert.equal(answer.status, 302);
  const to = new URL(answer.headers.get('location'));
  assert.equal(to.searchParams.get('response_type'), 'code');
  assert.deepEqual(to.searchParams.get('scope').split(' ').sort(), ['guilds', 'identify']);
  assert.equal(to.searchParams.get('code_challenge_method'), 'S256');
  const set = answer.headers.get('set-cookie');
  for (const attribute of ['HttpOnly', 'SameSite=Lax', 'Path=/api/auth', 'Max-Age=600']) assert.ok(set.includes(attribute), `${attribute}: ${set}`);
  return { to, cookie: set.split(';')[0] };
}

/** Chooses a member on the authorize page, as the form or link of that page says; where Discord sends the browser. */
async function choose(to, wanted) {
  const page = await (await fetch(to)).text();
  const option = [...page.matchAll(/<(?:a|button)[^>]*>/g)].map(([tag]) => tag).find((tag) => tag.includes(wanted));
  assert.ok(option, `the page offers ${wanted}: ${page.slice(0, 2_000)}`);
  const href = /href="([^"]+)"/.exec(option)?.[1]?.replaceAll('&amp;', '&');
  if (href) return new URL((await follow(new URL(href, to))).headers.get('location'));
  const form = [...page.matchAll(/<form[\s\S]*?<\/form>/g)].map(([text]) => text).find((text) => text.includes(option));
  const action = /action="([^"]*)"/.exec(form)?.[1]?.replaceAll('&amp;', '&') ?? '';
  const fields = new URLSearchParams();
  for (const [tag] of form.matchAll(/<input[^>]*>/g)) {
    const name = /name="([^"]*)"/.exec(tag)?.[1];
    if (name) fields.append(name, (/value="([^"]*)"/.exec(tag)?.[1] ?? '').replaceAll('&amp;', '&'));
  }
  const name = /name="([^"]*)"/.exec(option)?.[1];
  if (name) fields.append(name, /value="([^"]*)"/.exec(option)[1]);
  const target = new URL(action || to, to);
  const isGet = /method="?get/i.test(form);
  if (isGet) for (const [key, value] of fields) target.searchParams.append(key, value);
  const answer = await follow(target, undefined, isGet ? {} : { method: 'POST', body: fields });
  assert.ok([302, 303].includes(answer.status), `${answer.status} ${await answer.text()}`);
  return new URL(answer.headers.get('location'));
}

/** The redirect goes to where the login began, whatever address the settings name for it. */
const at = (url, back) => `${url}${back.pathname}${back.search}`;

const login = await begin(first);
const back = await choose(login.to, member.id);
assert.equal(back.pathname, '/api/auth/discord/callback');
const landed = await follow(at(last, back), login.cookie);
assert.equal(landed.status, 302);
const location = landed.headers.get('location');
const jwt = /#token=([^&]+)$/.exec(location)?.[1];
assert.ok(jwt, location);
assert.match(landed.headers.get('set-cookie'), /Max-Age=0|Expires=Thu, 01 Jan 1970/);
const viewer = new Recorder(first, { token: jwt });
await viewer.first('connect');
assert.equal((await viewer.first('user_info'))[1].id, member.id);
assert.equal((await viewer.ask('join_channel', { channelId: channel })).success, true);
const renewed = await (await fetch(`${last}/api/auth/refresh`, { method: 'POST', headers: { authorization: `Bearer ${jwt}` } })).json();
assert.deepEqual(await viewer.ask('refresh_token', { token: renewed.token }), { success: true });
viewer.close();

// Refused: a code that was used, a state that is another's, no cookie, a denied consent.
const replayed = await follow(at(first, back), login.cookie);
assert.match(replayed.headers.get('location'), /\/login\?error=(oauth_failed|invalid_state)$/);
const second = await begin(first);
const answer = await choose(second.to, member.id);
const foreign = new URL(answer);
foreign.searchParams.set('state', 'another');
for (const [url, cookie] of [[at(first, foreign), second.cookie], [at(first, answer), undefined], [at(first, answer), login.cookie]]) {
  assert.match((await follow(url, cookie)).headers.get('location'), /\/login\?error=invalid_state$/);
}
const third = await begin(last);
const denied = `${last}/api/auth/discord/callback?error=access_denied&state=${encodeURIComponent(third.to.searchParams.get('state'))}`;
assert.match((await follow(denied, third.cookie)).headers.get('location'), /\/login\?error=oauth_failed$/);
console.log(JSON.stringify({ user: member.id }));
process.exit(0);
