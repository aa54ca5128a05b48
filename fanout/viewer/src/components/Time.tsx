// When a message was written, and when it was edited.
import type { VNode } from 'preact';
import { formatMoment, momentOf, timeOf } from '../format';

interface Props {
  iso: string;
  /** Of another day than the list says, so that the time of day is not enough. */
  isElsewhere?: boolean;
}

export function Time({ iso, isElsewhere = false }: Props): VNode {
  return (
    <time class="time" dateTime={iso} title={momentOf(iso)}>
      {isElsewhere ? formatMoment(new Date(iso), 's') : timeOf(iso)}
    </time>
  );
}

export function EditedMark({ iso }: { iso: string | null | undefined }): VNode {
  if (!iso) return <span class="edited">edited</span>;
  return (
    <time class="edited" dateTime={iso} title={`Edited ${momentOf(iso)}`}>
      edited {timeOf(iso)}
    </time>
  );
}
