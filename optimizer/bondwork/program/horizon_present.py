"""Strategies of one stage in a round with later periods: they decide the present, blind to what follows.

The round by itself is theirs; every later node is then decided as well as can be, given that. What planning
ahead is worth is the difference to a strategy that decides all nodes together.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bondwork.observing import Quiet
from bondwork.problem.release import THIS_ROUND
from bondwork.program.widening import Addition, widen
from bondwork.registry import find_formulation

if TYPE_CHECKING:
    from bondwork.arrays import IntArray
    from bondwork.contracts import Observer, Options, Solution, Strategy
    from bondwork.problem.instance import Instance
    from bondwork.program.horizon import HorizonProgram
    from bondwork.program.stochastic import StochasticProgram


class Present(NamedTuple):
    """What was decided for now: the program with that decision fixed, where there is one."""

    made: HorizonProgram | None
    solution: Solution


def decide_present(made: HorizonProgram, kind: type[Any], options: Options, observer: Observer) -> Present:
    """Let a strategy of one stage decide the round by itself, and fix that.

    Limits on tails and a risk weight are about whole paths: they are left to what follows.

    Parameters
    ----------
    made
        The program of all nodes.
    kind
        The strategy; not one that agrees on prices.
    options, observer
        See `bondwork.contracts`.

    """
    alone = _alone(made.tree.horizon.instance)
    strategy: Strategy = kind()
    if hasattr(strategy, "at_round"):
        strategy = strategy.at_round(alone)
    program = find_formulation("highs").build(alone)
    solution = strategy.solve(program, options, Quiet(observer))
    if solution.x is None:
        return Present(None, solution)
    chosen = np.flatnonzero(solution.x > 0.5)
    whole, bare = _fixed(made, made.program, chosen), _fixed(made, made.bare, chosen)
    return Present(dataclasses.replace(made, program=whole, bare=bare), solution)


def _alone(instance: Instance) -> Instance:
    expected = tuple(limit for limit in instance.risk if limit.measure == "expected")
    objective = dataclasses.replace(instance.objective, risk_weight=0.0)
    return dataclasses.replace(instance, periods=(), risk=expected, objective=objective)


def _fixed(made: HorizonProgram, program: StochasticProgram, chosen: IntArray) -> StochasticProgram:
    """The program in which the root chooses just some teams: one row of numbers that are yes or no."""
    count = len(made.teams[THIS_ROUND])
    signs = np.full(count, -1.0)
    signs[chosen] = 1.0
    more = Addition(
        rows=["decided now"],
        row_lower=np.array([float(len(chosen))]),
        row_upper=np.array([np.inf]),
        entry_row=np.full(count, len(program.template_of(0).rows)),
        entry_stage=np.zeros(count, dtype=np.int64),
        entry_column=np.arange(count),
        entry_value=signs,
    )
    return widen(program, {int(program.template[0]): more})  # of the root alone
