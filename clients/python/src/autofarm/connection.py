"""How a stream is opened, and what its refusals and losses mean: what the two kinds of streams share."""

from __future__ import annotations

import logging
import ssl
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol

from autofarm.messages import Hello, Message
from autofarm.problems import ConnectionLost, Problem, StreamClosed
from autofarm.retry import WORTH_ANOTHER_TRY, Backoff, Retry
from autofarm.session import DROPPED, Ending, Session

log = logging.getLogger("autofarm")

# A tick of a million machines in JSON is some 100 MB.
MAX_MESSAGE_BYTES = 1 << 28
# Longest that a connection may take to be opened.
OPEN_PATIENCE_S = 30.0
# Between own pings, and how long an answer to one may take: a network that is gone says nothing.
PING_EVERY_S = 20.0
PING_PATIENCE_S = 20.0
# Longest that the answer to a close is waited for.
CLOSE_PATIENCE_S = 5.0
# What opening or reading a connection raises where there is none.
FAILURES = (OSError, EOFError, InvalidHandshake, ConnectionClosed)


@dataclass
class Connector:
    """Where a stream is, and how often and how long it is looked for there."""

    url: str
    simulation: str
    session: Session
    token: str | None = None
    ssl_context: ssl.SSLContext | None = None
    retry: Retry = field(default_factory=Retry)
    give_up_after_s: float = 300.0
    """Longest that a stream may be without a connection; 0: it is never opened again."""

    def __post_init__(self) -> None:
        self.backoff = Backoff(self.retry)
        self.lost_at: float | None = None
        self.was_open = False

    def arguments(self) -> dict[str, Any]:
        """What `websockets` is to be called with for the next connection."""
        base = self.url.replace("http", "ws", 1).rstrip("/")
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        return {
            "uri": f"{base}/v1/simulations/{self.simulation}/stream?{urlencode(self.session.query())}",
            "subprotocols": [Subprotocol(self.session.subprotocol)],
            "additional_headers": headers,
            "compression": None,
            "max_size": MAX_MESSAGE_BYTES,
            "open_timeout": OPEN_PATIENCE_S,
            "ping_interval": PING_EVERY_S,
            "ping_timeout": PING_PATIENCE_S,
            "close_timeout": CLOSE_PATIENCE_S,
            **({} if self.ssl_context is None else {"ssl": self.ssl_context}),
        }

    def opened(self, subprotocol: str | None) -> list[str]:
        """A connection is open; answers what is to be sent at once."""
        again = self.session.opened(subprotocol)
        self.was_open = True
        return again

    def receive(self, received: str | bytes) -> Message | None:
        """What something that was received means. Once it is more than a hello, the connection counts as good."""
        message = self.session.receive(received)
        if message is not None and not isinstance(message, Hello):
            if self.lost_at is not None:
                log.info("the stream of %s is back", self.simulation)
            self.lost_at = None
            self.backoff.reset()
        return message

    def pause_s(self, error: BaseException) -> float | None:
        """
        How long to wait after a failed opening or a lost connection; `None` where the stream is over. Raises what
        opening it again does not mend.
        """
        if isinstance(error, ConnectionClosed):
            return self.after_close(error)
        if isinstance(error, InvalidStatus):
            problem = Problem.of(error.response.status_code, error.response.body or b"", error.response.headers)
            if problem.status not in WORTH_ANOTHER_TRY:
                raise problem from None
            return self.again(problem, problem.retry_after_s)
        # A gateway that ends while it answers.
        if isinstance(error, (OSError, InvalidMessage, EOFError, TimeoutError)):
            return self.again(ConnectionLost(f"{self.url}: {error or type(error).__name__}"), None)
        if isinstance(error, InvalidHandshake):
            raise ConnectionLost(f"{self.url}: {error}") from error
        raise error

    def after_close(self, closed: ConnectionClosed) -> float | None:
        """The same after a connection that was open."""
        code, reason = (DROPPED, "") if closed.rcvd is None else (closed.rcvd.code, closed.rcvd.reason)
        match self.session.ending(code, reason):
            case Ending.OVER:
                return None
            case Ending.FAILED:
                raise StreamClosed(code, reason) from None
            case Ending.AGAIN:
                return self.again(StreamClosed(code, reason), None)

    def again(self, error: Exception, retry_after_s: float | None) -> float:
        """The pause before the next try; raises the error where there have been enough."""
        now = time.monotonic()
        if self.lost_at is None:
            self.lost_at = now
        pause_s = self.backoff.pause_s(retry_after_s)
        # One that was never there is looked for no longer than for a request.
        is_vain = not self.was_open and self.backoff.failures >= self.retry.tries
        if is_vain or now + pause_s - self.lost_at > self.give_up_after_s:
            raise error
        log.info("the stream of %s is lost, it is looked for in %.1f s: %s", self.simulation, pause_s, error)
        return pause_s
