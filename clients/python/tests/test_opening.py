"""How a stream is opened: once, however little who waits for it is willing to wait, and with each view asked once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from autofarm import AsyncAutoFarm, AutoFarm, Hello, Message, Pong, Retry, View, ViewGranted
from conftest import free_port
from gateways import SIMULATION, SlowGateway, slow_gateway

# Of one look at a stream: much less than a gateway takes to answer.
GLANCE_S = 0.01
ANSWERS_AFTER_S = 0.4
PATIENCE_S = 30.0
# Failures after which a stream that was never open is given up.
TRIES = 3


@pytest.fixture
def gateway() -> Iterator[SlowGateway]:
    """One that answers a good while after it is asked."""
    with slow_gateway(ANSWERS_AFTER_S) as made:
        yield made


@pytest.fixture
def farm(gateway: SlowGateway) -> Iterator[AutoFarm]:
    """A client of it that gives up soon."""
    with AutoFarm(gateway.url, retry=Retry(tries=TRIES, first_pause_s=0.0)) as client:
        yield client


@pytest.fixture
def async_farm(gateway: SlowGateway) -> AsyncAutoFarm:
    """The same for asyncio; only its streams are used, so that there is nothing to close."""
    return AsyncAutoFarm(gateway.url, retry=Retry(tries=TRIES, first_pause_s=0.0))


def test_an_opening_goes_on_beyond_the_patience_of_a_receive(gateway: SlowGateway, farm: AutoFarm) -> None:
    stream = farm.stream(SIMULATION)
    ends = time.monotonic() + PATIENCE_S
    waits = 0
    message: Message | None = None
    while message is None and time.monotonic() < ends:
        try:
            message = stream.receive(GLANCE_S)
        except TimeoutError:
            waits += 1
    stream.close()
    assert isinstance(message, Hello)
    assert waits > 0
    assert gateway.openings == 1


def test_an_opening_of_asyncio_goes_on_where_who_waits_for_it_ends(
    gateway: SlowGateway, async_farm: AsyncAutoFarm
) -> None:
    async def glance() -> tuple[Message | None, int]:
        waits = 0
        async with asyncio.timeout(PATIENCE_S):
            stream = async_farm.stream(SIMULATION)
            while True:
                try:
                    message = await asyncio.wait_for(stream.receive(), GLANCE_S)
                except TimeoutError:
                    waits += 1
                else:
                    await stream.close()
                    return message, waits

    message, waits = asyncio.run(glance())
    assert isinstance(message, Hello)
    assert waits > 0
    assert gateway.openings == 1


def test_a_pause_of_asyncio_is_kept_where_who_waits_for_it_ends() -> None:
    # Nobody is there: without its pauses the stream is given up within some glances.
    retry = Retry(tries=TRIES, first_pause_s=PATIENCE_S, max_pause_s=PATIENCE_S)

    async def glance() -> None:
        farm = AsyncAutoFarm(f"http://127.0.0.1:{free_port()}", retry=retry)
        stream = farm.stream(SIMULATION)
        for _ in range(10 * TRIES):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(stream.receive(), GLANCE_S)
        await stream.close()

    asyncio.run(glance())


def test_a_stream_that_is_closed_while_it_opens_leaves_no_connection(gateway: SlowGateway, farm: AutoFarm) -> None:
    stream = farm.stream(SIMULATION)
    with pytest.raises(TimeoutError):
        stream.receive(GLANCE_S)
    stream.close()
    assert stream.receive(GLANCE_S) is None
    assert gateway.ended.wait(PATIENCE_S)
    assert gateway.said == [[]]


def test_a_stream_of_asyncio_that_is_closed_while_it_opens_opens_no_more(
    gateway: SlowGateway, async_farm: AsyncAutoFarm
) -> None:
    async def give_up() -> Message | None:
        stream = async_farm.stream(SIMULATION)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.receive(), GLANCE_S)
        await stream.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return await stream.receive()

    assert asyncio.run(give_up()) is None
    assert gateway.openings <= 1


def test_a_block_that_is_cancelled_before_it_begins_opens_no_more(
    gateway: SlowGateway, async_farm: AsyncAutoFarm
) -> None:
    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(GLANCE_S), async_farm.stream(SIMULATION):
                raise AssertionError("it is open")
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(give_up())


def test_a_view_that_opens_the_stream_is_asked_once(gateway: SlowGateway, farm: AutoFarm) -> None:
    view = View(max_entities=7)
    stream = farm.stream(SIMULATION)
    stream.set_view(view)
    stream.ping()
    kinds: list[type[Message | None]] = []
    while Pong not in kinds:
        kinds.append(type(stream.receive(PATIENCE_S)))
    stream.close()
    assert kinds == [Hello, ViewGranted, Pong]
    assert stream.view == view
    assert gateway.said == [[view.message(), {"type": "ping"}]]


def test_a_view_that_opens_a_stream_of_asyncio_is_asked_once(gateway: SlowGateway, async_farm: AsyncAutoFarm) -> None:
    view = View(max_entities=7)

    async def ask() -> list[type[Message] | None]:
        stream = async_farm.stream(SIMULATION)
        kinds: list[type[Message] | None] = []
        # A reader may be opening it at the same time; there is one connection all the same.
        reader = asyncio.create_task(stream.receive())
        await stream.set_view(view)
        await stream.ping()
        message = await reader
        while True:
            assert message is not None
            kinds.append(type(message))
            if isinstance(message, Pong):
                break
            message = await stream.receive()
        await stream.close()
        assert stream.view == view
        return kinds

    assert asyncio.run(asyncio.wait_for(ask(), PATIENCE_S)) == [Hello, ViewGranted, Pong]
    assert gateway.openings == 1
