"""Views: how bounds snap, which machines come, and that both subprotocols agree on them."""

from __future__ import annotations

from typing import Any

from binary import BinaryTick
from checks.ticks import POSITION_M, same
from farm import SUBPROTOCOLS, Farm, farm, need
from machines import Machine, Tick
from rest import Api
from stream import Stream
from view import Bounds, holds, snapped, stands_in, touches

ENTITIES = 480
SAMPLE = 100
DEFAULTS = {"bounds_m": None, "max_entities": 2000, "rate_hz": 10, "events": "lifecycle"}
# Distinct views of a simulation's clients, beside the default one.
MAX_VIEWS = 64


async def bounded(api: Api) -> None:
    """Machines of a view are those inside the snapped bounds, in both subprotocols."""
    async with farm(api, entities=ENTITIES) as made:
        whole = await stand(made)
        async with made.stream(SUBPROTOCOLS[0]) as text, made.stream(SUBPROTOCOLS[1]) as binary:
            await text.tick()
            await binary.tick()
            for bounds in boxes(whole):
                await compare(whole, bounds, text, binary)
            # The query means the same as the message.
            asked = ",".join(str(edge) for edge in boxes(whole)[0])
            async with made.stream(bounds_m=asked) as queried:
                inside(whole, snapped(boxes(whole)[0]), (await queried.tick()).machines)


async def stand(made: Farm) -> BinaryTick:
    """Lets the machines leave their homes, pauses, and answers where all of them stand."""
    await made.act("start")
    async with made.stream(SUBPROTOCOLS[1], max_entities=str(ENTITIES)) as stream:
        tick = await stream.until(lambda m: m if isinstance(m, BinaryTick) and m.tick >= 600 else None)
        stands_at = await made.pause()
        # It may stand where it was seen last: then nothing newer comes.
        if tick.tick < stands_at:
            tick = await stream.until(lambda m: m if isinstance(m, BinaryTick) and m.tick >= stands_at else None)
        need(len(tick.machines) == ENTITIES, f"{len(tick.machines)} machines")
        return tick


