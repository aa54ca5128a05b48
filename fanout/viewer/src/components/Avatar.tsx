// A person's picture, or their initials in a tone of their own where there is none or it can't be loaded.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { initialsOf, toneOf } from '../format';
import { safeUrl } from '../markdown/parse';

interface Props {
  id: string;
  name: string;
  url: string | null;
  small?: boolean;
}

export function Avatar({ url, small = false, ...person }: Props): VNode {
  const [id, name] = [person.id ?? '', person.name ?? ''];
  const [broken, setBroken] = useState<string | null>(null);
  const source = safeUrl(url);
  return (
    <span class={`avatar tone-${toneOf(id)}${small ? ' small' : ''}`} aria-hidden="true">
      {initialsOf(name)}
      {source && broken !== source && (
        <img src={source} alt="" loading="lazy" decoding="async" onError={() => setBroken(source)} />
      )}
    </span>
  );
}
