/** Commands for a machine, its site, or all; with the answer's number and tick, and what became of it. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { Command, CommandPlace } from "../api/client";
import { asProblem } from "../api/problem";
import { count, words } from "../parts/format";
import { Choice, Labelled } from "../parts/labelled";
import { api } from "../store/page";
import * as state from "../store/state";
import { givenTo, outcomeOf, type Target } from "./given_command";

const COMMANDS = ["hold", "release", "return_to_charger", "goto", "set_speed_limit", "inject_fault"] as const;
type CommandName = (typeof COMMANDS)[number];
const TARGETS = [
  ["machine", "this machine"],
  ["site", "its site"],
  ["all", "all machines"],
] as const satisfies readonly (readonly [Target, string])[];
const COMPONENTS = [
  ["drive", "drive"],
  ["battery", "battery"],
] as const;

const FIELDS: Partial<Record<CommandName, { name: string; label: string; initial: string }[]>> = {
  goto: [
    { name: "x_m", label: "East, m", initial: "" },
    { name: "y_m", label: "North, m", initial: "" },
  ],
  set_speed_limit: [{ name: "m_per_s", label: "m/s", initial: "0.5" }],
  inject_fault: [{ name: "for_s", label: "For, simulated s", initial: "60" }],
};

export function CommandForm({ id }: { id: number }) {
  const [command, setCommand] = useState<CommandName>("hold");
  const [target, setTarget] = useState<Target>("machine");
  const [component, setComponent] = useState<"drive" | "battery">("drive");
  const [values, setValues] = useState<Record<string, string>>({});
  const [taken, setTaken] = useState<Taken | null>(null);
  const [trouble, setTrouble] = useState<{ field: string | null; text: string } | null>(null);
  const simulation = state.simulation.value;
  const fields = FIELDS[command] ?? [];
  const typedIn = (field: { name: string; initial: string }) => values[`${command}.${field.name}`] ?? field.initial;

  const send = async (event: Event) => {
    event.preventDefault();
    if (simulation === null) return;
    setTaken(null);
    setTrouble(null);
    const args: Record<string, string | number> = {};
    for (const field of fields) {
      const value = Number(typedIn(field));
      if (typedIn(field).trim() === "" || !Number.isFinite(value)) return setTrouble({ field: field.name, text: `${field.label}: a number is wanted.` });
      args[field.name] = value;
    }
    if (command === "inject_fault") args["component"] = component;
    const { row = null, info = null } = state.selected.value ?? {};
    const given = givenTo(target, { id, row, site: info?.site ?? null }, { command, args } as Command, state.fleet.value);
    if (typeof given === "string") return setTrouble({ field: null, text: given });
    try {
      const place = await api.command(simulation.id, given.command);
      setTaken({ ...place, machines: given.machines });
    } catch (error) {
      const problem = asProblem(error);
      const at = problem.fields[0];
      setTrouble({
        field: at?.field.replace(/^args\./, "") ?? null,
        text: problem.status === 403 ? `${problem.sentence} Use a token of the role operator.` : problem.sentence,
      });
    }
  };

  return (
    <form class="command" onSubmit={send} aria-label="Give a command">
      <div class="row">
        <Choice
          label="Command"
          value={command}
          options={COMMANDS.map((name) => [name, name === "goto" ? "go to" : words(name)] as const)}
          onChange={(name) => {
            setCommand(name);
            if (name === "goto" && target === "all") setTarget("machine");
          }}
        />
        <Choice label="For" value={target} options={command === "goto" ? TARGETS.slice(0, 2) : TARGETS} onChange={setTarget} />
      </div>
      {(fields.length > 0 || command === "inject_fault") && (
        <div class="row">
          {command === "inject_fault" && <Choice label="Component" value={component} options={COMPONENTS} onChange={setComponent} />}
          {fields.map((field) => (
            <Labelled key={field.name} label={field.label}>
              {(at) => (
                <input
                  id={at}
                  class="input"
                  inputMode="decimal"
                  value={typedIn(field)}
                  aria-invalid={trouble?.field === field.name}
                  onInput={(event) => setValues({ ...values, [`${command}.${field.name}`]: event.currentTarget.value })}
                />
              )}
            </Labelled>
          ))}
        </div>
      )}
      <button type="submit" class="button button-main button-wide">
        Give command
      </button>
      {taken !== null && <Outcome taken={taken} />}
      {trouble !== null && (
        <p class="field-error" role="alert">
          {trouble.text}
        </p>
      )}
    </form>
  );
}

/** The server's answer, and how many machines the command is for; null where that is not known. */
interface Taken extends CommandPlace {
  machines: number | null;
}

/** What the server answered, and what the log has said since. */
function Outcome({ taken }: { taken: Taken }) {
  void state.eventVersion.value;
  const line = useRef<HTMLParagraphElement>(null);
  const { done, rejected } = outcomeOf(state.eventLog.events, taken.seq);
  const said = done + [...rejected.values()].reduce((sum, machines) => sum + machines, 0);
  // It grows as more is said.
  useEffect(() => line.current?.scrollIntoView({ block: "nearest" }), [taken.seq, said]);
  const due = said === 0 ? 0 : Math.max((taken.machines ?? said) - said, 0);
  return (
    <p ref={line} class="outcome" role="status">
      Taken as command <b class="number">{taken.seq}</b> for tick <b class="number">{count(taken.tick)}</b>.{" "}
      {[...rejected].map(([reason, machines]) => `Rejected by ${count(machines)}: ${words(reason)}. `)}
      {done > 0 && `Carried out by ${count(done)}.`}
      {due > 0 && ` Not yet told of ${count(due)}.`}
    </p>
  );
}
