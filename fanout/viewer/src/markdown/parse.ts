// Discord's markdown to a tree: the parser's rules, with lists, bounded links, and a limit on what is parsed.
// The tree is data; `Markdown.tsx` alone decides what becomes of it.
import { rulesExtended, SimpleMarkdown } from 'discord-markdown-parser';
import { formatMoment } from '../format';

export interface Node {
  type: string;
  content?: string | Node[];
  [field: string]: unknown;
}

export interface ListItem {
  content: Node[];
  children: Node[];
}

/** Above any message (4,000 characters) and any embed (6,000): longer text is shown as it is. */
const LENGTH_MAX = 6_000;
/** Nesting beyond this is shown as text: deeper than anyone writes, shallow enough for any stack. */
const LIST_DEPTH_MAX = 10;

type State = { prevCapture?: RegExpExecArray | null; inLink?: boolean; listDepth?: number };
type Rule = (typeof rulesExtended)[string];

// The library's own link rule takes time in the square of its input and lets links nest.
const LINK =
  /^\[((?:\\.|[^[\]\\\n]|\[[^[\]\n]{0,200}\]){1,500})\]\(<?(https?:\/\/[^\s<>()]{1,1000}(?:\([^\s<>()]{0,200}\)[^\s<>()]{0,200})?)>?(?: +"[^"\n]{0,200}")?\)/i;

const link: Rule = {
  order: SimpleMarkdown.defaultRules.link.order,
  match: (source, state) => ((state as State).inLink ? null : LINK.exec(source)),
  parse: (capture, parse, state) => ({
    content: parse(capture[1] ?? '', { ...state, inLink: true }),
    target: capture[2],
  }),
};

function ruleOf(name: keyof typeof rulesExtended): Rule {
  const rule = rulesExtended[name];
  if (!rule) throw new Error(`the parser has no rule ${name}`);
  return rule;
}

/** A rule of the library under another condition or with another pattern. */
function amended(name: keyof typeof rulesExtended, match: Rule['match']): Rule {
  return { ...ruleOf(name), match };
}

// The library asks for the last group of the match before, which a quote does not end with a line break.
const heading = amended('heading', (source, state) =>
  isLineStart(state as State) ? /^(#{1,3}) +([^\n]+?)(\n|$)/.exec(source) : null,
);
const subtext = amended('subtext', (source, state) =>
  isLineStart(state as State) ? /^-# +([^\n]+?)(\n|$)/.exec(source) : null,
);
// Discord documents the formats s and S and the form `<id:customize>` since.
const timestamp = amended('timestamp', (source) => /^<t:(-?\d{1,14})(?::([RtTdDfFsS]))?>/.exec(source));
const guildNavigation = amended('guildNavigation', (source) =>
  /^<(id):(?:(customize|browse|guide)|(linked-roles)(:\d{17,20})?)>/.exec(source),
);

/** A label is not searched for addresses: a link within a link has no meaning. */
function outsideLinks(name: keyof typeof rulesExtended): Rule {
  const rule = ruleOf(name);
  return {
    ...rule,
    match: (source, state, before) => ((state as State).inLink ? null : rule.match(source, state, before)),
  };
}

function isLineStart({ prevCapture }: State): boolean {
  return !prevCapture || prevCapture[0].endsWith('\n');
}

const LIST = /^ {0,3}(?:[-*]|\d{1,9}\.) +[^\n]+(?:\n *(?:[-*]|\d{1,9}\.) +[^\n]+|\n {2,}[^\n]+)*(?:\n|$)/;
const ITEM = /^( *)([-*]|\d{1,9}\.) +(.*)$/;

const list: Rule = {
  order: SimpleMarkdown.defaultRules.heading.order - 0.4,
  match: (source, state) => {
    const { listDepth = 0 } = state as State;
    return isLineStart(state as State) && listDepth < LIST_DEPTH_MAX ? firstList(LIST.exec(source)) : null;
  },
  parse: (capture, parse, state) => {
    const depth = ((state as State).listDepth ?? 0) + 1;
    const within = (text: string) => parse(text, { ...state, prevCapture: null, listDepth: depth });
    const inline = (text: string) => parse(text, { ...state, listDepth: LIST_DEPTH_MAX });
    const { items, ordered, start } = itemsOf(capture[0] ?? '');
    return {
      ordered,
      start,
      items: items.map(({ text, below }) => ({
        content: inline(text),
        children: below ? within(below) : [],
      })),
    };
  },
};

/** The lines up to the first item at the first item's indent that has the other kind of mark. */
function firstList(capture: RegExpExecArray | null): RegExpExecArray | null {
  if (!capture) return null;
  const lines = capture[0].split('\n');
  const first = ITEM.exec(lines[0] ?? '');
  const indent = first?.[1]?.length ?? 0;
  const isNumbered = (mark: string | undefined) => /\d/.test(mark ?? '');
  const end = lines.findIndex((line) => {
    const item = ITEM.exec(line);
    return item && (item[1]?.length ?? 0) <= indent && isNumbered(item[2]) !== isNumbered(first?.[2]);
  });
  if (end > 0) capture[0] = `${lines.slice(0, end).join('\n')}\n`;
  return capture;
}

/** Lines indented further than the first belong to the item above them. */
function itemsOf(block: string) {
  const items: { text: string; below: string }[] = [];
  const lines = block.replace(/\n$/, '').split('\n');
  const first = ITEM.exec(lines[0] ?? '');
  const indent = first?.[1]?.length ?? 0;
  for (const line of lines) {
    const item = ITEM.exec(line);
    const last = items.at(-1);
    if (item && (item[1]?.length ?? 0) <= indent) items.push({ text: item[3] ?? '', below: '' });
    else if (last) last.below += (last.below ? '\n' : '') + line.slice(Math.min(indent + 2, leading(line)));
  }
  const mark = first?.[2] ?? '-';
  const ordered = /^\d/.test(mark);
  return { items, ordered, start: ordered ? Number.parseInt(mark, 10) : 1 };
}

function leading(line: string): number {
  return line.length - line.trimStart().length;
}

const parser = SimpleMarkdown.parserFor({
  ...rulesExtended,
  link,
  url: outsideLinks('url'),
  autolink: outsideLinks('autolink'),
  list,
  heading,
  subtext,
  timestamp,
  guildNavigation,
});

/** Within a link, if it is the label of one. */
export function parse(text: unknown, inLink = false): Node[] {
  if (typeof text !== 'string') return [];
  if (text.length > LENGTH_MAX) return [{ type: 'text', content: text }];
  try {
    return parser(text, { inline: true, inLink });
  } catch {
    // A rule that fails must not take the message with it.
    return [{ type: 'text', content: text }];
  }
}

/** At most this many emoji, and nothing else, are shown large, as in Discord. */
const JUMBO_MAX = 30;

export function isEmojiOnly(nodes: readonly Node[]): boolean {
  let count = 0;
  for (const node of nodes) {
    if (node.type === 'emoji' || node.type === 'twemoji') count += 1;
    else if (node.type === 'br' || (node.type === 'text' && String(node.content).trim() === '')) continue;
    else return false;
  }
  return count > 0 && count <= JUMBO_MAX;
}

/** The addresses that stand in spoilers. */
export function coveredUrls(text: unknown): Set<string | null> {
  const found = new Set<string | null>();
  if (typeof text === 'string' && text.includes('||')) addCovered(parse(text), false, found);
  return found;
}

function addCovered(content: Node['content'], isCovered: boolean, found: Set<string | null>): void {
  if (!Array.isArray(content)) return;
  for (const node of content) {
    const url = isCovered && safeUrl(node.target);
    if (url) found.add(url);
    addCovered(node.content, isCovered || node.type === 'spoiler', found);
  }
}

/** The words of a preview, without their marks: a spoiler stays covered, a mention shows that somebody is meant. */
export function plain(nodes: Node['content']): string {
  if (typeof nodes === 'string') return nodes;
  return (nodes ?? [])
    .map((node) => plainNode(node))
    .join('')
    .replace(/\s+/g, ' ');
}

function plainNode(node: Node): string {
  switch (node.type) {
    case 'spoiler':
      return '▇▇▇';
    case 'br':
      return ' ';
    case 'emoji':
      return `:${node.name}:`;
    case 'twemoji':
      return String(node.name);
    case 'user':
    case 'role':
      return '@…';
    case 'channel':
      return '#…';
    case 'everyone':
    case 'here':
      return `@${node.type}`;
    case 'slashCommand':
      return `/${node.fullName}`;
    case 'timestamp':
      return formatMoment(new Date(Number(node.timestamp) * 1000), 'f');
    case 'guildNavigation':
      return placeOf(node);
    case 'list':
      return ((node.items ?? []) as ListItem[])
        .map((item) => `${plain(item.content)} ${plain(item.children)}`)
        .join(' ');
    default:
      return plain(node.content);
  }
}

/** Places of a server that `<id:…>` leads to, as Discord names them. */
const PLACES: Record<string, string> = {
  customize: 'Channels & Roles',
  browse: 'Browse Channels',
  guide: 'Server Guide',
  'linked-roles': 'Linked Roles',
};

export function placeOf(node: Node): string {
  const place = String(node.navigation ?? node.id);
  return PLACES[place] ?? place;
}

/** An address that may become a link: http and https alone. */
export function safeUrl(url: unknown): string | null {
  if (typeof url !== 'string') return null;
  try {
    const parsed = new URL(url);
    return parsed.protocol === 'http:' || parsed.protocol === 'https:' ? parsed.href : null;
  } catch {
    return null;
  }
}
