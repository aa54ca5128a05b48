// What its author hid: not even fetched before the reader opens it.
import type { ComponentChildren, VNode } from 'preact';
import { useState } from 'preact/hooks';
import { Icon } from './Icon';

interface Props {
  isSpoiler: boolean | undefined;
  /** What is hidden, as a reader is told: "the picture". */
  what: string;
  children: ComponentChildren;
}

export function Covered({ isSpoiler, what, children }: Props): VNode {
  const [open, setOpen] = useState(false);
  if (!isSpoiler || open) return <>{children}</>;
  return (
    <button type="button" class="covered" onClick={() => setOpen(true)}>
      <Icon name="eye" />
      Spoiler: show {what}
    </button>
  );
}
