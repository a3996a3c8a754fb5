"""The live stream against the real server, in both subprotocols."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

from autofarm import (
    STATES,
    AsyncAutoFarm,
    AutoFarm,
    ConnectionLost,
    Event,
    Hello,
    Message,
    Pong,
    Problem,
    Refused,
    Retry,
    Stream,
    StreamClosed,
    Tick,
    View,
    ViewGranted,
)
from autofarm.models import Simulation
from conftest import Server
from log import Log, before, listed, next_seqs, stands

PATIENCE_S = 30.0
M = TypeVar("M", bound=Message)


def awaited(stream: Stream, kind: type[M]) -> M:
    """The next message of a kind."""
    while True:
        message = stream.receive(PATIENCE_S)
        assert message is not None, "the stream is over"
        if isinstance(message, kind):
            return message


def test_json_and_binary_are_the_same_tick(farm: AutoFarm, made: Callable[..., Simulation]) -> None:
    simulation = made(scenario="dense", entities=640)["id"]
    farm.start(simulation)
    with farm.stream(simulation) as stream:
        while awaited(stream, Tick).tick < 400:
            pass
    stands(farm, simulation)
    west, south, east, north = farm.world(simulation)["bounds_m"]
    half = ((west * 3 + east) / 4, (south * 3 + north) / 4, (west + east) / 2, (south + north) / 2)
    for bounds in (None, half):
        ticks = []
        for binary in (False, True):
            with farm.stream(simulation, View(bounds_m=bounds), binary=binary) as stream:
                ticks.append(awaited(stream, Tick))
        text, packed = ticks
        assert text.tick == packed.tick
        assert (text.epoch, text.sim_time_s, text.entities_total) == (packed.epoch, packed.sim_time_s, 640)
        assert text.started_at_us == packed.started_at_us
        assert text.aggregates == packed.aggregates
        assert sum(text.aggregates.by_state.values()) == 640
        near(text, packed)
        assert len(text.machines) == 640 if bounds is None else 0 < len(text.machines) < 640


def near(text: Tick, packed: Tick) -> None:
    """The machines of both, to what JSON writes of them."""
    ours, theirs = ({machine.id: machine for machine in tick.machines} for tick in (text, packed))
    assert ours.keys() == theirs.keys()
    for name, machine in ours.items():
        other = theirs[name]
        assert (machine.x, machine.y) == pytest.approx((other.x, other.y), abs=0.0051)
        assert (machine.heading, machine.speed) == pytest.approx((other.heading, other.speed), abs=0.00051)
        assert machine.battery == pytest.approx(other.battery, abs=0.051)
        assert machine.state == other.state
    columns = packed.machines.arrays()
    assert [STATES[code] for code in columns.state] == [machine.state for machine in packed.machines]
    assert columns.id.tolist() == [machine.id for machine in packed.machines]


@pytest.mark.parametrize("binary", [False, True])
def test_views_change_and_wrong_ones_are_refused(farm: AutoFarm, made: Callable[..., Simulation], binary: bool) -> None:
    simulation = made()["id"]
    with farm.stream(simulation, View(max_entities=5), binary=binary) as stream:
        assert len(awaited(stream, Tick).machines) == 5
        stream.set_view(View(rate_hz=61))
        assert awaited(stream, Refused).code == "bad_view"
        assert stream.view == View(max_entities=5)
        stream.set_view(View(bounds_m=(0, 0, 100, 80), max_entities=9, rate_hz=60, events="all"))
        assert awaited(stream, ViewGranted) == ViewGranted((0, 0, 128, 96), 9, 60, "all")
        assert stream.view.bounds_m == (0, 0, 100, 80)
        stream.ping()
        assert awaited(stream, Pong) == Pong()


@pytest.mark.parametrize("binary", [False, True])
def test_events_are_those_of_rest_whatever_the_view(
    farm: AutoFarm, made: Callable[..., Simulation], binary: bool
) -> None:
    simulation = made(scenario="dense", entities=640)["id"]
    log = Log()
    with farm.stream(simulation, View(events="all"), binary=binary, from_event=1, from_system_event=1) as stream:
        farm.start(simulation)
        while log.last["sim"] < 100:
            log.take(awaited(stream, Event))
        # Only the end of what is read, so that the rest has to be resumed.
        resumed = stream.position
    stands(farm, simulation)
    until = next_seqs(farm, simulation)
    with farm.stream(simulation, View(events="all"), binary=binary, resume=resumed) as stream:
        while not log.is_complete(until):
            message = stream.receive(PATIENCE_S)
            assert message is not None
            log.take(message)
    assert before(log.events, until) == listed(farm, simulation, until)


def test_the_end_of_a_simulation_is_the_end_of_its_streams(farm: AutoFarm, made: Callable[..., Simulation]) -> None:
    simulation = made()["id"]
    with farm.stream(simulation) as stream:
        assert isinstance(next(iter(stream)), Hello)
        farm.delete(simulation)
        assert [message for message in stream if not isinstance(message, Tick)] == []
        assert stream.receive(1) is None
    with pytest.raises(Problem, match="404 not-found"), farm.stream(simulation):
        pass


@pytest.mark.parametrize(
    ("view", "field"),
    [(View(rate_hz=61, events="all"), "rate_hz"), (View(events="weather"), "events")],  # type: ignore[arg-type]
)
def test_a_wrong_view_of_the_query_is_a_problem(
    farm: AutoFarm, made: Callable[..., Simulation], view: View, field: str
) -> None:
    simulation = made()["id"]
    with pytest.raises(Problem) as caught, farm.stream(simulation, view, from_event=1):
        pass
    assert (caught.value.status, caught.value.field) == (422, field)


def test_patience_ends(farm: AutoFarm, made: Callable[..., Simulation]) -> None:
    simulation = made()["id"]
    with farm.stream(simulation) as stream:
        awaited(stream, Tick)
        with pytest.raises(TimeoutError):
            stream.receive(0.3)


def test_a_revoked_token_ends_a_stream_for_good(farm: AutoFarm, made: Callable[..., Simulation]) -> None:
    simulation = made()["id"]
    token = farm.create_token(name="viewer", role="viewer")
    with AutoFarm(farm.url, token["token"]) as viewer, viewer.stream(simulation) as stream:
        awaited(stream, Tick)
        farm.revoke_token(token["id"])
        with pytest.raises(StreamClosed, match="1008 token_revoked"):
            awaited(stream, Pong)


def test_a_stream_that_is_lost_for_too_long_says_so(own_server: Server) -> None:
    with AutoFarm(own_server.url, retry=Retry(first_pause_s=0.05)) as farm:
        simulation = farm.create(scenario="weeding", entities=12)["id"]
        with farm.stream(simulation, give_up_after_s=0.5) as stream:
            awaited(stream, Tick)
            own_server.end()
            with pytest.raises((ConnectionLost, StreamClosed), match=r"127\.0\.0\.1|going_away"):
                awaited(stream, Pong)


def test_the_async_stream_is_the_same(farm: AutoFarm, made: Callable[..., Simulation]) -> None:
    simulation = made()["id"]

    async def read() -> list[Message]:
        read = []
        async with (
            AsyncAutoFarm(farm.url) as own,
            own.stream(simulation, View(events="all"), binary=True, from_system_event=1) as stream,
        ):
            await stream.ping()
            await stream.set_view(View(max_entities=3, events="all"))
            await own.start(simulation)
            async for message in stream:
                read.append(message)
                if isinstance(message, Tick) and message.tick > 60:
                    await own.delete(simulation)
        return read

    read_messages = asyncio.run(asyncio.wait_for(read(), PATIENCE_S))
    kinds = {type(message) for message in read_messages}
    assert {Hello, Tick, Pong, ViewGranted, Event} <= kinds
    last = [message for message in read_messages if isinstance(message, Tick)][-1]
    assert len(last.machines) == 3


# More messages than `websockets` holds wait unread, and the answer to the close behind them.
UNREAD_S = 0.5
# Less than the answer to a close is waited for.
CLOSED_IN_S = 4.0


def test_a_stream_with_unread_messages_closes_at_once(farm: AutoFarm, made: Callable[..., Simulation]) -> None:
    simulation = made(scenario="dense", entities=640)["id"]
    farm.start(simulation)
    view = View(rate_hz=60, events="all")

    async def close() -> float:
        stream = AsyncAutoFarm(farm.url).stream(simulation, view, from_event=1)
        await stream.open()
        await asyncio.sleep(UNREAD_S)
        begun = time.monotonic()
        await stream.close()
        return time.monotonic() - begun

    assert asyncio.run(close()) < CLOSED_IN_S
    with farm.stream(simulation, view, from_event=1):
        time.sleep(UNREAD_S)
        begun = time.monotonic()
    assert time.monotonic() - begun < CLOSED_IN_S
