// What stands inside may fail to be drawn: then a label says so, and the rest of the page stays.
import { Component, type ComponentChildren } from 'preact';

interface Props {
  /** The object that is drawn; another one is another try. */
  of: object;
  children: ComponentChildren;
}

export class Guard extends Component<Props, { failed: object | null }> {
  override state = { failed: null };

  override componentDidCatch(): void {
    this.setState({ failed: this.props.of });
  }

  override render() {
    if (this.state.failed !== this.props.of) return this.props.children;
    return <p class="placeholder">[A part of this message that can't be shown]</p>;
  }
}
