"""
The binary messages of `autofarm.v1.bin`, as docs/stream.md lays them out.

A message that is not so is refused whole: every number is held against the length of the message, and against `ids`,
before it is used. With numpy the records are decoded as arrays, without it one by one; both give the same.
"""

from __future__ import annotations

import math
import struct
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from typing import Any

from autofarm.machines import (
    COUNTERS,
    KNOWN_STATES,
    STATES,
    TENTHS,
    UNKNOWN,
    Aggregates,
    Machine,
    Machines,
    Rows,
    Tick,
    by_state,
)
from autofarm.problems import ProtocolError

IDS = 1
TICK = 2
VERSION = 1
# What version 1 puts before the blocks. There may be more one day, so that blocks begin where the message says.
IDS_HEADER = struct.Struct("<BBHI16sII4d")
TICK_HEADER = struct.Struct("<BBHIQdQQIIII")
SUMS = struct.Struct("<Qqq33Q")
IDS_BLOCK = struct.Struct("<IIIIdd")
TICK_BLOCK = struct.Struct("<II4i")
RECORD = struct.Struct("<HHBBBB")
ID = struct.Struct("<I")
SUM = struct.Struct("<Q")
# Bounds of a box are in 2^-16 m, places in a box in 65535ths of its side.
PER_M = 65_536
EDGE = 65_535


@dataclass(frozen=True, slots=True)
class Block:
    """Machines of a site that are sent together."""

    site: int
    machines: int
    first: int
    """Index of its first id."""
    east_m: float
    north_m: float


@dataclass(frozen=True)
class Ids:
    """Whose the records of all later ticks are."""

    simulation: str
    sites: int
    blocks: tuple[Block, ...]
    machines: tuple[int, ...] = field(repr=False)

    @cached_property
    def columns(self) -> tuple[Any, Any, Any]:
        """For numpy: the blocks' origins, the indices of their first ids, and the ids."""
        import numpy as np

        return (
            np.array([(block.east_m, block.north_m) for block in self.blocks], dtype=np.float64).reshape(-1, 2),
            np.array([block.first for block in self.blocks], dtype=np.int64),
            np.array(self.machines, dtype=np.uint32),
        )


def need(holds: bool, what: str) -> None:
    """Refuses the message unless it holds."""
    if not holds:
        raise ProtocolError(what)


def has_numpy() -> bool:
    """Whether records can be decoded as arrays."""
    return find_spec("numpy") is not None


def decode_ids(message: bytes) -> Ids:
    """Decodes `ids`."""
    need(len(message) >= IDS_HEADER.size, "ids: shorter than its header")
    kind, version, header, count, simulation, machines, sites, *_ = IDS_HEADER.unpack_from(message)
    need((kind, version) == (IDS, VERSION), f"ids: kind {kind}, version {version}, not {IDS}, {VERSION}")
    need(header >= IDS_HEADER.size and header % 8 == 0, f"ids: blocks from {header} on")
    behind = header + count * IDS_BLOCK.size
    need(len(message) == behind + machines * ID.size, f"ids: {len(message)} bytes")
    blocks = []
    expected = 0
    for number, (site, size, first, _, east, north) in enumerate(IDS_BLOCK.iter_unpack(message[header:behind])):
        need(site < sites, f"ids: block {number} is of site {site} of {sites}")
        need(first == expected, f"ids: block {number} begins with {first}, not {expected}")
        expected += size
        blocks.append(Block(site, size, first, east, north))
    need(expected == machines, f"ids: {expected} machines in blocks, {machines} ids")
    ids = struct.unpack_from(f"<{machines}I", message, behind)
    return Ids(str(uuid.UUID(bytes=simulation)), sites, tuple(blocks), ids)


def decode_tick(message: bytes, ids: Ids, as_arrays: bool) -> Tick:
    """Decodes a tick of the simulation that `ids` is of; with numpy if `as_arrays`."""
    need(len(message) >= TICK_HEADER.size + SUMS.size, "tick: shorter than its header")
    kind, version, header, count, tick, time_s, sent, started, epoch, total, records, sums = TICK_HEADER.unpack_from(
        message
    )
    need((kind, version) == (TICK, VERSION), f"tick: kind {kind}, version {version}, not {TICK}, {VERSION}")
    need(sums >= SUMS.size // 8, f"tick: {sums} sums")
    need(header >= TICK_HEADER.size + sums * SUM.size and header % 8 == 0, f"tick: blocks from {header} on")
    behind = header + count * TICK_BLOCK.size
    need(len(message) == behind + records * RECORD.size, f"tick: {len(message)} bytes")
    blocks = check_blocks(message[header:behind], records, ids)
    machines: Machines
    if as_arrays:
        from autofarm.arrays import decoded

        machines = decoded(message[header:behind], message[behind:], *ids.columns)
    else:
        machines = rows(blocks, message[behind:], ids)
    return Tick(
        tick=tick,
        epoch=epoch,
        sim_time_s=time_s,
        started_at_us=started,
        sent_at_us=sent,
        aggregates=aggregates(SUMS.unpack_from(message, TICK_HEADER.size)),
        entities_total=total,
        machines=machines,
    )


def check_blocks(message: bytes, records: int, ids: Ids) -> list[tuple[int, ...]]:
    """The blocks of a tick, each held against `ids`."""
    blocks = list(TICK_BLOCK.iter_unpack(message))
    seen = set()
    told = 0
    for number, count, x0, y0, x1, y1 in blocks:
        need(number < len(ids.blocks), f"tick: block {number} of {len(ids.blocks)}")
        need(number not in seen, f"tick: block {number} twice")
        need(count <= ids.blocks[number].machines, f"tick: {count} machines of block {number}")
        need(x0 <= x1 and y0 <= y1, f"tick: box of block {number}")
        seen.add(number)
        told += count
    need(told == records, f"tick: {told} machines in blocks, {records} records")
    return blocks


def rows(blocks: list[tuple[int, ...]], records: bytes, ids: Ids) -> Rows:
    """The machines of a tick, one by one."""
    found = []
    each = RECORD.iter_unpack(records)
    for number, count, x0, y0, x1, y1 in blocks:
        block = ids.blocks[number]
        names = ids.machines[block.first : block.first + count]
        # In this order: the names end first, and no record of the next block is taken.
        for name, (qx, qy, heading, speed, charge, state) in zip(names, each, strict=False):
            found.append(
                Machine(
                    id=name,
                    x=block.east_m + (x0 + qx / EDGE * (x1 - x0)) / PER_M,
                    y=block.north_m + (y0 + qy / EDGE * (y1 - y0)) / PER_M,
                    heading=heading * (math.tau / 256),
                    speed=speed / 10,
                    battery=charge * 100 / 255,
                    state=STATES[min(state, UNKNOWN)],
                )
            )
    return Rows(found)


def aggregates(numbers: tuple[int, ...]) -> Aggregates:
    """The sums by name; those of a newer server stand behind them."""
    machines, charge_sum, speed_sum, *rest = numbers
    states, rest = rest[: len(KNOWN_STATES)], rest[len(KNOWN_STATES) :]
    by_charge, counters = rest[:TENTHS], rest[TENTHS:]
    return Aggregates(
        machines=machines,
        by_state=by_state(machines, states),
        by_charge=tuple(by_charge),
        charge_sum=charge_sum,
        speed_sum_mm_per_s=speed_sum,
        counters=dict(zip(COUNTERS, counters, strict=True)),
    )
