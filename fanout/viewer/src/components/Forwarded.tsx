// A copy of a message from elsewhere; Discord tells neither its author nor its place.
import type { VNode } from 'preact';
import { Markdown } from '../markdown/Markdown';
import type { Forwarded } from '../protocol';
import { Attachments } from './Attachments';
import { Components } from './Components';
import { Embeds } from './Embeds';
import { Icon } from './Icon';
import { Stickers } from './Stickers';
import { EditedMark, Time } from './Time';

export function ForwardedMessage({ forwarded }: { forwarded: Forwarded }): VNode {
  const { content, mentions, timestamp } = forwarded;
  return (
    <div class="forwarded">
      <p class="forwarded-label">
        <Icon name="forward" />
        Forwarded
        {timestamp && <Time iso={timestamp} isElsewhere />}
      </p>
      {content && (
        <div class="text">
          <Markdown text={content} mentions={mentions} />
          {forwarded.edited && <EditedMark iso={forwarded.editedTimestamp} />}
        </div>
      )}
      <Attachments attachments={forwarded.attachments} />
      <Embeds embeds={forwarded.embeds} mentions={mentions} text={content} />
      <Components components={forwarded.components} mentions={mentions} />
      <Stickers stickers={forwarded.stickers} />
    </div>
  );
}
