// The loudness of a voice note as bars. Discord sends up to 256 samples, a byte each, as base64
// (https://docs.discord.com/developers/resources/message#attachment-object).

const SAMPLES_MAX = 256;
const BARS_MAX = 48;

/** Between 0 and 1, the loudest sample of each part; none of what is no waveform. */
export function barsOf(waveform: unknown): number[] {
  const samples = samplesOf(waveform);
  const count = Math.min(BARS_MAX, samples.length);
  return Array.from({ length: count }, (_, at) => {
    const from = Math.floor((at * samples.length) / count);
    const to = Math.floor(((at + 1) * samples.length) / count);
    return Math.max(...samples.slice(from, to)) / 255;
  });
}

function samplesOf(waveform: unknown): number[] {
  if (typeof waveform !== 'string') return [];
  try {
    const bytes = atob(waveform.slice(0, SAMPLES_MAX * 2)).slice(0, SAMPLES_MAX);
    return Array.from(bytes, (byte) => byte.charCodeAt(0));
  } catch {
    return [];
  }
}
