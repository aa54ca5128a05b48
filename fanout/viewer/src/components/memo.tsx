// A component that is rendered again only when one of its properties is another object.
import { Component, type ComponentType, type VNode } from 'preact';

export function memo<P extends object>(Inner: (props: P) => VNode | null): ComponentType<P> {
  return class extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      const held = this.props as Record<string, unknown>;
      return Object.entries(next).some(([name, value]) => held[name] !== value);
    }
    override render() {
      return <Inner {...this.props} />;
    }
  };
}
