"""The client that asks and waits for the answer."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from types import TracebackType
from typing import Self, TypeVar

import httpx

from autofarm.calls import Answer, Items
from autofarm.connection import Connector
from autofarm.gateway import Gateway
from autofarm.methods import Waiting
from autofarm.requests import Requests, settings
from autofarm.retry import Retry
from autofarm.stream import Stream

T = TypeVar("T")


class AutoFarm(Gateway, Waiting):
    """
    A gateway. Use it in `with`, or `close` it. In a coroutine use `AsyncAutoFarm`, which lets others go on meanwhile.

    What may succeed later is tried again as `retry` says: after 429, 502, 503, 504 and a lost connection. Each request
    that changes something has an idempotency key of its own, the same for all its tries, so that it is done once at
    most; give one as `key` to keep that over the end of this process too. Every method raises `Problem` where the
    gateway refuses, and `ConnectionLost` where it cannot be reached, which `is_alive` and `is_ready` answer by `False`.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        token: str | None = None,
        *,
        timeout_s: float = 30.0,
        retry: Retry | None = None,
        ssl_context: ssl.SSLContext | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(url, token, retry, ssl_context)
        client = httpx.Client(**settings(self.url, token, timeout_s, ssl_context, transport))
        self.requests = Requests(client, self.retry)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes its connections; streams stay."""
        self.requests.client.close()

    def _run(self, steps: Answer[T]) -> T:
        return self.requests.run(steps)

    def _iterate(self, items: Items[T]) -> Iterator[T]:
        cursor = None
        while True:
            page = self.requests.run(items.page(cursor))
            yield from items.of(page)
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _watch(self, connector: Connector) -> Stream:
        return Stream(connector)
