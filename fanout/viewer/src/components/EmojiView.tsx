// An emoji: a character, or a picture with its name where that can't be loaded.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { safeUrl } from '../markdown/parse';
import type { Emoji } from '../protocol';

export function EmojiView({ emoji }: { emoji: Emoji }): VNode {
  const [broken, setBroken] = useState(false);
  if (!emoji.url && !emoji.id) return <span class="emoji">{emoji.name}</span>;
  const label = emojiLabel(emoji.name);
  const source = safeUrl(emoji.url);
  if (!source || broken) return <span class="emoji-name">{label}</span>;
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

/** Discord forgets the names of deleted emoji. */
export function emojiLabel(name: string): string {
  return `:${name || 'emoji'}:`;
}
