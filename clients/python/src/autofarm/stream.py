"""The live stream of a simulation, read in a loop: it opens itself again and goes on where it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Any, Self

from websockets.exceptions import ConcurrencyError, ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from autofarm.connection import CLOSE_PATIENCE_S, FAILURES, Connector
from autofarm.machines import Tick
from autofarm.messages import Message
from autofarm.models import Status
from autofarm.position import Position
from autofarm.tls import Connection
from autofarm.view import View


class Stream:
    """
    A live stream. Use it in `with`, and iterate it: the iteration ends when the simulation is deleted or the stream is
    closed, and raises what cannot be mended. It goes on after the run is over, which `ended` says, for events may still
    come, and a server that is killed may go back before the end; `ticks` ends with the run. `AutoFarm.stream` makes
    one.
    """

    def __init__(self, connector: Connector) -> None:
        self.connector = connector
        self.session = connector.session
        self.connection: ClientConnection | None = None
        # One that is on its way: it goes on where a `receive` has lost its patience.
        self.opening: futures.Future[ClientConnection] | None = None
        self.closing = ExitStack()
        self.is_over = False
        # Until then no other connection is opened.
        self.not_before = 0.0

    def __enter__(self) -> Self:
        try:
            self.open()
        except BaseException:
            # Nobody is left to close what would still be opened.
            self._abandon()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self, ends: float | None = None) -> None:
        """Opens the connection now, rather than with the first message that is asked for."""
        while self.connection is None and not self.is_over:
            if self.opening is None:
                wait(self.not_before, ends)
                self.opening = begun(self.connector.arguments())
            opening = self.opening
            if not futures.wait([opening], None if ends is None else max(ends - time.monotonic(), 0.0)).done:
                raise TimeoutError("the stream is not open yet")
            if self.opening is not opening:
                # It was closed meanwhile, and the connection with it.
                continue
            self.opening = None
            try:
                connection = self.closing.enter_context(opening.result())
                self.closing.enter_context(drained(connection))
                for text in self.connector.opened(connection.subprotocol):
                    connection.send(text)
                self.connection = connection
            except FAILURES as error:
                self.lost(error)
            except BaseException:
                self.closing.close()
                raise

    def lost(self, error: BaseException) -> None:
        """Takes a failure: another try is made after a pause, unless the stream is over."""
        self.connection = None
        self.closing.close()
        pause_s = self.connector.pause_s(error)
        self.is_over = pause_s is None
        self.not_before = time.monotonic() + (pause_s or 0.0)

    def close(self) -> None:
        """Closes it for good."""
        self.is_over = True
        self.connection = None
        self._abandon()
        self.closing.close()

    def _abandon(self) -> None:
        opening, self.opening = self.opening, None
        if opening is not None:
            opening.add_done_callback(abandon)

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
        """
        How the run has ended, once the stream has said so by its hello or by a `lifecycle` event: `stopped`,
        `completed` or `failed`. `None` while it may go on, or where no connection has said.
        """
        return self.session.run.ended

    def __iter__(self) -> Iterator[Message]:
        while (message := self.receive()) is not None:
            yield message

    def ticks(self) -> Iterator[Tick]:
        """
        Ticks only, up to the last one of the run: the iteration ends after it, or where the run is over and no tick is
        kept. With `View(events="none")` an end is only known from the hello, so that of a run which ends meanwhile
        more ticks are waited for. What a later `Hello.void` says of ticks is not told: of what is shown and forgotten,
        nothing.
        """
        while not self.session.are_ticks_over:
            try:
                message = self.receive(self.session.patience_s)
            except TimeoutError:
                # Of a connection that is lost, the next one says whether the run is over.
                if self.connection is not None:
                    return
                continue
            if message is None:
                return
            if isinstance(message, Tick):
                yield message

    def receive(self, patience_s: float | None = None) -> Message | None:
        """
        The next message; `None` once the stream is over.

        Raises `TimeoutError` where none comes in `patience_s`, `Problem` where the gateway refuses the stream,
        `StreamClosed` or `ConnectionLost` where it cannot be opened again, `ProtocolError` where a message is none.
        """
        ends = None if patience_s is None else time.monotonic() + patience_s
        while not self.is_over:
            self.open(ends)
            if self.connection is None:
                break
            try:
                received = self.connection.recv(None if ends is None else max(ends - time.monotonic(), 0.0))
            except ConnectionClosed as closed:
                self.lost(closed)
                continue
            message = self.connector.receive(received)
            if message is not None:
                return message
        return None

    def set_view(self, view: View) -> None:
        """Asks for another view; a `ViewGranted` or a `Refused` answers. Of a lost connection, the next one has it."""
        # First, for an opening asks again for all views that have no answer yet, and this one would be among them.
        self.open()
        self._send(self.session.ask(view))

    def ping(self) -> None:
        """Asks for a `Pong`."""
        self.open()
        self._send('{"type":"ping"}')

    def _send(self, text: str) -> None:
        if self.connection is not None:
            try:
                self.connection.send(text)
            except ConnectionClosed:
                # Who reads next sees it, and opens it again.
                return


def begun(arguments: dict[str, Any]) -> futures.Future[ClientConnection]:
    """Begins to open a connection, in a thread, so that who waits for it may stop waiting without ending it."""
    opening: futures.Future[ClientConnection] = futures.Future()

    def run() -> None:
        try:
            connection = connect(create_connection=Connection, **arguments)
        except BaseException as error:
            opening.set_exception(error)
        else:
            opening.set_result(connection)

    threading.Thread(target=run, daemon=True).start()
    return opening


def abandon(opening: futures.Future[ClientConnection]) -> None:
    """Closes a connection that nobody wants any more."""
    if opening.exception() is None:
        with opening.result() as connection, drained(connection):
            pass


@contextmanager
def drained(connection: ClientConnection) -> Iterator[None]:
    """
    Reads away what still comes once the connection is not wanted any more: `websockets` reads no further while
    messages wait that nobody takes, and would not see the answer to its close.
    """
    try:
        yield
    finally:
        reader = threading.Thread(target=read_away, args=(connection,), daemon=True)
        reader.start()
        connection.close()
        reader.join(CLOSE_PATIENCE_S)


def read_away(connection: ClientConnection) -> None:
    """Reads to the end."""
    # Where another thread is still reading, that one does it.
    with suppress(ConnectionClosed, ConcurrencyError):
        while True:
            connection.recv()


def wait(until: float, ends: float | None) -> None:
    """Waits, but not beyond the end, where it raises `TimeoutError`."""
    now = time.monotonic()
    time.sleep(max(min(until, until if ends is None else ends) - now, 0.0))
    if ends is not None and until > ends:
        raise TimeoutError("the stream is not back yet")
