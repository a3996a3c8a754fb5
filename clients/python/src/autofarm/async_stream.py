"""The live stream for asyncio: the same as `Stream`, with `await`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConcurrencyError, ConnectionClosed

from autofarm.connection import FAILURES, Connector
from autofarm.machines import Tick
from autofarm.messages import Message
from autofarm.models import Status
from autofarm.position import Position
from autofarm.view import View


class AsyncStream:
    """
    A live stream. Use it in `async with`, and iterate it by `async for`; the rest is as of `Stream`. To wait no longer
    than so long, use `asyncio.timeout`. `AsyncAutoFarm.stream` makes one.
    """

    def __init__(self, connector: Connector) -> None:
        self.connector = connector
        self.session = connector.session
        self.connection: ClientConnection | None = None
        # An opening that is on its way: one for all who wait for it, and it goes on where one of them is cancelled.
        self.opening: asyncio.Task[None] | None = None
        self.is_over = False
        # Until then no other connection is opened.
        self.not_before = 0.0

    async def __aenter__(self) -> Self:
        try:
            await self.open()
        except BaseException:
            # Nobody is left to close what would still be opened.
            await self._abandon()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Opens the connection now, rather than with the first message that is asked for."""
        if self.connection is not None or self.is_over:
            return
        if self.opening is None:
            self.opening = asyncio.create_task(self._open())
        opening = self.opening
        await asyncio.wait([opening])
        if self.opening is opening:
            self.opening = None
        if not opening.cancelled():
            opening.result()

    async def _open(self) -> None:
        while self.connection is None and not self.is_over:
            await asyncio.sleep(max(self.not_before - time.monotonic(), 0.0))
            connection = None
            try:
                # Once and not more: when to try again is decided here.
                connection = await connect(**self.connector.arguments())
                for text in self.connector.opened(connection.subprotocol):
                    await connection.send(text)
                self.connection = connection
            except FAILURES as error:
                self.lost(error)
            finally:
                if connection is not None and connection is not self.connection:
                    await close(connection)

    def lost(self, error: BaseException) -> None:
        """Takes a failure: another try is made after a pause, unless the stream is over."""
        self.connection = None
        pause_s = self.connector.pause_s(error)
        self.is_over = pause_s is None
        self.not_before = time.monotonic() + (pause_s or 0.0)

    async def close(self) -> None:
        """Closes it for good."""
        self.is_over = True
        await self._abandon()
        connection, self.connection = self.connection, None
        if connection is not None:
            await close(connection)

    async def _abandon(self) -> None:
        opening, self.opening = self.opening, None
        if opening is not None:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)

    @property
    def position(self) -> Position:
        """How far the events were read: give it to another stream as `resume`, and that goes on there."""
        return self.session.position

    @property
    def view(self) -> View:
        """The last view that was granted."""
        return self.session.view

    @property
    def ended(self) -> Status | None:
        """How the run has ended, as `Stream.ended`."""
        return self.session.run.ended

    async def __aiter__(self) -> AsyncIterator[Message]:
        while (message := await self.receive()) is not None:
            yield message

    async def ticks(self) -> AsyncIterator[Tick]:
        """Ticks only, up to the last one of the run, as `Stream.ticks`."""
        while not self.session.are_ticks_over:
            try:
                async with asyncio.timeout(self.session.patience_s):
                    message = await self.receive()
            except TimeoutError:
                # Of a connection that is lost, the next one says whether the run is over.
                if self.connection is not None:
                    return
                continue
            if message is None:
                return
            if isinstance(message, Tick):
                yield message

    async def receive(self) -> Message | None:
        """The next message; `None` once the stream is over. Raises what `Stream.receive` does."""
        while not self.is_over:
            await self.open()
            if self.connection is None:
                break
            try:
                received = await self.connection.recv()
            except ConnectionClosed as closed:
                self.lost(closed)
                continue
            message = self.connector.receive(received)
            if message is not None:
                return message
        return None

    async def set_view(self, view: View) -> None:
        """Asks for another view; a `ViewGranted` or a `Refused` answers."""
        # First, for an opening asks again for all views that have no answer yet, and this one would be among them.
        await self.open()
        await self._send(self.session.ask(view))

    async def ping(self) -> None:
        """Asks for a `Pong`."""
        await self.open()
        await self._send('{"type":"ping"}')

    async def _send(self, text: str) -> None:
        if self.connection is not None:
            try:
                await self.connection.send(text)
            except ConnectionClosed:
                # Who reads next sees it, and opens it again.
                return


async def close(connection: ClientConnection) -> None:
    """
    Closes a connection, and reads away what still comes: `websockets` reads no further while messages wait that nobody
    takes, and would not see the answer to its close.
    """
    reader = asyncio.create_task(read_away(connection))
    try:
        await connection.close()
    finally:
        reader.cancel()


async def read_away(connection: ClientConnection) -> None:
    """Reads to the end."""
    # Where another task is still reading, that one does it.
    with suppress(ConnectionClosed, ConcurrencyError):
        while True:
            await connection.recv()
