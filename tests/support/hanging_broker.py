"""A broker that accepts connections and reads requests, and never answers."""

import itertools
import socket
import threading
from typing import Self


class HangingBroker:
    """It hangs until the end of the block, and then closes its connections."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.waiting: int | None = None  # the number of the last connection whose client waits for an answer
        self._connections: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        for number in itertools.count(1):
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._read, args=(number, connection), daemon=True).start()

    def _read(self, number: int, connection: socket.socket) -> None:
        try:
            while connection.recv(4096):
                self.waiting = number
        except OSError:
            pass
        if self.waiting == number:
            self.waiting = None
