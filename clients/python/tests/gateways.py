"""Gateways in the test itself: one that takes its time and keeps what it is sent, and one that says what it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
    "simulation": {"status": "created", "tick": 0},
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
    with served(gateway.talk, gateway.pause) as url:
        gateway.url = url
        yield gateway


@contextmanager
def saying(*connections: list[str]) -> Iterator[str]:
    """The address of one that says so much on each connection in turn, and leaves it; the last one it keeps open."""
    left = list(connections)

    def talk(connection: ServerConnection) -> None:
        for text in left.pop(0):
            connection.send(text)
        if left:
            connection.close(1001, "going_away")
        with suppress(ConnectionClosed):
            connection.recv()

    with served(talk) as url:
        yield url


@contextmanager
def served(
    talk: Callable[[ServerConnection], None],
    pause: Callable[[ServerConnection, Request], Response | None] | None = None,
) -> Iterator[str]:
    """The address of a gateway that talks so."""
    with serve(talk, "127.0.0.1", 0, subprotocols=[SUBPROTOCOL], process_request=pause, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()
