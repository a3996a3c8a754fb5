"""A gateway in the test itself that takes its time to answer, and keeps what it is sent on each connection."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

SUBPROTOCOL = Subprotocol("autofarm.v1.json")
SIMULATION = "0199f3a0-7a2b-7c3d-8e4f-0123456789ab"
# What it greets with.
HELLO = {
    "type": "hello",
    "simulation": {},
    "world": {"bounds_m": [0, 0, 1, 1], "sites": 1, "fields": 1},
    "epoch": 1,
    "epochs": [],
    "next_event": 1,
    "next_system_event": 1,
}


@dataclass
class SlowGateway:
    """What it was asked."""

    answers_after_s: float
    url: str = ""
    openings: int = 0
    """Connections that were begun."""
    said: list[list[Any]] = field(default_factory=list)
    """Of each connection that was opened the messages that came."""
    ended: threading.Event = field(default_factory=threading.Event)
    """That a connection which was opened has ended."""

    def pause(self, connection: ServerConnection, request: Request) -> Response | None:
        """Before the answer to a handshake."""
        self.openings += 1
        time.sleep(self.answers_after_s)
        return None

    def talk(self, connection: ServerConnection) -> None:
        """Grants every view, and answers every ping."""
        heard: list[Any] = []
        self.said.append(heard)
        try:
            connection.send(json.dumps(HELLO))
            for text in connection:
                message = json.loads(text)
                heard.append(message)
                connection.send(json.dumps({"type": "pong"} if message["type"] == "ping" else message))
        except ConnectionClosed:
            pass
        finally:
            self.ended.set()


@contextmanager
def slow_gateway(answers_after_s: float) -> Iterator[SlowGateway]:
    """One that runs until the end of the block."""
    gateway = SlowGateway(answers_after_s)
    with serve(
        gateway.talk, "127.0.0.1", 0, subprotocols=[SUBPROTOCOL], process_request=gateway.pause, compression=None
    ) as server:
        gateway.url = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield gateway
        finally:
            server.shutdown()
            thread.join()