def boxes(whole: Tick) -> list[Bounds]:
    """Bounds of several sizes around machines, and some where none is."""
    spots = [whole.machines[number] for number in (1, ENTITIES // 2, ENTITIES)]
    around = [(m.x - side / 3, m.y - side / 5, m.x + side, m.y + side / 2) for m in spots for side in (5, 90, 700)]
    return [*around, (-9e6, -9e6, 9e6, 9e6), (1e6, 1e6, 1e6 + 10, 1e6 + 10)]


async def compare(whole: BinaryTick, bounds: Bounds, text: Stream, binary: Stream) -> None:
    """Asks for the same bounds in both subprotocols."""
    view = {"type": "view", "bounds_m": list(bounds), "max_entities": ENTITIES}
    snaps = snapped(bounds)
    assert binary.ids is not None
    answered = None if holds(snaps, binary.ids.world_m) else list(snaps)
    texts = await viewed(text, view, {"bounds_m": answered, "max_entities": ENTITIES})
    binaries = await viewed(binary, view, {"bounds_m": answered, "max_entities": ENTITIES})
    assert isinstance(binaries, BinaryTick)
    need(texts.tick == binaries.tick == whole.tick, f"ticks {texts.tick} and {binaries.tick}")
    same(texts, binaries, dict.fromkeys(texts.machines, POSITION_M))
    inside(whole, snaps, texts.machines)
    for part in whole.parts:
        sent = [p for p in binaries.parts if p.block == part.block]
        need(bool(sent) == touches(snaps, part.box_m), f"block {part} of bounds {snaps}: {sent}")
        need(not sent or sent == [part], f"{sent} is not the whole of {part}")
    filtered = {number: m for number, m in binaries.machines.items() if stands_in(snaps, m)}
    need(filtered.keys() == texts.machines.keys(), f"{bounds}: {filtered.keys() ^ texts.machines.keys()}")


def inside(whole: Tick, snaps: Bounds, machines: dict[int, Machine]) -> None:
    """Compares the machines of a view with those of the whole world that stand inside."""
    wanted = {number for number, machine in whole.machines.items() if stands_in(snaps, machine)}
    need(machines.keys() == wanted, f"{snaps}: {machines.keys() ^ wanted}")


async def viewed(stream: Stream, view: dict[str, Any], expected: dict[str, Any]) -> Tick:
    """Sends a view, checks its answer, and gives the tick that follows."""
    await stream.send(view)
    answer = await stream.message("view")
    need(answer == {"type": "view"} | DEFAULTS | expected, f"{view} is answered by {answer}")
    return await stream.tick()


async def sampled(api: Api) -> None:
    """`max_entities` gives an even sample, the same one in both, and the same ones again."""
    async with farm(api, entities=ENTITIES) as made:
        whole = await stand(made)
        async with made.stream(SUBPROTOCOLS[0]) as text, made.stream(SUBPROTOCOLS[1]) as binary:
            view = {"type": "view", "max_entities": SAMPLE}
            texts = await viewed(text, view, {"max_entities": SAMPLE})
            binaries = await viewed(binary, view, {"max_entities": SAMPLE})
            assert isinstance(binaries, BinaryTick) and binary.ids is not None
            need(texts.machines.keys() == binaries.machines.keys(), "the samples differ")
            same(texts, binaries, dict.fromkeys(texts.machines, POSITION_M))
            for part in binaries.parts:
                share = binary.ids.blocks[part.block].machines * SAMPLE / ENTITIES
                need(abs(part.records - share) <= 1, f"{part.records} records of block {part.block}, not {share:.1f}")
            count = len(texts.machines)
            need(SAMPLE - len(whole.parts) <= count <= SAMPLE, f"{count} machines of {SAMPLE} wanted")
            # What is left out of a view has its default again.
            await viewed(text, {"type": "view"}, {})
            await made.act("step", {"ticks": 20})
            later = await binary.until(lambda m: m if isinstance(m, Tick) and m.tick > whole.tick else None)
            need(later.machines.keys() == binaries.machines.keys(), "the sample has changed")


async def crowded(api: Api) -> None:
    """There are so many distinct views, and one more is told why not and keeps the last one."""
    async with farm(api) as made:
        streams = [made.stream(max_entities=str(1 + number)) for number in range(MAX_VIEWS)]
        opened: list[Stream] = []
        try:
            for stream in streams:
                opened.append(await stream.__aenter__())
                await stream.message("hello")
            async with made.stream() as late:
                await late.send({"type": "view", "max_entities": 47})
                need((await late.message("view"))["max_entities"] == 47, "a view that others have")
                await late.send({"type": "view", "max_entities": 1000})
                await told(late)
            # By the query, the stream begins with the default view.
            async with made.stream(max_entities="1000") as asking:
                await told(asking)
                await made.act("start")
                need(len((await asking.tick()).machines) == made.entities, "not the default view")
        finally:
            for stream in opened:
                await stream.__aexit__(None, None, None)


async def told(stream: Stream) -> None:
    """The next answer says that there are too many views."""
    error = await stream.message("error")
    need(error["code"] == "too_many_views", f"{error}")


async def paced(api: Api) -> None:
    """A rate counts in ticks a second of wall time, and may be changed."""
    async with farm(api, speed=1) as made:
        async with made.stream(rate_hz="1") as stream:
            await made.act("start")
            first = await stream.until(lambda m: m if isinstance(m, Tick) and m.tick > 0 else None)
            second = await stream.tick()
            # At the speed of life a second is 20 ticks; the gateway may be late, but not early.
            need(second.tick - first.tick >= 15, f"ticks {first.tick} and {second.tick} at 1 Hz")
            await viewed(stream, {"type": "view", "rate_hz": 60}, {"rate_hz": 60})
            gaps = [(await stream.tick()).tick for _ in range(11)]
            need(gaps[-1] - gaps[0] < 10 * 15, f"ticks {gaps} at 60 Hz")

