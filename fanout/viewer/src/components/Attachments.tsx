// Files of a message: pictures in a space reserved by their size, players for sound and video, everything else as
// a line with name and size. A spoiler is not even fetched before it is opened.
import type { ComponentChildren, VNode } from 'preact';
import { useState } from 'preact/hooks';
import { sizeOf } from '../format';
import { safeUrl } from '../markdown/parse';
import type { Attachment } from '../protocol';
import { Icon } from './Icon';

/** The largest box (in CSS pixels) that one picture takes; the same numbers are in media.css. */
const WIDTH_MAX = 460;
const HEIGHT_MAX = 340;

export function Attachments({ attachments }: { attachments: Attachment[] }): VNode | null {
  if (attachments.length === 0) return null;
  return (
    <div class="attachments">
      {attachments.map((attachment) => (
        <Covered key={attachment.id} attachment={attachment}>
          <File attachment={attachment} />
        </Covered>
      ))}
    </div>
  );
}

function Covered({ attachment, children }: { attachment: Attachment; children: ComponentChildren }): VNode {
  const [open, setOpen] = useState(false);
  const isSpoiler = attachment.spoiler === true || attachment.filename.startsWith('SPOILER_');
  if (!isSpoiler || open) return <>{children}</>;
  return (
    <button type="button" class="covered" onClick={() => setOpen(true)}>
      <Icon name="eye" />
      Spoiler: show {kindOf(attachment) === 'file' ? 'the file' : `the ${kindOf(attachment)}`}
    </button>
  );
}

function File({ attachment }: { attachment: Attachment }): VNode {
  const [broken, setBroken] = useState(false);
  const source = safeUrl(attachment.url);
  const kind = source && !broken ? kindOf(attachment) : 'file';
  if (!source || kind === 'file') return <FileLine attachment={attachment} source={source} />;
  const label = attachment.filename;
  if (kind === 'video') {
    return (
      <video
        class="media"
        src={source}
        controls
        preload="metadata"
        {...sizeFor(attachment)}
        aria-label={label}
        onError={() => setBroken(true)}
      />
    );
  }
  if (kind === 'audio') {
    return (
      <figure class="sound">
        <figcaption>{label}</figcaption>
        {/* biome-ignore lint/a11y/useMediaCaption: Discord has no captions for uploads */}
        <audio src={source} controls preload="none" aria-label={label} onError={() => setBroken(true)} />
      </figure>
    );
  }
  return (
    <a class="picture" href={source} target="_blank" rel="noopener noreferrer">
      <img
        src={source}
        alt={label}
        {...sizeFor(attachment)}
        loading="lazy"
        decoding="async"
        onError={() => setBroken(true)}
      />
    </a>
  );
}

function FileLine({ attachment, source }: { attachment: Attachment; source: string | null }): VNode {
  return (
    <div class="file">
      <Icon name="file" />
      <span class="file-name">
        {source ? (
          <a href={source} target="_blank" rel="noopener noreferrer">
            {attachment.filename}
          </a>
        ) : (
          attachment.filename
        )}
      </span>
      <span class="file-size">{sizeOf(attachment.size)}</span>
    </div>
  );
}

type Kind = 'image' | 'video' | 'audio' | 'file';

function kindOf({ contentType, filename }: Attachment): Kind {
  const type = contentType?.split('/')[0];
  if (contentType === 'image/svg+xml') return 'file';
  if (type === 'image' || type === 'video' || type === 'audio') return type;
  if (contentType) return 'file';
  if (/\.(png|jpe?g|gif|webp|avif)$/i.test(filename)) return 'image';
  if (/\.(mp4|webm|mov)$/i.test(filename)) return 'video';
  return /\.(mp3|ogg|opus|wav|m4a|flac)$/i.test(filename) ? 'audio' : 'file';
}

/** The size on the page, known before a byte of the picture is: nothing jumps when it arrives. */
function sizeFor({ width, height }: Attachment): { width?: number; height?: number } {
  if (!width || !height) return {};
  const scale = Math.min(1, WIDTH_MAX / width, HEIGHT_MAX / height);
  return { width: Math.round(width * scale), height: Math.round(height * scale) };
}
