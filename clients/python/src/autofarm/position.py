"""How far a client has read the events, and where it goes on: docs/stream.md, "Resuming"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from autofarm.messages import Event, EventsMissing, Hello, Void
from autofarm.problems import ProtocolError
from autofarm.view import Log


@dataclass(frozen=True, slots=True)
class Position:
    """A place in both logs. Keep it, and a stream that is opened with it, by whomever, goes on there."""

    epoch: int
    """Of the newest hello."""
    event: int
    """Seq of the last event of the log `sim`; 0 for none."""
    system_event: int
    """The same of the log `system`."""


class Reader:
    """Follows both logs. It never does I/O."""

    def __init__(self, start: Position | None, wanted: Mapping[Log, int | None]) -> None:
        """Goes on at `start`, or begins with the events `wanted`; a log of which none is named begins now."""
        self.epoch = 0 if start is None else start.epoch
        # Of each log the last seq that needs not come again; `None`: it begins with what happens next.
        self.last: dict[Log, int | None] = {"sim": None, "system": None}
        if start is not None:
            self.last = {"sim": start.event, "system": start.system_event}
        for log, seq in wanted.items():
            if seq is not None:
                self.last[log] = seq - 1
        # Logs that were named by a seq that may not have been reached yet.
        self.named = {log for log, seq in wanted.items() if seq is not None}
        # Logs of which each event must follow the last one without a gap.
        self.dense: set[Log] = set()

    @property
    def position(self) -> Position:
        """Where a stream goes on after what was read."""
        return Position(self.epoch, self.last["sim"] or 0, self.last["system"] or 0)

    def query(self) -> dict[str, str]:
        """The parameters by which the next connection goes on."""
        asked = {}
        for log, name in (("sim", "from_event"), ("system", "from_system_event")):
            last = self.last["sim" if log == "sim" else "system"]
            if last is not None:
                asked[name] = str(last + 1)
        if self.epoch > 0:
            asked["from_epoch"] = str(self.epoch)
        return asked

    def opened(self, whole: Iterable[Log]) -> None:
        """A connection begins, on which all events of these logs come."""
        self.dense = set(whole)

    def loosened(self) -> None:
        """Other events are sent from now on, the first of them with whatever seq."""
        self.dense = set()

    def hello(self, hello: Hello) -> Void | None:
        """Takes a hello; answers what it makes void of what was read."""
        if hello.epoch < self.epoch:
            raise ProtocolError(f"hello of epoch {hello.epoch} after one of {self.epoch}")
        seen, self.epoch = self.epoch, hello.epoch
        begun = next((each for each in hello.epochs if each.epoch > seen), None)
        void = None
        # Who has seen no hello has seen nothing that could be void.
        if seen > 0 and begun is not None:
            void = Void(begun.from_tick, begun.from_event, begun.from_system_event)
        following: dict[Log, int] = {"sim": hello.next_event, "system": hello.next_system_event}
        for log, begins in following.items():
            last = self.last[log]
            if last is None or (log in self.named and last >= begins):
                last = begins - 1
            if void is not None:
                last = min(last, (void.from_event if log == "sim" else void.from_system_event) - 1)
            self.last[log] = last
        self.named = set()
        return void

    def event(self, event: Event) -> bool:
        """Takes an event; answers whether it is one that was not read yet."""
        last = self.last[event.log]
        if last is None:
            raise ProtocolError(f"event {event.seq} of the log {event.log} before any hello")
        if event.seq <= last:
            # A gateway that has heard less than the one before repeats what that one told; it is the same.
            return False
        if event.log in self.dense and event.seq != last + 1:
            raise ProtocolError(f"event {event.seq} of the log {event.log} after {last}")
        self.last[event.log] = event.seq
        return True

    def missing(self, missing: EventsMissing) -> None:
        """Passes over events that nobody has any more."""
        self.last[missing.log] = max(self.last[missing.log] or 0, missing.to_seq)
