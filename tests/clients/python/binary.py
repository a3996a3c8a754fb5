"""The binary messages of `autofarm.v1.bin`, decoded with nothing but `struct`.

A message that is not as docs/stream.md says is refused whole: every number is checked against the length of the
message and against `ids` before it is used.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass, field

from machines import COUNTERS, STATES, Machine, Sums, Tick, battery_of, heading_of

IDS = 1
TICK = 2
VERSION = 1
# Fields that version 1 puts before the blocks. There may be more of them one day, so that blocks are looked for
# where the message says.
IDS_HEADER = struct.Struct("<BBHI16sII4d")
TICK_HEADER = struct.Struct("<BBHIQdQQIIII")
SUMS = struct.Struct("<Qqq33Q")
IDS_BLOCK = struct.Struct("<IIIIdd")
TICK_BLOCK = struct.Struct("<II4i")
RECORD = struct.Struct("<HHBBBB")
ID = struct.Struct("<I")
# Boxes are in 2^-16 m.
PER_M = 65_536
# Greatest of a record's coordinates, which is the box's other edge.
EDGE = 65_535


class Malformed(Exception):
    """A message that is not as the page says."""


@dataclass(frozen=True)
class Block:
    """Machines of a site that are sent together; `first` is the index of its first id."""

    site: int
    machines: int
    first: int
    east_m: float
    north_m: float


@dataclass(frozen=True)
class Ids:
    """Whose the records of all later ticks are."""

    simulation: uuid.UUID
    sites: int
    world_m: tuple[float, float, float, float]
    blocks: tuple[Block, ...]
    machines: tuple[int, ...] = field(repr=False)


@dataclass(frozen=True)
class Part:
    """What a tick brings of a block: its first `records` machines, and its box in the world, m."""

    block: int
    records: int
    box_m: tuple[float, float, float, float]


@dataclass(frozen=True)
class BinaryTick(Tick):
    """A tick and the blocks it came in."""

    parts: tuple[Part, ...] = ()


def need(holds: bool, what: str) -> None:
    """Refuses the message unless it holds."""
    if not holds:
        raise Malformed(what)


def decode_ids(message: bytes) -> Ids:
    """Decodes `ids`."""
    need(len(message) >= IDS_HEADER.size, "ids: shorter than its header")
    kind, version, header, blocks, simulation, machines, sites, *world = IDS_HEADER.unpack_from(message)
    need((kind, version) == (IDS, VERSION), f"ids: kind {kind}, version {version}")
    need(header >= IDS_HEADER.size and header % 8 == 0, f"ids: blocks from {header} on")
    behind = header + blocks * IDS_BLOCK.size
    need(len(message) == behind + machines * ID.size, f"ids: {len(message)} bytes")
    found = []
    expected = 0
    for number, (site, count, first, zero, east, north) in enumerate(IDS_BLOCK.iter_unpack(message[header:behind])):
        need(site < sites, f"ids: block {number} is of site {site} of {sites}")
        need(first == expected and zero == 0, f"ids: block {number} begins with {first}, not {expected}")
        expected += count
        found.append(Block(site, count, first, east, north))
    need(expected == machines, f"ids: {expected} machines in blocks, {machines} ids")
    ids = tuple(machine for (machine,) in ID.iter_unpack(message[behind:]))
    need(len(set(ids)) == machines, "ids: a machine stands there twice")
    return Ids(uuid.UUID(bytes=simulation), sites, (world[0], world[1], world[2], world[3]), tuple(found), ids)


def decode_tick(message: bytes, ids: Ids) -> BinaryTick:
    """Decodes a tick of the simulation that `ids` is of."""
    need(len(message) >= TICK_HEADER.size, "tick: shorter than its header")
    kind, version, header, blocks, tick, time_s, sent, started, epoch, total, records, sums = TICK_HEADER.unpack_from(
        message
    )
    need((kind, version) == (TICK, VERSION), f"tick: kind {kind}, version {version}")
    need(sums == SUMS.size // 8, f"tick: {sums} sums")
    need(header >= TICK_HEADER.size + SUMS.size and header % 8 == 0, f"tick: blocks from {header} on")
    behind = header + blocks * TICK_BLOCK.size
    need(len(message) == behind + records * RECORD.size, f"tick: {len(message)} bytes")
    need(total == len(ids.machines), f"tick: of {total} machines, {len(ids.machines)} ids")

    rows = RECORD.iter_unpack(message[behind:])
    parts = []
    machines: dict[int, Machine] = {}
    seen: set[int] = set()
    for number, count, x0, y0, x1, y1 in TICK_BLOCK.iter_unpack(message[header:behind]):
        need(number < len(ids.blocks), f"tick: block {number} of {len(ids.blocks)}")
        need(number not in seen, f"tick: block {number} twice")
        seen.add(number)
        block = ids.blocks[number]
        need(count <= block.machines, f"tick: {count} of {block.machines} machines of block {number}")
        need(x0 <= x1 and y0 <= y1, f"tick: box of block {number}")
        for machine in ids.machines[block.first : block.first + count]:
            row = next(rows, None)
            if row is None:
                raise Malformed("tick: fewer records than the blocks say")
            qx, qy, heading, speed, charge, state = row
            need(state < len(STATES), f"tick: state {state}")
            machines[machine] = Machine(
                id=machine,
                x=block.east_m + (x0 + qx / EDGE * (x1 - x0)) / PER_M,
                y=block.north_m + (y0 + qy / EDGE * (y1 - y0)) / PER_M,
                heading=heading_of(heading),
                speed=speed / 10,
                battery=battery_of(charge),
                state=STATES[state],
            )
        box = (
            block.east_m + x0 / PER_M,
            block.north_m + y0 / PER_M,
            block.east_m + x1 / PER_M,
            block.north_m + y1 / PER_M,
        )
        parts.append(Part(number, count, box))
    need(next(rows, None) is None, "tick: more records than the blocks say")
    return BinaryTick(
        tick=tick,
        epoch=epoch,
        sim_time_s=time_s,
        sent_at_us=sent,
        started_at_us=started,
        entities_total=total,
        sums=sums_of(SUMS.unpack_from(message, TICK_HEADER.size)),
        machines=machines,
        parts=tuple(parts),
    )


def sums_of(numbers: tuple[int, ...]) -> Sums:
    """The sums by name."""
    counters = 3 + len(STATES) + 10
    return Sums(
        machines=numbers[0],
        charge_sum=numbers[1],
        speed_sum_mm_per_s=numbers[2],
        by_state=dict(zip(STATES, numbers[3:])),
        by_charge=numbers[3 + len(STATES) : counters],
        counters=dict(zip(COUNTERS, numbers[counters:], strict=True)),
    )
