"""One live stream: opens it and gives what the gateway sends, decoded."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlencode

import websockets
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from binary import IDS, BinaryTick, Ids, Malformed, decode_ids, decode_tick
from machines import Tick, tick_of_json
from rest import Api

JSON = "autofarm.v1.json"
BINARY = "autofarm.v1.bin"
# Longest that any message is waited for.
PATIENCE_S = 30.0
# A tick of a million machines in JSON is some 100 MB.
MAX_MESSAGE_BYTES = 1 << 27

Message = dict[str, Any] | Ids | Tick
T = TypeVar("T")


class TimedOut(Exception):
    """What was waited for did not come."""


class Stream:
    """A stream of one simulation. Use it with `async with`."""

    def __init__(
        self,
        api: Api,
        simulation: str,
        offered: Sequence[str] = (JSON,),
        query: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        address = api.url.replace("http", "ws", 1) + f"/v1/simulations/{simulation}/stream"
        if query:
            address += "?" + urlencode(query)
        every = dict(headers or {})
        if api.token is not None:
            every["Authorization"] = f"Bearer {api.token}"
        self.connecting = connect(
            address,
            subprotocols=[Subprotocol(name) for name in offered] or None,
            additional_headers=every,
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            # Pings of the gateway are answered by the library; own ones would only blur what is checked.
            ping_interval=None,
            proxy=None,
        )
        self.simulation = simulation
        self.ids: Ids | None = None

    async def __aenter__(self) -> Stream:
        self.connection: ClientConnection = await self.connecting
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.connection.close()

    @property
    def subprotocol(self) -> str | None:
        """What the gateway chose."""
        return self.connection.subprotocol

    async def next(self, patience_s: float = PATIENCE_S) -> Message:
        """The next message: JSON as it is, ticks and `ids` decoded."""
        try:
            async with asyncio.timeout(patience_s):
                received = await self.connection.recv()
        except TimeoutError:
            raise TimedOut(f"no message in {patience_s} s") from None
        if isinstance(received, bytes):
            return self.decode(received)
        message = json.loads(received)
        if message["type"] != "tick":
            return dict(message)
        if self.subprotocol == BINARY:
            raise Malformed("a tick in JSON in the binary subprotocol")
        if message["simulation_id"] != self.simulation:
            raise Malformed(f"tick of {message['simulation_id']}")
        return tick_of_json(message)

    def decode(self, received: bytes) -> Ids | BinaryTick:
        """Decodes a binary message."""
        if self.subprotocol != BINARY:
            raise Malformed("a binary message in the JSON subprotocol")
        if received[:1] == bytes([IDS]):
            if self.ids is not None:
                raise Malformed("ids came twice")
            self.ids = decode_ids(received)
            return self.ids
        if self.ids is None:
            raise Malformed("a tick before ids")
        return decode_tick(received, self.ids)

    async def until(self, wanted: Callable[[Message], T | None], patience_s: float = PATIENCE_S) -> T:
        """The first message that is wanted, as `wanted` gives it; the others are passed over."""
        ends = time.monotonic() + patience_s
        while True:
            left = ends - time.monotonic()
            if left <= 0:
                raise TimedOut(f"{wanted.__doc__ or 'it'}: not in {patience_s} s")
            found = wanted(await self.next(left))
            if found is not None:
                return found

    async def message(self, kind: str) -> dict[str, Any]:
        """The next message of this type that is no tick."""
        return await self.until(lambda m: m if isinstance(m, dict) and m["type"] == kind else None)

    async def tick(self) -> Tick:
        """The next tick."""
        return await self.until(lambda m: m if isinstance(m, Tick) else None)

    async def send(self, message: Any) -> None:
        """Sends an object as JSON, a string as it is, bytes as a binary message."""
        await self.connection.send(message if isinstance(message, (str, bytes)) else json.dumps(message))

    def flood(self, message: Any, times: int) -> None:
        """Sends a message many times in one go, past the library's waiting for room."""
        protocol = self.connection.protocol
        for _ in range(times):
            protocol.send_text(json.dumps(message).encode())
        self.connection.transport.write(b"".join(protocol.data_to_send()))

    async def ended(self, patience_s: float = PATIENCE_S) -> tuple[int, str]:
        """Code and reason with which the gateway closes; what comes before is passed over."""
        try:
            async with asyncio.timeout(patience_s):
                while True:
                    await self.connection.recv()
        except TimeoutError:
            raise TimedOut(f"no close in {patience_s} s") from None
        except websockets.ConnectionClosed as closed:
            if closed.rcvd is None:
                return (1006, "")
            return (closed.rcvd.code, closed.rcvd.reason)

    def drop(self) -> None:
        """Loses the connection as a network does: no close frame."""
        self.connection.transport.abort()
