"""
A stream of a simulation without its socket: what to ask for, what the messages mean, what an end means.

Call `query`, open a connection with it, call `opened`; give everything that comes to `receive`; at its end ask
`ending`. Then begin anew with `query`, which goes on where the last connection stopped.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import replace
from enum import Enum

from autofarm.binary import IDS, TICK, Ids, decode_ids, decode_tick, has_numpy
from autofarm.machines import Tick
from autofarm.messages import Event, EventsMissing, Hello, Message, Refused, ViewGranted, message_of
from autofarm.position import Position, Reader
from autofarm.problems import ProtocolError
from autofarm.run import Run
from autofarm.view import PASSED_LOGS, WHOLE_LOGS, Bounds, Log, View, snapped

JSON = "autofarm.v1.json"
BINARY = "autofarm.v1.bin"
# A connection that ended without a close frame.
DROPPED = 1006
# Of a run that is over, how long its last tick is awaited: it may come a second after its end at the slowest rate, or
# not at all, where the server was started again since.
LAST_TICK_PATIENCE_S = 10.0
# Ends after which the client has to be corrected, or gets the same again.
FINAL_CODES = frozenset({1002, 1003, 1007, 1009})
FINAL_REASONS = frozenset({"token_revoked", "too_many_messages"})


class Ending(Enum):
    """What the end of a connection means."""

    OVER = "there is nothing to come back to"
    AGAIN = "it is opened again, and goes on"
    FAILED = "opening it again mends nothing"


class Session:
    """One stream over any number of connections. Raises `ValueError` for older events that its view does not bring."""

    def __init__(
        self,
        view: View,
        *,
        binary: bool,
        start: Position | None = None,
        from_event: int | None = None,
        from_system_event: int | None = None,
    ) -> None:
        wanted: dict[Log, int | None] = {"sim": from_event, "system": from_system_event}
        for log, seq in wanted.items():
            if seq is not None:
                need_passed(view, log, seq)
        self.view = view
        self.subprotocol = BINARY if binary else JSON
        self.reader = Reader(start, wanted)
        self.run = Run()
        self.as_arrays = has_numpy()
        # Views that were sent and not answered yet.
        self.asked: deque[View] = deque()
        self.ids: Ids | None = None
        # What machines of binary ticks have to stand in: whole blocks are sent.
        self.bounds_m: Bounds | None = None
        self.has_begun = False

    @property
    def position(self) -> Position:
        """Where a stream goes on after what was read."""
        return self.reader.position

    def query(self) -> dict[str, str]:
        """The parameters of the next connection."""
        resumed = {} if self.view.events == "none" else self.reader.query()
        return self.view.query() | resumed

    def opened(self, subprotocol: str | None) -> list[str]:
        """A connection has been opened; answers what is to be sent again: views that the last one did not answer."""
        if subprotocol != self.subprotocol:
            raise ProtocolError(f"the gateway speaks {subprotocol}, not {self.subprotocol}")
        self.ids = None
        self.has_begun = False
        self.bounds_m = None if self.view.bounds_m is None else snapped(self.view.bounds_m)
        self.reader.opened(WHOLE_LOGS.get(self.view.events, ()))
        self.run.unknown()
        return [json.dumps(view.message()) for view in self.asked]

    def ask(self, view: View) -> str:
        """The message that asks for another view. It counts once it is granted, and then for later connections too."""
        self.asked.append(view)
        return json.dumps(view.message())

    def receive(self, received: str | bytes) -> Message | None:
        """What something that was received means; `None` where it means nothing to who reads the stream."""
        try:
            message = self.decode(received)
        except (ValueError, KeyError, TypeError) as error:
            raise ProtocolError(f"a message is not as docs/stream.md says: {error!r}") from error
        match message:
            case Hello():
                self.run.hello(message.simulation)
                return replace(message, void=self.reader.hello(message))
            case Event():
                if not self.reader.event(message):
                    return None
                self.run.event(message)
            case EventsMissing():
                self.reader.missing(message)
            case ViewGranted():
                self.granted(message)
            case Refused(code=code):
                self.refused(code)
            case Tick():
                self.has_begun = True
                self.run.tick(message.tick)
        return message

    @property
    def are_ticks_over(self) -> bool:
        """Whether the run is over and its last tick was read, in the view that was asked for last."""
        return self.run.is_shown and not self.asked

    @property
    def patience_s(self) -> float | None:
        """How long a tick may be awaited; `None`: as long as the run goes on."""
        return None if self.run.ended is None else LAST_TICK_PATIENCE_S

    def decode(self, received: str | bytes) -> Message | None:
        """Decodes a message; keeps `ids`. Binary ones of kinds that are not known are passed over, as texts are."""
        if isinstance(received, str):
            return message_of(json.loads(received))
        kind = received[0] if received else 0
        if kind > TICK:
            return None
        if kind == IDS:
            self.ids = decode_ids(received)
            return None
        if self.ids is None:
            raise ProtocolError("a tick came before ids")
        tick = decode_tick(received, self.ids, self.as_arrays)
        return replace(tick, machines=tick.machines.within(self.bounds_m))

    def granted(self, view: ViewGranted) -> None:
        """Takes the answer to a view."""
        if view.events != self.view.events:
            self.reader.loosened()
        self.run.view()
        self.bounds_m = view.bounds_m
        # The bounds as they were asked for: snapped ones would snap to larger tiles again.
        self.view = self.asked.popleft() if self.asked else View(*(getattr(view, name) for name in View.__slots__))

    def refused(self, code: str) -> None:
        """Takes an error."""
        if code in ("bad_view", "too_many_views"):
            if self.asked:
                self.asked.popleft()
            elif not self.has_begun:
                # The view of the query was one too many, and the stream begins with the default one.
                self.bounds_m = None

    def ending(self, code: int, reason: str) -> Ending:
        """What it means that a connection has ended so."""
        if code == 1000 and reason == "deleted":
            return Ending.OVER
        if code in FINAL_CODES or reason in FINAL_REASONS:
            return Ending.FAILED
        return Ending.AGAIN


def need_passed(view: View, log: Log, seq: int) -> None:
    """Refuses older events of a log of which the view brings none; a filter that is not known is the gateway's."""
    if log not in PASSED_LOGS.get(view.events, {log}):
        argument = "from_event" if log == "sim" else "from_system_event"
        brings = " or ".join(repr(events) for events, logs in PASSED_LOGS.items() if log in logs)
        raise ValueError(
            f"{argument}={seq}: a view with events={view.events!r} brings no event of the log {log!r}; "
            f"one with events={brings} does"
        )
