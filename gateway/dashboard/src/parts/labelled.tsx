/** A control with its label beside it, not around it, so that what is chosen is no part of its name. */

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

interface Props {
  label: string;
  class?: string;
  children: (id: string) => ComponentChildren;
}

export function Labelled({ label, class: look, children }: Props) {
  const id = useId();
  return (
    <div class={look}>
      <label class="label" for={id}>
        {label}
      </label>
      {children(id)}
    </div>
  );
}

interface ChoiceProps<Value extends string> {
  label: string;
  value: Value;
  options: readonly (readonly [value: Value, text: string])[];
  onChange: (value: Value) => void;
  class?: string;
  title?: string;
  isInvalid?: boolean;
}

/** One of several. */
export function Choice<Value extends string>({ label, value, options, onChange, class: look, title, isInvalid }: ChoiceProps<Value>) {
  return (
    <Labelled label={label} {...(look === undefined ? {} : { class: look })}>
      {(id) => (
        <select
          id={id}
          class="input"
          value={value}
          title={title}
          aria-invalid={isInvalid === true}
          onChange={(event) => onChange(event.currentTarget.value as Value)}
        >
          {options.map(([option, text]) => (
            <option key={option} value={option}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Labelled>
  );
}
