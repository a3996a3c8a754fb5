"""What a newer server says that this version has no name for, the same in both forms of the stream."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from autofarm import STATES, Aggregates, Event, Tick, View
from autofarm.binary import decode_ids, decode_tick
from autofarm.machines import COUNTERS, KNOWN_STATES
from autofarm.session import BINARY, JSON, Session
from gateways import HELLO
from page import example

# Of the example's tick: where the state of the second machine stands, the sum of those that work, and the blocks.
STATE = 0x17F
WORKING = 0x60
BLOCKS = 0x158


def packed_tick(code: int, as_arrays: bool) -> Tick:
    """The example, whose second machine is in a state of that code."""
    message = bytearray(example(1))
    message[STATE] = code
    message[WORKING] = 1
    session = Session(View(), binary=True)
    session.as_arrays = as_arrays
    session.opened(BINARY)
    session.receive(example(0))
    tick = session.receive(bytes(message))
    assert isinstance(tick, Tick)
    return tick


def text_tick(state: str) -> Tick:
    """The same in JSON."""
    known = packed_tick(10, False)
    sums = known.aggregates
    told: dict[str, Any] = {name: getattr(known, name) for name in ("tick", "epoch", "sim_time_s", "entities_total")}
    told |= {"type": "tick", "started_at_us": known.started_at_us, "sent_at_us": known.sent_at_us}
    told["aggregates"] = {name: getattr(sums, name) for name in Aggregates.__slots__} | {
        "by_state": {"working": 1, state: 1},
        "counters": dict(sums.counters) | {"tows": 3},
    }
    first, second = (machine._asdict() for machine in known.machines)
    told["entities"] = [first, second | {"state": state}]
    session = Session(View(), binary=False)
    session.opened(JSON)
    tick = session.receive(json.dumps(told))
    assert isinstance(tick, Tick)
    return tick


@pytest.mark.parametrize("code", [len(KNOWN_STATES), 11, 255])
def test_a_state_that_is_not_known_is_unknown_in_every_form(code: int) -> None:
    ticks = [packed_tick(code, False), packed_tick(code, True), text_tick("towing")]
    for tick in ticks:
        assert [machine.state for machine in tick.machines] == ["working", "unknown"]
        assert [STATES[each] for each in tick.machines.arrays().state] == ["working", "unknown"]
        assert {state: count for state, count in tick.aggregates.by_state.items() if count} == {
            "working": 1,
            "unknown": 1,
        }
        assert list(tick.aggregates.by_state) == list(STATES)
        assert list(tick.aggregates.counters) == list(COUNTERS)
    rows, columns, text = ticks
    assert list(columns.machines) == [pytest.approx(machine) for machine in rows.machines]
    assert text.aggregates == rows.aggregates == columns.aggregates
    assert text.machines.arrays().state.tolist() == columns.machines.arrays().state.tolist()


def test_the_unknown_state_stands_behind_those_that_are_known() -> None:
    assert (*KNOWN_STATES, "unknown") == STATES


@pytest.mark.parametrize("as_arrays", [False, True])
def test_sums_that_are_not_known_are_passed_over(as_arrays: bool) -> None:
    known = example(1)
    more = bytearray(known[:BLOCKS] + struct.pack("<Q", 77) + known[BLOCKS:])
    struct.pack_into("<H", more, 2, BLOCKS + 8)
    struct.pack_into("<I", more, 52, 37)
    ids = decode_ids(example(0))
    ours, theirs = (decode_tick(bytes(message), ids, as_arrays) for message in (more, known))
    assert ours.aggregates == theirs.aggregates
    assert list(ours.machines) == list(theirs.machines)


@pytest.mark.parametrize("subprotocol", [JSON, BINARY])
def test_events_of_kinds_and_logs_that_are_not_known(subprotocol: str) -> None:
    session = Session(View(events="all"), binary=subprotocol == BINARY)
    session.opened(subprotocol)
    session.receive(json.dumps(HELLO))
    event = {"type": "event", "log": "sim", "seq": 1, "tick": 3, "kind": "towed", "site": 0, "entities": [1]}
    told = session.receive(json.dumps({**event, "detail": {"by": 2}}))
    assert told == Event("sim", 1, 3, "towed", 0, (1,), {"by": 2})
    # A log of which no seq is kept cannot be resumed: none of it comes, and the others go on.
    assert session.receive(json.dumps({**event, "log": "weather", "seq": 9, "detail": {}})) is None
    assert session.receive('{"type":"events_missing","log":"weather","from_seq":1,"to_seq":8}') is None
    assert isinstance(session.receive(json.dumps({**event, "seq": 2, "detail": {}})), Event)
