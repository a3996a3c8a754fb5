"""One call of the REST API: its tries, its idempotency key, its answer."""

from __future__ import annotations

import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import httpx

from autofarm.operations import OPERATIONS, OperationId
from autofarm.problems import ConnectionLost, Problem, ProtocolError
from autofarm.retry import WORTH_ANOTHER_TRY, Backoff, Retry

JSON = "application/json"
# Methods whose repetition the gateway tells from a second request only by the key.
KEYED = frozenset({"POST", "PATCH", "DELETE"})


class Requests:
    """Calls operations of the gateway at `url`."""

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        timeout_s: float,
        retry: Retry,
        ssl_context: ssl.SSLContext | None,
        transport: httpx.BaseTransport | None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        headers = {"User-Agent": "autofarm-python"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        self.retry = retry
        self.sleep = sleep
        self.client = httpx.Client(
            base_url=url,
            headers=headers,
            timeout=timeout_s,
            transport=transport,
            verify=True if ssl_context is None else ssl_context,
        )

    def call(
        self,
        operation: OperationId,
        *,
        path: Mapping[str, object] | None = None,
        query: Mapping[str, object | None] | None = None,
        body: Mapping[str, Any] | None = None,
        key: str | None = None,
        accept: str = JSON,
        tries: int | None = None,
    ) -> httpx.Response:
        """
        Calls an operation; of its query, what is `None` is left out. What may succeed later is tried again, by one
        key that all tries have in common: it is done once at most.

        Raises `Problem` where the gateway refuses it, `ConnectionLost` where it cannot be reached.
        """
        method, template = OPERATIONS[operation]
        request = self.client.build_request(
            method,
            template.format_map({name: quote(str(value), safe="") for name, value in (path or {}).items()}),
            params={name: str(value) for name, value in (query or {}).items() if value is not None},
            json=body,
            headers={"Accept": accept, **({"Idempotency-Key": key or str(uuid.uuid4())} if method in KEYED else {})},
        )
        backoff = Backoff(self.retry)
        while True:
            try:
                answer = self.client.send(request)
            except httpx.TransportError as error:
                failure: ConnectionLost | Problem = ConnectionLost(f"{request.url}: {error or type(error).__name__}")
            else:
                if answer.is_success:
                    return answer
                failure = Problem.of(answer.status_code, answer.content, answer.headers)
            if not self.is_worth_another_try(failure, backoff.failures, tries or self.retry.tries):
                raise failure
            self.sleep(backoff.pause_s(failure.retry_after_s if isinstance(failure, Problem) else None))

    def is_worth_another_try(self, failure: ConnectionLost | Problem, failures: int, tries: int) -> bool:
        """Whether another try may help, after as many that have failed before this one."""
        if failures + 1 >= tries:
            return False
        if isinstance(failure, ConnectionLost):
            return True
        return failure.status in WORTH_ANOTHER_TRY and (failure.retry_after_s or 0) <= self.retry.max_retry_after_s

    def json(self, operation: OperationId, **how: Any) -> Any:
        """The JSON that an operation is answered with."""
        answer = self.call(operation, **how)
        try:
            return answer.json()
        except ValueError as error:
            raise ProtocolError(f"{operation} is answered with no JSON: {error}") from error
