"""Smaller programs drawn from a big one: its scenarios, with replacement, by their probability."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from bondwork.program.stochastic import StochasticProgram
from bondwork.uncertainty.seeds import seed_sequence, stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.uncertainty.seeds import Seed

    #: Draws a program: number of independent scenarios, and a seed. The root's columns and rows are always
    #: the same; equal draws may be one scenario with their share.
    ProgramSampler: TypeAlias = Callable[[int, int], StochasticProgram]


def resample(program: StochasticProgram, scenarios: int, seed: Seed) -> StochasticProgram:
    """Draw independent scenarios of a program by their probability, equal draws merged.

    A scenario is a child of the root with all that hangs below it, so this serves programs of more than two
    stages too: what is sampled is what becomes known after the root's decision.

    Parameters
    ----------
    program
        The whole law.
    scenarios
        Number of draws, >= 1.
    seed
        The same one gives the same program.

    Raises
    ------
    ValueError
        Fewer than one scenario.
    Refusal
        The program has rows that link its scenarios.

    Examples
    --------
    >>> from bondwork.program.template import NodeTemplate
    >>> toy = StochasticProgram.from_changes(
    ...     "toy", "max", [NodeTemplate.make(0, ["x"], cost=1.0), NodeTemplate.make(1, ["y"], cost=1.0)],
    ...     parent=[-1, 0, 0], template=[0, 1, 1], conditional=[1.0, 0.5, 0.5], changes=[{}, {}, {}])
    >>> resample(toy, 100, seed=1).conditional.tolist()
    [1.0, 0.45, 0.55]
    """
    from bondwork.program.evaluation import refuse_linking

    if scenarios < 1:
        raise ValueError(f"scenarios is {scenarios}, expected at least 1")
    refuse_linking(program, "resampling")
    if len(program.stages) < 2:
        return program
    branches = np.flatnonzero(program.stage == 1)
    weight = program.conditional[branches]
    counts = stream(seed_sequence(seed)).multinomial(scenarios, weight / weight.sum())
    share = np.zeros(len(program))
    share[branches] = counts / scenarios
    keep = share[program.ancestors[:, 1]] > 0.0
    keep[0] = True
    kept = np.flatnonzero(keep)
    number = np.cumsum(keep) - 1
    parent = program.parent[kept]
    parent[1:] = number[parent[1:]]
    conditional = program.conditional[kept].copy()
    first = program.stage[kept] == 1
    conditional[first] = share[kept[first]]
    changes = np.diff(program.change_start)
    mine = np.repeat(keep, changes)
    return StochasticProgram(
        name=program.name,
        sense=program.sense,
        stages=program.stages,
        templates=program.templates,
        template=program.template[kept],
        parent=parent,
        conditional=conditional,
        nodes=tuple(program.nodes[node] for node in kept),
        change_start=np.concatenate([[0], np.cumsum(changes[kept])]).astype(np.int64),
        change_position=program.change_position[mine],
        change_value=program.change_value[mine],
    )


def sampler_of(program: StochasticProgram) -> ProgramSampler:
    """Return the sampler that draws from the scenarios of a program."""

    def draw(scenarios: int, seed: int) -> StochasticProgram:
        return resample(program, scenarios, seed)

    return draw
