"""Prints what a live stream sends, a line a message, and comes back after a lost connection.

    python watch.py http://127.0.0.1:8080 ID [--binary] [--events all] [--rate-hz 1] [--messages N]

AUTOFARM_TOKEN is sent where it is set.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys

import websockets

from binary import Ids
from log import Logs
from machines import Tick
from rest import Api
from stream import BINARY, JSON, Message, Stream

AGAIN_AFTER_S = 1.0
# Closes after which there is nothing to come back to.
FINAL = (1000, 1002, 1003, 1007, 1009)


def line(message: Message) -> str:
    """A message as one line."""
    if isinstance(message, Tick):
        states = {state: count for state, count in message.sums.by_state.items() if count}
        said = " ".join(f"{state}={count}" for state, count in states.items())
        return f"tick {message.tick} at {message.sim_time_s:.2f} s: {len(message.machines)} machines, {said}"
    if isinstance(message, Ids):
        return f"ids of {len(message.machines)} machines in {len(message.blocks)} blocks"
    return json.dumps(message)


async def watch(api: Api, simulation: str, arguments: argparse.Namespace) -> None:
    """Prints messages until there are enough, or the simulation is deleted."""
    logs = Logs(dense=False)
    query = {"rate_hz": str(arguments.rate_hz), "events": arguments.events}
    left = arguments.messages
    while True:
        try:
            offered = (BINARY if arguments.binary else JSON,)
            async with Stream(api, simulation, offered, query) as stream:
                while left != 0:
                    message = await stream.next(float("inf"))
                    print(line(message), flush=True)
                    left -= 1
                    if isinstance(message, dict) and message["type"] == "hello":
                        # What happens from here on is wanted, also after a lost connection.
                        logs.begin(message)
                    if isinstance(message, dict) and message["type"] == "event":
                        logs.event(message)
                    query |= logs.resume_query() | {"events": arguments.events}
                return
        except websockets.ConnectionClosed as closed:
            if closed.rcvd is not None and closed.rcvd.code in FINAL:
                return
            print(f"lost: {closed}", file=sys.stderr)
        await asyncio.sleep(AGAIN_AFTER_S)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Prints what a live stream sends, a line a message.")
    parser.add_argument("url", help="of the gateway, http://127.0.0.1:8080 say")
    parser.add_argument("simulation", help="its id")
    parser.add_argument("--binary", action="store_true", help="by autofarm.v1.bin")
    parser.add_argument("--events", choices=("none", "lifecycle", "all"), default="lifecycle")
    parser.add_argument("--rate-hz", type=int, default=1)
    parser.add_argument("--messages", type=int, default=-1, help="ends after so many")
    given = parser.parse_args()
    try:
        asyncio.run(watch(Api(given.url.rstrip("/"), os.environ.get("AUTOFARM_TOKEN")), given.simulation, given))
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, websockets.InvalidStatus) as error:
        sys.exit(f"{given.url}: {error}")
