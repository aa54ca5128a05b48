// Short messages about the page itself, above everything, each gone by itself or on a click.
import { useComputed } from '@preact/signals';
import type { VNode } from 'preact';
import type { Viewer } from '../viewer';
import { Icon } from './Icon';

export function Notices({ viewer }: { viewer: Viewer }): VNode {
  const notices = useComputed(() => viewer.state.value.notices);
  return (
    <div class="notices" role="status">
      {notices.value.map((notice) => (
        <div key={notice.id} class={`notice ${notice.tone}`}>
          <span>{notice.text}</span>
          <button
            type="button"
            class="icon-button"
            aria-label="Dismiss"
            onClick={() => viewer.dismiss(notice.id)}
          >
            <Icon name="close" />
          </button>
        </div>
      ))}
    </div>
  );
}
