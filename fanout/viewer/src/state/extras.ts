// Stickers, polls, forwarded messages and components: objects that follow Discord's own, whose fields this page
// does not take for granted. What it can't read it leaves out; it never fails.
import type { Attachment, Embed, Message } from '../protocol';

type Fields = Record<string, unknown>;

const fields = (value: unknown): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
const many = (value: unknown): Fields[] => (Array.isArray(value) ? value.map(fields) : []);
const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const textOf = (value: unknown): string =>
  text(value) || text(fields(value).text) || text(fields(value).name);

export interface Sticker {
  name: string;
  url: string | null;
}

export function stickersOf(message: Message): Sticker[] {
  return many(message.stickers).map((sticker) => ({
    name: text(sticker.name) || 'Sticker',
    url: text(sticker.url) || null,
  }));
}

export interface Poll {
  question: string;
  answers: { text: string; emoji: string; votes: number | null }[];
  finished: boolean;
}

export function pollOf(message: Message): Poll | null {
  const poll = fields(message.poll);
  const question = textOf(poll.question);
  if (!question) return null;
  const results = fields(poll.results);
  const counts = new Map(many(results.answer_counts).map((count) => [count.id, count.count]));
  const answers = many(poll.answers).map((answer) => {
    const media = { ...answer, ...fields(answer.poll_media ?? answer.media) };
    const votes = answer.votes ?? answer.count ?? counts.get(answer.answer_id ?? answer.id);
    return {
      text: textOf(media.text) || textOf(media.answer),
      emoji: textOf(media.emoji),
      votes: typeof votes === 'number' ? votes : null,
    };
  });
  const finished = (results.is_finalized ?? poll.finalized ?? poll.isFinalized) === true;
  return { question, answers, finished };
}

export interface Forwarded {
  content: string;
  attachments: Attachment[];
  embeds: Embed[];
}

export function forwardedOf(message: Message): Forwarded | null {
  if (!message.forwarded) return null;
  const snapshot = fields(Array.isArray(message.forwarded) ? message.forwarded[0] : message.forwarded);
  const inner = 'message' in snapshot ? fields(snapshot.message) : snapshot;
  return {
    content: text(inner.content),
    attachments: many(inner.attachments).map(attachmentOf),
    embeds: many(inner.embeds) as Embed[],
  };
}

export function attachmentOf(value: Fields): Attachment {
  const number = (field: unknown) => (typeof field === 'number' ? field : null);
  return {
    id: text(value.id),
    filename: text(value.filename) || 'file',
    url: text(value.url),
    proxyUrl: text(value.proxyUrl) || text(value.proxy_url) || null,
    size: number(value.size) ?? 0,
    contentType: text(value.contentType) || text(value.content_type) || null,
    width: number(value.width),
    height: number(value.height),
  };
}

/** Components as lines: their text, the labels of buttons, the options of menus, the addresses of media. */
export interface ComponentLine {
  kind: 'text' | 'control' | 'media';
  text: string;
  url: string | null;
}

/** Discord allows 40 components and little nesting; what exceeds this is not Discord's. */
const DEPTH_MAX = 6;

export function componentsOf(value: unknown, depth = 0): ComponentLine[] {
  if (depth > DEPTH_MAX) return [];
  if (typeof value === 'string') return value ? [{ kind: 'text', text: value, url: null }] : [];
  const list = Array.isArray(value) ? value : [value];
  return list.flatMap((entry) =>
    typeof entry === 'string' ? componentsOf(entry, depth + 1) : lines(fields(entry), depth),
  );
}

function lines(component: Fields, depth: number): ComponentLine[] {
  const found: ComponentLine[] = [];
  const content = text(component.content) || text(component.text);
  if (content) found.push({ kind: 'text', text: content, url: null });
  const label = text(component.label) || text(component.placeholder);
  if (label) found.push({ kind: 'control', text: label, url: text(component.url) || null });
  const media = fields(component.media ?? component.file);
  const url = text(media.url) || (label || content ? '' : text(component.url));
  if (url) found.push({ kind: 'media', text: text(component.description) || url, url });
  for (const key of ['components', 'items', 'accessory', 'media'] as const) {
    if (Array.isArray(component[key]) || key === 'accessory')
      found.push(...componentsOf(component[key] ?? [], depth + 1));
  }
  return found;
}

/** What a message of the server's own says, by Discord's number of its type. */
export function systemText(message: Message): string | null {
  const name = message.author.displayName;
  const words: Record<number, string> = {
    1: `${name} added someone to the conversation.`,
    2: `${name} removed someone from the conversation.`,
    4: `${name} changed the channel name.`,
    5: `${name} changed the channel icon.`,
    6: `${name} pinned a message to this channel.`,
    7: `${name} joined the server.`,
    8: `${name} boosted the server.`,
    9: `${name} boosted the server, which reached level 1.`,
    10: `${name} boosted the server, which reached level 2.`,
    11: `${name} boosted the server, which reached level 3.`,
    12: `${name} follows another channel from here.`,
    18: `${name} started a thread.`,
    21: 'The message that this thread was started from.',
    24: 'Automatic moderation took an action.',
    25: `${name} joined as a subscriber.`,
    27: `${name} started a stage.`,
    28: `${name} ended the stage.`,
    29: `${name} is speaking on the stage.`,
    31: `${name} changed the stage's topic.`,
    46: 'A poll has ended.',
  };
  return words[message.type ?? 0] ?? null;
}
