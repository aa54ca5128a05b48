// Reactions with their counts; this page shows them and can't add any.
import type { VNode } from 'preact';
import { type Emoji, listOf, type Reaction } from '../protocol';
import { EmojiView } from './EmojiView';

export function Reactions({ reactions }: { reactions: Reaction[] }): VNode | null {
  const shown = listOf(reactions);
  if (shown.length === 0) return null;
  return (
    <ul class="reactions" aria-label="Reactions">
      {shown.map((reaction) => (
        <li key={reaction.emoji} class="reaction">
          <EmojiView emoji={emojiOf(reaction)} />
          <span class="reaction-count">{reaction.count}</span>
        </li>
      ))}
    </ul>
  );
}

/** One of a server's own is written `name:id`. */
function emojiOf({ emoji, url }: Reaction): Emoji {
  return url ? { name: emoji?.split(':')[0] ?? '', url } : { name: emoji };
}
