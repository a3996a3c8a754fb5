"""
A TLS connection that two threads use. `websockets` reads in one thread and writes in another, and OpenSSL allows one
thread at a time in a connection: a request that was written while the server's session tickets were being read was
never sent, and nobody said so before the server had lost its patience.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import Any, cast

from websockets.client import ClientProtocol
from websockets.sync.client import ClientConnection


class Connection(ClientConnection):
    """A connection of `websockets` that takes turns, where it is a TLS one."""

    def __init__(self, sock: socket.socket, protocol: ClientProtocol, **how: Any) -> None:
        turns = cast(socket.socket, TakingTurns(sock)) if isinstance(sock, ssl.SSLSocket) else sock
        super().__init__(turns, protocol, **how)


class TakingTurns:
    """What `websockets` calls of a socket that blocks. A thread that waits for the network holds up no other."""

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self.tls = tls
        self.turn = threading.Lock()
        self.timeout_s: float | None = None
        tls.setblocking(False)

    def recv(self, size: int) -> bytes:
        """As `socket.recv`, for one thread; as long as it takes."""
        while True:
            with self.turn:
                try:
                    return self.tls.recv(size)
                except ssl.SSLWantReadError:
                    wanted = selectors.EVENT_READ
                except ssl.SSLWantWriteError:
                    wanted = selectors.EVENT_WRITE
            self.wait(wanted, None)

    def sendall(self, data: bytes) -> None:
        """As `socket.sendall`, for one thread."""
        ends = None if self.timeout_s is None else time.monotonic() + self.timeout_s
        rest = memoryview(data)
        while rest:
            with self.turn:
                try:
                    rest = rest[self.tls.send(rest) :]
                    continue
                except ssl.SSLWantReadError:
                    wanted = selectors.EVENT_READ
                except ssl.SSLWantWriteError:
                    wanted = selectors.EVENT_WRITE
            self.wait(wanted, ends)

    def wait(self, wanted: int, ends: float | None) -> None:
        """Until there is something to read, or room to write."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.tls, wanted)
            if not selector.select(None if ends is None else max(ends - time.monotonic(), 0.0)):
                raise TimeoutError("the peer takes nothing")

    def settimeout(self, timeout_s: float | None) -> None:
        """How long `sendall` may take."""
        self.timeout_s = timeout_s

    def shutdown(self, how: int) -> None:
        """As `socket.shutdown`."""
        # By the one of TLS, what is read after it would not be decrypted.
        socket.socket.shutdown(self.tls, how)

    def close(self) -> None:
        """As `socket.close`; who reads meanwhile reads an end."""
        # The peer may have been faster.
        with suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)
        with self.turn:
            self.tls.close()

    def fileno(self) -> int:
        """As `socket.fileno`."""
        return self.tls.fileno()

    def getsockname(self) -> Any:
        """As `socket.getsockname`."""
        return self.tls.getsockname()

    def getpeername(self) -> Any:
        """As `socket.getpeername`."""
        return self.tls.getpeername()
