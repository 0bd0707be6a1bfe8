"""A service in a thread of this process: for notebooks, tests, and trying things out."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from bondwork.service.app import make_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from bondwork.service.config import ServiceConfig

#: Seconds that the thread may take to begin and to end.
_PATIENCE = 60.0


@contextmanager
def serving(config: ServiceConfig, app: FastAPI | None = None) -> Iterator[str]:
    """Serve on a free port while the block runs; the value is the address.

    Solves run in processes of their own, as under ``bondwork serve``. So a program that uses this must not
    start it when it is imported: put the call under ``if __name__ == "__main__":``.

    Parameters
    ----------
    config
        As for ``bondwork serve``; host and port are not used.
    app
        From `make_app`, where something else is to be done with it.
    """
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app or make_app(config), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    begun = time.monotonic()
    while not server.started and thread.is_alive() and time.monotonic() - begun < _PATIENCE:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(_PATIENCE)
        listener.close()
