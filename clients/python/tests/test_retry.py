"""When a request is made again, and that all its tries are one to the gateway."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from autofarm import AutoFarm, ConnectionLost, Problem, Retry
from autofarm.retry import Backoff
from driven import Client


class Gateway:
    """Answers in turn with what it was given, and keeps what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []
        # As they were when it was asked.
        self.keys: list[str] = []
        self.pauses: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        self.keys.append(request.headers.get("Idempotency-Key", ""))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, client: Client, **how: Any) -> AutoFarm:
        """A client of it that does not really wait."""
        farm = client("http://gateway", transport=httpx.MockTransport(self), **how)

        async def sleep(pause_s: float) -> None:
            self.pauses.append(pause_s)

        farm.requests.sleep = self.pauses.append if isinstance(farm, AutoFarm) else sleep
        return farm


def unavailable(status: int = 503, after_s: int | None = 2) -> httpx.Response:
    """A refusal for now."""
    told = {"type": "/problems/orchestrator-unavailable", "title": "No", "status": status, "detail": "not now"}
    headers = {"Content-Type": "application/problem+json"}
    if after_s is not None:
        headers["Retry-After"] = str(after_s)
    return httpx.Response(status, json=told, headers=headers)


def place() -> httpx.Response:
    """The answer to a command."""
    return httpx.Response(202, json={"seq": 1, "tick": 2})


@pytest.mark.parametrize(
    "failure",
    [
        lambda: unavailable(429),
        lambda: unavailable(503),
        lambda: unavailable(504),
        lambda: httpx.Response(502, text="<html>bad gateway</html>"),
        lambda: httpx.ConnectError("refused"),
        lambda: httpx.ReadTimeout("no answer"),
    ],
)
def test_a_request_that_may_have_been_done_is_made_again_by_the_same_key(
    failure: Callable[[], Any], client: Client
) -> None:
    gateway = Gateway(failure(), failure(), place(), place())
    farm = gateway.client(client)
    assert farm.command("id", entity=1, command="hold") == {"seq": 1, "tick": 2}
    assert len(set(gateway.keys)) == 1
    assert len({request.content for request in gateway.asked}) == 1
    farm.command("id", entity=1, command="hold")
    assert len(set(gateway.keys)) == 2, "another request has another key"


def test_a_key_of_ones_own_is_sent(client: Client) -> None:
    gateway = Gateway(unavailable(), place())
    gateway.client(client).command("id", key="mine", entity=1, command="hold")
    assert gateway.keys == ["mine", "mine"]


def test_the_gateway_is_given_the_time_that_it_asks_for(client: Client) -> None:
    gateway = Gateway(unavailable(after_s=7), unavailable(after_s=None), place())
    gateway.client(client, retry=Retry(first_pause_s=0.2)).command("id", entity=1, command="hold")
    asked, own = gateway.pauses
    assert 7 <= asked <= 7.2
    assert 0.1 <= own <= 0.4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500])
def test_what_stays_wrong_is_not_asked_again(status: int, client: Client) -> None:
    gateway = Gateway(unavailable(status))
    with pytest.raises(Problem) as caught:
        gateway.client(client).command("id", entity=1, command="hold")
    assert caught.value.status == status
    assert gateway.pauses == []


def test_it_gives_up_and_says_why(client: Client) -> None:
    gateway = Gateway(*(unavailable() for _ in range(3)))
    with pytest.raises(Problem, match="503 orchestrator-unavailable: not now") as caught:
        gateway.client(client, retry=Retry(tries=3)).simulation("id")
    assert caught.value.retry_after_s == 2
    lost = Gateway(httpx.ConnectError("refused"))
    with pytest.raises(ConnectionLost, match="refused"):
        lost.client(client, retry=Retry(tries=1)).simulation("id")


def test_it_does_not_wait_longer_than_it_may(client: Client) -> None:
    gateway = Gateway(unavailable(after_s=3_600))
    with pytest.raises(Problem):
        gateway.client(client).simulation("id")
    assert gateway.pauses == []


def test_a_deletion_whose_answer_was_lost_is_asked_for_again_by_the_same_key(client: Client) -> None:
    gateway = Gateway(httpx.ReadError("reset"), httpx.Response(204))
    gateway.client(client).delete("id")
    assert gateway.keys[0]
    assert gateway.keys[0] == gateway.keys[1]
    gone = {"type": "/problems/not-found", "title": "No", "status": 404, "detail": "no such simulation"}
    with pytest.raises(Problem, match="404 not-found"):
        Gateway(httpx.ReadError("reset"), httpx.Response(404, json=gone)).client(client).delete("id")


def test_pauses_grow_to_their_bound_and_are_spread() -> None:
    backoff = Backoff(Retry(first_pause_s=1, max_pause_s=8), random.Random(1))
    pauses = [backoff.pause_s() for _ in range(40)]
    for longest, pause in zip([1, 2, 4, 8] + [8] * 36, pauses, strict=True):
        assert longest / 2 <= pause <= longest
    assert len(set(pauses)) == len(pauses)
    backoff.reset()
    assert backoff.pause_s() <= 1


@pytest.mark.parametrize("wrong", [{"tries": 0}, {"first_pause_s": -1}, {"first_pause_s": 20}])
def test_a_wrong_setting_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Retry(**wrong)


def test_an_answer_that_is_no_problem_is_told_as_it_is() -> None:
    problem = Problem.of(502, b"<html>bad gateway</html>", {})
    assert (problem.status, problem.type, problem.kind) == (502, "about:blank", "about:blank")
    assert "bad gateway" in str(problem)
    assert Problem.of(500, b"", {}).detail == "HTTP 500"
    assert Problem.of(500, b"[1]", {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}).retry_after_s is None
    several = Problem(422, {"type": "/problems/invalid", "errors": [{"field": "a"}, {"field": "b"}]})
    assert [each["field"] for each in several.errors] == ["a", "b"]


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_that_a_proxy_does_not_reach_is_not_ready(client: Client, status: int) -> None:
    gateway = Gateway(unavailable(status), unavailable(status))
    farm = gateway.client(client)
    assert not farm.is_ready()
    assert not farm.is_alive()
    assert gateway.pauses == []


def test_a_probe_that_is_refused_is_no_matter_of_time(client: Client) -> None:
    with pytest.raises(Problem, match="403"):
        Gateway(unavailable(403)).client(client).is_ready()
