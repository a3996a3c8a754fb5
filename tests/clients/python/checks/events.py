"""Events: all of them, in order, whatever becomes of the connection."""

from __future__ import annotations

import asyncio
from typing import Any

import websockets

from farm import SUBPROTOCOLS, Farm, farm, need, read_events, same_events
from log import Logs
from rest import Api
from stream import Stream, TimedOut

FROM_THE_FIRST = {"events": "all", "from_event": "1", "from_system_event": "1"}
REASONS = ("faulted", "outside_site", "not_held", "already_charging", "malformed")
# Connections that are lost, and events read between two losses.
LOSSES = 6
EVENTS_EACH = 15
# More than may wait for a client.
EVENTS_BEHIND = 6_000


async def complete(api: Api) -> None:
    """Every event of a run with commands is streamed, and is what the REST API lists."""
    async with farm(api) as made:
        logs = [Logs(), Logs()]
        async with made.stream(SUBPROTOCOLS[0], FROM_THE_FIRST) as text:
            async with made.stream(SUBPROTOCOLS[1], FROM_THE_FIRST) as binary:
                kinds = await commanded(made, text, logs[0])
                until = await made.next_events()
                await asyncio.gather(read_events(text, logs[0], until), read_events(binary, logs[1], until))
        need(logs[0].events == logs[1].events, "the subprotocols differ")
        same_events(logs[0], await made.events(until))
        need({"transition", "command", "command_rejected", "fault", "repaired", "lifecycle"} <= kinds, f"only {kinds}")


async def commanded(made: Farm, stream: Stream, logs: Logs) -> set[str]:
    """Runs the farm with commands until each has had its effect, and pauses it; answers the kinds seen."""
    kinds: set[str] = set()
    await made.act("start")
    hold = await made.command({"entities": [1, 2], "command": "hold"})
    fault = await made.command(
        {"entity": 5, "command": "inject_fault", "args": {"component": "drive", "for_s": 10}}
    )
    away = await made.command({"entity": 3, "command": "goto", "args": {"x_m": 30_000, "y_m": 30_000}})
    release = await made.command({"entity": 4, "command": "release"})
    waited = {("command", hold), ("command", fault), ("command_rejected", away), ("command_rejected", release)}

    def take(message: Any) -> bool | None:
        """the effects of four commands, and a repair"""
        if isinstance(message, dict) and message["type"] == "hello":
            logs.hello(message)
        if isinstance(message, dict) and message["type"] == "event":
            logs.event(message)
            kinds.add(message["kind"])
            waited.discard((message["kind"], message["detail"].get("command_seq", 0)))
            shaped(message)
        return True if not waited and {"repaired", "transition"} <= kinds else None

    await stream.until(take, 120)
    await made.pause()
    return kinds | {event["kind"] for event in logs.events["system"].values()}


def shaped(event: dict[str, Any]) -> None:
    """Checks the fields of an event."""
    if event["log"] == "system":
        need("site" not in event and "entities" not in event, f"{event}")
        if event["kind"] == "lifecycle":
            need({"status", "cause"} <= event["detail"].keys(), f"{event}")
        return
    need(event["site"] >= 0 and len(event["entities"]) >= 1, f"{event}")
    needed = {
        "transition": {"state"},
        "command": {"command_seq"},
        "command_rejected": {"command_seq", "reason"},
        "fault": {"repair_tick"},
        "repaired": set(),
        "stand_off": {"other"},
    }
    need(needed[event["kind"]] <= event["detail"].keys(), f"{event}")
    need(event["detail"].get("reason", REASONS[0]) in REASONS, f"{event}")


