"""What a service allows, and where it listens."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - readers of the annotations need it

from bondwork.problem.faults import Fault, InvalidInput

#: Addresses that only this machine reaches.
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """Limits of a service. Sizes in bytes, times in seconds.

    Attributes
    ----------
    host, port
        Where it listens. Anything but loopback needs a token.
    token
        What clients send as ``Authorization: Bearer TOKEN``; none asked for where ``None``.
    workers
        Solves that run at once, each in a process of its own; further ones wait.
    waiting
        Requests that may wait; the next one is turned away with 503.
    most_body, body_time
        Largest body, and how long a client may take to send it.
    default_time, most_time
        Time limit of a solve that asks for none, and the longest that may be asked for.
    grace
        How long a solve may go on after its time, or after it was told to stop, before its process is killed.
    memory
        Address space of a worker; none is set where 0.
    keep
        Finished jobs that are remembered.
    results
        Folder that gets the result of every job as a file; ``None``: they are kept in memory only.
    planners
        Folder of planners' files; ``None``: the service keeps no planners.
    """

    host: str = "127.0.0.1"
    port: int = 8723
    token: str | None = None
    workers: int = max(1, (os.cpu_count() or 2) // 2)
    waiting: int = 256
    most_body: int = 64 * 2**20
    body_time: float = 30.0
    default_time: float = 30.0
    most_time: float = 600.0
    grace: float = 10.0
    memory: int = 8 * 2**30
    keep: int = 1000
    results: Path | None = None
    planners: Path | None = None

    def __post_init__(self) -> None:
        faults = []
        if self.host not in LOOPBACK and not self.token:
            faults.append(Fault("token", "none", f"a token, as {self.host} is reachable from elsewhere"))
        faults += [
            Fault(name, str(getattr(self, name)), "at least 1")
            for name in ("workers", "waiting", "most_body", "keep")
            if getattr(self, name) < 1
        ]
        faults += [
            Fault(name, str(getattr(self, name)), "more than 0")
            for name in ("body_time", "default_time", "most_time", "grace")
            if not getattr(self, name) > 0.0
        ]
        if self.default_time > self.most_time:
            faults.append(Fault("default_time", f"{self.default_time:g}", f"at most {self.most_time:g}"))
        for name in ("results", "planners"):
            folder = getattr(self, name)
            if folder is not None and not folder.is_dir():
                faults.append(Fault(name, str(folder), "a folder"))
        if faults:
            raise InvalidInput(faults)
