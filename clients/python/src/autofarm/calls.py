"""What operations ask of the gateway, and what they make of its answers. It never does I/O: see `requests`."""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar
from urllib.parse import quote

import httpx

from autofarm.operations import OPERATIONS, OperationId
from autofarm.problems import ConnectionLost, Problem, ProtocolError

T = TypeVar("T")

JSON = "application/json"
# Methods whose repetition the gateway tells from a second request only by the key.
KEYED = frozenset({"POST", "PATCH"})
# Answers of a gateway without an orchestrator, and of a proxy without a gateway.
NOT_THERE = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Call:
    """One request, however often it is tried."""

    operation: OperationId
    path: Mapping[str, object] = field(default_factory=dict)
    query: Mapping[str, object | None] = field(default_factory=dict)
    """What is `None` is left out."""
    body: Mapping[str, Any] | None = None
    key: str | None = None
    """All its tries have it in common: it is done once at most. One is made where none is given."""
    accept: str = JSON
    tries: int | None = None
    """Tries at most, where it is not for the client to say."""

    @property
    def method(self) -> str:
        """Of HTTP."""
        return OPERATIONS[self.operation][0]

    def arguments(self) -> dict[str, Any]:
        """What `httpx` makes its request of."""
        template = OPERATIONS[self.operation][1]
        keyed = {"Idempotency-Key": self.key or str(uuid.uuid4())} if self.method in KEYED else {}
        return {
            "method": self.method,
            "url": template.format_map({name: quote(str(value), safe="") for name, value in self.path.items()}),
            "params": {name: str(value) for name, value in self.query.items() if value is not None},
            "json": self.body,
            "headers": {"Accept": self.accept, **keyed},
        }


Answer: TypeAlias = Generator[Call, httpx.Response, T]
"""
An operation under way: it yields its calls, is sent the answer to each, or thrown what came instead, and returns what
the operation is answered with.
"""


def answer(operation: OperationId, **how: Any) -> Answer[httpx.Response]:
    """One call, answered as it came; `how` is as of `Call`."""
    return (yield Call(operation, **how))


def nothing(operation: OperationId, **how: Any) -> Answer[None]:
    """One call whose answer says nothing."""
    yield from answer(operation, **how)


def text(operation: OperationId, **how: Any) -> Answer[str]:
    """The text that one call is answered with."""
    answered = yield from answer(operation, **how)
    return answered.text


def json(operation: OperationId, **how: Any) -> Answer[Any]:
    """The JSON that one call is answered with."""
    answered = yield from answer(operation, **how)
    try:
        return answered.json()
    except ValueError as error:
        raise ProtocolError(f"{operation} is answered with no JSON: {error}") from error


def holds(probe: OperationId) -> Answer[bool]:
    """Whether a probe is answered well, asked once: nobody who answers, or a proxy that says so, is a no."""
    try:
        yield from answer(probe, accept="text/plain", tries=1)
    except ConnectionLost as lost:
        if is_untrusted(lost):
            raise
        return False
    except Problem as problem:
        if problem.status in NOT_THERE:
            return False
        raise
    return True


def is_untrusted(lost: ConnectionLost) -> bool:
    """Whether somebody is there whose certificate this client does not trust."""
    cause: BaseException | None = lost
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def items_of(page: Any) -> Iterable[Any]:
    """What stands on a page."""
    items: Iterable[Any] = page["items"]
    return items


def whole(page: Any) -> Iterable[Any]:
    """The page itself."""
    return (page,)


@dataclass(frozen=True, slots=True)
class Items(Generic[T]):
    """A list in pages, each of which is asked for when it is wanted."""

    operation: OperationId
    page_size: int
    path: Mapping[str, object] = field(default_factory=dict)
    query: Mapping[str, object | None] = field(default_factory=dict)
    of: Callable[[Any], Iterable[T]] = items_of
    """What of a page the list is made of."""

    def page(self, cursor: str | None) -> Answer[Any]:
        """The page that a cursor names; the first one without."""
        return json(self.operation, path=self.path, query={**self.query, "limit": self.page_size, "cursor": cursor})
