"""Checks a running gateway against docs/stream.md, from which alone this client is written.

    python check.py http://127.0.0.1:8080 [NAME ...]

With names, only those checks run. AUTOFARM_TOKEN is sent where it is set. Exits with 1 where anything differs.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable

from checks import events, lag, messages, opening, ticks, views
from rest import Api

# Longest that one check may take, s.
CHECK_PATIENCE_S = 240

CHECKS: dict[str, Callable[[Api], Awaitable[None]]] = {
    "opening.begins": opening.begins,
    "opening.waits": opening.waits,
    "opening.chooses": opening.chooses,
    "opening.refuses": opening.refuses,
    "ticks.run": ticks.run,
    "ticks.late": ticks.late,
    "views.bounded": views.bounded,
    "views.sampled": views.sampled,
    "views.crowded": views.crowded,
    "views.paced": views.paced,
    "messages.answered": messages.answered,
    "messages.closed": messages.closed,
    "messages.flooded": messages.flooded,
    "messages.deleted": messages.deleted,
    "events.complete": events.complete,
    "events.chosen": events.chosen,
    "events.resumed": events.resumed,
    "events.beyond": events.beyond,
    "events.behind": events.behind,
    "lag.told": lag.told,
}


async def passes(name: str, api: Api) -> bool:
    """Runs one check and prints what came of it."""
    begun = time.monotonic()
    try:
        async with asyncio.timeout(CHECK_PATIENCE_S):
            await CHECKS[name](api)
    except Exception as error:
        print(f"FAILED  {name}: {type(error).__name__}: {error}", flush=True)
        traceback.print_exception(error, file=sys.stderr)
        return False
    print(f"ok      {name}  {time.monotonic() - begun:.1f} s", flush=True)
    return True


async def main(url: str, names: list[str]) -> int:
    """Runs the checks one after the other."""
    unknown = set(names) - CHECKS.keys()
    if unknown:
        print(f"there is no check {', '.join(sorted(unknown))}; there are {', '.join(CHECKS)}", file=sys.stderr)
        return 2
    api = Api(url.rstrip("/"), os.environ.get("AUTOFARM_TOKEN"))
    passed = [await passes(name, api) for name in names or CHECKS]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(asyncio.run(main(sys.argv[1], sys.argv[2:])))
