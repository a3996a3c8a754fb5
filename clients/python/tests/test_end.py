"""A run that is over: what its streams say of it, and that who waits for ticks does not wait for ever."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import autofarm.session
from autofarm import AutoFarm, Event, Hello, Retry, Tick, View
from autofarm.models import Simulation
from autofarm.session import JSON, LAST_TICK_PATIENCE_S, Session
from conftest import Server
from driven import Client
from gateways import HELLO, SIMULATION, saying

LAST_TICK = 40
# Longest that a test may take: what is tested is that nothing hangs.
PATIENCE_S = 60
BINARY = pytest.mark.parametrize("binary", [False, True])


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    """Ends a test that hangs."""

    def ring(*_: object) -> None:
        raise AssertionError("it waits for ever")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(PATIENCE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@BINARY
def test_ticks_end_with_the_run(server: Server, client: Client, made: Callable[..., Simulation], binary: bool) -> None:
    simulation = made(max_ticks=LAST_TICK)["id"]
    with client(server.url) as farm:
        # Seldom, so that the last tick comes well after the end.
        with farm.stream(simulation, View(rate_hz=1), binary=binary) as stream:
            assert next(stream.ticks()).tick == 0
            assert stream.ended is None
            farm.start(simulation)
            ticks = [tick.tick for tick in stream.ticks()]
            assert ticks[-1] == LAST_TICK
            assert stream.ended == "completed"
            assert list(stream.ticks()) == []
        # And of one that is opened after it.
        with farm.stream(simulation, View(events="none"), binary=binary) as stream:
            assert [tick.tick for tick in stream.ticks()] == [LAST_TICK]
            assert stream.ended == "completed"


def test_ticks_end_where_a_paused_run_is_stopped(
    server: Server, client: Client, made: Callable[..., Simulation]
) -> None:
    simulation = made()["id"]
    with client(server.url) as farm, farm.stream(simulation) as stream:
        farm.start(simulation)
        farm.pause(simulation)
        farm.stop(simulation)
        ticks = [tick.tick for tick in stream.ticks()]
        assert ticks[-1] == farm.simulation(simulation)["tick"]
        assert stream.ended == "stopped"


def test_ticks_end_where_none_is_kept(own_server: Server, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with client(own_server.url) as farm:
        simulation = farm.create(scenario="weeding", entities=12, max_ticks=LAST_TICK, speed=20)["id"]
        with farm.stream(simulation) as stream:
            farm.start(simulation)
            assert [tick.tick for tick in stream.ticks()][-1] == LAST_TICK
        own_server.end()
        own_server.start()
        monkeypatch.setattr(autofarm.session, "LAST_TICK_PATIENCE_S", 0.5)
        for binary in (False, True):
            with farm.stream(simulation, binary=binary) as stream:
                assert list(stream.ticks()) == []
                assert stream.ended == "completed"


def test_messages_go_on_after_the_end_of_the_run(farm: AutoFarm, made: Callable[..., Simulation]) -> None:
    simulation = made(max_ticks=LAST_TICK)["id"]
    farm.start(simulation)
    with farm.stream(simulation) as stream:
        assert [tick.tick for tick in stream.ticks()][-1] == LAST_TICK
    told = []
    with farm.stream(simulation, View(events="all"), from_system_event=1) as stream:
        for message in stream:
            told.append(message)
            if isinstance(message, Event) and message.kind == "system" and message.detail["event"] == "settled":
                break
    assert isinstance(told[0], Hello)
    assert told[0].simulation["status"] == "completed"
    assert len([message for message in told if isinstance(message, Event)]) == told[0].next_system_event - 1


# The parts of a stream that a server cannot be made to say at will.


def hello(status: str, tick: int, epoch: int = 1) -> str:
    return json.dumps({**HELLO, "simulation": {"status": status, "tick": tick}, "epoch": epoch})


def lifecycle(status: str, tick: int, seq: int = 1) -> str:
    told = {"type": "event", "log": "system", "seq": seq, "tick": tick, "kind": "lifecycle"}
    return json.dumps({**told, "detail": {"status": status, "cause": "requested"}})


def tick(number: int) -> str:
    sums: dict[str, Any] = {"machines": 0, "by_state": {}, "by_charge": [0] * 10, "charge_sum": 0}
    counters = dict.fromkeys(autofarm.COUNTERS, 0)
    told = {"type": "tick", "tick": number, "epoch": 1, "sim_time_s": 0, "started_at_us": 0, "sent_at_us": 0}
    aggregates = {**sums, "speed_sum_mm_per_s": 0, "counters": counters}
    return json.dumps({**told, "aggregates": aggregates, "entities_total": 0, "entities": []})


def after(*messages: str) -> Session:
    """A stream that has brought these."""
    session = Session(View(), binary=False)
    session.opened(JSON)
    for message in messages:
        session.receive(message)
    return session


@pytest.mark.parametrize(
    ("messages", "ended", "are_over"),
    [
        ([hello("running", 3), tick(5)], None, False),
        ([hello("paused", 3), tick(3)], None, False),
        ([hello("completed", 7)], "completed", False),
        ([hello("completed", 7), tick(7)], "completed", True),
        ([hello("running", 3), lifecycle("stopped", 7), tick(6)], "stopped", False),
        ([hello("running", 3), tick(7), lifecycle("failed", 7)], "failed", True),
        # A pause, and an older event that comes again, are no end, and take none back.
        ([hello("running", 3), tick(7), lifecycle("paused", 7)], None, False),
        ([hello("stopped", 7), tick(7), lifecycle("running", 0)], "stopped", True),
        # The end was void: the next orchestrator goes on.
        ([hello("running", 3), tick(7), lifecycle("stopped", 7), hello("running", 5, 2), tick(7)], None, False),
        # A status of a newer server is no end that this version knows of.
        ([hello("hibernating", 7), tick(7)], None, False),
    ],
)
def test_when_ticks_are_over(messages: list[str], ended: str | None, are_over: bool) -> None:
    session = after(*messages)
    assert session.run.ended == ended
    assert session.are_ticks_over == are_over
    assert session.patience_s == (None if ended is None else LAST_TICK_PATIENCE_S)


def test_another_view_of_a_run_that_is_over_brings_its_last_tick_again() -> None:
    session = after(hello("completed", 7), tick(7))
    assert session.are_ticks_over
    session.ask(View(max_entities=3))
    assert not session.are_ticks_over
    session.receive(json.dumps(View(max_entities=3).message()))
    assert not session.are_ticks_over
    assert isinstance(session.receive(tick(7)), Tick)
    assert session.are_ticks_over


def test_the_next_connection_is_awaited_where_one_is_lost_after_the_end(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Less than the pause before it.
    monkeypatch.setattr(autofarm.session, "LAST_TICK_PATIENCE_S", 0.1)
    with (
        saying([hello("stopped", 7)], [hello("running", 5, 2), tick(6), lifecycle("failed", 6)]) as url,
        client(url, retry=Retry(first_pause_s=1.0)) as farm,
        farm.stream(SIMULATION) as stream,
    ):
        assert [tick.tick for tick in stream.ticks()] == [6]
        assert stream.ended == "failed"


def test_another_connection_says_anew_whether_the_run_is_over() -> None:
    session = after(hello("completed", 7), tick(7))
    session.opened(JSON)
    assert session.run.ended is None
    assert not session.are_ticks_over
