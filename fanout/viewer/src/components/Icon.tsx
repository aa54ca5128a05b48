// Line icons, drawn here: one stroke, one size, the colour of the text.
import type { VNode } from 'preact';

const PATHS = {
  text: 'M9 4 7 20M17 4l-2 16M4 9h17M3 15h17',
  announcement: 'M4 10v4h4l8 4V6l-8 4zM19 9.5a4 4 0 0 1 0 5',
  thread: 'M4 6h16M4 12h10M10 18h10',
  forum: 'M4 5h16v11H10l-4 3.5V16H4z',
  voice: 'M4 10v4h3l5 4V6L7 10zM16 9a4 4 0 0 1 0 6M18.5 6.5a8 8 0 0 1 0 11',
  menu: 'M4 7h16M4 12h16M4 17h16',
  close: 'M6 6l12 12M18 6 6 18',
  down: 'M12 5v14M6 13l6 6 6-6',
  eye: 'M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 14.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z',
  file: 'M7 3h7l5 5v13H7zM14 3v5h5',
  reply: 'M4 19v-5a4 4 0 0 1 4-4h12M15 5l5 5-5 5',
  forward: 'M20 19v-5a4 4 0 0 0-4-4H4M9 5l-5 5 5 5',
  out: 'M9 5H5v14h14v-4M13 5h6v6M19 5l-9 9',
  play: 'M8 5v14l11-7z',
  pin: 'M9 4h6l-1 6 3 3H7l3-3zM12 13v7',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M18.7 5.3l-1.4 1.4M6.7 17.3l-1.4 1.4',
  moon: 'M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z',
  auto: 'M12 3.5a8.5 8.5 0 1 0 0 17zM12 3.5a8.5 8.5 0 0 1 0 17',
  logout: 'M14 4H5v16h9M10 12h11M17.5 8.5 21 12l-3.5 3.5',
  warn: 'M12 4 2.5 20h19zM12 10v4.5M12 17.2v.3',
  arrow: 'M5 12h14M13 6l6 6-6 6',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }): VNode {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