async def chosen(api: Api) -> None:
    """`lifecycle`, which is the default, sends nothing but that; `none` nothing."""
    async with farm(api) as made:
        async with made.stream() as usual, made.stream(events="none") as silent:
            await made.act("start")
            await made.command({"all": True, "command": "hold"})
            await made.pause()
            # The answer to a ping shows what has come before it.
            listed = await made.events(await made.next_events())
            lifecycle = [seq for seq, event in listed["system"].items() if event["kind"] == "lifecycle"]
            seen: list[dict[str, Any]] = []

            def take(message: Any) -> bool | None:
                """the lifecycle"""
                if isinstance(message, dict) and message["type"] == "event":
                    seen.append(message)
                return True if seen and seen[-1]["seq"] == max(lifecycle) else None

            await usual.until(take)
            need(all(event["kind"] == "lifecycle" for event in seen), f"{seen}")
            statuses = [event["detail"]["status"] for event in seen]
            need(statuses[-2:] == ["running", "paused"], f"{statuses}")
            await silent.send({"type": "ping"})
            await silent.until(no_event_before("pong"))


def no_event_before(kind: str) -> Any:
    """Reads up to a message of a type, before which there must be no event."""

    def take(message: Any) -> bool | None:
        if not isinstance(message, dict):
            return None
        need(message["type"] != "event", f"{message}")
        return True if message["type"] == kind else None

    return take


async def resumed(api: Api) -> None:
    """A client whose connection is lost again and again misses nothing and gets nothing twice."""
    async with farm(api, scenario="dense", entities=640) as made:
        logs = Logs()
        await made.act("start")
        for loss in range(LOSSES):
            async with made.stream(SUBPROTOCOLS[loss % 2], logs.resume_query()) as stream:
                until = {"sim": logs.last["sim"] + EVENTS_EACH + 1, "system": 0}
                await read_events(stream, logs, until)
                stream.drop()
        await made.pause()
        until = await made.next_events()
        async with made.stream(query=logs.resume_query()) as stream:
            await read_events(stream, logs, until)
        same_events(logs, await made.events(until))


async def beyond(api: Api) -> None:
    """A seq that is not reached begins with what happens next, and so does the log that is not named."""
    async with farm(api) as made:
        await made.act("start")
        await made.pause()
        for named in ("from_event", "from_system_event"):
            async with made.stream(query={"events": "all", named: "1000000"}) as stream:
                hello = await stream.message("hello")
                logs = Logs()
                logs.begin(hello)
                await made.command({"entity": 1, "command": "hold"})
                await made.act("step", {"ticks": 100})
                await made.stands()
                until = await made.next_events()
                need(until["sim"] > hello["next_event"], "nothing has happened")
                await read_events(stream, logs, until)


async def behind(api: Api) -> None:
    """Who does not read is closed, or dropped, and resumes without a loss."""
    async with farm(api, scenario="dense", entities=6_400, speed="max") as made:
        logs = Logs()
        async with made.stream(query=FROM_THE_FIRST, rate_hz="60", max_entities="6400") as stream:
            hello = await stream.message("hello")
            logs.hello(hello)
            await made.act("start")
            async with made.stream(events="all", max_entities="1") as reader:
                await reader.until(
                    lambda m: True if isinstance(m, dict) and m.get("seq", 0) >= EVENTS_BEHIND else None, 120
                )
            await made.pause()
            until = await made.next_events()
            ended = await last_words(stream, logs, until)
        need(ended in ((1008, "events_behind"), (1006, "")), f"closed with {ended}")
        async with made.stream(query=logs.resume_query()) as stream:
            await read_events(stream, logs, until)
        same_events(logs, await made.events(until))


async def last_words(stream: Stream, logs: Logs, until: dict[str, int]) -> tuple[int, str]:
    """Reads what still comes; answers how the stream ends."""
    try:
        await read_events(stream, logs, until)
    except websockets.ConnectionClosed as closed:
        return (1006, "") if closed.rcvd is None else (closed.rcvd.code, closed.rcvd.reason)
    except TimedOut:
        need(False, "the stream neither brings the events nor ends")
    need(False, "the stream is not closed")
    raise AssertionError
