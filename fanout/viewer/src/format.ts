// Times, sizes and counts as a reader reads them, in the browser's language and zone.

type Options = Intl.DateTimeFormatOptions;

/** Discord's formats of `<t:…:f>`. */
const MOMENTS: Record<string, Options> = {
  t: { timeStyle: 'short' },
  T: { timeStyle: 'medium' },
  d: { dateStyle: 'short' },
  D: { dateStyle: 'long' },
  f: { dateStyle: 'long', timeStyle: 'short' },
  F: { dateStyle: 'full', timeStyle: 'short' },
  s: { dateStyle: 'short', timeStyle: 'short' },
  S: { dateStyle: 'short', timeStyle: 'medium' },
};

const formats = new Map<string, Intl.DateTimeFormat>();

export function formatMoment(date: Date, format: string): string {
  // The formatter throws at a date that is none.
  if (Number.isNaN(date.getTime())) return 'unknown time';
  const key = format in MOMENTS ? format : 'f';
  const known = formats.get(key) ?? new Intl.DateTimeFormat(undefined, MOMENTS[key]);
  formats.set(key, known);
  return known.format(date);
}

export const timeOf = (iso: string): string => formatMoment(new Date(iso), 't');
export const momentOf = (iso: string): string => formatMoment(new Date(iso), 'F');

/** One key a day in the reader's zone. */
export function dayKey(iso: string): string {
  return new Date(iso).toDateString();
}

export function dayName(iso: string, now: Date): string {
  const date = new Date(iso);
  const yesterday = new Date(now);
  yesterday.setDate(now.getDate() - 1);
  if (date.toDateString() === now.toDateString()) return 'Today';
  if (date.toDateString() === yesterday.toDateString()) return 'Yesterday';
  return new Intl.DateTimeFormat(undefined, { dateStyle: 'full' }).format(date);
}

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
];

export function formatRelative(date: Date, now: number): string {
  const seconds = Math.round((date.getTime() - now) / 1000);
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ['second', 1];
  return new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' }).format(Math.round(seconds / size), unit);
}

export function sizeOf(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB'];
  const step = bytes < 1 ? 0 : Math.min(3, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** step;
  return `${value < 10 && step > 0 ? value.toFixed(1) : Math.round(value)} ${units[step]}`;
}

/** Seconds as a player shows them. */
export function durationOf(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const pair = (number: number) => String(number).padStart(2, '0');
  const minutes = Math.floor(whole / 60);
  return minutes < 60
    ? `${minutes}:${pair(whole % 60)}`
    : `${Math.floor(minutes / 60)}:${pair(minutes % 60)}:${pair(whole % 60)}`;
}

/** The first letters of the first two words. */
export function initialsOf(name: string): string {
  const words = name
    .replace(/['’]s\b/g, '')
    .split(/[^\p{L}\p{N}]+/u)
    .filter(Boolean);
  const letters = words.slice(0, 2).map((word) => [...word][0] ?? '');
  return letters.join('').toUpperCase() || '?';
}

/** One of eight tones, the same for an id everywhere. */
export function toneOf(id: string): number {
  let sum = 7;
  for (const letter of id) sum = (sum * 31 + letter.charCodeAt(0)) % 65_521;
  return sum % 8;
}
