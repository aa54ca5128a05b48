// Reactions with their counts; this page shows them and can't add any.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { safeUrl } from '../markdown/parse';
import type { Reaction } from '../protocol';

export function Reactions({ reactions }: { reactions: Reaction[] }): VNode | null {
  if (reactions.length === 0) return null;
  return (
    <ul class="reactions" aria-label="Reactions">
      {reactions.map((reaction) => (
        <li key={reaction.emoji} class="reaction">
          <Emoji reaction={reaction} />
          <span class="reaction-count">{reaction.count}</span>
        </li>
      ))}
    </ul>
  );
}

function Emoji({ reaction }: { reaction: Reaction }): VNode {
  const [broken, setBroken] = useState(false);
  const source = safeUrl(reaction.url);
  const label = reaction.url ? `:${reaction.emoji.split(':')[0]}:` : reaction.emoji;
  if (!source || broken) return <span class={reaction.url ? 'emoji-name' : 'emoji'}>{label}</span>;
  return <img src={source} alt={label} title={label} loading="lazy" onError={() => setBroken(true)} />;
}
