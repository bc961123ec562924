"""A tracking server's network: it passes everything on, or misbehaves."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

PAGE = b"<html><body>It works!</body></html>"
ANSWERS = {  # whatever was asked
    "html": (b"200 OK", b"text/html", PAGE),
    "yes": (b"200 OK", b"application/json", b"{}"),
    "error": (b"500 Internal Server Error", b"text/html", PAGE),
    "refuse": (b"403 Forbidden", b"text/html", PAGE),
}
# dead: nobody listens; slow: never answers; reset: hangs up; cut: does what was asked, and hangs up
# in the middle of its answer
BAD = ("dead", "slow", "reset", "cut", *ANSWERS)
LONGEST = 120.0  # seconds that a slow server holds a connection


class Proxy:
    """A port of loopback in front of another one; `mode` is "good" or one of BAD."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.mode = "good"
        self.connections: set[socket.socket] = set()
        self.changed = threading.Event()
        self.listener: socket.socket | None = None
        self.port = 0
        self._listen()

    def _listen(self) -> None:
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def become(self, mode: str) -> None:
        """Another mode from now on; what was open is hung up."""
        if mode == self.mode:
            return
        self.mode = mode
        self.changed.set()
        self.changed = threading.Event()
        if mode == "dead" and self.listener is not None:
            self._stop_listening()
        elif mode != "dead" and self.listener is None:
            self._listen()
        for connection in list(self.connections):
            hang_up(connection)

    def close(self) -> None:
        self.become("dead")

    def _stop_listening(self) -> None:
        listener, self.listener = self.listener, None
        assert listener is not None
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept
        listener.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.connections.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            if self.mode in ("good", "cut"):
                self._pass_on(connection, cut=self.mode == "cut")
            elif self.mode == "slow":
                self.changed.wait(LONGEST)
            elif self.mode in ANSWERS and connection.recv(65536):
                status, kind, body = ANSWERS[self.mode]
                head = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n" % (
                    status,
                    kind,
                    len(body),
                )
                connection.sendall(head + b"Connection: close\r\n\r\n" + body)
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(5)
                while connection.recv(65536):  # else the answer may be lost with what was not read
                    pass
        hang_up(connection)
        self.connections.discard(connection)

    def _pass_on(self, connection: socket.socket, *, cut: bool) -> None:
        server = socket.create_connection(("127.0.0.1", self.upstream))
        self.connections.add(server)
        back = threading.Thread(target=pump, args=(connection, server, 0), daemon=True)
        back.start()
        pump(server, connection, 8 if cut else 0)  # HTTP/1.1
        if cut:
            hang_up(connection)
        hang_up(server)
        self.connections.discard(server)


def pump(source: socket.socket, target: socket.socket, most: int) -> None:
    """Passes bytes on until the end; `most`: only so many of the first answer, 0: all."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data[:most] if most else data)
            if most:
                return
        target.shutdown(socket.SHUT_WR)


def hang_up(connection: socket.socket) -> None:
    """Closes at once, with a reset."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
