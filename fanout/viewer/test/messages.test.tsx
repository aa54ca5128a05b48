// Every kind of message is shown, whole and never blank; nothing of one runs, and no spoiler is fetched.
import { signal } from '@preact/signals';
import { options } from 'preact';
import { renderToString } from 'preact-render-to-string';
import { describe, expect, it } from 'vitest';
import { Embeds } from '../src/components/Embeds';
import { ChannelNames, Markdown } from '../src/markdown/Markdown';
import { parse, plain } from '../src/markdown/parse';
import type { Embed, Message, MessageComponent, Poll } from '../src/protocol';
import { isNotice } from '../src/state/rows';
import { barsOf } from '../src/waveform';
import { corpus, html, named, textOf, wordsOf } from './corpus';
import { message } from './fixtures';

type Path = (string | number)[];

/** Every value below this one, with the way to it. */
function* values(value: unknown, path: Path = []): Generator<[Path, unknown]> {
  if (path.length > 0) yield [path, value];
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    yield* values(inner, [...path, Array.isArray(value) ? Number(key) : key]);
  }
}

/** A copy in which another value stands there; none where it is undefined. */
function changed(whole: Message, path: Path, value: unknown): Message {
  const copy = structuredClone(whole);
  // biome-ignore lint/suspicious/noExplicitAny: the way may lead anywhere
  let place: any = copy;
  for (const key of path.slice(0, -1)) place = place[key];
  const last = path.at(-1) ?? '';
  if (value === undefined) delete place[last];
  else place[last] = value;
  return copy;
}

/** As it is once every spoiler is open. */
function opened(whole: Message): Message {
  return JSON.parse(JSON.stringify(whole, (key, value) => (key === 'spoiler' ? undefined : value)));
}

/** Drawn as in a browser, where what fails is caught. */
function guarded(whole: Message): string {
  const settings = options as { errorBoundaries?: boolean };
  settings.errorBoundaries = true;
  try {
    return html(whole);
  } finally {
    settings.errorBoundaries = false;
  }
}

/** Fields that a reader reads. */
const READ = new Set(
  'content question text label placeholder options title name description question value displayName'.split(
    ' ',
  ),
);

