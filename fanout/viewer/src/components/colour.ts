// Colours that messages name, as numbers.

/** Of the bar at the start of a card; through the style object, which a policy without inline styles allows. */
export function barOf(color: number | null | undefined): { borderInlineStartColor?: string } {
  if (typeof color !== 'number' || color < 0 || color > 0xffffff) return {};
  return { borderInlineStartColor: `#${Math.floor(color).toString(16).padStart(6, '0')}` };
}
