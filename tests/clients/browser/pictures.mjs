// The README's pictures: a conversation is held in the simulated Discord, and the page is photographed on a desk
// and on a phone, light and dark. The same each time but for the hour and the colours of the evening.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { discord } from '../lib.mjs';
import { phone } from './chromium.mjs';

/** Tall enough for the whole conversation from the first answer on. */
const desk = { width: 1280, height: 1024 };

const SCENE = [
  { who: 0, content: 'Morning! The laser cutter is **free all day**, the big table is booked from `14:00` to `17:00`.' },
  { who: 1, content: 'Then I cut the hinges before lunch. Does anyone remember the settings for 4 mm birch?', as: 'question' },
  { who: 2, to: 'question', content: 'From last week, they worked well:\n```toml\n[birch.4mm]\npower  = 62   # percent\nspeed  = 18   # mm/s\npasses = 2\n```' },
  { who: 3, content: 'The view from the roof while the glue dries', attachments: [{ filename: 'roof.png', content_type: 'image/png', width: 640, height: 400, size: 214_300 }], reactions: { '😍': 4, '🔥': 2 } },
  { who: 4, content: 'Is the ladder back in its place?', as: 'ladder' },
  { who: 3, to: 'ladder', content: 'It is. ~~Nearly.~~', edit: 'It is. ~~Nearly.~~ It is *now*.' },
  { who: 5, content: '**Thursday** at the big table:\n- soup at 19:00, bring a bowl\n- repair café until late\n> who fixes the bench grinder chooses the soup', reactions: { '🥣': 5 } },
  { who: 0, content: 'I will be there. ||I already have a plan for the grinder.||' },
];

export async function pictures({ folder, guild, open }) {
  mkdirSync(folder, { recursive: true });
  const channel = guild.channels.find(({ name }) => name === 'general');
  await hold(channel, guild.members.filter(({ bot }) => !bot));
  for (const [name, viewport, colorScheme, pose] of [
    ['desk-light', desk, 'light'],
    ['desk-dark', desk, 'dark'],
    ['phone-light', phone, 'light'],
    ['phone-channels', phone, 'dark', (page) => page.getByRole('button', { name: 'Channels' }).click()],
  ]) {
    const page = await open(viewport, { colorScheme, deviceScaleFactor: 2, reducedMotion: 'reduce' });
    await page.evaluate((id) => { location.hash = `#/channel/${id}`; }, channel.id);
    await page.locator('.message', { hasText: 'I already have a plan' }).waitFor();
    await page.locator('.picture img').evaluate((image) => image.decode());
    await pose?.(page);
    await page.screenshot({ path: join(folder, `${name}.png`) });
    await page.context().close();
  }
}

async function hold(channel, people) {
  const said = new Map();
  for (const { who, as, to, edit, reactions = {}, ...draft } of SCENE) {
    const reference = to && { message_reference: { message_id: said.get(to) } };
    const { id } = await discord('POST', `/channels/${channel.id}/messages`, { ...draft, ...reference, author_id: people[who].id });
    if (as) said.set(as, id);
    if (edit) await discord('PATCH', `/channels/${channel.id}/messages/${id}`, { content: edit });
    for (const [emoji, count] of Object.entries(reactions)) {
      for (const { id: user } of people.slice(0, count)) {
        await discord('PUT', `/channels/${channel.id}/messages/${id}/reactions/${encodeURIComponent(emoji)}/${user}`);
      }
    }
  }
}
