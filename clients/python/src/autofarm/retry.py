"""When something is tried again: pauses that grow, drawn at random, and never shorter than the gateway asks for."""

from __future__ import annotations

import random
from dataclasses import dataclass

# Answers after which the same request may succeed. After 502 to 504 it may have been done or not: the idempotency
# key, which every try has in common, keeps it from being done twice.
WORTH_ANOTHER_TRY = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and for how long."""

    tries: int = 6
    """Tries of a request, the first one too; 1 for no other."""
    first_pause_s: float = 0.2
    """Longest pause after the first failure; twice as long after each further one."""
    max_pause_s: float = 10.0
    """Longest pause of one's own choice."""
    max_retry_after_s: float = 60.0
    """Longest that the gateway may ask to wait; beyond it the problem is raised."""

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise ValueError(f"tries: {self.tries} is not 1 or more")
        if not 0 <= self.first_pause_s <= self.max_pause_s:
            raise ValueError(f"first_pause_s: {self.first_pause_s} is not in 0 to max_pause_s, {self.max_pause_s}")


class Backoff:
    """The pauses between tries of one thing."""

    def __init__(self, retry: Retry, draw: random.Random | None = None) -> None:
        self.retry = retry
        self.failures = 0
        self.draw = random.Random() if draw is None else draw

    def pause_s(self, retry_after_s: float | None = None) -> float:
        """How long to wait now; each call counts as a failure. Many clients that fail at once come back spread."""
        longest = min(self.retry.first_pause_s * 2.0 ** min(self.failures, 32), self.retry.max_pause_s)
        self.failures += 1
        # Not from 0: what fails at once would be asked without a pause.
        own = self.draw.uniform(longest / 2, longest)
        return own if retry_after_s is None else retry_after_s + own / 2

    def reset(self) -> None:
        """It has succeeded."""
        self.failures = 0
