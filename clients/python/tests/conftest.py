"""A server of one's own for the tests: the real binary, on a free port, with its state in a directory of the test."""

from __future__ import annotations

import os
import random
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from autofarm import AutoFarm
from autofarm.models import Simulation
from driven import CLIENTS, Client

# Below those that the system gives to outgoing connections, so that a port is still free for the second start.
PORTS = range(20_000, 32_000)
# Longest that a server may take to begin or to end.
PATIENCE_S = 60.0


class Server:
    """`autofarm up`, which may be ended and started again with the same state at the same address."""

    def __init__(self, directory: Path, *flags: str) -> None:
        self.directory = directory
        self.flags = flags
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, trusted: ssl.SSLContext | None = None) -> None:
        """Starts it and waits until it is ready."""
        self.directory.mkdir(exist_ok=True)
        command = [os.environ["AUTOFARM_BINARY"], "up", "--listen", f"127.0.0.1:{self.port}", "--demo", "none"]
        command += ["--data-dir", str(self.directory / "data"), "--log", "warn", *self.flags]
        # What is set of it here is meant for other runs.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTOFARM_")}
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=kept)
        ends = time.monotonic() + PATIENCE_S
        with AutoFarm(self.url, ssl_context=trusted) as farm:
            while not farm.is_ready():
                if self.process.poll() is not None or time.monotonic() > ends:
                    self.end(signal.SIGKILL)
                    raise AssertionError((self.directory / "log").read_text()[-4_000:])
                # Between two questions.
                time.sleep(0.05)

    def end(self, by: signal.Signals = signal.SIGTERM) -> None:
        """Ends it by a signal, and waits until it is gone."""
        if self.process is None:
            return
        self.process.send_signal(by)
        try:
            self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.process = None


def free_port() -> int:
    """A port on which nobody listens."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests that leave it as it is."""
    yield from started(Server(tmp_path_factory.mktemp("server")))


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """One for a test alone, which may kill it."""
    yield from started(Server(tmp_path / "server"))


def started(server: Server) -> Iterator[Server]:
    """Starts it and ends it."""
    server.start()
    try:
        yield server
    finally:
        server.end()


@pytest.fixture(params=CLIENTS, ids=["AutoFarm", "AsyncAutoFarm"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Makes clients of either kind, which are closed after the test at the latest."""
    with ExitStack() as clients:

        def make(*args: Any, **how: Any) -> AutoFarm:
            made: AutoFarm = request.param(*args, **how)
            clients.callback(made.close)
            return made

        yield make


@pytest.fixture
def farm(server: Server) -> Iterator[AutoFarm]:
    """A client of the server for all."""
    with AutoFarm(server.url) as client:
        yield client


@pytest.fixture
def made(farm: AutoFarm) -> Iterator[Callable[..., Simulation]]:
    """Makes simulations that are deleted after the test."""
    ids = []

    def make(**body: Any) -> Simulation:
        wanted = {"scenario": "weeding", "entities": 48, "seed": 7, "speed": 20} | body
        simulation = farm.create(**wanted)  # type: ignore[arg-type]
        ids.append(simulation["id"])
        return simulation

    yield make
    left = {simulation["id"] for simulation in farm.simulations()}
    for each in ids:
        if each in left:
            farm.delete(each)
