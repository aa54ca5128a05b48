// What the message list shows between and around messages: days, the mark of what is new, groups of one author.
import { compareIds, type Message } from '../protocol';
import type { MessageWindow } from './window';

/** Messages of one author within this time share a heading, as chat readers expect. */
const GROUP_MS = 7 * 60 * 1000;

export type Row =
  | { kind: 'day'; key: string; day: string }
  | { kind: 'new'; key: string }
  | { kind: 'message'; key: string; message: Message; head: boolean };

export function rowsOf(window: MessageWindow, dayOf: (timestamp: string) => string): Row[] {
  const rows: Row[] = [];
  let previous: Message | null = null;
  for (const message of window.messages) {
    const newDay = previous === null || dayOf(previous.timestamp) !== dayOf(message.timestamp);
    if (newDay) rows.push({ kind: 'day', key: `day-${message.id}`, day: message.timestamp });
    const firstNew = previous !== null && isFirstUnseen(window, previous, message);
    if (firstNew) rows.push({ kind: 'new', key: 'new' });
    const head = newDay || firstNew || previous === null || startsGroup(previous, message);
    rows.push({ kind: 'message', key: message.id, message, head });
    previous = message;
  }
  return rows;
}

function isFirstUnseen({ seen }: MessageWindow, previous: Message, message: Message): boolean {
  return seen !== null && compareIds(previous.id, seen) <= 0 && compareIds(message.id, seen) > 0;
}

function startsGroup(previous: Message, message: Message): boolean {
  if (message.reply || isNotice(message) || isNotice(previous)) return true;
  // The heading carries these marks.
  if (message.pinned || message.crosspost) return true;
  if (previous.author.id !== message.author.id) return true;
  if (previous.author.displayName !== message.author.displayName) return true;
  return Date.parse(message.timestamp) - Date.parse(previous.timestamp) > GROUP_MS;
}

/** Discord's types of messages that have the server's own words; any other, also one that is not known yet, is a person's. */
const NOTICES = new Set([
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 17, 18, 21, 22, 24, 25, 26, 27, 28, 29, 30, 31, 32, 36,
  37, 38, 39, 44, 46,
]);

/** A line of the server's own: a join, a pin, a thread's start. */
export function isNotice(message: Message): boolean {
  return NOTICES.has(message.type ?? 0);
}
