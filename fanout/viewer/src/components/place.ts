// Where in the list the reader is: at the end, or at a message whose distance from the top edge is kept.
// The browser's own scroll anchoring is off: not every browser has it, and two of them fight.
import type { Id } from '../protocol';

export type Place = { atEnd: true } | { atEnd: false; marks: Mark[] };

interface Mark {
  id: Id;
  offset: number;
}

/** The first visible message and those after it, should it be deleted. */
const MARKS = 4;

/** Within this many pixels of the end the reader counts as being there: less than one line of text. */
const END_SLACK = 40;

export function isAtEnd(box: HTMLElement): boolean {
  return box.scrollHeight - box.scrollTop - box.clientHeight < END_SLACK;
}

/** The first message that is visible. Messages lie below one another: found by halving. */
export function anchorOf(box: HTMLElement): Place {
  const messages = box.querySelectorAll<HTMLElement>('[data-id]');
  const top = box.getBoundingClientRect().top;
  let low = 0;
  let high = messages.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    const bottom = messages[middle]?.getBoundingClientRect().bottom ?? 0;
    if (bottom > top) high = middle;
    else low = middle + 1;
  }
  const marks = [...messages].slice(low, low + MARKS).map((message) => ({
    id: message.dataset.id ?? '',
    offset: message.getBoundingClientRect().top - top,
  }));
  return marks.length > 0 ? { atEnd: false, marks } : { atEnd: true };
}

export function restore(box: HTMLElement, place: Place): void {
  if (place.atEnd) {
    box.scrollTop = box.scrollHeight;
    return;
  }
  const top = box.getBoundingClientRect().top;
  for (const { id, offset } of place.marks) {
    const message = box.querySelector<HTMLElement>(`[data-id="${id}"]`);
    if (!message) continue;
    const moved = message.getBoundingClientRect().top - top - offset;
    if (Math.abs(moved) >= 1) box.scrollTop += moved;
    return;
  }
}
