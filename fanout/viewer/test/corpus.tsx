// The messages of the corpus that the services are tested with, as the server sends them, and what is drawn of one.
import { renderToString } from 'preact-render-to-string';
import { MessageItem } from '../src/components/MessageItem';
import type { Message } from '../src/protocol';

interface Entry {
  name: string;
  /** None where nothing is shown of a frame. */
  message?: Message;
}

const files = import.meta.glob<Entry[]>('../../../tests/corpus/messages/*.json', {
  eager: true,
  import: 'default',
});

export interface Case {
  name: string;
  message: Message;
}

/** All that are shown, by file and name. */
export const corpus: Case[] = Object.entries(files).flatMap(([path, entries]) => {
  const file = path.replace(/^.*\/|\.json$/g, '');
  return entries.flatMap(({ name, message }) => (message ? [{ name: `${file}: ${name}`, message }] : []));
});

export function named(name: string): Message {
  const found = corpus.find((each) => each.name === name);
  if (!found) throw new Error(`the corpus has no message ${name}`);
  return found.message;
}

export function html(message: Message): string {
  const onJump = () => undefined;
  return renderToString(<MessageItem message={message} head onJump={onJump} />);
}

/** What a reader sees: the text, and the words of pictures and players. */
export function wordsOf(markup: string): string {
  const spoken = [...markup.matchAll(/\b(?:alt|aria-label|title)="([^"]*)"/g)].map(([, words]) => words);
  return decoded(`${textOf(markup)} ${spoken.join(' ')}`);
}

export function textOf(markup: string): string {
  return decoded(markup.replace(/<[^>]*>/g, ' ')).replace(/\s+/g, ' ');
}

function decoded(text: string): string {
  return text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&');
}
