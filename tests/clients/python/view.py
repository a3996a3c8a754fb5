"""Views: how bounds snap to tiles, and which machines stand inside them."""

from __future__ import annotations

import math

from machines import Machine

MIN_TILE_M = 16

Bounds = tuple[float, float, float, float]


def snapped(bounds: Bounds) -> Bounds:
    """The bounds as the gateway snaps them: west, south, east, north, m."""
    west, south, east, north = bounds
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


def stands_in(bounds: Bounds, machine: Machine) -> bool:
    """Whether a machine is one of a view with these snapped bounds."""
    west, south, east, north = bounds
    return west <= machine.x < east and south <= machine.y < north


def touches(bounds: Bounds, box: Bounds) -> bool:
    """Whether a block's box touches the bounds."""
    return box[0] <= bounds[2] and bounds[0] <= box[2] and box[1] <= bounds[3] and bounds[1] <= box[3]


def holds(bounds: Bounds, world: Bounds) -> bool:
    """Whether bounds hold the whole world, and so are none."""
    return bounds[0] <= world[0] and bounds[1] <= world[1] and bounds[2] >= world[2] and bounds[3] >= world[3]
