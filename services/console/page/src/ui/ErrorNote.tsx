import { Component, type ComponentChildren } from "preact";

interface ErrorNoteProps {
  children: ComponentChildren;
}

/** In place of a view that cannot be drawn: an error in one view leaves the others usable. */
export class ErrorNote extends Component<ErrorNoteProps, { error: Error | null }> {
  override state: { error: Error | null } = { error: null };

  override componentDidCatch(error: Error): void {
    this.setState({ error });
    console.error(error);
  }

  override render({ children }: ErrorNoteProps): ComponentChildren {
    if (!this.state.error) return children;
    return (
      <main class="view" id="view" tabIndex={-1}>
        <p class="nothing-here">This view cannot be drawn: {this.state.error.message}. The other views still work.</p>
      </main>
    );
  }
}
