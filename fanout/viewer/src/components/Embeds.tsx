// Cards below a message: what a bot made or what a link leads to.
import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { formatMoment } from '../format';
import { Markdown } from '../markdown/Markdown';
import { coveredUrls, safeUrl } from '../markdown/parse';
import { type Embed, listOf, type Mentions } from '../protocol';
import { Covered } from './Covered';
import { barOf } from './colour';
import { Picture, SmallPicture } from './Picture';

interface Props {
  embeds: Embed[] | undefined;
  mentions: Mentions | undefined;
  /** The text above them: the preview of an address that it hides is hidden too. */
  text: string;
}

export function Embeds({ embeds, mentions, text }: Props): VNode | null {
  const shown = listOf(embeds);
  const hidden = useMemo(() => (shown.length > 0 ? coveredUrls(text) : new Set()), [text, shown.length > 0]);
  if (shown.length === 0) return null;
  return (
    <>
      {shown.map((embed, at) => (
        <Covered key={at} isSpoiler={hidden.has(safeUrl(embed.url))} what="the preview">
          <Card embed={embed} mentions={mentions} />
        </Covered>
      ))}
    </>
  );
}

interface CardProps {
  embed: Embed;
  mentions: Mentions | undefined;
}

function Card({ embed, mentions }: CardProps): VNode {
  const { title, description, author, provider, footer, timestamp } = embed;
  const fields = listOf(embed.fields);
  const hasWords = Boolean(
    title || description || author?.name || footer?.text || timestamp || fields.length,
  );
  const picture = !hasWords && firstPicture(embed);
  if (picture) return <Poster embed={embed} url={picture} kind="embed-image" />;
  return (
    <div class="embed" style={barOf(embed.color)}>
      <div class="embed-words">
        {provider?.name && <div class="embed-provider">{provider.name}</div>}
        {author?.name && (
          <div class="embed-author">
            <SmallPicture url={author.iconUrl} />
            {author.name}
          </div>
        )}
        {title && <Title title={title} href={safeUrl(embed.url)} mentions={mentions} />}
        {description && <Markdown text={description} mentions={mentions} />}
        {!hasWords && <Address embed={embed} />}
        <Fields fields={fields} mentions={mentions} />
      </div>
      <Pictures embed={embed} />
      {(footer?.text || timestamp) && (
        <div class="embed-footer">
          <SmallPicture url={footer?.iconUrl} />
          <span>
            {footer?.text}
            {footer?.text && timestamp && ' · '}
            {timestamp && <time dateTime={timestamp}>{formatMoment(new Date(timestamp), 'f')}</time>}
          </span>
        </div>
      )}
    </div>
  );
}

function Title({ title, href, mentions }: { title: string; href: string | null } & Omit<CardProps, 'embed'>) {
  if (!href) {
    return (
      <div class="embed-title">
        <Markdown text={title} mentions={mentions} />
      </div>
    );
  }
  return (
    <a class="embed-title" href={href} target="_blank" rel="noopener noreferrer nofollow">
      <Markdown text={title} mentions={mentions} inLink />
    </a>
  );
}

/** Where it leads, of an embed that says nothing else. */
function Address({ embed }: { embed: Embed }): VNode {
  const href = safeUrl(embed.url) ?? safeUrl(embed.video?.url);
  if (!href) return <p class="placeholder">[An embed that can't be shown]</p>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {href}
    </a>
  );
}

function Fields({ fields, mentions }: { fields: NonNullable<Embed['fields']> } & Omit<CardProps, 'embed'>) {
  if (fields.length === 0) return null;
  return (
    <dl class="embed-fields">
      {fields.map((field, at) => (
        <div key={at} class={field.inline ? 'inline' : undefined}>
          <dt>
            <Markdown text={field.name} mentions={mentions} />
          </dt>
          <dd>
            <Markdown text={field.value} mentions={mentions} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** A video's thumbnail is its poster; another one stands small beside the words. */
function Pictures({ embed }: { embed: Embed }): VNode {
  const { thumbnail, image, video } = embed;
  const isPoster = Boolean(video?.url) && !image?.url;
  return (
    <>
      {thumbnail?.url && (
        <Poster embed={embed} url={thumbnail.url} kind={isPoster ? 'embed-image' : 'embed-thumbnail'} />
      )}
      {image?.url && <Poster embed={embed} url={image.url} kind="embed-image" />}
      {video?.url && embed.title && !firstPicture(embed) && <VideoLink url={video.url} />}
    </>
  );
}

function Poster({
  embed,
  url,
  kind,
}: {
  embed: Embed;
  url: string;
  kind: 'embed-image' | 'embed-thumbnail';
}) {
  const isVideo = kind === 'embed-image' && Boolean(embed.video?.url);
  const target = isVideo ? (safeUrl(embed.url) ?? embed.video?.url) : url;
  const action = isVideo ? 'Open the video' : 'Open the picture';
  const label = embed.provider?.name ? `${action} (${embed.provider.name})` : action;
  return <Picture url={url} kind={kind} label={label} target={target} isVideo={isVideo} />;
}

function VideoLink({ url }: { url: string }): VNode | null {
  const href = safeUrl(url);
  if (!href) return null;
  return (
    <a class="picture-name" href={href} target="_blank" rel="noopener noreferrer nofollow">
      Open the video
    </a>
  );
}

function firstPicture({ image, thumbnail }: Embed): string | null {
  return safeUrl(image?.url) ?? safeUrl(thumbnail?.url);
}
