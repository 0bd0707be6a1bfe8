"""One run of hedging: hand over, watch, and work out again what comes back."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING

import numpy as np

from bondwork.contracts import ProgramDecision, Progress
from bondwork.problem.faults import Fault, InvalidInput, Refusal
from bondwork.program.bounds import gap
from bondwork.strategies.hedging.hand_over import read_end, read_found, write_parts
from bondwork.strategies.hedging.parts import ask_parts, follow, is_infeasible, priced_bound, value
from bondwork.strategies.hedging.penalties import penalties
from bondwork.strategies.hedging.running import (
    arguments,
    check_shared_memory,
    environment_of,
    last_lines,
    started,
)
from bondwork.strategies.hedging.scratch import scratch_folder
from bondwork.strategies.hedging.settings import CYLINDERS
from bondwork.strategies.hedging.splitting import split_behind_root

if TYPE_CHECKING:
    from pathlib import Path

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Observer, Options, Status
    from bondwork.program.stochastic import StochasticProgram
    from bondwork.strategies.hedging.parts import Beginning
    from bondwork.strategies.hedging.running import Group
    from bondwork.strategies.hedging.settings import Settings
    from bondwork.strategies.hedging.splitting import Split

#: Seconds between two looks at what mpi-sppy has found.
INTERVAL = 0.2


class Run:
    """One run: what is known of the program, in its own unit and as a maximisation."""

    def __init__(
        self, program: StochasticProgram, options: Options, settings: Settings, observer: Observer
    ) -> None:
        self.options = options
        self.settings = settings
        self.observer = observer
        self.started = time.perf_counter()
        self.split: Split = split_behind_root(program, settings.bundle)
        self.build = time.perf_counter() - self.started
        self.bound = math.inf
        self.wish: FloatArray | None = None
        self.notes = [f"{len(self.split.parts)} subproblems on {settings.ranks} ranks"]
        if settings.ranks > CYLINDERS * len(self.split.parts):
            most = f"at most {CYLINDERS * len(self.split.parts)}: a third for each of the subproblems"
            raise InvalidInput([Fault("settings.ranks", str(settings.ranks), most)])

    def run(self, launcher: str) -> ProgramDecision:
        """Let mpi-sppy decide, here and now."""
        beginning = self.begin()
        if beginning.status != "optimal":
            return self._decision(beginning.status, None)
        if self.settings.launcher == "auto":
            check_shared_memory()
        with scratch_folder() as folder:
            given = self.hand_over(folder, beginning)
            environment = environment_of(self.settings.launcher, folder)
            with started(launcher, self.settings.ranks, given, folder, environment) as group:
                status = self._watch(group, folder)
            return self.conclude(status, folder, group.log())

    def begin(self) -> Beginning:
        """Ask each part what it wants by itself.

        Raises
        ------
        Refusal
            One of them wants infinitely much.
        """
        beginning = ask_parts(self.split, self._left(), self.observer)
        if beginning.status == "dual_infeasible":
            raise Refusal(["hedging takes scenarios by themselves, and one of them has no finite optimum"])
        self.bound = beginning.bound / self.split.scale
        if beginning.status == "optimal":
            self.wish = self.split.probability @ beginning.wishes
        return beginning

    def hand_over(self, folder: Path, beginning: Beginning) -> list[str]:
        """Write what mpi-sppy reads into a folder; return the arguments for a run there."""
        rho = penalties(self.split, beginning.wishes, self.settings.rho)
        write_parts(folder, self.split, rho)
        whole = any(part.integer.any() for part in self.split.parts)
        return arguments(self.options, self.settings, whole=whole)

    def _watch(self, group: Group, folder: Path) -> Status:
        """Report what is found until there is a reason to stop; return the reason."""
        seen: tuple[float | None, float] | None = None
        while True:
            code = group.wait(INTERVAL)
            found = read_found(folder, self.split.scale, group.log())
            bound = min(self.bound, found.bound)
            if seen != (found.objective, bound):
                seen = (found.objective, bound)
                seconds = time.perf_counter() - self.started
                self.observer.report(Progress(seconds, found.objective, bound, "hedging"))
            if found.objective is not None and gap(found.objective, bound) <= self.options.mip_rel_gap:
                return "optimal"
            if code is not None:
                return "iteration_limit" if code == 0 else "other_error"
            if self.observer.should_stop():
                return "interrupted"
            if time.perf_counter() - self.started >= self.options.time_limit:
                return "time_limit"

    def conclude(self, status: Status, folder: Path, log: str | None) -> ProgramDecision:
        """Work out again what mpi-sppy has found, and say what is true of it."""
        found = read_found(folder, self.split.scale, log)
        self.bound = min(self.bound, found.bound)
        if found.doubtful:
            self.notes.append("bounds of mpi-sppy left out: a subproblem behind them may be unsolved")
        if status == "other_error":
            self.notes.append(f"mpi-sppy failed: {last_lines(log or '')}")
            if found.root is None and is_infeasible(self.split, self._left(), self.observer):
                self.bound = -math.inf
                return self._decision("infeasible", None)
        x = None if found.root is None else self._better(None, found.root)
        if found.root is not None and x is None:
            self.notes.append("mpi-sppy's incumbent leaves something without a recourse; left out")
        if status == "iteration_limit" and not self._is_closed(x):
            x = self._finish(folder, x)
        if x is None and status != "other_error" and self.wish is not None:
            # nobody has followed this before: it must not take much longer than everything else did
            x = follow(self.split, self.wish, self.options, 1.0 + (time.perf_counter() - self.started) / 10)
            self.notes += [] if x is None else ["no incumbent of mpi-sppy: what the parts want on average"]
        if status in ("optimal", "iteration_limit"):
            status = "optimal" if self._is_closed(x) else "iteration_limit"
        return self._decision(status, x)

    def _finish(self, folder: Path, x: FloatArray | None) -> FloatArray | None:
        """Try what the hub ended with: its spokes have not, where it ended before they looked again."""
        consensus, prices = read_end(folder, self.split)
        if prices is not None:
            bound = priced_bound(self.split, prices, self._left(), self.observer)
            self.bound = min(self.bound, bound)
        if consensus is None or self._is_closed(x):
            return x
        return self._better(x, consensus)

    def _better(self, x: FloatArray | None, root: FloatArray) -> FloatArray | None:
        """The better of an incumbent and what follows another root decision."""
        other = follow(self.split, root, self.options)
        if x is None or other is None:
            return x if other is None else other
        return other if value(self.split, other) > value(self.split, x) else x

    def _is_closed(self, x: FloatArray | None) -> bool:
        return x is not None and gap(value(self.split, x), self.bound) <= self.options.mip_rel_gap

    def _left(self) -> Options:
        left = self.options.time_limit - (time.perf_counter() - self.started)
        return dataclasses.replace(self.options, time_limit=max(left, 0.0))

    def _decision(self, status: Status, x: FloatArray | None) -> ProgramDecision:
        nodes = None if x is None else np.split(x, self.split.column_start[1:-1])
        root = None if nodes is None else nodes[0]
        return ProgramDecision(status, self.bound, root, nodes, notes=tuple(self.notes), build=self.build)
