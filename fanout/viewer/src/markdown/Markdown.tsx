// The tree of a message as elements. Text only ever becomes a text node; an address becomes a link or an image
// only if it is http(s). An unknown kind of node shows its text.
import type { ComponentChildren, VNode } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { Timestamp } from '../components/Timestamp';
import type { Mentions } from '../protocol';
import { hashOfChannel } from '../route';
import { isEmojiOnly, type ListItem, type Node, parse, safeUrl } from './parse';

/** Discord's images of custom emoji, by id. */
const EMOJI_HOST = 'https://cdn.discordapp.com/emojis';
const BLOCKS = new Set(['codeBlock', 'blockQuote', 'list', 'heading', 'subtext']);

interface Props {
  text: string;
  mentions?: Mentions | undefined;
  /** Whether a message of nothing but emoji shows them large. */
  jumbo?: boolean;
}

export function Markdown({ text, mentions, jumbo = false }: Props): VNode {
  const nodes = useMemo(() => parse(text), [text]);
  const large = jumbo && isEmojiOnly(nodes);
  return (
    <div class={large ? 'markdown jumbo' : 'markdown'} dir="auto">
      {render(nodes, mentions ?? {})}
    </div>
  );
}

function render(content: Node['content'] | unknown, mentions: Mentions): ComponentChildren {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return null;
  return content.map((node: Node, at) => {
    // The line break that ends a block is the block's own.
    const before: Node | undefined = content[at - 1];
    if (node.type === 'br' && before && BLOCKS.has(before.type)) return null;
    return element(node, mentions);
  });
}

function element(node: Node, mentions: Mentions): ComponentChildren {
  const inner = () => render(node.content, mentions);
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
      return <Spoiler>{inner()}</Spoiler>;
    case 'url':
    case 'autolink':
    case 'link':
      return <Link target={node.target}>{inner()}</Link>;
    default:
      return BLOCKS.has(node.type) ? block(node, mentions) : discord(node, mentions);
  }
}

function block(node: Node, mentions: Mentions): ComponentChildren {
  const inner = () => render(node.content, mentions);
  switch (node.type) {
    case 'codeBlock':
      return <CodeBlock language={String(node.lang ?? '')} text={String(node.content ?? '')} />;
    case 'blockQuote':
      return <blockquote>{inner()}</blockquote>;
    case 'list':
      return <List node={node} mentions={mentions} />;
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

function discord(node: Node, mentions: Mentions): ComponentChildren {
  const id = String(node.id ?? '');
  switch (node.type) {
    case 'user':
      return <span class="mention">@{mentions.users?.[id] ?? 'unknown user'}</span>;
    case 'role':
      return <span class="mention">@{mentions.roles?.[id] ?? 'unknown role'}</span>;
    case 'channel':
      return <ChannelMention id={id} name={mentions.channels?.[id]} />;
    case 'everyone':
    case 'here':
      return <span class="mention">@{node.type}</span>;
    case 'emoji':
      return <CustomEmoji id={id} name={String(node.name)} animated={node.animated === true} />;
    case 'twemoji':
      return <span class="emoji">{String(node.name)}</span>;
    case 'timestamp':
      return <Timestamp seconds={Number(node.timestamp)} format={String(node.format ?? 'f')} />;
    case 'slashCommand':
      return <span class="mention">/{String(node.fullName)}</span>;
    case 'guildNavigation':
      return <span class="mention">{String(node.navigation ?? node.id)}</span>;
    default:
      return render(node.content, mentions);
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

function ChannelMention({ id, name }: { id: string; name: string | undefined }): VNode {
  if (name === undefined) return <span class="mention">#unknown channel</span>;
  return (
    <a class="mention" href={hashOfChannel(id)}>
      #{name}
    </a>
  );
}

function CustomEmoji({ id, name, animated }: { id: string; name: string; animated: boolean }): VNode {
  const [broken, setBroken] = useState(false);
  const label = `:${name}:`;
  if (broken || !/^\d{1,20}$/.test(id)) return <span class="emoji-name">{label}</span>;
  const source = `${EMOJI_HOST}/${id}.${animated ? 'gif' : 'png'}`;
  return (
    <img
      class="custom-emoji"
      src={source}
      alt={label}
      title={label}
      loading="lazy"
      onError={() => setBroken(true)}
    />
  );
}

function List({ node, mentions }: { node: Node; mentions: Mentions }): VNode {
  const items = (Array.isArray(node.items) ? node.items : []) as ListItem[];
  const body = items.map((item) => (
    <li>
      {render(item.content, mentions)}
      {render(item.children, mentions)}
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

/** Hidden until asked for; hidden from screen readers and from selection too. */
function Spoiler({ children }: { children: ComponentChildren }): VNode {
  const [open, setOpen] = useState(false);
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
        {children}
      </span>
    </span>
  );
}
