"""Follows a simulation over the end of its server and a new start, and misses nothing.

    python restart.py http://127.0.0.1:8080 CODE

Prints `watching` once it watches; the server is then to be ended so that streams close with CODE (1006 where it is
killed), and started again with the same state at the same address.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import websockets

from farm import Farm, farm, need, read_events, same_events
from log import Logs
from rest import Api

EVENTS = 40
# Code of a connection that ends without a close frame.
KILLED = 1006
# Longest that the server may be away.
AWAY_S = 60.0


async def follow(url: str, code: int) -> None:
    """Watches, loses the server, finds it again, and goes on."""
    async with farm(Api(url), scenario="dense", entities=640) as made:
        logs = Logs()
        await made.act("start")
        async with made.stream(query=logs.resume_query()) as stream:
            hello = await stream.message("hello")
            logs.hello(hello)
            await read_events(stream, logs, {"sim": EVENTS})
            print("watching", flush=True)
            ended = await lost(stream, logs)
        need(ended == code, f"closed with {ended}, not {code}")
        # The server is back once it takes a stream; its hello comes before any event.
        found = await again(made, logs)
        need(found["epoch"] > hello["epoch"], f"epoch {found['epoch']} after {hello['epoch']}")
        need(found["simulation"]["status"] == "running", f"it comes back {found['simulation']['status']}")
        async with made.stream(query=logs.resume_query()) as stream:
            await read_events(stream, logs, {"sim": logs.last["sim"] + EVENTS})
            await made.pause()
            until = await made.next_events()
            await read_events(stream, logs, until)
        same_events(logs, await made.events(until))


async def lost(stream: Any, logs: Logs) -> int:
    """Reads events until the stream ends; answers the code."""
    try:
        await read_events(stream, logs, {"sim": sys.maxsize})
    except websockets.ConnectionClosed as closed:
        return KILLED if closed.rcvd is None else closed.rcvd.code
    raise AssertionError("there are not so many events")


async def again(made: Farm, logs: Logs) -> dict[str, Any]:
    """Tries until a stream opens; answers its hello, by which `logs` drops what is void."""
    ends = time.monotonic() + AWAY_S
    while True:
        try:
            async with made.stream(query=logs.resume_query()) as stream:
                hello = await stream.message("hello")
                logs.hello(hello)
                return hello
        except (OSError, websockets.InvalidStatus, websockets.InvalidMessage, websockets.ConnectionClosed):
            need(time.monotonic() < ends, f"the server is not back in {AWAY_S} s")
            # Between two tries.
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(follow(sys.argv[1].rstrip("/"), int(sys.argv[2])))
    print("ok      restart", sys.argv[2])
