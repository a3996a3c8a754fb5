"""The events that a client holds, as docs/stream.md says what it keeps and what it drops."""

from __future__ import annotations

import time
from collections.abc import Iterable

from autofarm import AutoFarm, Event, EventsMissing, Hello, Message

PATIENCE_S = 60.0


class Log:
    """Events by log and seq; one that comes twice, or out of order, is an error."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, int], Event] = {}
        self.last = {"sim": 0, "system": 0}

    def take(self, message: Message) -> None:
        """Takes a message of a stream that began with the first events."""
        match message:
            case Hello(void=void) if void is not None:
                self.events = {key: event for key, event in self.events.items() if not void.holds(event)}
                self.last["sim"] = min(self.last["sim"], void.from_event - 1)
                self.last["system"] = min(self.last["system"], void.from_system_event - 1)
            case Event(log=log, seq=seq):
                assert seq == self.last[log] + 1, f"event {seq} of {log} after {self.last[log]}"
                self.events[log, seq] = message
                self.last[log] = seq
            case EventsMissing():
                raise AssertionError(f"{message}, and nothing is too old yet")

    def is_complete(self, next_seqs: dict[str, int]) -> bool:
        """Whether it has all events before these."""
        return all(self.last[log] + 1 >= seq for log, seq in next_seqs.items())


def next_seqs(farm: AutoFarm, simulation: str) -> dict[str, int]:
    """Of each log the event that happens next; final of a simulation that stands."""
    with farm.stream(simulation) as stream:
        hello = stream.receive(PATIENCE_S)
    assert isinstance(hello, Hello)
    return {"sim": hello.next_event, "system": hello.next_system_event}


def stands(farm: AutoFarm, simulation: str) -> None:
    """Pauses it and waits until what was under way has come."""
    farm.pause(simulation)
    ticks: list[int] = []
    while len(ticks) < 5 or len(set(ticks[-5:])) > 1:
        ticks.append(farm.simulation(simulation)["tick"])
        # Between two questions.
        time.sleep(0.05)


def listed(farm: AutoFarm, simulation: str, next_seqs: dict[str, int]) -> dict[tuple[str, int], Event]:
    """All events before these by REST, once the database has them."""
    ends = time.monotonic() + PATIENCE_S
    while True:
        events = [Event.of_json(item) for item in farm.events(simulation, page_size=100)]
        if all(last(events, log) + 1 >= seq for log, seq in next_seqs.items()):
            return before({(event.log, event.seq): event for event in events}, next_seqs)
        assert time.monotonic() < ends, "the database does not get the events"
        # Between two questions.
        time.sleep(0.05)


def before(events: dict[tuple[str, int], Event], next_seqs: dict[str, int]) -> dict[tuple[str, int], Event]:
    """Those before these: something of the system may happen to a simulation that stands, too."""
    return {(log, seq): event for (log, seq), event in events.items() if seq < next_seqs[log]}


def last(events: Iterable[Event], log: str) -> int:
    """The last seq of a log."""
    return max((event.seq for event in events if event.log == log), default=0)
