// Files of a message: pictures in a space reserved by their size, players for sound and video, everything else as
// a line with name and size. A spoiler is not even fetched before it is opened.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { sizeOf } from '../format';
import { safeUrl } from '../markdown/parse';
import { type Attachment, listOf } from '../protocol';
import { Covered } from './Covered';
import { Icon } from './Icon';
import { VoiceNote } from './VoiceNote';

/** The largest box (in CSS pixels) that one picture takes; the same numbers are in media.css. */
const WIDTH_MAX = 460;
const HEIGHT_MAX = 340;

export function Attachments({ attachments }: { attachments: Attachment[] | undefined }): VNode | null {
  const shown = listOf(attachments);
  if (shown.length === 0) return null;
  return (
    <div class="attachments">
      {shown.map((attachment) => (
        <AttachmentView key={attachment.id} attachment={attachment} kind={kindOf(attachment)} />
      ))}
    </div>
  );
}

export function AttachmentView({ attachment, kind }: { attachment: Attachment; kind: Kind }): VNode {
  return (
    <Covered isSpoiler={attachment.spoiler} what={KINDS[kind]}>
      <Opened attachment={attachment} kind={kind} />
    </Covered>
  );
}

function Opened({ attachment, kind }: { attachment: Attachment; kind: Kind }): VNode {
  const [broken, setBroken] = useState(false);
  const source = safeUrl(attachment.url);
  const label = attachment.description || nameOf(attachment);
  const onBroken = () => setBroken(true);
  if (!source || broken || kind === 'file') return <FileLine attachment={attachment} />;
  if (kind === 'voice') {
    const { duration, waveform } = attachment;
    return <VoiceNote source={source} duration={duration} waveform={waveform} onBroken={onBroken} />;
  }
  if (kind === 'video') {
    return (
      <video
        class="media"
        src={source}
        controls
        preload="metadata"
        {...sizeFor(attachment)}
        aria-label={label}
        onError={onBroken}
      />
    );
  }
  if (kind === 'audio') {
    return (
      <figure class="sound">
        <figcaption>{nameOf(attachment)}</figcaption>
        {/* biome-ignore lint/a11y/useMediaCaption: Discord has no captions for uploads */}
        <audio src={source} controls preload="none" aria-label={label} onError={onBroken} />
      </figure>
    );
  }
  return (
    <a class="picture" href={source} target="_blank" rel="noopener noreferrer">
      <img
        src={source}
        alt={label}
        title={attachment.description}
        {...sizeFor(attachment)}
        loading="lazy"
        decoding="async"
        onError={onBroken}
      />
    </a>
  );
}

function FileLine({ attachment }: { attachment: Attachment }): VNode {
  const source = safeUrl(attachment.url);
  const name = nameOf(attachment);
  return (
    <div class="file">
      <Icon name="file" />
      <span class="file-name" title={attachment.description ?? attachment.filename}>
        {source ? (
          <a href={source} target="_blank" rel="noopener noreferrer">
            {name}
          </a>
        ) : (
          name
        )}
      </span>
      {typeof attachment.size === 'number' && <span class="file-size">{sizeOf(attachment.size)}</span>}
    </div>
  );
}

function nameOf({ title, filename }: Attachment): string {
  return title || filename || 'attachment';
}

export type Kind = 'image' | 'video' | 'audio' | 'voice' | 'file';

const KINDS: Record<Kind, string> = {
  image: 'the picture',
  video: 'the video',
  audio: 'the sound',
  voice: 'the voice message',
  file: 'the file',
};

export function kindOf({ contentType, filename, waveform }: Attachment): Kind {
  const type = contentType?.split('/')[0];
  if (contentType?.startsWith('image/svg')) return 'file';
  if (type === 'audio' && waveform !== undefined) return 'voice';
  if (type === 'image' || type === 'video' || type === 'audio') return type;
  if (contentType) return 'file';
  const name = filename ?? '';
  if (/\.(png|jpe?g|gif|webp|avif)$/i.test(name)) return 'image';
  if (/\.(mp4|webm|mov)$/i.test(name)) return 'video';
  return /\.(mp3|ogg|opus|wav|m4a|flac)$/i.test(name) ? 'audio' : 'file';
}

/** The size on the page, known before a byte of the picture is: nothing jumps when it arrives. */
function sizeFor({ width, height }: Attachment): { width?: number; height?: number } {
  if (!width || !height) return {};
  const scale = Math.min(1, WIDTH_MAX / width, HEIGHT_MAX / height);
  return { width: Math.round(width * scale), height: Math.round(height * scale) };
}
