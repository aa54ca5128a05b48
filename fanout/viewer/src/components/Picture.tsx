// A picture that leads somewhere. Where it can't be loaded the link stays, so that its place is never blank.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { safeUrl } from '../markdown/parse';
import { Icon } from './Icon';

interface Props {
  url: string;
  /** Of the image; the link around it has `-link` behind it. */
  kind: 'embed-image' | 'embed-thumbnail';
  /** What it shows, or what opening it does. */
  label: string;
  /** Where it leads, if not to itself. */
  target?: string | null | undefined;
  isVideo?: boolean;
}

export function Picture({ url, kind, label, target, isVideo = false }: Props): VNode | null {
  const [broken, setBroken] = useState<string | null>(null);
  const source = safeUrl(url);
  const href = safeUrl(target) ?? source;
  if (!href) return null;
  const isShown = source !== null && source !== broken;
  return (
    <a
      class={isShown ? `${kind}-link` : 'picture-name'}
      href={href}
      target="_blank"
      rel="noopener noreferrer nofollow"
    >
      {isShown ? (
        <img
          class={kind}
          src={source}
          alt={label}
          loading="lazy"
          decoding="async"
          onError={() => setBroken(source)}
        />
      ) : (
        label
      )}
      {isShown && isVideo && (
        <span class="play">
          <Icon name="play" />
        </span>
      )}
    </a>
  );
}

/** A small one beside a name; the name is enough where it can't be loaded. */
export function SmallPicture({ url }: { url: string | undefined }): VNode | null {
  const [broken, setBroken] = useState<string | null>(null);
  const source = safeUrl(url);
  if (!source || source === broken) return null;
  return (
    <img
      class="embed-icon"
      src={source}
      alt=""
      loading="lazy"
      decoding="async"
      onError={() => setBroken(source)}
    />
  );
}
