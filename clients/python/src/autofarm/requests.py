"""Makes calls of the REST API, each as often as it is worth it: in a loop that waits, and for asyncio."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx

from autofarm.calls import Answer, Call
from autofarm.problems import AutoFarmError, ConnectionLost, Problem
from autofarm.retry import WORTH_ANOTHER_TRY, Backoff, Retry

T = TypeVar("T")


class Tries:
    """The tries of one call: give each what came of it, and make the next after the pause that is answered."""

    def __init__(self, call: Call, retry: Retry) -> None:
        self.call = call
        self.retry = retry
        self.backoff = Backoff(retry)

    def answered(self, answer: httpx.Response) -> float | None:
        """Takes an answer. `None`: that is it; raises `Problem` where the gateway refuses and goes on to."""
        is_repeated = self.backoff.failures > 0
        # The first try has deleted it, and its answer was lost.
        if answer.is_success or (self.call.method == "DELETE" and answer.status_code == 404 and is_repeated):
            return None
        problem = Problem.of(answer.status_code, answer.content, answer.headers)
        asked_s = problem.retry_after_s
        if problem.status not in WORTH_ANOTHER_TRY or (asked_s or 0) > self.retry.max_retry_after_s or self.are_over:
            raise problem
        return self.backoff.pause_s(asked_s)

    def lost(self, url: httpx.URL, error: httpx.TransportError) -> float:
        """Takes that no answer came; raises `ConnectionLost` after the last try."""
        if self.are_over:
            raise ConnectionLost(f"{url}: {error or type(error).__name__}") from error
        return self.backoff.pause_s()

    @property
    def are_over(self) -> bool:
        """Whether the try that has just failed was the last."""
        return self.backoff.failures + 1 >= (self.call.tries or self.retry.tries)


def settings(
    url: str, token: str | None, timeout_s: float, ssl_context: ssl.SSLContext | None, transport: Any
) -> dict[str, Any]:
    """What both kinds of clients of `httpx` are made with."""
    headers = {"User-Agent": "autofarm-python"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return {
        "base_url": url,
        "headers": headers,
        "timeout": timeout_s,
        "transport": transport,
        "verify": True if ssl_context is None else ssl_context,
    }


class Requests:
    """Makes them one after the other, and waits for each."""

    def __init__(self, client: httpx.Client, retry: Retry, sleep: Callable[[float], None] = time.sleep) -> None:
        self.client = client
        self.retry = retry
        self.sleep = sleep

    def run(self, steps: Answer[T]) -> T:
        """Carries an operation out. Raises `Problem` where it is refused, `ConnectionLost` where nobody answers."""
        try:
            call = next(steps)
            while True:
                try:
                    answer = self.make(call)
                except AutoFarmError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(answer)
        except StopIteration as end:
            value: T = end.value
            return value

    def make(self, call: Call) -> httpx.Response:
        """Makes a call."""
        request = self.client.build_request(**call.arguments())
        tries = Tries(call, self.retry)
        while True:
            try:
                answer = self.client.send(request)
            except httpx.TransportError as error:
                pause_s: float | None = tries.lost(request.url, error)
            else:
                pause_s = tries.answered(answer)
            if pause_s is None:
                return answer
            self.sleep(pause_s)


class AsyncRequests:
    """The same for asyncio: who waits for one keeps nobody from making another."""

    def __init__(
        self, client: httpx.AsyncClient, retry: Retry, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self.client = client
        self.retry = retry
        self.sleep = sleep

    async def run(self, steps: Answer[T]) -> T:
        """Carries an operation out, as `Requests.run`."""
        try:
            call = next(steps)
            while True:
                try:
                    answer = await self.make(call)
                except AutoFarmError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(answer)
        except StopIteration as end:
            value: T = end.value
            return value

    async def make(self, call: Call) -> httpx.Response:
        """Makes a call."""
        request = self.client.build_request(**call.arguments())
        tries = Tries(call, self.retry)
        while True:
            try:
                answer = await self.client.send(request)
            except httpx.TransportError as error:
                pause_s: float | None = tries.lost(request.url, error)
            else:
                pause_s = tries.answered(answer)
            if pause_s is None:
                return answer
            await self.sleep(pause_s)