describe('the corpus', () => {
  it('is there', () => expect(corpus.length).toBeGreaterThanOrEqual(100));

  it.each(corpus)('$name: something is shown, and nothing that is no text', ({ message }) => {
    const markup = html(message);
    const body = markup.slice(markup.indexOf('<div class="body">'));
    const heading = isNotice(message) ? '' : message.author.displayName;
    const shown = wordsOf(body.replace(/<time.*?<\/time>/g, ''))
      .replace(heading, '')
      .trim();
    expect(shown).not.toBe('');
    expect(markup).not.toMatch(/undefined|\[object|NaN|null/);
    expect(markup).not.toMatch(/(?:href|src)="(?!https:|#\/channel\/)/);
  });

  it.each(corpus)('$name: every word is shown', ({ message }) => {
    const whole = opened(message);
    const shown = wordsOf(html(whole));
    for (const [path, value] of values(whole)) {
      const key = path.findLast((each) => typeof each === 'string') ?? '';
      if (typeof value !== 'string' || !READ.has(String(key)) || path[0] === 'author') continue;
      if (path[0] === 'reply' && path[1] === 'author' && key === 'name') continue;
      const words = plain(parse(value)).match(/[\p{L}\p{N}]{2,}/gu) ?? [];
      for (const word of words) expect(shown, `${path.join('.')}: ${value}`).toContain(word);
    }
  });

  it.each(corpus)('$name: every label of what has no text is shown as it is', ({ message }) => {
    const whole = opened(message);
    const shown = textOf(html(whole));
    for (const [, value] of values(whole)) {
      if (typeof value === 'string' && /^\[.*\]$/.test(value)) expect(shown).toContain(value);
    }
  });

  // What every message has is taken for granted.
  const CORE = new Set(['id', 'author', 'timestamp']);
  it.each(corpus)('$name: a field that is missing breaks nothing', ({ message }) => {
    for (const [path] of values(message)) {
      if (CORE.has(String(path[0]))) continue;
      for (const absent of [undefined, null]) {
        const markup = html(changed(message, path, absent));
        expect(markup, `without ${path.join('.')}`).not.toMatch(/undefined|\[object|NaN|null/);
      }
    }
  });

  it.each(corpus)('$name: a field of another kind takes no more than its message', ({ message }) => {
    for (const [path] of values(message)) {
      if (CORE.has(String(path[0]))) continue;
      for (const odd of [7, 'x', [], {}, [null], [[[]]]]) {
        expect(wordsOf(guarded(changed(message, path, odd))).trim()).not.toBe('');
      }
    }
  });

  it.each(corpus)('$name: no address of another scheme is followed or fetched', ({ message }) => {
    for (const scheme of ['javascript:alert(1)', 'data:text/html,x', 'file:///x', 'blob:https://x/y']) {
      let hostile = message;
      for (const [path, value] of values(message)) {
        if (typeof value === 'string' && /^https?:/.test(value)) hostile = changed(hostile, path, scheme);
      }
      const markup = html(opened(hostile));
      expect(markup).not.toMatch(/(?:href|src|poster)="(?!https:|#\/channel\/)/);
      expect(wordsOf(markup).trim()).not.toBe('');
    }
  });

  it.each(corpus)('$name: hostile words stay words', ({ message }) => {
    let hostile = message;
    for (const [path, value] of values(message)) {
      const isWord = typeof value === 'string' && !/^https?:|^\d/.test(value) && path.at(-1) !== 'type';
      if (isWord) hostile = changed(hostile, path, '"><img src=x onerror=alert(1)><script>x</script>');
    }
    expect(html(opened(hostile))).not.toMatch(/<(script|iframe|img src=x)|<[^>"]*("[^"]*"[^>"]*)*\sonerror=/);
  });

  it.each(corpus)('$name: a spoiler is not fetched before it is opened', ({ message }) => {
    for (const [path, value] of values(message)) {
      if (path.at(-1) !== 'spoiler' || value !== true) continue;
      const above = path.slice(0, -1);
      const markup = html(message);
      expect(markup).toContain('Spoiler: show');
      for (const [inner, url] of values(message)) {
        const isInside = inner.length > above.length && above.every((key, at) => inner[at] === key);
        if (isInside && inner.at(-1) === 'url') expect(markup).not.toContain(String(url));
      }
    }
  });
});

describe('a message', () => {
  it('has its marks: edited by a person alone, pinned, made by a webhook, from a followed channel', () => {
    expect(html(message(1, { editedTimestamp: '2026-01-01T00:00:00.000Z' }))).not.toContain('edited');
    expect(html(named('text: an edited post'))).toContain('class="edited"');
    expect(html(named('text: a pin comes as an update that is no edit'))).toContain('title="Pinned"');
    expect(textOf(html(named('text: a post of a bot')))).toContain(' bot ');
    expect(textOf(html(named('text: a crosspost of another server')))).toMatch(/webhook +followed/);
  });

  it('is a notice in the types that have words of the server, and a person speaks in every other', () => {
    // 13, 33 to 35, 40 to 43 and 45 are none of Discord's, or none of a server's.
    const spoken = [0, 13, 19, 20, 23, 33, 34, 35, 40, 41, 42, 43, 45];
    for (let type = 0; type < 60; type += 1) {
      const shown = html(message(1, { type, content: 'what **happened**' }));
      expect(shown.includes('system-text')).toBe(type < 47 && !spoken.includes(type));
      expect(shown).toContain('what <strong>happened</strong>');
    }
  });

  it('quotes what it answers, or says that it is not known', () => {
    expect(html(named('replies: a reply to an attachment'))).toContain('[Attachment: cat.png]');
    expect(html(named('replies: a reply to a message that was deleted'))).toContain(
      'The original message was deleted or is not known',
    );
  });

  it('that a thread begins with shows the whole message from which the thread was started', () => {
    const shown = html(named('replies: the first message of a thread'));
    expect(shown).toMatch(/<blockquote class="starter">.*Bob.*the original.*<\/blockquote>/);
    expect(shown).not.toContain('reply-link');
    expect(html(named('replies: the first message of a thread whose original is gone'))).toContain(
      'deleted or is not known',
    );
  });
});

it('a part of another kind leaves the rest of its message', () => {
  const attachments = [{ id: '1', filename: 'x', url: '', contentType: 5 as unknown as string }];
  const shown = textOf(guarded(message(1, { content: 'words', attachments })));
  expect(shown).toMatch(/Ada .*words .*\[A part of this message that can't be shown\]/);
});

describe('polls', () => {
  const poll = (fields: Partial<Poll>) =>
    html(message(1, { poll: { question: 'Q', answers: [{ id: 1, text: 'A', votes: null }], ...fields } }));

  it('show no number where none is known', () => {
    expect(html(named('polls: an open poll of which no votes are known'))).not.toMatch(/poll-bar|poll-votes/);
    const counted = html(named('polls: a poll with its votes'));
    expect(counted.match(/class="poll-bar"/g)).toHaveLength(3);
    expect(textOf(counted)).toMatch(/Tea 4 votes .*Water 0 votes .*Poll ended/);
  });

  it('say until when', () => {
    const now = Date.now();
    expect(poll({ expiresAt: new Date(now + 3_600_000).toISOString() })).toContain('Ends <time');
    expect(poll({ expiresAt: new Date(now - 3_600_000).toISOString() })).toContain(
      'final votes are not known',
    );
    expect(poll({ expiresAt: null })).toContain('without an end');
    expect(poll({ finalized: true })).toContain('Poll ended');
    expect(poll({ multiselect: true })).toContain('Several answers');
  });

  it('show a character as it is and a custom emoji as its picture', () => {
    const shown = html(named('polls: an open poll of which no votes are known'));
    expect(shown).toContain('<span class="emoji">🍵</span>');
    expect(shown).toMatch(/src="https:\/\/cdn.discordapp.com\/emojis\/900000000000000061.png" alt=":cat:"/);
  });
});

it('stickers are pictures where their format is one, and names elsewhere', () => {
  const shown = html(named('stickers: stickers of each format'));
  expect(shown.match(/<img class="sticker"/g)).toHaveLength(3);
  expect(shown).toContain('<span class="sticker-name">Sticker: Three</span>');
});

it('a forward is labelled, dated, and marked where its original was edited', () => {
  const shown = html(named('forwards: a forward of an edited message with everything'));
  expect(shown).toMatch(/Forwarded<time class="time" dateTime="2026-07-01/i);
  for (const part of [
    'class="edited"',
    'dog.png',
    'class="embed"',
    'class="sticker"',
    'class="components"',
  ]) {
    expect(shown).toContain(part);
  }
  expect(html(named('forwards: a forward'))).toContain('<span class="mention">@Bob</span>');
});

describe('components', () => {
  const shown = (...components: MessageComponent[]) => html(message(1, { content: '', components }));

  it('a button is a link if it has an address, and nothing to press otherwise', () => {
    const row = html(named('components: buttons below a text'));
    expect(row.match(/<a class="control" href="https:\/\/example.org\/"/g)).toHaveLength(1);
    expect(row.match(/<span class="control idle"/g)).toHaveLength(3);
    expect(row.slice(row.indexOf('component-row'))).not.toMatch(/<button|tabindex/i);
    expect(row.match(/👍/gu)).toHaveLength(1);
    expect(shown({ type: 'button', label: 'No', url: 'https://x.example', disabled: true })).not.toContain(
      '<a ',
    );
  });

  it('a menu has its placeholder and its options', () => {
    const menus = html(named('components: menus of each kind'));
    expect(menus).toMatch(/<details.*Pick one.*<li>A<\/li><li>B<\/li>.*<\/details>/);
    expect(menus.match(/Make a selection/g)).toHaveLength(4);
  });

  it('a separator is a line or a space', () => {
    const both = html(named('components: a file and a separator'));
    expect(both).toMatch(/<hr class="separator".*<div class="separator-space"/);
    expect(both).toMatch(/f\.zip.*99 B/);
  });

  it('a container has its colour, and pictures their words', () => {
    const container = html(opened(named('components: a container of all of them')));
    expect(container).toMatch(/style="border-inline-start-color:\s*#00ff00/);
    expect(html(named('components: a gallery'))).toContain('alt="one"');
  });

  it('one of an unknown type shows what the server says of it', () => {
    const strange = { type: 'hologram', content: 'a boat, turning' } as unknown as MessageComponent;
    expect(shown(strange)).toContain('a boat, turning');
    expect(shown({ type: 'hologram' } as unknown as MessageComponent)).toContain('[A component that');
  });

  it('may be nested as deep as the wire allows', () => {
    let inner: MessageComponent = { type: 'text', content: 'bottom' };
    for (let depth = 0; depth < 100; depth += 1) inner = { type: 'container', components: [inner] };
    expect(shown(inner)).toContain('bottom');
  });
});

describe('embeds', () => {
  const shown = (embed: Embed, text = '') =>
    renderToString(<Embeds embeds={[embed]} mentions={undefined} text={text} />);

  it('a rich one has all its parts', () => {
    const rich = html(named('embeds: a rich embed'));
    expect(rich).toMatch(/border-inline-start-color:\s*#ff0000/);
    for (const icon of ['au.png', 'f.png', 't.png', 'i.png'])
      expect(rich).toContain(`https://example.org/${icon}`);
    expect(rich).toContain('<a class="embed-title" href="https://example.org/a"');
    expect(rich).toContain(
      '<strong>D</strong> <a class="mention" href="#/channel/900000000000000010">#general',
    );
    expect(rich).toMatch(/foot · <time dateTime="2026-07-01T00:00:00.000Z">July 1, 2026/i);
  });

  it('a film has its poster, which leads to it', () => {
    const film = html(named('embeds: the preview of a film'));
    expect(film).toMatch(
      /<a class="embed-image-link" href="https:\/\/example.org\/v".*src="https:\/\/example.org\/t.png"/,
    );
    expect(film).toContain('Tube');
  });

  it('one of an address alone shows it, and one of nothing says so', () => {
    expect(shown({ url: 'https://example.org/only' })).toContain('>https://example.org/only</a>');
    expect(shown({})).toContain("[An embed that can't be shown]");
    expect(shown({ thumbnail: { url: 'javascript:alert(1)' } })).toContain("[An embed that can't be shown]");
  });

  it('links do not nest in its title', () => {
    const title = shown({
      title: 'a https://b.example [c](https://d.example) **e**',
      url: 'https://x.example',
    });
    expect(title.match(/<a /g)).toHaveLength(1);
    expect(title).toContain('<strong>e</strong>');
  });

  it('of a hidden address is hidden too', () => {
    const embed = { title: 'The end', url: 'https://example.org/a' };
    expect(shown(embed, '||https://example.org/a||')).not.toContain('The end');
    expect(shown(embed, '||[x](https://example.org/a)||')).not.toContain('The end');
    expect(shown(embed, 'https://example.org/a ||x||')).toContain('The end');
  });
});

describe('attachments', () => {
  it('a picture has the words of its author', () => {
    expect(html(named('attachments: a picture'))).toContain('alt="a cat on a chair"');
    expect(html(named('attachments: a file whose name was made harmless'))).toMatch(
      />bücher &amp; mehr<\/a>/,
    );
  });

  it('a voice note has a player, its length and its loudness', () => {
    const note = html(named('attachments: a voice note'));
    expect(note).toMatch(/Voice message<span class="duration">0:03<\/span>.*<svg class="waveform".*<audio/);
    expect(barsOf('AAECAw==')).toEqual([0, 1 / 255, 2 / 255, 3 / 255]);
    expect(barsOf(btoa('\xff'.repeat(9000)))).toEqual(Array(48).fill(1));
    for (const odd of [undefined, null, 7, '', '%%%', 'a', 'é']) expect(barsOf(odd)).toEqual([]);
  });
});

describe('mentions', () => {
  const text = '<#900000000000000011>';

  it('name a channel from the message, from the viewer, or not at all', () => {
    const names = signal(new Map([['900000000000000011', 'mine']]));
    const named = renderToString(
      <ChannelNames.Provider value={names}>
        <Markdown text={text} />
      </ChannelNames.Provider>,
    );
    expect(named).toContain('href="#/channel/900000000000000011">#mine</a>');
    expect(renderToString(<Markdown text={text} />)).toContain(
      '<span class="mention">#unknown channel</span>',
    );
  });

  it('of every kind are words', () => {
    const shown = textOf(html(named('text: mentions of users, roles, channels, commands and times')));
    for (const word of ['@Bobby', '@Moderators', '#general', '#unknown channel', '/ping', 'Server Guide']) {
      expect(shown).toContain(word);
    }
    expect(shown).not.toMatch(/[<>]/);
  });

  it('in a spoiler fetch no emoji', () => {
    const hidden = renderToString(<Markdown text="||<:cat:900000000000000061>||" />);
    expect(hidden).toContain(':cat:');
    expect(hidden).not.toContain('<img');
  });
});
