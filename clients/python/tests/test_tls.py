"""The same over HTTPS, by a certificate that has to be trusted."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from autofarm import AutoFarm, ConnectionLost, Pong, Retry, Tick, View
from conftest import Server
from driven import Client

PATIENCE_S = 30.0
# Longer than ticks are apart, so that somebody is reading whenever something is to be written.
READING_S = 0.03


class Watched(ssl.SSLSocket):
    """A connection that notes when a thread comes into it while another one is there."""

    crowds = 0

    @contextmanager
    def alone(self) -> Iterator[None]:
        """The time of one call."""
        door: threading.Lock = self.__dict__.setdefault("door", threading.Lock())
        is_alone = door.acquire(blocking=False)
        Watched.crowds += not is_alone
        try:
            yield
        finally:
            if is_alone:
                door.release()

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Takes its time."""
        with self.alone():
            time.sleep(READING_S)
            return super().recv(buflen, flags)

    def send(self, data: bytes, flags: int = 0) -> int:  # type: ignore[override]
        """As it is."""
        with self.alone():
            return super().send(data, flags)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def tls_server(tmp_path: Path, authority: trustme.CA, trusted: ssl.SSLContext) -> Iterator[Server]:
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    server = Server(tmp_path / "server", "--tls-cert", str(certificate), "--tls-key", str(key))
    server.url = server.url.replace("http", "https")
    server.start(trusted)
    yield server
    server.end()


def test_rest_and_both_streams_are_the_same_over_https(
    tls_server: Server, trusted: ssl.SSLContext, client: Client
) -> None:
    with client(tls_server.url, ssl_context=trusted) as farm:
        simulation = farm.create(scenario="weeding", entities=24)["id"]
        for binary in (False, True):
            with farm.stream(simulation, binary=binary) as stream:
                tick = next(stream.ticks())
                assert isinstance(tick, Tick)
                assert len(tick.machines) == 24


def test_no_two_threads_are_in_one_tls_connection_at_once(tls_server: Server, trusted: ssl.SSLContext) -> None:
    trusted.sslsocket_class = Watched
    with AutoFarm(tls_server.url, ssl_context=trusted) as farm:
        simulation = farm.create(scenario="weeding", entities=24)["id"]
        farm.start(simulation)
        with farm.stream(simulation, view=View(rate_hz=60)) as stream:
            for _ in range(10):
                stream.ping()
                while not isinstance(stream.receive(PATIENCE_S), Pong):
                    pass
    assert Watched.crowds == 0


def test_a_certificate_that_is_not_trusted_is_refused(tls_server: Server, client: Client) -> None:
    with client(tls_server.url, retry=Retry(tries=1)) as farm:
        with pytest.raises(ConnectionLost, match=r"(?i)certificate"):
            farm.scenarios()
        # To wait until it is ready would be to wait for ever.
        for probe in (farm.is_ready, farm.is_alive):
            with pytest.raises(ConnectionLost, match=r"(?i)certificate"):
                probe()
        with (
            pytest.raises(ConnectionLost, match=r"(?i)certificate"),
            farm.stream("0199f3a0-7a2b-7c3d-8e4f-0123456789ab"),
        ):
            pass
