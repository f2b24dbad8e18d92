import { FIELDS, problems, typed, type Field } from "./form.ts";

/** All fields of one transaction. What is wrong with a field is said beside it. */
export function FreeForm() {
  return (
    <div class="free-form">
      {FIELDS.map((field) => (
        <FormField key={field.name} field={field} />
      ))}
    </div>
  );
}

function FormField({ field }: { field: Field }) {
  const { name, title, required, options } = field;
  const problem = problems.value[name];
  const shared = {
    id: `field-${name}`,
    value: typed.value[name] ?? "",
    "aria-required": required,
    "aria-invalid": problem ? ("true" as const) : undefined,
    "aria-describedby": problem ? `problem-${name}` : undefined,
    onInput: (event: { currentTarget: { value: string } }) => set(name, event.currentTarget.value),
  };
  return (
    <div>
      <label for={shared.id}>
        {title}
        {!required && name !== "transaction_id" && <span class="muted"> (optional)</span>}
      </label>
      {options ? (
        <select {...shared}>
          {options.map((option) => (
            <option key={option} value={option}>
              {option || "unknown"}
            </option>
          ))}
        </select>
      ) : (
        <input type="text" autocomplete="off" spellcheck={false} inputMode={field.isNumber ? "decimal" : "text"} {...shared} />
      )}
      {problem && (
        <p class="refused" id={`problem-${name}`}>
          {problem}
        </p>
      )}
    </div>
  );
}

function set(name: string, text: string): void {
  typed.value = { ...typed.value, [name]: text };
  if (problems.value[name]) {
    const { [name]: _, ...others } = problems.value;
    problems.value = others;
  }
}
