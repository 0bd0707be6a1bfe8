"""Observers that take notes, stop a solve, or fail."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bondwork.contracts import Progress


class Notebook:
    """Keeps every report; says stop once one has an incumbent in branch and bound, or after some seconds."""

    def __init__(self, *, stop_at_incumbent: bool = False, seconds: float = float("inf")) -> None:
        self.reports: list[Progress] = []
        self.asked = 0
        self._stop_at_incumbent = stop_at_incumbent
        self._ends = time.perf_counter() + seconds

    def report(self, progress: Progress) -> None:
        self.reports.append(progress)

    def should_stop(self) -> bool:
        self.asked += 1
        found = any(each.phase == "branch and bound" and each.objective is not None for each in self.reports)
        return (self._stop_at_incumbent and found) or time.perf_counter() > self._ends


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
