// A moment that a message names (`<t:…:R>`): in the reader's zone and language, relative ones kept current.
import { signal } from '@preact/signals';
import type { VNode } from 'preact';
import { formatMoment, formatRelative } from '../format';

/** Half a minute: the finest that a relative time is read with. */
export const now = signal(Date.now());
setInterval(() => {
  now.value = Date.now();
}, 30_000);

export function Timestamp({ seconds, format }: { seconds: number; format: string }): VNode {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return <span>invalid date</span>;
  const text = format === 'R' ? formatRelative(date, now.value) : formatMoment(date, format);
  return (
    <time class="moment" dateTime={date.toISOString()} title={formatMoment(date, 'F')}>
      {text}
    </time>
  );
}
