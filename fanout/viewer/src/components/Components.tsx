// Components: what they show, and not what they would do in Discord. Only a link does something here.
import type { VNode } from 'preact';
import { Markdown } from '../markdown/Markdown';
import { safeUrl } from '../markdown/parse';
import {
  type Attachment,
  type ComponentGroup,
  type ComponentMedia,
  listOf,
  type Mentions,
  type MessageComponent,
} from '../protocol';
import { AttachmentView, type Kind, kindOf } from './Attachments';
import { Covered } from './Covered';
import { barOf } from './colour';
import { EmojiView } from './EmojiView';
import { Icon } from './Icon';

interface Props {
  components: MessageComponent[] | undefined;
  mentions: Mentions | undefined;
}

export function Components({ components, mentions }: Props): VNode | null {
  const shown = listOf(components);
  if (shown.length === 0) return null;
  return (
    <div class="components">
      <Each components={shown} mentions={mentions} />
    </div>
  );
}

function Each({ components, mentions }: Props): VNode {
  return (
    <>
      {listOf(components).map((component, at) => (
        <One key={at} component={component} mentions={mentions} />
      ))}
    </>
  );
}

interface OneProps {
  component: MessageComponent;
  mentions: Mentions | undefined;
}

function One({ component, mentions }: OneProps): VNode | null {
  switch (component.type) {
    case 'text':
      return <Markdown text={component.content} mentions={mentions} />;
    case 'media':
    case 'file':
      return <Media media={component} isFile={component.type === 'file'} />;
    case 'button':
      return <Button button={component} />;
    case 'select':
      return <Select select={component} />;
    case 'separator':
      return component.divider ? <hr class="separator" /> : <div class="separator-space" />;
    case 'row':
      return (
        <div class="component-row">
          <Each components={component.components} mentions={mentions} />
        </div>
      );
    case 'gallery':
      return (
        <div class="gallery">
          <Each components={component.components} mentions={mentions} />
        </div>
      );
    case 'section':
      return <Section section={component} mentions={mentions} />;
    case 'container':
      return <Container container={component} mentions={mentions} />;
    default:
      return <Unknown component={component} />;
  }
}

/** Texts beside what accompanies them. */
function Section({ section, mentions }: { section: ComponentGroup; mentions: Mentions | undefined }): VNode {
  const parts = listOf(section.components);
  const isText = ({ type }: MessageComponent) => type === 'text';
  return (
    <div class="section">
      <div class="section-words">
        <Each components={parts.filter(isText)} mentions={mentions} />
      </div>
      <div class="accessory">
        <Each components={parts.filter((part) => !isText(part))} mentions={mentions} />
      </div>
    </div>
  );
}

function Container({
  container,
  mentions,
}: {
  container: ComponentGroup;
  mentions: Mentions | undefined;
}): VNode {
  return (
    <Covered isSpoiler={container.spoiler} what="what is inside">
      <div class="container" style={barOf(container.accentColor)}>
        <Each components={container.components} mentions={mentions} />
      </div>
    </Covered>
  );
}

function Media({ media, isFile }: { media: ComponentMedia; isFile: boolean }): VNode {
  const attachment: Attachment = { ...media, id: media.url, filename: media.name || lastPart(media.url) };
  return <AttachmentView attachment={attachment} kind={isFile ? 'file' : mediaKind(attachment)} />;
}

/** What stands in a gallery is a picture or a video, whatever its address looks like. */
function mediaKind(attachment: Attachment): Kind {
  const kind = kindOf(attachment);
  return kind === 'file' && !attachment.contentType ? 'image' : kind;
}

function lastPart(url: string): string {
  const source = safeUrl(url);
  return source ? new URL(source).pathname.split('/').filter(Boolean).at(-1) || 'picture' : 'picture';
}

function Button({ button }: { button: Extract<MessageComponent, { type: 'button' }> }): VNode {
  const { label, emoji, url, disabled } = button;
  const href = disabled ? null : safeUrl(url);
  const words = (
    <>
      {emoji && <EmojiView emoji={emoji} />}
      {/* One that only shows an emoji is named by it. */}
      {emoji?.name !== label && <span>{label || 'Button'}</span>}
    </>
  );
  if (!href) {
    return (
      <span class="control idle" title="Buttons work in Discord alone">
        {words}
      </span>
    );
  }
  return (
    <a class="control" href={href} target="_blank" rel="noopener noreferrer nofollow" title={href}>
      {words}
      <Icon name="out" />
    </a>
  );
}

function Select({ select }: { select: Extract<MessageComponent, { type: 'select' }> }): VNode {
  const placeholder = select.placeholder || 'Make a selection';
  const options = Array.isArray(select.options) ? select.options : [];
  if (options.length === 0) return <span class="control idle select">{placeholder}</span>;
  return (
    <details class="select">
      <summary class="control">{placeholder}</summary>
      <ul>
        {options.map((option, at) => (
          <li key={at}>{option}</li>
        ))}
      </ul>
    </details>
  );
}

/** One that a newer server knows says in `content` what it is. */
function Unknown({ component }: { component: { type?: unknown; content?: unknown } }): VNode {
  const { content, type } = component;
  const kind = typeof type === 'string' ? `: ${type}` : '';
  const words = typeof content === 'string' ? content : '';
  return <p class="placeholder">{words || `[A component that can't be shown${kind}]`}</p>;
}
