"""What can go wrong: problems that the gateway tells, connections that are lost, streams that end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# Of an answer that is no problem of RFC 9457, as from a proxy, so much is told.
MAX_DETAIL_CHARS = 300


class AutoFarmError(Exception):
    """Whatever this package raises by itself."""


class ConnectionLost(AutoFarmError):
    """The gateway cannot be reached, or an answer did not come; what was asked may have been done or not."""


class ProtocolError(AutoFarmError):
    """The gateway says something that it must not, or that this version does not understand."""


class StreamClosed(AutoFarmError):
    """A stream has ended in a way that is not mended by opening it again."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the stream was closed with {code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class Problem(AutoFarmError):
    """The gateway has refused something: a problem of RFC 9457."""

    type: str
    """Which kind it is, stable: a path of the gateway that tells what to do. `about:blank` where it is none of its."""
    kind: str
    """The last part of the type: `invalid`, `not-found` and so on."""
    title: str
    """The kind in words."""
    status: int
    """The HTTP status."""
    detail: str
    """What is wrong with this request, for people."""
    field: str | None
    """The offending field of body, query, path or header."""
    allowed: str | None
    """What it may be, or the role that is needed."""
    errors: tuple[Mapping[str, Any], ...]
    """Where more than one thing is wrong: each of them, as the gateway tells it. Empty where it tells but one."""
    limit: int | None
    """The maximum that was passed."""
    retry_after_s: float | None
    """When another try is worth it."""
    request_id: str | None
    """Names the request in the gateway's log."""

    def __init__(self, status: int, told: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        headers = {} if headers is None else headers
        self.status = status
        self.type = str(told.get("type", "about:blank"))
        self.kind = self.type.rpartition("/")[2]
        self.title = str(told.get("title", f"HTTP {status}"))
        self.detail = str(told.get("detail", self.title))
        self.field = told.get("field")
        self.allowed = told.get("allowed")
        self.errors = tuple(told.get("errors") or ())
        self.limit = told.get("limit")
        self.retry_after_s = told.get("retry_after_s", seconds(headers.get("Retry-After")))
        self.request_id = told.get("request_id", headers.get("X-Request-Id"))
        allowed = "" if self.allowed is None else f"; allowed: {self.allowed}"
        super().__init__(f"{status} {self.kind}: {self.detail}{allowed}")

    @classmethod
    def of(cls, status: int, body: bytes | bytearray, headers: Mapping[str, str]) -> Problem:
        """The problem of an answer, whatever its body is."""
        try:
            told = json.loads(body)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            told = {"detail": body[:MAX_DETAIL_CHARS].decode(errors="replace") or f"HTTP {status}"}
        return cls(status, told, headers)


def seconds(header: str | None) -> float | None:
    """What a `Retry-After` says; `None` where it names a date or nothing."""
    try:
        return None if header is None else max(float(header), 0.0)
    except ValueError:
        return None
