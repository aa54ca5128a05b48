// Discord's markdown: what each form becomes, that nothing hostile becomes more than text, and that nothing hangs.
import { renderToString } from 'preact-render-to-string';
import { describe, expect, it } from 'vitest';
import { Markdown } from '../src/markdown/Markdown';
import { isEmojiOnly, parse, plain, safeUrl } from '../src/markdown/parse';

const id = '123456789012345678';
const mentions = { users: { [id]: 'Ada' }, roles: { [id]: 'Crew' }, channels: { [id]: 'general' } };
const html = (text: string) =>
  renderToString(<Markdown text={text} mentions={mentions} />).replace(
    /^<div class="markdown" dir="auto">(.*)<\/div>$/s,
    '$1',
  );

describe('forms', () => {
  it.each([
    ['**b** *i* _i_ __u__ ~~s~~', '<strong>b</strong> <em>i</em> <em>i</em> <u>u</u> <s>s</s>'],
    ['***both***', '<em><strong>both</strong></em>'],
    ['`a **b**`', '<code>a **b**</code>'],
    ['a\nb', 'a<br/>b'],
    [
      '# One\n### Three\nx',
      '<div class="heading heading-1">One</div><div class="heading heading-3">Three</div>x',
    ],
    ['> q\n-# small', '<blockquote>q<br/></blockquote><div class="subtext">small</div>'],
    ['- a\n- b\n  - c', '<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>'],
    ['3. a\n4. b\n- c', '<ol start="3"><li>a</li><li>b</li></ol><ul><li>c</li></ul>'],
    ['a - b * c', 'a - b * c'],
    [
      `<@${id}> <@!${id}> <@&${id}>`,
      ['Ada', 'Ada', 'Crew'].map((name) => `<span class="mention">@${name}</span>`).join(' '),
    ],
    [`<#${id}>`, `<a class="mention" href="#/channel/${id}">#general</a>`],
    ['<@999999999999999999>', '<span class="mention">@unknown user</span>'],
    ['@everyone', '<span class="mention">@everyone</span>'],
    ['\\*plain\\*', '*plain*'],
    ['snake_case_name', 'snake_case_name'],
    [
      '<id:guide> <id:customize>',
      '<span class="mention">Server Guide</span> <span class="mention">Channels &amp; Roles</span>',
    ],
  ])('%j', (text, expected) => {
    expect(html(text)).toBe(expected);
  });

  it('labels the language of a code block and keeps its text', () => {
    const block = html('```rust\nlet a = 1 < 2;\n```');
    expect(block).toContain('data-language="rust"');
    expect(block).toContain('<code>let a = 1 &lt; 2;</code>');
  });

  it('covers a spoiler until it is asked for', () => {
    expect(html('||secret||')).toMatch(/^<span role="button"[^>]*aria-label="Spoiler, show"/);
  });

  it.each([...'tTdDfFsSR'])('shows moments of the style %s', (style) => {
    expect(html(`<t:0:${style}>`)).toMatch(
      /^<time class="moment" datetime="1970-01-01T00:00:00.000Z"[^>]*>[^<]+<\/time>$/i,
    );
  });

  it('shows commands, and places of the server by their names', () => {
    expect(html(`</ping:${id}>`)).toBe('<span class="mention">/ping</span>');
    expect(html(`</poll create new:${id}>`)).toBe('<span class="mention">/poll create new</span>');
    expect(html(`<id:linked-roles:${id}> <id:browse>`)).toBe(
      '<span class="mention">Linked Roles</span> <span class="mention">Browse Channels</span>',
    );
  });

  it('reads a preview as words alone', () => {
    const text = `**b** ||x|| <@${id}> <#${id}> <:ab:${id}> </ping:${id}> @everyone\n- one\n- two`;
    expect(plain(parse(text))).toMatch(/^b ▇▇▇ @… #… :ab: \/ping @everyone one +two *$/);
  });

  it('shows moments in words', () => {
    expect(html('<t:0:D>')).toContain('January 1, 1970');
    expect(html('<t:99999999999999:R>')).toContain('invalid date');
  });

  it('shows custom emoji as pictures with their name', () => {
    expect(html(`<a:wave:${id}>`)).toContain(
      `src="https://cdn.discordapp.com/emojis/${id}.gif" alt=":wave:"`,
    );
  });

  it('knows a message of nothing but emoji', () => {
    expect(['😀', `🎉 <:ab:${id}>`, '👍🏽🇩🇪'].map((text) => isEmojiOnly(parse(text)))).toEqual([
      true,
      true,
      true,
    ]);
    expect(['', ' ', 'a 😀', '1'].map((text) => isEmojiOnly(parse(text)))).toEqual([
      false,
      false,
      false,
      false,
    ]);
  });
});

describe('links', () => {
  it('are opened without a hand on this page', () => {
    const link = html('[docs](https://example.org/a)');
    expect(link).toContain('href="https://example.org/a"');
    expect(link).toContain('target="_blank"');
    expect(link).toContain('noopener');
  });

  it.each([
    'https://example.org/x',
    '<https://example.org/x>',
    '[t](<https://example.org/x>)',
    '[t](https://example.org/x "title")',
  ])('%j is one', (text) => {
    expect(html(text)).toContain('href="https://example.org/x"');
  });

  it('do not nest', () => {
    const nested = html('[a [b](https://inner.example) c](https://outer.example)');
    expect(nested.match(/<a /g)).toHaveLength(1);
  });

  it.each([
    'javascript:alert(1)',
    'JaVaScRiPt:alert(1)',
    'java\tscript:alert(1)',
    ' javascript:alert(1)',
    'data:text/html,<script>alert(1)</script>',
    'vbscript:x',
    'file:///etc/passwd',
    '//example.org',
    '',
  ])('%j is no address', (url) => {
    expect(safeUrl(url)).toBeNull();
  });
});

describe('hostile text', () => {
  it.each([
    '<img src=x onerror=alert(1)>',
    '<script>alert(1)</script>',
    '"><svg onload=alert(1)>',
    '[click](javascript:alert(1))',
    '[click](JAVASCRIPT:alert(1))',
    '[x](data:text/html;base64,PHNjcmlwdD4=)',
    '[a](https://ok.example" onmouseover="alert(1))',
    '[<img src=x onerror=alert(1)>](https://ok.example)',
    '<javascript:alert(1)>',
    '`<img src=x onerror=alert(1)>`',
    '```html\n<img src=x onerror=alert(1)>\n```',
    '```"><img/src=x>\n<b>\n```',
    '||<img src=x onerror=alert(1)>||',
    `<:"onerror=alert(1)":${id}>`,
    '&lt;img src=x&gt; &#60;script&#62;',
  ])('%j becomes text', (text) => {
    const out = html(text);
    expect(out).not.toMatch(/<(img|script|svg|iframe|b)\b(?![^>]*class="custom-emoji")/i);
    expect(out).not.toMatch(/<[^>]*\son\w+=/i);
    expect(out).not.toMatch(/href="(?!https?:|#\/channel\/)/i);
  });

  const times = (piece: string, count: number) => piece.repeat(count);
  it.each([
    ['stars', times('*', 4000)],
    ['underscores', times('_', 4000)],
    ['open brackets', times('[', 4000)],
    ['half links', times('[a](', 1000)],
    ['half addresses', times('[a](b', 800)],
    ['half https links', times('[a](https://b', 300)],
    ['closed labels', times('[a]', 1300)],
    ['nested labels', `${times('[', 2000)}${times(']', 2000)}(https://x)`],
    ['quotes', times('> ', 2000)],
    ['nested lists', Array.from({ length: 80 }, (_, at) => `${times(' ', at)}- a`).join('\n')],
    ['list lines', times('- a\n', 1000)],
    ['mixed marks', times('- a\n1. b\n', 400)],
    ['spoilers', times('||a', 1300)],
    ['ticks', times('`a', 2000)],
    ['nesting', `${times('**__~~', 600)}x${times('~~__**', 600)}`],
    ['one word', times('a', 4000)],
    ['huge', times('**lorem** ', 100_000)],
  ])('%s of the greatest length take no more than moments and lose nothing', (_, text) => {
    const started = performance.now();
    const out = html(text);
    expect(performance.now() - started).toBeLessThan(3000);
    expect(out.length).toBeGreaterThan(0);
  });
});
