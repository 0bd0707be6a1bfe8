"""The strategy for those who do not choose one."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from bondwork.contracts import ProgramDecision, Solution
from bondwork.observing import Hearing, in_one_line
from bondwork.problem.faults import InvalidInput, Refusal
from bondwork.program.aggregation import different_choices
from bondwork.strategies.extensive import Extensive
from bondwork.strategies.greedy import Greedy
from bondwork.strategies.l_shaped.strategy import LShaped
from bondwork.strategies.lagrangian.errors import NotDecomposable
from bondwork.strategies.lagrangian.strategy import Lagrangian
from bondwork.strategies.relaxation import Relaxation

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.contracts import Observer, Options, Strategy
    from bondwork.program.extensive import ExtensiveForm
    from bondwork.program.program import Program
    from bondwork.program.stochastic import StochasticProgram

#: Offers up to which HiGHS alone proves most rounds optimal within seconds.
MOST_EXTENSIVE = 2_000

#: Offers beyond which the extensive form is not tried at all: its linear relaxation alone takes minutes.
LARGEST_EXTENSIVE = 500_000

#: Columns of a two-stage program's extensive form, over all scenarios, from which on it is taken apart, and
#: scenarios that it must have for that: measured in docs/strategies.md.
LEAST_L_SHAPED = 20_000
LEAST_SCENARIOS = 50

#: What a strategy says that found no plan because it sees none: not true where another had one.
_NO_PLAN = ("infeasible", "locally_infeasible", "infeasible_or_unbounded")

Found = TypeVar("Found", bound=Solution | ProgramDecision)


class Auto:
    """Choose a strategy by the size and the shape of the round, and say in the plan which one and why.

    Where the chosen one refuses the program or fails on it, the next best decides in the time that is left,
    and the plan says so. A plan that the failed one had found is handed out unless the next finds a better.
    """

    summary = "Chooses by size and shape: extensive for the small, lagrangian or l-shaped for the large."

    def __init__(self) -> None:
        #: Writes the extensive form down; where it is set, that form is what is solved.
        self.write: Callable[[StochasticProgram], ExtensiveForm] | None = None

    def solve(self, program: Program, options: Options, observer: Observer) -> Solution:
        """Decide; see `bondwork.contracts.Strategy`."""
        offers = program.choices
        different = different_choices(program) if offers > MOST_EXTENSIVE else offers
        told = f"{offers} eligible offers"
        if different < offers:
            told += f", {different} of them different: equal tasks are decided together"
        tries: list[tuple[str, Callable[[], Strategy]]] = []
        if different > MOST_EXTENSIVE:
            tries.append(("lagrangian", Lagrangian))
        if offers <= LARGEST_EXTENSIVE:
            tries.append(("extensive", Extensive))
        tries.append(("relaxation", Relaxation))
        if different <= MOST_EXTENSIVE:
            tries.append(("lagrangian", Lagrangian))
        tries.append(("greedy", Greedy))
        attempts = _Attempts[Solution](options, observer, told)
        for name, strategy in tries:
            solution = attempts.make(name, _deciding(strategy, program, attempts.observer))
            if solution is not None:
                return _better(program, attempts.before, solution)
        return attempts.last_resort()

    def solve_program(
        self, program: StochasticProgram, options: Options, observer: Observer
    ) -> ProgramDecision:
        """Decide; see `bondwork.contracts.ProgramStrategy`."""
        scenarios = len(program.leaves)
        columns = np.array([len(each.columns) for each in program.templates])[program.template].sum()
        whole = Extensive()
        whole.write = self.write or whole.write
        tries: list[tuple[str, Extensive | LShaped]] = [("extensive", whole)]
        if self.write is None:
            large = columns >= LEAST_L_SHAPED and scenarios >= LEAST_SCENARIOS
            tries.insert(0 if large else 1, ("l-shaped", LShaped()))
        attempts = _Attempts[ProgramDecision](options, observer, f"{scenarios} scenarios")
        for name, strategy in tries:
            decision = attempts.make(name, _deciding_program(strategy, program, attempts.observer))
            if decision is not None:
                return _with_decision(attempts.before, decision)
        return attempts.last_resort()


class _Attempts(Generic[Found]):
    """Strategies tried one after the other, in the time that is left."""

    def __init__(self, options: Options, observer: Observer, size: str) -> None:
        self.options = options
        self.observer = Hearing(observer)
        self.size = size
        self.ends = time.perf_counter() + options.time_limit
        self.notes: list[str] = []
        #: What a strategy that failed has handed out, the first that holds a decision if any does.
        self.before: Found | None = None
        #: The first refusal or failure without anything to hand out.
        self.error: Exception | None = None

    def make(self, name: str, decide: Callable[[Options], Found]) -> Found | None:
        """Let a strategy decide; ``None`` where it refused or failed."""
        found = self._try(name, decide)
        if found is None:
            return None
        if found.status in ("other_error", "numerical_error"):
            self.notes += [*found.notes, f"{name} ended with {found.status.replace('_', ' ')}"]
            if self.before is None or (not _holds(self.before) and _holds(found)):
                self.before = dataclasses.replace(found, strategy=name)
            return None
        chosen = f"auto chose {name}: {self.size}"
        return dataclasses.replace(found, strategy=name, notes=(*self.notes, chosen, *found.notes))

    def _try(self, name: str, decide: Callable[[Options], Found]) -> Found | None:
        left = max(self.ends - time.perf_counter(), 0.0)
        try:
            return decide(dataclasses.replace(self.options, time_limit=left))
        except InvalidInput as error:
            if not self.notes:
                raise
            # a setting that was meant for the one that failed
            self.notes += [f"{name} refused: {fault}" for fault in error.faults]
        except Refusal as refusal:
            self.error = self.error or refusal
            reasons = [refusal.reason] if isinstance(refusal, NotDecomposable) else refusal.reasons
            self.notes += [f"{name} refused: {reason}" for reason in reasons]
        except Exception as error:
            if error is self.observer.error:
                raise
            self.error = self.error or error
            self.notes.append(f"{name} failed: {in_one_line(error)}")
        return None

    def last_resort(self) -> Found:
        """What there is where every strategy failed."""
        if self.before is not None:
            return dataclasses.replace(self.before, notes=tuple(self.notes))
        if self.error is None:
            raise AssertionError("no strategy was tried")
        raise self.error


def _deciding(
    strategy: Callable[[], Strategy], program: Program, observer: Observer
) -> Callable[[Options], Solution]:
    return lambda options: strategy().solve(program, options, observer)


def _deciding_program(
    strategy: Extensive | LShaped, program: StochasticProgram, observer: Observer
) -> Callable[[Options], ProgramDecision]:
    return lambda options: strategy.solve_program(program, options, observer)


def _holds(found: Solution | ProgramDecision) -> bool:
    """Whether something was decided."""
    return (found.x if isinstance(found, Solution) else found.root) is not None


def _kept(before: Solution | ProgramDecision) -> str:
    return f"the decision is the one that {before.strategy} had found"


def _better(program: Program, before: Solution | None, after: Solution) -> Solution:
    """What the strategy that succeeded says, with the better of the two plans."""
    if before is None or before.x is None:
        return after
    value = program.value(before.x)
    if after.x is not None and program.value(after.x) >= value:
        return after
    return dataclasses.replace(
        after,
        status="locally_solved" if after.status in _NO_PLAN else after.status,
        x=before.x,
        bound=max(after.bound, value),
        partial=None,
        notes=(*after.notes, _kept(before)),
    )


def _with_decision(before: ProgramDecision | None, after: ProgramDecision) -> ProgramDecision:
    """What the strategy that succeeded says, with an earlier decision where it has none."""
    if before is None or before.root is None or after.root is not None:
        return after
    return dataclasses.replace(
        after,
        status="locally_solved" if after.status in _NO_PLAN else after.status,
        bound=math.inf if after.status in _NO_PLAN else after.bound,
        root=before.root,
        nodes=before.nodes,
        notes=(*after.notes, _kept(before)),
    )
