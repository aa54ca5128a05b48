// Cards below a message: what a bot made or what a link leads to.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { Markdown } from '../markdown/Markdown';
import { safeUrl } from '../markdown/parse';
import type { Embed, Mentions } from '../protocol';

interface Props {
  embeds: Embed[];
  mentions: Mentions | undefined;
}

export function Embeds({ embeds, mentions }: Props): VNode | null {
  if (embeds.length === 0) return null;
  return (
    <>
      {embeds.map((embed, at) => (
        <Card key={at} embed={embed} mentions={mentions} />
      ))}
    </>
  );
}

function Card({ embed, mentions }: { embed: Embed; mentions: Mentions | undefined }): VNode | null {
  const { title, description, color, author, fields = [] } = embed;
  const isPictureOnly = !title && !description && !author && fields.length === 0;
  if (isPictureOnly) {
    const url = embed.image?.url ?? embed.thumbnail?.url;
    return url ? <Picture url={url} kind="embed-image" /> : null;
  }
  const href = safeUrl(embed.url);
  // Set through the style object, which a policy without inline styles allows.
  const bar =
    typeof color === 'number' ? { borderInlineStartColor: `#${color.toString(16).padStart(6, '0')}` } : {};
  return (
    <div class="embed" style={bar}>
      <div class="embed-words">
        {author?.name && <EmbedAuthor name={author.name} icon={author.iconUrl} />}
        {title && (
          <div class="embed-title">
            {href ? (
              <a href={href} target="_blank" rel="noopener noreferrer nofollow">
                {title}
              </a>
            ) : (
              <Markdown text={title} mentions={mentions} />
            )}
          </div>
        )}
        {description && <Markdown text={description} mentions={mentions} />}
        {fields.length > 0 && (
          <dl class="embed-fields">
            {fields.map((field, at) => (
              <div key={at} class={field.inline ? 'inline' : undefined}>
                <dt>{field.name}</dt>
                <dd>
                  <Markdown text={field.value} mentions={mentions} />
                </dd>
              </div>
            ))}
          </dl>
        )}
      </div>
      {embed.thumbnail?.url && <Picture url={embed.thumbnail.url} kind="embed-thumbnail" />}
      {embed.image?.url && <Picture url={embed.image.url} kind="embed-image" />}
    </div>
  );
}

function EmbedAuthor({ name, icon }: { name: string; icon: string | undefined }): VNode {
  return (
    <div class="embed-author">
      {icon && <Picture url={icon} kind="embed-icon" />}
      {name}
    </div>
  );
}

/** A picture without a told size: it gets a space of a fixed one, and goes if it can't be loaded. */
function Picture({ url, kind }: { url: string; kind: string }): VNode | null {
  const [broken, setBroken] = useState(false);
  const source = safeUrl(url);
  if (!source || broken) return null;
  const image = (
    <img class={kind} src={source} alt="" loading="lazy" decoding="async" onError={() => setBroken(true)} />
  );
  if (kind === 'embed-icon') return image;
  return (
    <a
      class={`${kind}-link`}
      href={source}
      target="_blank"
      rel="noopener noreferrer"
      aria-label="Open the picture"
    >
      {image}
    </a>
  );
}
