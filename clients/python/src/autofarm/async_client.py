"""The client for asyncio: the same operations, with `await`."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self, TypeVar

import httpx

from autofarm.async_stream import AsyncStream
from autofarm.calls import Answer, Items
from autofarm.connection import Connector
from autofarm.gateway import Gateway
from autofarm.methods import Awaited
from autofarm.requests import AsyncRequests, settings
from autofarm.retry import Retry

T = TypeVar("T")


class AsyncAutoFarm(Gateway, Awaited):
    """
    A gateway, for asyncio. Use it in `async with`, or `await close()`. Its methods are those of `AutoFarm`, with the
    same arguments, answers and errors: they are awaited, lists are iterated by `async for`, and `stream` makes an
    `AsyncStream`. One that waits for its answer, or for its next try, lets others go on; several may be under way.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        token: str | None = None,
        *,
        timeout_s: float = 30.0,
        retry: Retry | None = None,
        ssl_context: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(url, token, retry, ssl_context)
        client = httpx.AsyncClient(**settings(self.url, token, timeout_s, ssl_context, transport))
        self.requests = AsyncRequests(client, self.retry)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes its connections; streams stay."""
        await self.requests.client.aclose()

    async def _run(self, steps: Answer[T]) -> T:
        return await self.requests.run(steps)

    async def _iterate(self, items: Items[T]) -> AsyncIterator[T]:
        cursor = None
        while True:
            page = await self.requests.run(items.page(cursor))
            for item in items.of(page):
                yield item
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _watch(self, connector: Connector) -> AsyncStream:
        return AsyncStream(connector)
