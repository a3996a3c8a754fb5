"""Whether the run that a stream shows is over, by what the stream has said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autofarm.messages import Event
from autofarm.models import Status

FINAL: Mapping[str, Status] = {"stopped": "stopped", "completed": "completed", "failed": "failed"}
"""A status after which none comes."""


class Run:
    """Follows one run. It never does I/O."""

    def __init__(self) -> None:
        self.ended: Status | None = None
        # The tick at which it has ended, and the newest that was shown since the hello.
        self.last_tick = 0
        self.shown_tick = -1

    def hello(self, simulation: Mapping[str, Any]) -> None:
        """Takes the simulation of a hello. What was said before may be void."""
        self.shown_tick = -1
        self._take(simulation.get("status"), simulation.get("tick", 0))

    def event(self, event: Event) -> None:
        """Takes an event. Of older ones, which come again, only the end stands for ever."""
        if event.kind == "lifecycle" and event.detail.get("status") in FINAL:
            self._take(event.detail["status"], event.tick)

    def tick(self, tick: int) -> None:
        """Takes a tick."""
        self.shown_tick = max(self.shown_tick, tick)

    def view(self) -> None:
        """Another view begins, with the newest tick once more."""
        self.shown_tick = -1

    def unknown(self) -> None:
        """A connection begins, whose hello will say."""
        self.ended = None

    @property
    def is_shown(self) -> bool:
        """Whether it is over, and its last tick was shown."""
        return self.ended is not None and self.shown_tick >= self.last_tick

    def _take(self, status: str | None, tick: int) -> None:
        self.ended = None if status is None else FINAL.get(status)
        self.last_tick = tick
