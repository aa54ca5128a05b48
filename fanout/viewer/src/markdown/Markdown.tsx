// The tree of a message as elements. Text only ever becomes a text node; an address becomes a link or an image
// only if it is http(s). An unknown kind of node shows its text.
import type { ReadonlySignal } from '@preact/signals';
import { type ComponentChildren, createContext, type VNode } from 'preact';
import { useContext, useMemo, useState } from 'preact/hooks';
import { EmojiView, emojiLabel } from '../components/EmojiView';
import { Timestamp } from '../components/Timestamp';
import type { Id, Mentions } from '../protocol';
import { hashOfChannel } from '../route';
import { isEmojiOnly, type ListItem, type Node, parse, placeOf, safeUrl } from './parse';

/** Discord's images of custom emoji, by id. */
const EMOJI_HOST = 'https://cdn.discordapp.com/emojis';
const BLOCKS = new Set(['codeBlock', 'blockQuote', 'list', 'heading', 'subtext']);

interface Props {
  text: string;
  mentions?: Mentions | undefined;
  /** Whether a message of nothing but emoji shows them large. */
  jumbo?: boolean;
  /** It is the label of a link, in which no other link stands. */
  inLink?: boolean;
}

/** The names of the channels that this viewer sees: for mentions whose names the message does not carry. */
export const ChannelNames = createContext<ReadonlySignal<ReadonlyMap<Id, string>> | null>(null);

/** What the nodes of one text are drawn with. */
interface Scope {
  mentions: Mentions;
  inLink: boolean;
  /** Under a spoiler nothing is fetched. */
  isCovered: boolean;
}

export function Markdown({ text, mentions, jumbo = false, inLink = false }: Props): VNode {
  const nodes = useMemo(() => parse(text, inLink), [text, inLink]);
  const large = jumbo && isEmojiOnly(nodes);
  return (
    <div class={large ? 'markdown jumbo' : 'markdown'} dir="auto">
      {render(nodes, { mentions: mentions ?? {}, inLink, isCovered: false })}
    </div>
  );
}

function render(content: Node['content'] | unknown, scope: Scope): ComponentChildren {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return null;
  return content.map((node: Node, at) => {
    // The line break that ends a block is the block's own.
    const before: Node | undefined = content[at - 1];
    if (node.type === 'br' && before && BLOCKS.has(before.type)) return null;
    return element(node, scope);
  });
}

function element(node: Node, scope: Scope): ComponentChildren {
  const inner = () => render(node.content, scope);
  switch (node.type) {
    case 'strong':
      return <strong>{inner()}</strong>;
    case 'em':
      return <em>{inner()}</em>;
    case 'underline':
      return <u>{inner()}</u>;
    case 'strikethrough':
      return <s>{inner()}</s>;
    case 'inlineCode':
      return <code>{inner()}</code>;
    case 'br':
    case 'newline':
      return <br />;
    case 'spoiler':
      return (
        <Spoiler covered={render(node.content, { ...scope, isCovered: true })} isLinked={scope.inLink}>
          {inner()}
        </Spoiler>
      );
    case 'url':
    case 'autolink':
    case 'link':
      return <Link target={node.target}>{inner()}</Link>;
    default:
      return BLOCKS.has(node.type) ? block(node, scope) : discord(node, scope);
  }
}

function block(node: Node, scope: Scope): ComponentChildren {
  const inner = () => render(node.content, scope);
  switch (node.type) {
    case 'codeBlock':
      return <CodeBlock language={String(node.lang ?? '')} text={String(node.content ?? '')} />;
    case 'blockQuote':
      return <blockquote>{inner()}</blockquote>;
    case 'list':
      return <List node={node} scope={scope} />;
    case 'heading':
      // The page has headings of its own: within a message they are lines of a size.
      return (
        <div class={`heading heading-${node.level === 1 || node.level === 2 ? node.level : 3}`}>
          {inner()}
        </div>
      );
    default:
      return <div class="subtext">{inner()}</div>;
  }
}

