/** The form for a new simulation, made from its scenario's JSON Schema; what the server refuses is said at the field. */

import { useEffect, useRef, useState } from "preact/hooks";
import { asProblem } from "../api/problem";
import { capital } from "../parts/format";
import { create } from "../store/runs";
import { allowed, type FormField, fieldsOf, written } from "../store/schema_form";
import * as state from "../store/state";

export function CreateForm({ onCancel }: { onCancel: () => void }) {
  const scenarios = state.scenarios.value;
  const [chosen, setChosen] = useState<string | null>(null);
  const [typed, setTyped] = useState<Record<string, string>>({});
  const [isStarted, setStarted] = useState(true);
  const [errors, setErrors] = useState<Record<string, string>>({});
  const [trouble, setTrouble] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const scenario = scenarios.find((one) => one.name === chosen) ?? scenarios[0];
  if (scenario === undefined) return <p class="note">The server's scenarios are not known yet.</p>;
  const fields = fieldsOf(scenario.schema as Record<string, unknown>);
  const isWrong = Object.keys(errors).length > 0;
  // On a small screen what is wrong may be out of sight: the first field of it is gone to.
  useEffect(() => {
    if (isWrong) form.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
  }, [errors]);

  const submit = async (event: Event) => {
    event.preventDefault();
    const { body, errors: wrong } = written(fields, typed);
    setErrors(wrong);
    setTrouble(null);
    if (Object.keys(wrong).length > 0) return;
    setBusy(true);
    try {
      await create(body, isStarted);
    } catch (error) {
      const problem = asProblem(error);
      const known = problem.fields.filter(({ field }) => fields.some((one) => one.name === top(field)));
      setErrors(Object.fromEntries(known.map(({ field, detail }) => [top(field), `${detail}.`])));
      if (known.length === 0) setTrouble(problem.sentence);
    }
    setBusy(false);
  };

  const rest = fields.filter((field) => field.only === null && !isFirst(field));
  const shown = (field: FormField) => (
    <Field
      key={field.name}
      field={field}
      value={typed[field.name] ?? ""}
      error={errors[field.name] ?? null}
      onInput={(value) => setTyped({ ...typed, [field.name]: value })}
    />
  );

  return (
    <form ref={form} class="create" onSubmit={submit} noValidate>
      <fieldset class="scenarios">
        <legend class="label">Scenario</legend>
        {scenarios.map((one) => (
          <label key={one.name} class={one.name === scenario.name ? "scenario is-chosen" : "scenario"}>
            <input type="radio" name="scenario" checked={one.name === scenario.name} onChange={() => setChosen(one.name)} />
            <span>
              <b>{capital(one.name)}</b>
              <small>{one.description}</small>
            </span>
          </label>
        ))}
      </fieldset>
      <div class="fields">{fields.filter(isFirst).map(shown)}</div>
      {rest.length > 0 && (
        <details class="more" open={rest.some((field) => errors[field.name] !== undefined)}>
          <summary>More settings</summary>
          <div class="fields">{rest.map(shown)}</div>
        </details>
      )}
      <label class="switch">
        <input type="checkbox" checked={isStarted} onChange={() => setStarted(!isStarted)} />
        Start it at once
      </label>
      {trouble !== null && (
        <p class="field-error" role="alert">
          {trouble}
        </p>
      )}
      <div class="actions">
        <button type="button" class="button" onClick={onCancel}>
          Cancel
        </button>
        <button type="submit" class="button button-main" disabled={isBusy}>
          Create
        </button>
      </div>
    </form>
  );
}

/** What nearly everybody wants to set, and what has to be; the others are folded away. */
const FIRST = ["name", "entities", "speed"];

function isFirst(field: FormField): boolean {
  return field.only === null && (field.isRequired || FIRST.includes(field.name));
}

/** The field of the form in which a field of the request stands: `params` for `params.rows[1]`. */
function top(field: string): string {
  return field.split(/[.[]/)[0] ?? field;
}

interface FieldProps {
  field: FormField;
  value: string;
  error: string | null;
  onInput: (value: string) => void;
}

function Field({ field, value, error, onInput }: FieldProps) {
  const id = `field-${field.name}`;
  const help = `${id}-help`;
  const shared = { id, class: "input", value, "aria-invalid": error !== null, "aria-describedby": help, required: field.isRequired };
  return (
    <div class={error === null ? "field" : "field has-error"}>
      <label class="label" for={id}>
        {capital(field.label)}
      </label>
      {field.kind === "choice" ? (
        <select {...shared} onChange={(event) => onInput(event.currentTarget.value)}>
          <option value="">{field.fallback === "" ? "default" : field.fallback}</option>
          {field.words.map((word) => (
            <option key={word} value={word}>
              {word}
            </option>
          ))}
        </select>
      ) : (
        <input
          {...shared}
          inputMode={field.kind === "text" || field.words.length > 0 ? "text" : "decimal"}
          placeholder={field.fallback}
          autocomplete="off"
          onInput={(event) => onInput(event.currentTarget.value)}
        />
      )}
      <small id={help} class={error === null ? "help" : "field-error"} role={error === null ? undefined : "alert"}>
        {error ?? `${field.help} ${field.kind === "choice" ? "" : `${capital(allowed(field))}.`}`}
      </small>
    </div>
  );
}
