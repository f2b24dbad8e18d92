import { token } from "../api.ts";

/** Why everything that changes something will be refused, if the page was opened without its token. */
export function NoToken() {
  if (token() !== null) return null;
  return (
    <p class="text">
      This page was opened without its token, so actions will be refused. Use the address with the token, which the
      command <code>cardwatch console</code> prints, or <code>python -m infra.compose addresses</code> for containers.
    </p>
  );
}
