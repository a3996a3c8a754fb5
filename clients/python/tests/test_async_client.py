"""The client for asyncio: what it has of the other one, and that nothing waits for what it does not need."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import assert_type

import httpx
import pytest

from autofarm import AsyncAutoFarm, AsyncStream, AutoFarm, Event, Stream, Tick, View
from autofarm.gateway import Gateway
from autofarm.models import CommandPlace, Machine, Simulation
from conftest import Server

PATIENCE_S = 60.0
COMMANDS = 12


def public(client: type[object]) -> set[str]:
    return {name for name in dir(client) if not name.startswith("_")}


def test_both_clients_have_the_same_methods() -> None:
    assert public(AutoFarm) == public(AsyncAutoFarm) == public(Gateway) | {"close"}
    for name in public(Gateway):
        ours, theirs = (getattr(client, name) for client in (AutoFarm, AsyncAutoFarm))
        assert inspect.signature(ours) == inspect.signature(theirs)
        assert ours.__doc__, name


def test_the_types_of_both_are_told(farm: AutoFarm, made: Callable[..., Simulation]) -> None:
    simulation = made()["id"]
    assert_type(farm.simulation(simulation), Simulation)
    assert_type(farm.machines(simulation), Iterator[Machine])
    assert_type(farm.stream(simulation), Stream)

    async def ask() -> None:
        async with AsyncAutoFarm(farm.url) as own:
            assert_type(await own.simulation(simulation), Simulation)
            machines = assert_type(own.machines(simulation, page_size=5), AsyncIterator[Machine])
            assert [machine["id"] async for machine in machines] == list(range(1, 49))
            assert_type(own.stream(simulation), AsyncStream)

    asyncio.run(ask())


def test_commands_are_given_while_the_stream_is_read(server: Server) -> None:
    async def run() -> tuple[list[CommandPlace], set[int]]:
        async with asyncio.timeout(PATIENCE_S), AsyncAutoFarm(server.url) as farm:
            simulation = (await farm.create(scenario="weeding", entities=COMMANDS, speed=20))["id"]
            carried_out: set[int] = set()

            async def watch() -> None:
                async with farm.stream(simulation, View(events="all"), binary=True, from_event=1) as stream:
                    async for message in stream:
                        if isinstance(message, Event) and message.kind == "command":
                            carried_out.add(message.detail["command_seq"])
                            if len(carried_out) == COMMANDS:
                                return

            watcher = asyncio.create_task(watch())
            await farm.start(simulation)
            places = await asyncio.gather(
                *(farm.command(simulation, entity=entity, command="hold") for entity in range(1, COMMANDS + 1))
            )
            await watcher
            await farm.delete(simulation)
            return places, carried_out

    places, carried_out = asyncio.run(run())
    assert {place["seq"] for place in places} == carried_out == set(range(1, COMMANDS + 1))


def test_one_that_waits_for_its_next_try_lets_others_go_on() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        status = 503 if asked == ["/v1/simulations/first"] else 200
        return httpx.Response(status, json={}, headers={"Retry-After": "1"})

    async def run() -> None:
        async with AsyncAutoFarm("http://gateway", transport=httpx.MockTransport(answer)) as farm:
            first = asyncio.create_task(farm.simulation("first"))
            # It is in its pause once it has asked.
            while not asked:
                await asyncio.sleep(0)
            await farm.simulation("second")
            await first

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S))
    assert [path.rpartition("/")[2] for path in asked] == ["first", "second", "first"]


def test_one_that_is_cancelled_leaves_the_client_as_it_is() -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("slow"):
            await asyncio.sleep(PATIENCE_S)
        return httpx.Response(200, json={"id": "quick"})

    async def run() -> str:
        async with AsyncAutoFarm("http://gateway", transport=httpx.MockTransport(answer)) as farm:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await farm.simulation("slow")
            return (await farm.simulation("quick"))["id"]

    assert asyncio.run(asyncio.wait_for(run(), PATIENCE_S / 2)) == "quick"


def test_a_stream_of_ticks_is_read_to_the_end_of_the_run(server: Server) -> None:
    async def run() -> list[int]:
        async with asyncio.timeout(PATIENCE_S), AsyncAutoFarm(server.url) as farm:
            simulation = (await farm.create(scenario="weeding", entities=12, speed=20, max_ticks=60))["id"]
            async with farm.stream(simulation) as stream:
                await farm.start(simulation)
                ticks = [tick.tick async for tick in stream.ticks() if assert_type(tick, Tick)]
                assert stream.ended == "completed"
            await farm.delete(simulation)
            return ticks

    ticks = asyncio.run(run())
    assert ticks[-1] == 60
    assert ticks == sorted(ticks)
