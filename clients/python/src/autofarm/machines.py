"""Machines of a tick, the same whichever of the two subprotocols they came by."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

from autofarm.models import MachineState

if TYPE_CHECKING:
    from autofarm.arrays import MachineArrays

State: TypeAlias = MachineState | Literal["unknown"]
"""What a machine is doing; `unknown` is what this version has no name for, as a newer server may say."""

KNOWN_STATES: tuple[MachineState, ...] = get_args(MachineState)
"""What a machine may be doing by this version, in the order of the codes of the binary subprotocol."""

STATES: tuple[State, ...] = (*KNOWN_STATES, "unknown")
"""The same, and `unknown` at the end: `MachineArrays.state` has indices into it."""

UNKNOWN = len(KNOWN_STATES)
"""Index of `unknown`."""

CODES: Mapping[str, int] = {state: code for code, state in enumerate(STATES)}
"""The indices."""

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
"""Counters since creation, in the order of the binary subprotocol."""

TENTHS = 10
"""Classes of charge."""

FULL_CHARGE = 1 << 30
"""One machine's full charge in a sum of charges."""


class Machine(NamedTuple):
    """One machine at one tick."""

    id: int
    """From 1 on."""
    x: float
    """East in the world, m."""
    y: float
    """North in the world, m."""
    heading: float
    """Radians from east, counter-clockwise."""
    speed: float
    """m/s."""
    battery: float
    """Percent of full."""
    state: State
    """What it is doing."""


class Machines(Sequence[Machine]):
    """Machines of a tick: a sequence, and where numpy is there also columns."""

    __slots__ = ()

    @abstractmethod
    def arrays(self) -> MachineArrays:
        """The same as numpy arrays, a column a field. Needs numpy: `pip install autofarm[numpy]`."""

    def within(self, bounds_m: Sequence[float] | None) -> Machines:
        """Those that stand in bounds: `west <= x < east`, `south <= y < north`. All of them without bounds."""
        if bounds_m is None:
            return self
        west, south, east, north = bounds_m
        return Rows([each for each in self if west <= each.x < east and south <= each.y < north])


class Rows(Machines):
    """Machines one by one."""

    __slots__ = ("rows",)

    def __init__(self, rows: list[Machine]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def arrays(self) -> MachineArrays:
        """The same as numpy arrays."""
        from autofarm.arrays import MachineArrays

        return MachineArrays.of(self.rows)


def by_state(machines: int, known: Iterable[int]) -> dict[State, int]:
    """Machines in each state, by those in each known one: all others are in some that is not."""
    counts: dict[State, int] = dict(zip(KNOWN_STATES, known, strict=True))
    counts["unknown"] = machines - sum(counts.values())
    return counts


@dataclass(frozen=True, slots=True)
class Aggregates:
    """Sums over all machines of a simulation, in the view or not."""

    machines: int
    by_state: Mapping[State, int]
    """Machines in each state of `STATES`."""
    by_charge: tuple[int, ...]
    """Machines by tenth of charge, emptiest first."""
    charge_sum: int
    """2^-30 of full."""
    speed_sum_mm_per_s: int
    counters: Mapping[str, int]
    """What has happened since creation."""

    @property
    def battery_mean_percent(self) -> float:
        """Mean charge, percent of full."""
        return self.charge_sum * 100 / FULL_CHARGE / self.machines if self.machines else 0.0

    @property
    def speed_mean_m_per_s(self) -> float:
        """Mean speed, m/s."""
        return self.speed_sum_mm_per_s / 1_000 / self.machines if self.machines else 0.0

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Aggregates:
        """The sums of a JSON message, or of a snapshot of `AutoFarm.snapshots`."""
        return cls(
            machines=told["machines"],
            by_state=by_state(told["machines"], [told["by_state"].get(state, 0) for state in KNOWN_STATES]),
            by_charge=tuple(told["by_charge"]),
            charge_sum=told["charge_sum"],
            speed_sum_mm_per_s=told["speed_sum_mm_per_s"],
            counters={name: told["counters"][name] for name in COUNTERS},
        )


@dataclass(frozen=True, slots=True)
class Tick:
    """What a simulation looks like at a tick."""

    tick: int
    epoch: int
    sim_time_s: float
    """Simulated time at the tick."""
    started_at_us: int
    """UNIX time at which it was due to begin."""
    sent_at_us: int
    """UNIX time at which the message was written."""
    aggregates: Aggregates
    entities_total: int
    """Machines of the simulation."""
    machines: Machines
    """Those of the view."""

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Tick:
        """The tick of a JSON message."""
        fields = Machine._fields[:-1]
        return cls(
            tick=told["tick"],
            epoch=told["epoch"],
            sim_time_s=told["sim_time_s"],
            started_at_us=told["started_at_us"],
            sent_at_us=told["sent_at_us"],
            aggregates=Aggregates.of_json(told["aggregates"]),
            entities_total=told["entities_total"],
            machines=Rows(
                [Machine._make([*(row[name] for name in fields), state_of(row)]) for row in told["entities"]]
            ),
        )


def state_of(row: Mapping[str, Any]) -> State:
    """The state of a machine of a JSON message."""
    return STATES[CODES.get(row["state"], UNKNOWN)]
