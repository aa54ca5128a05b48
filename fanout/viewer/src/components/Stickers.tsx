// Stickers: as pictures, and by name those whose format is none.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { safeUrl } from '../markdown/parse';
import { listOf, type Sticker } from '../protocol';

export function Stickers({ stickers }: { stickers: Sticker[] | undefined }): VNode | null {
  const shown = listOf(stickers);
  if (shown.length === 0) return null;
  return (
    <div class="stickers">
      {shown.map((sticker) => (
        <StickerView key={sticker.id} sticker={sticker} />
      ))}
    </div>
  );
}

function StickerView({ sticker }: { sticker: Sticker }): VNode {
  const [broken, setBroken] = useState(false);
  const source = safeUrl(sticker.url);
  const label = `Sticker: ${sticker.name || 'unnamed'}`;
  if (!source || broken) return <span class="sticker-name">{label}</span>;
  return (
    <img
      class="sticker"
      src={source}
      alt={label}
      title={sticker.name}
      loading="lazy"
      onError={() => setBroken(true)}
    />
  );
}
