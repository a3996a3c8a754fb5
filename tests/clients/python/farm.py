"""A simulation made for a check, and deleted after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from log import Logs
from rest import Api
from stream import BINARY, JSON, Stream


# Equal answers in a row after which a paused simulation counts as standing.
STANDING = 5


class Differs(Exception):
    """The gateway does something else than its page says."""


def need(holds: bool, what: str) -> None:
    """Fails the check unless it holds."""
    if not holds:
        raise Differs(what)


class Farm:
    """One simulation. REST calls run in a thread, so that streams are read meanwhile."""

    def __init__(self, api: Api, resource: dict[str, Any]) -> None:
        self.api = api
        self.id: str = resource["id"]
        self.path = f"/v1/simulations/{self.id}"
        self.entities: int = resource["entities"]
        self.tick_ms: int = resource["tick_ms"]

    async def expect(self, status: int, method: str, path: str, body: Any = None) -> Any:
        """Asks for a path below the simulation's own."""
        return await asyncio.to_thread(self.api.expect, status, method, self.path + path, body)

    async def act(self, action: str, body: Any = None) -> dict[str, Any]:
        """`start`, `pause`, `resume`, `step` or `stop`."""
        return dict(await self.expect(200, "POST", f"/{action}", {} if body is None else body))

    async def command(self, command: dict[str, Any]) -> int:
        """Gives a command; answers its seq."""
        return int((await self.expect(202, "POST", "/commands", command))["seq"])

    async def tick(self) -> int:
        """Its last complete tick."""
        return int((await self.expect(200, "GET", ""))["tick"])

    async def pause(self) -> int:
        """Pauses it; answers the tick that it stands at."""
        await self.act("pause")
        return await self.stands()

    async def stands(self) -> int:
        """The tick that it stands at, once it does: what is under way comes after the answer to `pause` or `step`."""
        ticks = [await self.tick()]
        while len(ticks) < STANDING or len(set(ticks[-STANDING:])) > 1:
            # Between two questions.
            await asyncio.sleep(0.05)
            ticks.append(await self.tick())
        return ticks[-1]

    def stream(self, subprotocol: str = JSON, query: Mapping[str, str] | None = None, **more: str) -> Stream:
        """A stream of it, with these parameters."""
        return Stream(self.api, self.id, (subprotocol,), {**(query or {}), **more})

    async def next_events(self) -> dict[str, int]:
        """Of each log, the seq of the event that happens next; final in a simulation that stands."""
        async with self.stream() as stream:
            hello = await stream.message("hello")
        return {"sim": hello["next_event"], "system": hello["next_system_event"]}

    async def events(self, after: Mapping[str, int]) -> dict[str, dict[int, dict[str, Any]]]:
        """Both logs by the REST API, once it has all events before these seqs."""
        while True:
            events: dict[str, dict[int, dict[str, Any]]] = {"sim": {}, "system": {}}
            for item in await asyncio.to_thread(self.api.pages, self.path + "/events"):
                events[item["log"]][item["seq"]] = item
            if all(max(events[log], default=0) + 1 >= seq for log, seq in after.items()):
                return events
            # Between two questions: what has happened is in the database a moment later.
            await asyncio.sleep(0.05)


@asynccontextmanager
async def farm(api: Api, **body: Any) -> AsyncIterator[Farm]:
    """A simulation of 48 machines at twenty times the speed of life, unless `body` says otherwise."""
    wanted = {"name": "client", "scenario": "weeding", "entities": 48, "tick_ms": 50, "seed": 7, "speed": 20} | body
    made = Farm(api, await asyncio.to_thread(api.expect, 201, "POST", "/v1/simulations", wanted))
    try:
        yield made
    finally:
        await asyncio.to_thread(api.call, "DELETE", made.path)


async def read_events(stream: Stream, logs: Logs, until: Mapping[str, int]) -> None:
    """Reads events until both logs are complete up to these seqs."""

    def take(message: Any) -> bool | None:
        """all events"""
        if isinstance(message, dict):
            match message["type"]:
                case "hello":
                    logs.hello(message)
                case "event":
                    logs.event(message)
                case "events_missing":
                    raise Differs(f"{message}, and nothing is too old yet")
        return True if all(logs.last[log] + 1 >= seq for log, seq in until.items()) else None

    if take(None) is None:
        await stream.until(take)


def same_events(logs: Logs, events: Mapping[str, dict[int, dict[str, Any]]]) -> None:
    """Compares what was streamed with what the REST API lists."""
    for log, listed in events.items():
        streamed = logs.events[log]
        need(sorted(streamed) == sorted(listed), f"{log}: streamed {sorted(streamed)}, listed {sorted(listed)}")
        for seq, item in listed.items():
            event = {key: value for key, value in streamed[seq].items() if key != "type"}
            shared = event.keys() & item.keys()
            need(
                {"log", "seq", "tick", "kind"} <= shared and all(event[key] == item[key] for key in shared),
                f"{log}: streamed {event}, listed {item}",
            )


SUBPROTOCOLS = (JSON, BINARY)
