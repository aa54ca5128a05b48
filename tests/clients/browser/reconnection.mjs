// The page's instance is killed while messages come: the page says so, is live again on another one, and shows what
// was said meanwhile, each once and in order. Whoever runs this kills the instance that the line `kill <n>` names.
import assert from 'node:assert/strict';
import { settings } from '../lib.mjs';

const RATE = 20;
/** So many that they still come when the page is back: eight seconds of them. */
const COUNT = 160;
/** Discord's first millisecond, which ids count from. */
const EPOCH_MS = 1_420_070_400_000n;

export async function reconnection(page, { channel, load, post, text }) {
  await remember(page);
  const talk = load(COUNT, RATE);
  await text(page, 'n=5;').waitFor();
  console.log(`kill ${await instanceOf()}`);
  await page.locator('[data-link=reconnecting]').waitFor();
  await page.locator('[data-link=live]').waitFor();
  await talk;
  const end = `all is said in ${channel.name}`;
  await post(0, end);
  await text(page, end).waitFor();
  const shown = await page.locator('[data-id]').evaluateAll((messages) => messages.map((each) => [each.dataset.id, each.querySelector('.markdown')?.textContent]));
  const talked = shown.filter(([, words]) => /^n=\d+;/.test(words));
  assert.deepEqual(talked.map(([, words]) => Number(/\d+/.exec(words)[0])), Array.from({ length: COUNT }, (_, at) => at + 1), 'each once, in order');
  const links = await page.evaluate(() => window.links);
  assert.deepEqual([links[0][0], links.at(-1)[0]], ['reconnecting', 'live']);
  const missed = talked.map(([id]) => Number((BigInt(id) >> 22n) + EPOCH_MS)).filter((at) => links[0][1] < at && at < links.at(-1)[1]);
  assert.ok(missed.length > 0, `something was said while the page was away: ${JSON.stringify(links)}`);
  return missed.length;
}

/** From now on the page notes what it says of its link, and when. */
function remember(page) {
  return page.evaluate(() => {
    window.links = [];
    const note = () => window.links.push([document.querySelector('[data-link]').dataset.link, Date.now()]);
    new MutationObserver(note).observe(document, { subtree: true, attributeFilter: ['data-link'] });
  });
}

/** The number of the instance that has the only open socket; others may not have noticed yet that theirs is gone. */
async function instanceOf() {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const counts = await Promise.all(settings.urls.map(async (url) => (await (await fetch(`${url}/api/health`)).json()).connections.discord));
    if (counts.reduce((sum, count) => sum + count) === 1) return counts.indexOf(1);
    assert.ok(Date.now() < deadline, `one socket is open: ${counts}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
