"""Observers that take notes, stop a solve, or fail."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bondwork.contracts import Progress


class Notebook:
    """Keeps every report; says stop once one of a phase has an incumbent, or after some seconds.

    ``stop_at_incumbent_of`` begins the name of the phase; "" is any phase, ``None`` is no reason to stop.
    """

    def __init__(self, *, stop_at_incumbent_of: str | None = None, seconds: float = float("inf")) -> None:
        self.reports: list[Progress] = []
        self.asked = 0
        self._phase = stop_at_incumbent_of
        self._ends = time.perf_counter() + seconds

    def report(self, progress: Progress) -> None:
        self.reports.append(progress)

    def should_stop(self) -> bool:
        self.asked += 1
        phase = self._phase
        found = phase is not None and any(
            each.phase.startswith(phase) and each.objective is not None for each in self.reports
        )
        return found or time.perf_counter() > self._ends


class Breakdown(Notebook):
    """Fails at the first report of branch and bound, or when asked there."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def report(self, progress: Progress) -> None:
        super().report(progress)
        if self.where == "report" and progress.phase == "branch and bound":
            raise RuntimeError("the observer broke down")

    def should_stop(self) -> bool:
        if self.where == "should_stop" and self.asked > 3:
            raise RuntimeError("the observer broke down")
        return super().should_stop()
