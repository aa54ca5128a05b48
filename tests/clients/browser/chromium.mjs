// Chromium as the tests drive it: Debian's, quiet, with no other machine to talk to, and a member's way in.
import { chromium } from 'playwright-core';

const flags = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

export const desk = { width: 1280, height: 800 };
export const phone = { width: 390, height: 844 };

export function launch(...more) {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: [...flags, ...more] });
}

/** Opens the page at this place of it, and goes through the authorize page as a member. */
export async function logIn(page, url, member) {
  await page.goto(url);
  await page.getByRole('link', { name: 'Log in with Discord' }).click();
  await page.getByText(member.username, { exact: true }).click();
  await live(page);
}

/** The page says that it is connected. */
export function live(page) {
  return page.locator('[data-link=live]').waitFor();
}
