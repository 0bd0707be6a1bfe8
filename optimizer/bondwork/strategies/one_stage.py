"""What strategies of stochastic programs do in a round of one stage: a program of one node."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from bondwork.strategies.extensive import Extensive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.contracts import Observer, Options, Solution
    from bondwork.program.program import Program
    from bondwork.settings import Setting


class OneStage:
    """Decides for a strategy that takes programs apart where a round leaves it nothing to take apart.

    A round without later stages is a program of one node, and so is one with second-stage offers that could
    never pay, or periods in which nothing is possible: its optimum is the optimum of planning with means and
    of every scenario at once, and there is nothing to cut, to sample or to pull together.

    Parameters
    ----------
    name, kind
        The strategy that was asked for.
    states_later
        Whether the round states later decisions, which cannot matter.
    """

    summary = "Decides the only stage that matters as `extensive` does."

    def __init__(self, name: str, kind: type[Any], *, states_later: bool = False) -> None:
        self._name = name
        self._why = "nothing that is decided later can matter" if states_later else "nothing is decided later"
        self._is_bound = bool(getattr(kind, "knows_outcomes", False))
        self.settings: Mapping[str, Setting] = getattr(kind, "settings", {})

    def solve(self, program: Program, options: Options, observer: Observer) -> Solution:
        """Decide; see `bondwork.contracts.Strategy`."""
        found = Extensive().solve(program, dataclasses.replace(options, settings={}), observer)
        why = f"{self._why}: {self._name} has one stage, and extensive decided it"
        notes = (*found.notes, why)
        if self._is_bound and found.x is not None:
            notes += ("a bound without a plan: every scenario decided as if it were known from the start",)
            status = "locally_solved" if found.status == "optimal" else found.status
            return dataclasses.replace(found, status=status, x=None, notes=notes)
        return dataclasses.replace(found, notes=notes)
