"""A bound for the time in which a server has to answer.

libpq waits for an answer without end as long as something keeps the connection open: a pooler keeps its clients waiting
while its server is down (query_wait_timeout in https://www.pgbouncer.org/config.html), and the kernel of a machine
whose processes are frozen answers keepalives. So the socket is shut down, and the call fails as if the connection were
lost.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

AT_ONCE = 10.0
"""Seconds for the first statement of a transaction, which waits for no lock and reads no table."""

WHOLE = 600.0
"""Seconds for a transaction that writes a batch. Each of its statements may take 50."""


@contextmanager
def patience(connection: Any, seconds: float) -> Iterator[None]:
    """Shut the connection down if the block takes longer. The block then fails with an error of the driver."""
    with socket.socket(fileno=os.dup(connection.fileno())) as same:
        timer = threading.Timer(seconds, _shut_down, [same])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed meanwhile
        connection.shutdown(socket.SHUT_RDWR)
