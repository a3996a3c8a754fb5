"""A client that reads too slowly."""

from __future__ import annotations

from farm import SUBPROTOCOLS, farm, need
from machines import Tick
from rest import Api
from stream import Stream

ENTITIES = 2_400
# Simulated while the client reads nothing: more than the buffers of a connection hold.
TICKS_BEHIND = 4_000


async def told(api: Api) -> None:
    """Ticks are skipped and not queued; `lagged` says so, and the newest tick follows it."""
    for subprotocol in SUBPROTOCOLS:
        async with farm(api, entities=ENTITIES, speed=20) as made:
            async with made.stream(subprotocol, rate_hz="60", max_entities=str(ENTITIES)) as slow:
                await made.act("start")
                async with made.stream(max_entities="1") as reader:
                    newest = await reader.until(
                        lambda m: m.tick if isinstance(m, Tick) and m.tick >= TICKS_BEHIND else None, 120
                    )
                    await caught_up(slow, -1, newest)


async def caught_up(slow: Stream, last: int, newest: int) -> None:
    """Reads on until the newest tick, which must come behind a `lagged`."""
    skipped = 0
    while last < newest:
        message = await slow.next()
        if isinstance(message, dict) and message["type"] == "lagged":
            need(message["skipped"] >= 1, f"{message}")
            skipped += message["skipped"]
            message = await slow.next()
            need(isinstance(message, Tick), f"{message} follows lagged")
        if isinstance(message, Tick):
            need(message.tick > last, f"tick {message.tick} after {last}")
            last = message.tick
    need(skipped >= 1, "nothing was skipped, or nobody was told")
