"""The decoder of the binary messages against the example of docs/stream.md, and against what is none."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from autofarm import COUNTERS, ProtocolError
from autofarm.binary import Ids, decode_ids, decode_tick
from autofarm.machines import KNOWN_STATES
from page import PAGE, example

IDS = decode_ids(example(0))


@pytest.mark.parametrize("as_arrays", [False, True])
def test_the_example_is_what_the_page_says_of_it(as_arrays: bool) -> None:
    assert IDS.simulation == "01970000-0000-7000-8000-000000000001"
    assert IDS.machines == (1, 2)
    tick = decode_tick(example(1), IDS, as_arrays)
    assert (tick.tick, tick.epoch, tick.sim_time_s, tick.entities_total) == (4000, 1, 200.0, 2)
    assert tick.aggregates.charge_sum == 1_457_450_793
    assert tick.aggregates.speed_sum_mm_per_s == 528
    assert tick.aggregates.speed_mean_m_per_s == pytest.approx(0.264)
    assert tick.aggregates.by_state["working"] == 2
    assert tick.aggregates.by_charge == (0, 0, 0, 0, 0, 0, 1, 1, 0, 0)
    first, second = tick.machines
    assert (first.id, second.id, first.state, second.state) == (1, 2, "working", "working")
    assert (first.x, second.x) == pytest.approx((-677.0, -214.0))
    assert first.y == second.y == pytest.approx(-906.641, abs=0.001)
    assert first.heading == pytest.approx(0x3F / 256 * 6.283185, abs=1e-4)
    assert first.speed == 0.2
    assert first.battery == pytest.approx(0xA3 / 2.55)


def test_both_decoders_give_the_same() -> None:
    rows, columns = (decode_tick(example(1), IDS, as_arrays) for as_arrays in (False, True))
    assert list(columns.machines) == [pytest.approx(machine) for machine in rows.machines]
    assert columns.machines[-1] == columns.machines[1] == list(columns.machines)[1]
    assert columns.machines[0:1] == list(columns.machines)[:1]
    for name in ("id", "x", "y", "heading", "speed", "battery", "state"):
        ours, theirs = (getattr(tick.machines.arrays(), name) for tick in (rows, columns))
        assert ours.dtype == theirs.dtype
        assert ours.tolist() == pytest.approx(theirs.tolist())


def test_bounds_cut_as_the_gateway_does_in_json() -> None:
    for tick in (decode_tick(example(1), IDS, as_arrays) for as_arrays in (False, True)):
        first, second = tick.machines
        for bounds, inside in [
            ((-677.0, -1_000.0, -214.0, 0.0), [1]),
            ((-677.0, -1_000.0, -213.9, 0.0), [1, 2]),
            ((-676.9, -1_000.0, -213.9, 0.0), [2]),
            ((-1_000.0, -1_000.0, 1_000.0, first.y), []),
            ((-1_000.0, second.y, 1_000.0, 0.0), [1, 2]),
        ]:
            assert [machine.id for machine in tick.machines.within(bounds)] == inside


def test_without_numpy_it_is_decoded_all_the_same() -> None:
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "from autofarm.binary import decode_ids, decode_tick, has_numpy\n"
        "assert not has_numpy()\n"
        f"tick = decode_tick({example(1)!r}, decode_ids({example(0)!r}), has_numpy())\n"
        "print([machine.id for machine in tick.machines])\n"
        "try:\n    tick.machines.arrays()\nexcept ImportError as error:\n    print('numpy' in str(error))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[1, 2]\nTrue\n"


def test_what_is_cut_off_or_too_long_is_refused() -> None:
    ids, tick = example(0), example(1)
    for length in range(len(ids)):
        with pytest.raises(ProtocolError):
            decode_ids(ids[:length])
    for length in range(len(tick)):
        with pytest.raises(ProtocolError):
            decode_tick(tick[:length], IDS, as_arrays=True)
    for spoilt in (ids + bytes(4), ids + bytes(32)):
        with pytest.raises(ProtocolError):
            decode_ids(spoilt)
    for spoilt in (tick + bytes(8), tick + bytes(24)):
        with pytest.raises(ProtocolError):
            decode_tick(spoilt, IDS, as_arrays=True)


@pytest.mark.parametrize(
    ("offset", "byte", "says"),
    [
        (0, 3, "kind 3"),
        (1, 2, "version 2"),
        (2, 0x50, "blocks from"),
        (4, 2, "bytes"),
        (48, 3, "bytes"),
        (52, 35, "35 sums"),
        (52, 37, "blocks from 344"),
        (0x158, 1, "block 1 of 1"),
        (0x15C, 3, "3 machines of block 0"),
        (0x15C, 1, "1 machines in blocks, 2 records"),
        (0x163, 0x7F, "box of block 0"),
    ],
)
@pytest.mark.parametrize("as_arrays", [False, True])
def test_a_number_that_cannot_be_is_named(offset: int, byte: int, says: str, as_arrays: bool) -> None:
    spoilt = bytearray(example(1))
    spoilt[offset] = byte
    with pytest.raises(ProtocolError, match=says):
        decode_tick(bytes(spoilt), IDS, as_arrays)


def test_codes_and_counters_stand_in_the_order_of_the_page() -> None:
    told = re.findall(r"^\| (\d) \| `(\w+)` \| ", PAGE, re.MULTILINE)
    assert told == [(str(code), state) for code, state in enumerate(KNOWN_STATES)]
    assert f"| 23 to 35 | {' '.join(f'`{name}`' for name in COUNTERS)} of `counters` |" in PAGE


def test_ids_are_kept_as_they_came() -> None:
    assert isinstance(IDS, Ids)
    assert IDS.columns[2].tolist() == [1, 2]
