/** The speed that is asked for: a choice of usual ones, and any other by hand. Changed while it runs. */

import { useState } from "preact/hooks";
import { asProblem } from "../api/problem";
import { factor } from "../parts/format";
import { Choice } from "../parts/labelled";
import { setSpeed } from "../store/runs";
import * as state from "../store/state";

const SPEEDS: readonly (number | "max")[] = [0.1, 0.5, 1, 2, 5, 10, 20, 50, 100, "max"];

export function Speed() {
  const simulation = state.simulation.value;
  const [trouble, setTrouble] = useState<string | null>(null);
  if (simulation === null) return null;
  const speeds = SPEEDS.includes(simulation.speed) ? SPEEDS : [simulation.speed, ...SPEEDS];
  const set = async (text: string) => {
    setTrouble(null);
    try {
      await setSpeed(simulation.id, text === "max" ? "max" : Number(text));
    } catch (error) {
      setTrouble(asProblem(error).sentence);
    }
  };
  return (
    <div class="speed">
      <Choice
        label="Speed"
        value={String(simulation.speed)}
        options={speeds.map((speed) => [String(speed), factor(speed)] as const)}
        onChange={set}
        title={trouble ?? "Factor on real time"}
        isInvalid={trouble !== null}
        class="beside"
      />
      {trouble !== null && (
        <span class="field-error" role="alert">
          {trouble}
        </span>
      )}
    </div>
  );
}
