"""How a stream begins, and how it is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import websockets

from binary import Ids
from farm import SUBPROTOCOLS, Farm, farm, need
from machines import Tick
from rest import Api
from stream import BINARY, JSON, Stream

NOBODY = "01970000-0000-7000-8000-000000000001"

BAD_QUERIES: tuple[dict[str, str], ...] = (
    {"rate_hz": "0"},
    {"rate_hz": "61"},
    {"rate_hz": "fast"},
    {"max_entities": "1000000000"},
    {"bounds_m": "0,0,1"},
    {"bounds_m": "0,0,1,x"},
    {"bounds_m": "0,0,99999999,1"},
    {"events": "some"},
    {"from_event": "-1"},
    {"from_system_event": "x"},
    {"from_epoch": "-1"},
    {"colour": "red"},
)


async def begins(api: Api) -> None:
    """hello, ids in the binary one, then the newest tick, at once, though nothing runs."""
    async with farm(api) as made:
        await made.act("start")
        await made.pause()
        for subprotocol in SUBPROTOCOLS:
            async with made.stream(subprotocol) as stream:
                need(stream.subprotocol == subprotocol, f"offered {subprotocol}, got {stream.subprotocol}")
                await begun(made, stream, is_binary=subprotocol == BINARY)
        async with Stream(api, made.id, ()) as stream:
            need(stream.subprotocol is None, f"offered none, got {stream.subprotocol}")
            await begun(made, stream, is_binary=False)


async def begun(made: Farm, stream: Stream, is_binary: bool) -> None:
    """Checks the first messages of a stream."""
    hello = await stream.next()
    need(isinstance(hello, dict) and hello["type"] == "hello", f"first {hello}")
    assert isinstance(hello, dict)
    # History is written meanwhile, though nothing runs.
    written = {"history_lag_ticks": 0}
    need(hello["simulation"] | written == await made.expect(200, "GET", "") | written, f"hello is of {hello['simulation']}")
    need(hello["epoch"] >= 1 and hello["next_event"] >= 1, f"{hello}")
    need(hello["epochs"] == [], f"nobody has taken it over: {hello['epochs']}")
    west, south, east, north = hello["world"]["bounds_m"]
    need(west < east and south < north, f"world {hello['world']}")
    second = await stream.next()
    if is_binary:
        need(isinstance(second, Ids), f"second {second}")
        assert isinstance(second, Ids)
        need(str(second.simulation) == made.id, f"ids of {second.simulation}")
        need(sorted(second.machines) == list(range(1, made.entities + 1)), "ids are not 1 to N")
        need(second.sites == hello["world"]["sites"], f"{second.sites} sites, and {hello['world']}")
        need(list(second.world_m) == hello["world"]["bounds_m"], f"{second.world_m}, and {hello['world']}")
        second = await stream.next()
    need(isinstance(second, Tick), f"then {second}")
    assert isinstance(second, Tick)
    need((second.tick, second.epoch) == (hello["simulation"]["tick"], hello["epoch"]), f"{second}")


async def waits(api: Api) -> None:
    """A simulation that was never started stands at tick 0, which comes once; the next comes when it is started."""
    async with farm(api) as made:
        async with made.stream() as text, made.stream(BINARY) as binary:
            for stream in (text, binary):
                first = await stream.tick()
                need((first.tick, len(first.machines)) == (0, made.entities), f"{first}")
                await stream.send({"type": "ping"})
                await stream.until(no_tick_before("pong"))
            await made.act("start")
            for stream in (text, binary):
                need((await stream.tick()).tick >= 1, "tick 0 comes twice")


def no_tick_before(kind: str) -> Any:
    """Reads up to a message of a type, before which there must be no tick."""

    def take(message: Any) -> bool | None:
        need(not isinstance(message, Tick), f"{message}")
        return True if isinstance(message, dict) and message["type"] == kind else None

    return take


async def chooses(api: Api) -> None:
    """The first subprotocol that is known is taken."""
    async with farm(api) as made:
        for offered, known in (((BINARY, JSON), BINARY), (("autofarm.v9.bin", JSON), JSON)):
            async with Stream(api, made.id, offered) as stream:
                need(stream.subprotocol == known, f"offered {offered}, got {stream.subprotocol}")


async def refuses(api: Api) -> None:
    """Each refusal has its status and a problem as body."""
    async with farm(api) as made:
        await refused(Stream(api, NOBODY), 404)
        await refused(made.stream("graphql-ws"), 422)
        for query in BAD_QUERIES:
            await refused(made.stream(query=query), 422, query)
        await refused(Stream(api, made.id, query=[("rate_hz", "1"), ("rate_hz", "2")]), 422, "a parameter twice")
        answer = api.call("GET", made.path + "/stream")
        need(answer.status == 426, f"a plain GET: {answer.status}")
        need(answer.media_type == "application/problem+json", f"a plain GET: {answer.media_type}")
        foreign = Stream(api, made.id, headers={"Origin": "https://elsewhere.example"})
        await refused(foreign, 403)
        async with Stream(api, made.id, headers={"Origin": "http://localhost:3000"}):
            pass


async def refused(stream: Stream, status: int, why: Any = "") -> None:
    """Opens a stream that must be refused."""
    try:
        async with stream:
            need(False, f"{why} is not refused")
    except websockets.InvalidStatus as answer:
        response = answer.response
        need(response.status_code == status, f"{why}: {response.status_code}, not {status}")
        media_type = response.headers.get("Content-Type", "")
        need(media_type.startswith("application/problem+json"), f"{why}: {media_type}")
        problem: Mapping[str, Any] = json.loads(response.body or b"{}")
        need({"type", "title", "status"} <= problem.keys(), f"{why}: {problem}")
        need(problem["status"] == status, f"{why}: {problem}")
