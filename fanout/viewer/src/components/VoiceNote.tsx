// A voice note: its loudness over time as a picture, its length, and a player.
import type { VNode } from 'preact';
import { durationOf } from '../format';
import { barsOf } from '../waveform';

/** Of one bar and the gap behind it, in the picture's own units. */
const STEP = 4;
const HEIGHT = 28;
/** Silence is a dot. */
const BAR_MIN = 2;

interface Props {
  source: string;
  duration: number | undefined;
  waveform: string | undefined;
  onBroken: () => void;
}

export function VoiceNote({ source, duration, waveform, onBroken }: Props): VNode {
  const length = typeof duration === 'number' ? durationOf(duration) : null;
  return (
    <figure class="sound voice-note">
      <figcaption>
        Voice message
        {length && <span class="duration">{length}</span>}
      </figcaption>
      <Waveform bars={barsOf(waveform)} />
      {/* biome-ignore lint/a11y/useMediaCaption: Discord has no captions for uploads */}
      <audio src={source} controls preload="none" aria-label="Voice message" onError={onBroken} />
    </figure>
  );
}

function Waveform({ bars }: { bars: number[] }): VNode | null {
  if (bars.length === 0) return null;
  const strokes = bars.map((bar, at) => {
    const half = Math.max(BAR_MIN, bar * HEIGHT) / 2;
    return `M${at * STEP + STEP / 2} ${(HEIGHT / 2 - half).toFixed(1)}V${(HEIGHT / 2 + half).toFixed(1)}`;
  });
  return (
    <svg
      class="waveform"
      width={bars.length * STEP}
      height={HEIGHT}
      viewBox={`0 0 ${bars.length * STEP} ${HEIGHT}`}
      aria-hidden="true"
    >
      <path d={strokes.join('')} />
    </svg>
  );
}
