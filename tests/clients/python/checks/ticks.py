"""Ticks: their order, their counts, and that both subprotocols say the same of the same tick."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter

from binary import Ids
from farm import SUBPROTOCOLS, Farm, farm, need
from machines import FULL_CHARGE, STATES, STEPS_OF_A_TURN, Machine, Tick
from rest import Api
from stream import Stream

RATE_HZ = 20
# How long the farm runs while it is watched: enough for machines to have left their homes.
RUN_TICKS = 1_500
# What the page promises of numbers in JSON, with half of the last digit that is written.
POSITION_M = 0.1 + 0.005
HEADING = math.tau / STEPS_OF_A_TURN / 2 + 0.000_5
SPEED_M_PER_S = 0.05 + 1e-9
BATTERY_PERCENT = 100 / FULL_CHARGE / 2 + 0.05
# Clocks of the gateway and of this program may differ, and both be slow.
CLOCK_US = 120_000_000


async def run(api: Api) -> None:
    """Both subprotocols watch the same run, from its first tick to the pause."""
    async with farm(api) as made:
        async with made.stream(SUBPROTOCOLS[0], rate_hz=str(RATE_HZ)) as text:
            async with made.stream(SUBPROTOCOLS[1], rate_hz=str(RATE_HZ)) as binary:
                await watch(made, text, binary)


async def watch(made: Farm, text: Stream, binary: Stream) -> None:
    """Reads two streams until the simulation is paused and the last tick has come, which always does."""
    begun = time.monotonic()
    last = asyncio.get_running_loop().create_future()
    readers = [asyncio.create_task(read(made, stream, last)) for stream in (text, binary)]
    try:
        await made.act("start")
        while await made.tick() < RUN_TICKS:
            # Between two questions.
            await asyncio.sleep(0.05)
            for reader in readers:
                # Before the last tick is known it ends only by what it has found.
                need(not reader.done() or bool(reader.result()), "a stream ended early")
        # One more, so that the last tick is known before it comes.
        last.set_result(await made.pause() + 1)
        await made.act("step")
        texts, binaries = await asyncio.gather(*readers)
    finally:
        for reader in readers:
            reader.cancel()
    most = (time.monotonic() - begun) * RATE_HZ + 2
    for ticks in (texts, binaries):
        need(len(ticks) <= most, f"{len(ticks)} ticks at {RATE_HZ} Hz where {most:.0f} may come")
        need(len(ticks) >= 3, f"{len(ticks)} ticks only")
    shared = sorted(texts.keys() & binaries.keys())
    need(last.result() in shared, f"the last tick, {last.result()}, is not in both")
    for tick in shared:
        same(texts[tick], binaries[tick], {machine: POSITION_M for machine in texts[tick].machines})
    states = {machine.state for tick in texts.values() for machine in tick.machines.values()}
    need(len(states) > 1, f"the machines were only {states}")


async def read(made: Farm, stream: Stream, last: asyncio.Future[int]) -> dict[int, Tick]:
    """All ticks until the last one before the pause, each checked by itself."""
    ticks: dict[int, Tick] = {}
    newest = -1
    while not (last.done() and newest == last.result()):
        tick = await stream.tick()
        need(tick.tick > newest, f"tick {tick.tick} after {newest}")
        newest = tick.tick
        adds_up(made, tick)
        if stream.ids is not None:
            need(tick.machines.keys() == set(stream.ids.machines), "not all machines")
        ticks[newest] = tick
    return ticks


def adds_up(made: Farm, tick: Tick) -> None:
    """Checks a tick that has every machine against its own sums."""
    machines, sums = tick.machines.values(), tick.sums
    count = made.entities
    need(tick.entities_total == count == sums.machines, f"{tick}")
    need(tick.machines.keys() == set(range(1, count + 1)), f"machines {sorted(tick.machines)}")
    need(abs(tick.sim_time_s - tick.tick * made.tick_ms / 1_000) < 1e-6, f"{tick}")
    need(abs(tick.sent_at_us - time.time() * 1e6) < CLOCK_US, f"sent at {tick.sent_at_us}")
    need(abs(tick.started_at_us - tick.sent_at_us) < CLOCK_US, f"started at {tick.started_at_us}")
    by_state = Counter(machine.state for machine in machines)
    need(all(by_state[state] == sums.by_state[state] for state in STATES), f"{by_state}, {sums.by_state}")
    need(len(sums.by_charge) == 10 and sum(sums.by_charge) == count, f"{sums.by_charge}")
    charge = sum(machine.battery for machine in machines) / 100
    need(abs(charge - sums.charge_sum / 2**30) <= count / FULL_CHARGE, f"charge {charge}, {sums}")
    speed = sum(machine.speed for machine in machines)
    need(abs(speed - sums.speed_sum_mm_per_s / 1_000) <= count * 0.1, f"speed {speed}, {sums}")
    for machine in machines:
        need(0 <= machine.heading < math.tau + 0.001 and 0 <= machine.battery <= 100, f"{machine}")


def same(text: Tick, binary: Tick, position_m: dict[int, float]) -> None:
    """Compares a tick of both subprotocols: the machines of the text must be in the binary one."""
    need(
        (text.tick, text.epoch, text.sim_time_s, text.started_at_us, text.entities_total, text.sums)
        == (binary.tick, binary.epoch, binary.sim_time_s, binary.started_at_us, binary.entities_total, binary.sums),
        f"{text} and {binary}",
    )
    for number, machine in text.machines.items():
        other = binary.machines.get(number)
        need(other is not None and agree(machine, other, position_m[number]), f"{machine} and {other}")


def agree(one: Machine, other: Machine, position_m: float) -> bool:
    """Whether two descriptions are of the same machine, within what the page promises."""
    turned = abs(one.heading - other.heading)
    return (
        abs(one.x - other.x) <= position_m
        and abs(one.y - other.y) <= position_m
        and min(turned, math.tau - turned) <= HEADING
        and abs(one.speed - other.speed) <= SPEED_M_PER_S
        and abs(one.battery - other.battery) <= BATTERY_PERCENT
        and one.state == other.state
    )


async def late(api: Api) -> None:
    """One who comes late gets the newest tick at once, and the same ids."""
    async with farm(api) as made:
        await made.act("start")
        stands_at = await made.pause()
        ids: Ids | None = None
        for _ in range(2):
            async with made.stream(SUBPROTOCOLS[1]) as stream:
                tick = await stream.tick()
                need(tick.tick == stands_at, f"tick {tick.tick} came first, not {stands_at}")
                need(ids is None or ids == stream.ids, "ids differ between two streams")
                ids = stream.ids
