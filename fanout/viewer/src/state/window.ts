// The messages of one channel that the page holds: a window on its history, oldest first, each id once.
// Pure. A page from the server is the truth for the range it covers, so that merging one removes what was
// deleted meanwhile; deletes that were heard are remembered, so that a late page cannot bring them back.
import { compareIds, type Id, type Message, type Page, type Reaction } from '../protocol';

/** While the reader is at the end the window is cut back to the newest KEEP once it exceeds MAX. */
const FOLLOWING_MAX = 600;
const FOLLOWING_KEEP = 400;
/** A reader far up the history keeps this many; newer messages are then counted, not held. */
const AWAY_MAX = 3000;
/** Deletes remembered against late pages; a page is at most 100 messages, a resynchronisation ten pages. */
const GONE_MAX = 1000;

export interface MessageWindow {
  channelId: Id;
  messages: readonly Message[];
  /** Whether the server has messages older than the oldest held. */
  hasMore: boolean;
  cursor: Id | null;
  /** The reader is at the end and sees what arrives. */
  following: boolean;
  /** The newest message that the reader has seen while away from the end. */
  seen: Id | null;
  /** Messages that arrived but are not held (see AWAY_MAX). */
  skipped: number;
  /** After a reconnection: everything older than this id has yet to be confirmed by the server. */
  verifiedFrom: Id | null;
  gone: readonly Id[];
}

export function openWindow(page: Page): MessageWindow {
  return {
    channelId: page.channelId,
    messages: sorted(page.messages),
    hasMore: page.hasMore,
    cursor: page.nextCursor,
    following: true,
    seen: null,
    skipped: 0,
    verifiedFrom: null,
    gone: [],
  };
}

/** The page that ends where `before` begins; null is the newest page. */
export function mergePage(window: MessageWindow, page: Page, before: Id | null): MessageWindow {
  const gone = new Set(window.gone);
  const fresh = sorted(page.messages).filter((message) => !gone.has(message.id));
  const lower = lowerBound(page);
  const held = new Map(window.messages.map((message) => [message.id, message]));
  const older = lower === null ? [] : window.messages.filter((message) => compareIds(message.id, lower) < 0);
  const newer =
    before === null ? [] : window.messages.filter((message) => compareIds(message.id, before) >= 0);
  const messages = [...older, ...fresh.map((message) => later(held.get(message.id), message)), ...newer];
  const reachesOldest = older.length === 0;
  return {
    ...window,
    messages,
    hasMore: reachesOldest ? page.hasMore : window.hasMore,
    cursor: reachesOldest ? page.nextCursor : window.cursor,
    skipped: before === null ? 0 : window.skipped,
  };
}

/** The newest page after an interruption; what is older waits for `mergeVerified` or `dropUnverified`. */
export function resumeWindow(window: MessageWindow, page: Page): MessageWindow {
  const merged = mergePage(window, page, null);
  const lower = lowerBound(page);
  return { ...merged, verifiedFrom: lower !== null && lacksProof(merged, lower) ? lower : null };
}

export function mergeVerified(window: MessageWindow, page: Page, before: Id): MessageWindow {
  const merged = mergePage(window, page, before);
  const lower = lowerBound(page);
  return { ...merged, verifiedFrom: lower !== null && lacksProof(merged, lower) ? lower : null };
}

/** Gives up what could not be confirmed; scrolling up fetches it again. */
export function dropUnverified(window: MessageWindow): MessageWindow {
  const from = window.verifiedFrom;
  if (from === null) return window;
  const messages = window.messages.filter((message) => compareIds(message.id, from) >= 0);
  return { ...window, messages, hasMore: true, cursor: from, verifiedFrom: null };
}

export function addMessage(window: MessageWindow, message: Message): MessageWindow {
  if (window.gone.includes(message.id)) return window;
  if (window.messages.some((held) => held.id === message.id)) return updateMessage(window, message);
  if (window.skipped > 0 || (!window.following && window.messages.length >= AWAY_MAX)) {
    return { ...window, skipped: window.skipped + 1 };
  }
  const last = window.messages.at(-1);
  const messages =
    last && compareIds(last.id, message.id) > 0
      ? sorted([...window.messages, message])
      : [...window.messages, message];
  return trim({ ...window, messages });
}

export function updateMessage(window: MessageWindow, message: Message): MessageWindow {
  if (!window.messages.some((held) => held.id === message.id)) return window;
  return {
    ...window,
    messages: window.messages.map((held) => (held.id === message.id ? later(held, message) : held)),
  };
}

/** The text of a deleted message goes from the previews of its replies too. */
export function deleteMessage(window: MessageWindow, id: Id): MessageWindow {
  const messages = window.messages
    .filter((held) => held.id !== id)
    .map((held) =>
      held.reply?.messageId === id ? { ...held, reply: { ...held.reply, content: null } } : held,
    );
  return { ...window, messages, gone: [...window.gone, id].slice(-GONE_MAX) };
}

export function setReactions(window: MessageWindow, id: Id, reactions: Reaction[]): MessageWindow {
  return {
    ...window,
    messages: window.messages.map((held) => (held.id === id ? { ...held, reactions } : held)),
  };
}

/** The reader left the end (what comes now is new to them) or came back to it. */
export function setFollowing(window: MessageWindow, following: boolean): MessageWindow {
  if (following === window.following) return window;
  const seen = following ? null : (window.messages.at(-1)?.id ?? null);
  return trim({ ...window, following, seen });
}

/** How many messages arrived since the reader left the end. */
export function unseenCount(window: MessageWindow): number {
  const seen = window.seen;
  if (window.following) return 0;
  const held =
    seen === null
      ? window.messages.length
      : window.messages.filter((message) => compareIds(message.id, seen) > 0).length;
  return held + window.skipped;
}

function trim(window: MessageWindow): MessageWindow {
  if (!window.following || window.verifiedFrom !== null || window.messages.length <= FOLLOWING_MAX) {
    return window;
  }
  const messages = window.messages.slice(-FOLLOWING_KEEP);
  return { ...window, messages, hasMore: true, cursor: messages[0]?.id ?? window.cursor };
}

/** Of two states of one message the later edit stands. */
function later(held: Message | undefined, next: Message): Message {
  if (!held) return next;
  return (held.editedTimestamp ?? '') > (next.editedTimestamp ?? '') ? held : next;
}

function lacksProof(window: MessageWindow, from: Id): boolean {
  return window.messages.some((message) => compareIds(message.id, from) < 0);
}

function sorted(messages: readonly Message[]): Message[] {
  return [...messages].sort((a, b) => compareIds(a.id, b.id));
}

/** The oldest id that a page speaks for; null: the channel's beginning. */
function lowerBound(page: Page): Id | null {
  if (!page.hasMore) return null;
  return page.messages.length ? oldest(page.messages) : page.nextCursor;
}

function oldest(messages: readonly Message[]): Id {
  return messages.reduce(
    (low, message) => (compareIds(message.id, low) < 0 ? message.id : low),
    messages[0]?.id ?? '0',
  );
}
