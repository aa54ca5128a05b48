// Who types in Discord now. One line of constant height, so that nothing moves.
import { useComputed } from '@preact/signals';
import type { VNode } from 'preact';
import type { Typist } from '../state/store';
import type { Viewer } from '../viewer';

export function Typing({ viewer }: { viewer: Viewer }): VNode {
  const typing = useComputed(() => viewer.state.value.typing).value;
  return (
    <div class="typing">
      {typing.length > 0 && (
        <>
          <span class="typing-dots" aria-hidden="true">
            <i />
            <i />
            <i />
          </span>
          <span>{typingText(typing)}</span>
        </>
      )}
    </div>
  );
}

export function typingText(typing: readonly Typist[]): string {
  const [first, second] = typing.map((typist) => typist.name);
  if (typing.length === 1) return `${first} is typing…`;
  if (typing.length === 2) return `${first} and ${second} are typing…`;
  return `${typing.length} people are typing…`;
}
