"""Machines as numpy arrays. Imported only where numpy is there and wanted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autofarm.machines import CODES, STATES, UNKNOWN, Machine, Machines

RECORD = np.dtype([("qx", "<u2"), ("qy", "<u2"), ("heading", "u1"), ("speed", "u1"), ("charge", "u1"), ("state", "u1")])
"""A machine on the wire."""
BLOCK = np.dtype([("block", "<u4"), ("count", "<u4"), ("x0", "<i4"), ("y0", "<i4"), ("x1", "<i4"), ("y1", "<i4")])
"""A tick's block on the wire."""


@dataclass(frozen=True, slots=True, eq=False)
class MachineArrays:
    """Machines of a tick, a column a field; all of the same length and order."""

    id: NDArray[np.uint32]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    heading: NDArray[np.float64]
    speed: NDArray[np.float64]
    battery: NDArray[np.float64]
    state: NDArray[np.uint8]
    """Index into `autofarm.STATES`, whose last stands for states that this version does not know."""

    @classmethod
    def of(cls, rows: Iterable[Machine]) -> MachineArrays:
        """Columns of machines that came one by one."""
        columns = list(zip(*rows, strict=True)) or [()] * len(Machine._fields)
        ids, *numbers, states = columns
        x, y, heading, speed, battery = (np.array(column, dtype=np.float64) for column in numbers)
        codes = np.array([CODES[state] for state in states], dtype=np.uint8)
        return cls(np.array(ids, dtype=np.uint32), x, y, heading, speed, battery, codes)

    def taken(self, which: Any) -> MachineArrays:
        """Those that a mask, a slice or indices choose."""
        return MachineArrays(*(getattr(self, name)[which] for name in self.__slots__))


class Columns(Machines):
    """Machines that came in binary; one by one only where they are asked for so."""

    __slots__ = ("columns",)

    def __init__(self, columns: MachineArrays) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns.id)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return list(rows_of(self.columns.taken(index)))
        at = range(len(self))[index]
        return next(rows_of(self.columns.taken(slice(at, at + 1))))

    def __iter__(self) -> Iterator[Machine]:
        return rows_of(self.columns)

    def arrays(self) -> MachineArrays:
        """The columns themselves."""
        return self.columns

    def within(self, bounds_m: Sequence[float] | None) -> Machines:
        """Those that stand in bounds."""
        if bounds_m is None:
            return self
        west, south, east, north = bounds_m
        x, y = self.columns.x, self.columns.y
        inside = (west <= x) & (x < east) & (south <= y) & (y < north)
        return self if bool(inside.all()) else Columns(self.columns.taken(inside))


def rows_of(columns: MachineArrays) -> Iterator[Machine]:
    """The machines of columns, one by one, of Python's own numbers."""
    plain = [getattr(columns, name).tolist() for name in columns.__slots__[:-1]]
    states = [STATES[code] for code in columns.state.tolist()]
    return map(Machine._make, zip(*plain, states, strict=True))


def decoded(blocks: bytes, records: bytes, origins: NDArray[np.float64], firsts: NDArray[Any], ids: Any) -> Columns:
    """
    The machines of a tick's blocks and records, which are checked already; `origins` is where each block's site has
    its origin, `firsts` the index of its first id.
    """
    block = np.frombuffer(blocks, dtype=BLOCK)
    record = np.frombuffer(records, dtype=RECORD)
    # As they stand on the wire their products would overflow.
    real = {name: record[name].astype(np.float64) for name in ("qx", "qy", "heading", "speed", "charge")}
    counts = block["count"].astype(np.int64)
    # Of each record the block that it stands in, and which of the block's it is.
    of = np.repeat(np.arange(len(block)), counts)
    begins = np.cumsum(counts) - counts
    number = block["block"].astype(np.int64)
    index = firsts[number][of] + np.arange(len(record)) - begins[of]

    def place(axis: int, low: str, high: str, q: str) -> NDArray[np.float64]:
        edge = block[low].astype(np.float64)
        side = block[high].astype(np.float64) - edge
        metres: NDArray[np.float64] = origins[number, axis][of] + (edge[of] + real[q] / 65_535 * side[of]) / 65_536
        return metres

    return Columns(
        MachineArrays(
            id=ids[index],
            x=place(0, "x0", "x1", "qx"),
            y=place(1, "y0", "y1", "qy"),
            heading=real["heading"] * (math.tau / 256),
            speed=real["speed"] / 10,
            battery=real["charge"] * 100 / 255,
            state=np.minimum(record["state"], UNKNOWN),
        )
    )
