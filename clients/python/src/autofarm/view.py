"""What a client wants to see of a simulation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Bounds: TypeAlias = tuple[float, float, float, float]
"""West, south, east and north edge in the world, m."""

Log: TypeAlias = Literal["sim", "system"]
"""A log: of the farm, the same in every replay, or of the system."""

EventFilter: TypeAlias = Literal["none", "lifecycle", "system", "all"]
"""
Which events a stream brings: none; those of the kind `lifecycle`, what becomes of the run; with `system` these and the
log `system` whole, as workers, lateness and moves; or all, what machines do too.
"""

PASSED_LOGS: Mapping[EventFilter, frozenset[Log]] = {
    "none": frozenset(),
    "lifecycle": frozenset({"system"}),
    "system": frozenset({"system"}),
    "all": frozenset({"sim", "system"}),
}
"""Logs of which a filter lets events pass; the log `sim` has none of the kind `lifecycle`."""

WHOLE_LOGS: Mapping[EventFilter, frozenset[Log]] = {
    **PASSED_LOGS,
    "lifecycle": frozenset(),
}
"""Logs of which it lets every event pass, so that none may be left out."""

MIN_TILE_M = 16
"""Side of the smallest tile to which bounds snap."""


@dataclass(frozen=True, slots=True)
class View:
    """A view of the live stream. Its ranges are the gateway's, which refuses what is out of them by name."""

    bounds_m: Bounds | None = None
    """Only what stands in these; the whole world without them. They snap outward to tiles."""
    max_entities: int = 2_000
    """Machines of a tick at most: an even sample where there are more."""
    rate_hz: int = 10
    """Ticks a second of wall time at most."""
    events: EventFilter = "lifecycle"
    """Which events come."""

    def query(self) -> dict[str, str]:
        """As parameters of the request."""
        asked = {"max_entities": str(self.max_entities), "rate_hz": str(self.rate_hz), "events": self.events}
        if self.bounds_m is not None:
            asked["bounds_m"] = ",".join(repr(float(edge)) for edge in self.bounds_m)
        return asked

    def message(self) -> dict[str, Any]:
        """As a message on the stream."""
        return {
            "type": "view",
            "bounds_m": None if self.bounds_m is None else list(self.bounds_m),
            "max_entities": self.max_entities,
            "rate_hz": self.rate_hz,
            "events": self.events,
        }


def snapped(bounds_m: Bounds) -> Bounds:
    """
    Bounds as the gateway snaps them: each edge outward to a multiple of a tile's side, the least power of two that is
    at least the smallest tile's and a quarter of the longer side of the bounds.
    """
    west, south, east, north = bounds_m
    quarter = max(east - west, north - south) / 4
    tile = MIN_TILE_M
    while tile < quarter:
        tile *= 2
    return (
        math.floor(west / tile) * tile,
        math.floor(south / tile) * tile,
        math.ceil(east / tile) * tile,
        math.ceil(north / tile) * tile,
    )
