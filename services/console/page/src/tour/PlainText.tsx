/** A text of the tour, in which code in back-quotes is the only markup. */
export function PlainText({ text }: { text: string }) {
  return <>{text.split("`").map((part, at) => (at % 2 ? <code key={at}>{part}</code> : part))}</>;
}

/** Texts as a list of points. */
export function Points({ texts }: { texts: string[] }) {
  return (
    <ul class="points">
      {texts.map((text) => (
        <li key={text}>
          <PlainText text={text} />
        </li>
      ))}
    </ul>
  );
}
