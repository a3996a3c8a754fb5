"""The few calls of the REST API that the checks need, by urllib."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

PATIENCE_S = 60


class Refused(Exception):
    """An answer that is not the one expected."""


@dataclass(frozen=True)
class Answer:
    """Status, media type and JSON of an answer; `body` is `None` where it has none."""

    status: int
    media_type: str
    body: Any


@dataclass(frozen=True)
class Api:
    """A gateway at `url`, asked with `token` if there is one."""

    url: str
    token: str | None = None

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """Asks, whatever the answer is."""
        request = urllib.request.Request(self.url + path, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if self.token is not None:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer_of(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return answer_of(refused.code, refused.headers, refused.read())

    def expect(self, status: int, method: str, path: str, body: Any = None) -> Any:
        """Asks, and gives the body of the answer, which must have this status."""
        answer = self.call(method, path, body)
        if answer.status != status:
            raise Refused(f"{method} {path}: {answer.status}, not {status}: {answer.body}")
        return answer.body

    def pages(self, path: str) -> list[Any]:
        """All items of a list."""
        items: list[Any] = []
        query = "?limit=500"
        while True:
            page = self.expect(200, "GET", path + query)
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            query = f"?limit=500&cursor={page['next_cursor']}"


def answer_of(status: int, headers: Any, body: bytes) -> Answer:
    """An answer, with its body as JSON where it is JSON."""
    media_type = headers.get_content_type()
    is_json = media_type.endswith("json") and body
    return Answer(status, media_type, json.loads(body) if is_json else None)
