// Polls, stickers, forwarded messages and components, as readable text with their pictures.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { Markdown } from '../markdown/Markdown';
import { safeUrl } from '../markdown/parse';
import type { Mentions } from '../protocol';
import type { ComponentLine, Forwarded, Poll, Sticker } from '../state/extras';
import { Attachments } from './Attachments';
import { Embeds } from './Embeds';
import { Icon } from './Icon';

export function PollView({ poll }: { poll: Poll }): VNode {
  const total = poll.answers.reduce((sum, answer) => sum + (answer.votes ?? 0), 0);
  return (
    <div class="poll">
      <p class="poll-question">{poll.question}</p>
      <ul>
        {poll.answers.map((answer, at) => (
          <li key={at}>
            <span>
              {answer.emoji && <span class="emoji">{answer.emoji}</span>} {answer.text}
            </span>
            {answer.votes !== null && (
              <>
                <meter
                  min={0}
                  max={Math.max(total, 1)}
                  value={answer.votes}
                  aria-label={`Votes for ${answer.text}`}
                />
                <span class="poll-votes">{answer.votes}</span>
              </>
            )}
          </li>
        ))}
      </ul>
      <p class="poll-state">{poll.finished ? 'Poll ended' : 'Poll'}</p>
    </div>
  );
}

export function Stickers({ stickers }: { stickers: Sticker[] }): VNode | null {
  if (stickers.length === 0) return null;
  return (
    <div class="stickers">
      {stickers.map((sticker) => (
        <StickerView key={sticker.name} sticker={sticker} />
      ))}
    </div>
  );
}

function StickerView({ sticker }: { sticker: Sticker }): VNode {
  const [broken, setBroken] = useState(false);
  const source = safeUrl(sticker.url);
  if (!source || broken) return <span class="sticker-name">Sticker: {sticker.name}</span>;
  return (
    <img
      class="sticker"
      src={source}
      alt={`Sticker: ${sticker.name}`}
      loading="lazy"
      onError={() => setBroken(true)}
    />
  );
}

export function ForwardedMessage({ forwarded }: { forwarded: Forwarded }): VNode {
  return (
    <div class="forwarded">
      <p class="forwarded-label">
        <Icon name="forward" />
        Forwarded
      </p>
      {forwarded.content && <Markdown text={forwarded.content} />}
      <Attachments attachments={forwarded.attachments} />
      <Embeds embeds={forwarded.embeds} mentions={undefined} />
    </div>
  );
}

export function Components({
  lines,
  mentions,
}: {
  lines: ComponentLine[];
  mentions: Mentions | undefined;
}): VNode | null {
  if (lines.length === 0) return null;
  return (
    <div class="components">
      {lines.map((line, at) => (
        <Line key={at} line={line} mentions={mentions} />
      ))}
    </div>
  );
}

function Line({ line, mentions }: { line: ComponentLine; mentions: Mentions | undefined }): VNode {
  const href = safeUrl(line.url);
  if (line.kind === 'text') return <Markdown text={line.text} mentions={mentions} />;
  if (line.kind === 'media' && href) {
    return (
      <a class="picture" href={href} target="_blank" rel="noopener noreferrer">
        <img src={href} alt={line.text} loading="lazy" decoding="async" />
      </a>
    );
  }
  return (
    <span class="control">
      {href ? (
        <a href={href} target="_blank" rel="noopener noreferrer nofollow">
          {line.text}
        </a>
      ) : (
        line.text
      )}
    </span>
  );
}