function discord(node: Node, scope: Scope): ComponentChildren {
  const id = String(node.id ?? '');
  const { mentions, inLink, isCovered } = scope;
  switch (node.type) {
    case 'user':
      return <span class="mention">@{mentions.users?.[id] ?? 'unknown user'}</span>;
    case 'role':
      return <span class="mention">@{mentions.roles?.[id] ?? 'unknown role'}</span>;
    case 'channel':
      return <ChannelMention id={id} name={mentions.channels?.[id]} inLink={inLink} />;
    case 'everyone':
    case 'here':
      return <span class="mention">@{node.type}</span>;
    case 'emoji':
      return isCovered ? emojiLabel(String(node.name)) : <CustomEmoji id={id} node={node} />;
    case 'twemoji':
      return <span class="emoji">{String(node.name)}</span>;
    case 'timestamp':
      return <Timestamp seconds={Number(node.timestamp)} format={String(node.format ?? 'f')} />;
    case 'slashCommand':
      return <span class="mention">/{String(node.fullName)}</span>;
    case 'guildNavigation':
      return <span class="mention">{placeOf(node)}</span>;
    default:
      return render(node.content, scope);
  }
}

function Link({ target, children }: { target: unknown; children: ComponentChildren }): VNode {
  const href = safeUrl(target);
  if (!href) return <span>{children}</span>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow" title={href}>
      {children}
    </a>
  );
}

function ChannelMention({ id, name, inLink }: { id: Id; name: string | undefined; inLink: boolean }): VNode {
  const own = useContext(ChannelNames)?.value.get(id);
  const shown = name ?? own;
  if (shown === undefined) return <span class="mention">#unknown channel</span>;
  if (inLink) return <span class="mention">#{shown}</span>;
  return (
    <a class="mention" href={hashOfChannel(id)}>
      #{shown}
    </a>
  );
}

function CustomEmoji({ id, node }: { id: Id; node: Node }): VNode {
  const name = String(node.name);
  if (!/^\d{1,20}$/.test(id)) return <span class="emoji-name">{emojiLabel(name)}</span>;
  return <EmojiView emoji={{ name, url: `${EMOJI_HOST}/${id}.${node.animated === true ? 'gif' : 'png'}` }} />;
}

function List({ node, scope }: { node: Node; scope: Scope }): VNode {
  const items = (Array.isArray(node.items) ? node.items : []) as ListItem[];
  const body = items.map((item) => (
    <li>
      {render(item.content, scope)}
      {render(item.children, scope)}
    </li>
  ));
  return node.ordered ? <ol start={Number(node.start)}>{body}</ol> : <ul>{body}</ul>;
}

function CodeBlock({ language, text }: { language: string; text: string }): VNode {
  // A box that scrolls must be reachable by keyboard, and what can be focused needs a name.
  return (
    <section
      class="code"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: see above
      tabIndex={0}
      data-language={language || undefined}
      aria-label={`Code ${language}`.trim()}
    >
      <pre>
        <code>{text}</code>
      </pre>
    </section>
  );
}

interface SpoilerProps {
  /** What takes its place until it is opened. */
  covered: ComponentChildren;
  children: ComponentChildren;
  /** A click on it would follow a link: it stays hidden. */
  isLinked: boolean;
}

/** Hidden until asked for; hidden from screen readers and from selection too. */
function Spoiler({ covered, children, isLinked }: SpoilerProps): VNode {
  const [open, setOpen] = useState(false);
  if (isLinked) return <span>▇▇▇</span>;
  if (open) return <span class="spoiler open">{children}</span>;
  const reveal = (event: Event) => {
    event.preventDefault();
    setOpen(true);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Enter' || event.key === ' ') reveal(event);
  };
  return (
    // biome-ignore lint/a11y/useSemanticElements: a button element can't break across lines
    <span
      role="button"
      tabIndex={0}
      class="spoiler"
      aria-label="Spoiler, show"
      onClick={reveal}
      onKeyDown={onKeyDown}
    >
      <span class="spoiler-text" inert>
        {covered}
      </span>
    </span>
  );
}
