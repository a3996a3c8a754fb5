"""The server is killed amid a stream and started again: no event is lost, and none comes twice."""

from __future__ import annotations

import asyncio
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor

from autofarm import AsyncAutoFarm, AutoFarm, Hello, Message, Stream, View
from conftest import Server
from log import Log, before, listed, next_seqs, stands

KILLS = 2
# Events between two kills, and after the last.
EVENTS_EACH = 60
PATIENCE_S = 120.0


class Watcher:
    """What one client has of the events; `until` says when it has enough."""

    def __init__(self) -> None:
        self.log = Log()
        self.hellos: list[Hello] = []
        self.until: dict[str, int] | None = None

    def take(self, message: Message) -> None:
        """Takes a message."""
        if isinstance(message, Hello):
            self.hellos.append(message)
        self.log.take(message)

    @property
    def lives(self) -> int:
        """Of the server, of which it has heard."""
        return len({hello.epoch for hello in self.hellos})

    @property
    def is_done(self) -> bool:
        """Whether it has all that is wanted."""
        return self.until is not None and self.log.is_complete(self.until)


def watch(stream: Stream, watcher: Watcher) -> None:
    """Reads in a loop, as any program would."""
    ends = time.monotonic() + PATIENCE_S
    with stream:
        while time.monotonic() < ends:
            try:
                message = stream.receive(0.5)
            except TimeoutError:
                if watcher.is_done:
                    return
                continue
            assert message is not None, "the stream is over"
            watcher.take(message)
            if watcher.is_done:
                return
    raise AssertionError("the events do not come")


async def watch_async(url: str, simulation: str, watcher: Watcher) -> None:
    """The same for asyncio, in binary."""
    farm = AsyncAutoFarm(url)
    view = View(max_entities=10, events="all")
    ends = time.monotonic() + PATIENCE_S
    async with farm.stream(simulation, view, binary=True, from_event=1, from_system_event=1) as stream:
        while time.monotonic() < ends:
            try:
                message = await asyncio.wait_for(stream.receive(), 0.5)
            except TimeoutError:
                if watcher.is_done:
                    return
                continue
            assert message is not None, "the stream is over"
            watcher.take(message)
            if watcher.is_done:
                return
    raise AssertionError("the events do not come")


def test_no_event_is_lost_and_none_comes_twice(own_server: Server) -> None:
    with AutoFarm(own_server.url) as farm, ThreadPoolExecutor(2) as pool:
        simulation = farm.create(scenario="dense", entities=640, speed=20)["id"]
        farm.start(simulation)
        watchers = [Watcher(), Watcher()]
        stream = farm.stream(simulation, View(events="all"), from_event=1, from_system_event=1)
        readers = [
            pool.submit(watch, stream, watchers[0]),
            pool.submit(asyncio.run, watch_async(own_server.url, simulation, watchers[1])),
        ]
        for kill in range(KILLS):
            wait_for(watchers, readers, kill + 1)
            own_server.end(signal.SIGKILL)
            own_server.start()
            assert farm.simulation(simulation)["status"] == "running"
        wait_for(watchers, readers, KILLS + 1)
        stands(farm, simulation)
        until = next_seqs(farm, simulation)
        for watcher in watchers:
            watcher.until = until
        for reader in readers:
            reader.result(PATIENCE_S)
        kept = listed(farm, simulation, until)
    for watcher in watchers:
        assert before(watcher.log.events, until) == kept
        epochs = [hello.epoch for hello in watcher.hellos]
        assert epochs == sorted(epochs)
        assert watcher.lives == KILLS + 1
        assert sum(hello.void is not None for hello in watcher.hellos) == KILLS


def wait_for(watchers: list[Watcher], readers: list[Future[None]], lives: int) -> None:
    """Waits until each has heard of so many lives of the server, with their events; fails where one has ended."""
    ends = time.monotonic() + PATIENCE_S
    while any(watcher.lives < lives or watcher.log.last["sim"] < EVENTS_EACH * lives for watcher in watchers):
        for reader in readers:
            if reader.done():
                reader.result()
        assert time.monotonic() < ends, "the events do not come"
        # Between two looks.
        time.sleep(0.02)
