"""Programs of a round with second-stage offers, each drawn from the law of its outcomes anew.

What `bondwork.program.resampling` does with the scenarios of a program, without a program of all scenarios to
draw from: for intervals of the optimality gap (`bondwork.program.saa`) of the round itself instead of the one
of its sample.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.faults import Refusal
from bondwork.problem.rescues import find_rescues, has_rescues, limits_losses
from bondwork.problem.support import unsupported
from bondwork.program.program_check import LARGEST_NUMBER
from bondwork.program.redelegation import observe, redelegate
from bondwork.registry import find_formulation

if TYPE_CHECKING:
    from bondwork.problem.instance import Instance
    from bondwork.program.redelegation import Redelegation
    from bondwork.program.resampling import ProgramSampler
    from bondwork.program.stochastic import StochasticProgram


def round_sampler(instance: Instance, formulation: str = "highs") -> ProgramSampler:
    """Return what draws two-stage programs of a round: ``sampler(scenarios, seed)``.

    Scenarios are independent draws, and equal ones are one with their share; the round's own number, method
    and seed of scenarios play no part. Columns of the root are the first-stage offers, by their ids.

    Parameters
    ----------
    instance
        A round with second-stage offers; where none could pay, its programs are all the same.
    formulation
        Name of the one that writes the first stage.

    Raises
    ------
    Refusal
        The round has no second stage, or limits on losses, which link its scenarios.

    Examples
    --------
    >>> import bondwork
    >>> from bondwork.program.saa import solve_saa
    >>> instance = bondwork.load({
    ...     "format": "bondwork.round/1",
    ...     "operators": [{"id": "op"}],
    ...     "coprocessors": [{"id": "cheap"}, {"id": "sure"}],
    ...     "tasks": [{"id": "t", "operator": "op", "reward": 8, "slashing": 4}],
    ...     "offers": [
    ...         {"id": "now", "task": "t", "coprocessor": "cheap", "bid": 1, "success_probability": 0.5},
    ...         {"id": "late", "stage": 2, "task": "t", "coprocessor": "sure", "bid": 3,
    ...          "success_probability": 1},
    ...     ],
    ... })
    >>> found = solve_saa(round_sampler(instance), scenarios=50, candidates=2, replications=5, seed=1)
    >>> found.columns, found.root.tolist()
    (('now',), [1.0])
    """
    if reasons := unsupported(instance):
        raise Refusal(f"this version cannot honour {reason}" for reason in reasons)
    if not np.any(instance.offers.stage == 2):
        raise Refusal(["sampling programs of a round without second-stage offers: nothing is decided later"])
    if has_rescues(instance) and limits_losses(instance):
        raise Refusal(
            ["sampling programs of a round whose limits on losses, or price of them, link scenarios"]
        )
    rescues = find_rescues(instance)
    first = find_formulation(formulation).build(instance)

    def draw(scenarios: int, seed: int) -> StochasticProgram:
        outcomes = observe(instance, rescues, seed, scenarios=scenarios, method="monte_carlo")
        return _in_currency(redelegate(instance, first, outcomes, rescues))

    return draw


def _in_currency(model: Redelegation) -> StochasticProgram:
    """The program of a model, its objective in currency: whoever samples reports its values."""
    if model.unit == 1.0:
        return model.program
    templates = []
    for template in model.program.templates:
        values = template.values.copy()
        for name in ("constant", "cost"):
            values[template.spans[name]] *= model.unit
            if np.any(np.abs(values[template.spans[name]]) >= LARGEST_NUMBER):
                raise Refusal(["sampling programs of amounts of 1e20 and more: state them in a larger unit"])
        templates.append(dataclasses.replace(template, values=values))
    return dataclasses.replace(model.program, templates=tuple(templates))
