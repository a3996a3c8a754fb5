"""What a tick says, whichever of the two subprotocols it came by."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

STATES = (
    "idle",
    "travelling",
    "working",
    "turning",
    "returning",
    "refilling",
    "queueing",
    "charging",
    "faulted",
    "holding",
)
# The counters of the sums, in their order on the wire.
COUNTERS = (
    "turns",
    "swaths",
    "charger_waits",
    "charges",
    "denied_grants",
    "faults",
    "repairs",
    "commands",
    "rejected_commands",
    "stand_offs",
    "separation_violations",
    "ghosts",
    "ghost_bytes",
)
STEPS_OF_A_TURN = 256
FULL_CHARGE = 255


@dataclass(frozen=True)
class Machine:
    """One machine at one tick: m in the world, radians from east, m/s, percent."""

    id: int
    x: float
    y: float
    heading: float
    speed: float
    battery: float
    state: str


@dataclass(frozen=True)
class Sums:
    """Sums over all machines of a simulation."""

    machines: int
    charge_sum: int
    speed_sum_mm_per_s: int
    by_state: dict[str, int]
    by_charge: tuple[int, ...]
    counters: dict[str, int]


@dataclass(frozen=True)
class Tick:
    """A tick as it was received."""

    tick: int
    epoch: int
    sim_time_s: float
    sent_at_us: int
    started_at_us: int
    entities_total: int
    sums: Sums
    machines: dict[int, Machine] = field(repr=False)


def tick_of_json(message: dict[str, Any]) -> Tick:
    """The tick of a JSON message; raises `KeyError` or `ValueError` where it is none."""
    machines = {}
    for row in message["entities"]:
        machine = Machine(**row)
        if machine.id in machines:
            raise ValueError(f"machine {machine.id} stands in tick {message['tick']} twice")
        if machine.state not in STATES:
            raise ValueError(f"{machine.state} is no state")
        machines[machine.id] = machine
    said = message["aggregates"]
    return Tick(
        tick=message["tick"],
        epoch=message["epoch"],
        sim_time_s=message["sim_time_s"],
        sent_at_us=message["sent_at_us"],
        started_at_us=message["started_at_us"],
        entities_total=message["entities_total"],
        sums=Sums(
            machines=said["machines"],
            charge_sum=said["charge_sum"],
            speed_sum_mm_per_s=said["speed_sum_mm_per_s"],
            by_state={state: said["by_state"].get(state, 0) for state in STATES},
            by_charge=tuple(said["by_charge"]),
            counters={name: said["counters"][name] for name in COUNTERS},
        ),
        machines=machines,
    )


def heading_of(step: int) -> float:
    """Radians of a heading on the wire."""
    return step * math.tau / STEPS_OF_A_TURN


def battery_of(charge: int) -> float:
    """Percent of a charge on the wire."""
    return charge * 100 / FULL_CHARGE
