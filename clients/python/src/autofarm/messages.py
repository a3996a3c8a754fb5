"""What a stream brings, beside ticks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, get_args

from autofarm.machines import Tick
from autofarm.models import Simulation
from autofarm.view import Bounds, EventFilter, Log

LOGS = frozenset(get_args(Log))


@dataclass(frozen=True, slots=True)
class EpochBegin:
    """Where an orchestrator took the simulation over."""

    epoch: int
    from_tick: int
    from_event: int
    from_system_event: int


@dataclass(frozen=True, slots=True)
class Void:
    """What of what this stream has brought is void: it was told, and lost before it was kept. It comes again."""

    from_tick: int
    """Ticks from this one on."""
    from_event: int
    """Events of the log `sim` from this seq on."""
    from_system_event: int
    """Events of the log `system` from this seq on."""

    def holds(self, message: Tick | Event) -> bool:
        """Whether it holds for something that came before the hello that says so."""
        if isinstance(message, Tick):
            return message.tick >= self.from_tick
        return message.seq >= (self.from_event if message.log == "sim" else self.from_system_event)


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of every connection; it may come again when another orchestrator takes over."""

    simulation: Simulation
    bounds_m: Bounds
    """Edges of the world, m."""
    sites: int
    fields: int
    epoch: int
    epochs: tuple[EpochBegin, ...]
    next_event: int
    """Seq of the event of the log `sim` that happens next."""
    next_system_event: int
    void: Void | None = None
    """What has to be dropped of what came before; `None`: nothing."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, to all the machines that it happened to."""

    log: Log
    seq: int
    """Its number in its log, from 1 on."""
    tick: int
    kind: str
    """
    `transition`, `command`, `command_rejected`, `fault`, `repaired`, `stand_off`, `lifecycle` or `system`; of a newer
    server it may be another.
    """
    site: int | None
    """Only in the log `sim`."""
    entities: tuple[int, ...]
    """Machines; none in the log `system`."""
    detail: Mapping[str, Any]
    """By kind, as docs/stream.md says."""

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Event:
        """The event of a JSON message, or of an item of `AutoFarm.events`."""
        return cls(
            log=told["log"],
            seq=told["seq"],
            tick=told["tick"],
            kind=told["kind"],
            site=told.get("site"),
            entities=tuple(told.get("entities") or ()),
            detail=told["detail"],
        )


@dataclass(frozen=True, slots=True)
class EventsMissing:
    """Events that can be had nowhere any more; the stream goes on with the one after `to_seq`."""

    log: Log
    from_seq: int
    to_seq: int


@dataclass(frozen=True, slots=True)
class Lagged:
    """Ticks that were skipped because they were read too slowly; the newest follows."""

    skipped: int


@dataclass(frozen=True, slots=True)
class ViewGranted:
    """What is sent from now on, with the bounds as they were snapped."""

    bounds_m: Bounds | None
    max_entities: int
    rate_hz: int
    events: EventFilter


@dataclass(frozen=True, slots=True)
class Refused:
    """A message of this client had no effect: `bad_message`, `bad_view` or `too_many_views`."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping."""


Message: TypeAlias = Hello | Tick | Lagged | Event | EventsMissing | ViewGranted | Refused | Pong
"""What a stream brings."""


def bounds_of(told: Any) -> Bounds:
    """Edges of a message."""
    west, south, east, north = told
    return (west, south, east, north)


def message_of(told: Mapping[str, Any]) -> Message | None:
    """The message of a JSON object; `None` where it is of a type or a log that this version does not know."""
    match told["type"]:
        case "event" | "events_missing" if told["log"] not in LOGS:
            return None
        case "tick":
            return Tick.of_json(told)
        case "event":
            return Event.of_json(told)
        case "hello":
            world = told["world"]
            names = EpochBegin.__slots__
            return Hello(
                simulation=told["simulation"],
                bounds_m=bounds_of(world["bounds_m"]),
                sites=world["sites"],
                fields=world["fields"],
                epoch=told["epoch"],
                epochs=tuple(EpochBegin(*(each[name] for name in names)) for each in told["epochs"]),
                next_event=told["next_event"],
                next_system_event=told["next_system_event"],
            )
        case "lagged":
            return Lagged(told["skipped"])
        case "events_missing":
            return EventsMissing(told["log"], told["from_seq"], told["to_seq"])
        case "view":
            bounds = None if told["bounds_m"] is None else bounds_of(told["bounds_m"])
            return ViewGranted(bounds, told["max_entities"], told["rate_hz"], told["events"])
        case "error":
            return Refused(told["code"], told["detail"])
        case "pong":
            return Pong()
        case _:
            return None
