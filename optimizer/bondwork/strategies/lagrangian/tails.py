"""Convex tail limits: one linking row for each, whose weights follow the tail that matters.

The mean loss over *any* tail (any density over the scenarios that a measure admits) is a lower bound on the
measure, so it may take the limit's place in a bound; what has to be found is the tail that is worst for the
fractional plan. That is a game between prices and densities: the density climbs along the losses of the
running average of the prices' choices and is projected back (a projected subgradient step in the dual of the
scenario rows), the prices answer. Whatever the density, the bound is valid.

Plans are annealed with the losses by scenario themselves (`search.anneal`). Filling up goes by the cut at the
plan, and what breaks a limit gives up the columns that earn least for their share of the tail.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.tolerances import ROW
from bondwork.program.proof import TailProof
from bondwork.risk.cvar import ConditionalValueAtRisk
from bondwork.risk.worst_case import WorstCase
from bondwork.strategies.lagrangian.losses import (
    Runs,
    add_losses,
    expected_losses,
    no_runs,
    only_scenarios,
    project_density,
)
from bondwork.strategies.lagrangian.shape import with_linking_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.program.program import Program
    from bondwork.risk.measure import Measure
    from bondwork.strategies.lagrangian.shape import Shape

#: A plan gives up a little more than the cut asks for, because the next tail is worse than the last.
_GENEROUS = 1.05

#: With more than twice as many scenarios, the first search is on this many, and later ones look at no fewer:
#: at those whose losses are highest, so many times what the tail takes.
_LEAST_SCENARIOS, _NEAR = 1000, 3.0

#: Weights of columns in a row for a limit of 1 end here: nothing above 1 fits.
_MOST_WEIGHT = 1e6

#: A step of the density that is long enough to end at the worst tail of the plan.
WHOLE = 1e9


class Tails:
    """The tail limits of a program on its shape.

    Attributes
    ----------
    shape
        The shape with a linking row for each limit, after all others; its weights there change (`climb`).
    weight
        Shape (entries,). What plans are held to: as ``shape.entry_value``, but with other cuts.
    uppers
        Shape (k,). What one unit of each limit's row is in the unit of the measure.
    """

    def __init__(self, program: Program, shape: Shape) -> None:
        self._measures: tuple[Measure, ...] = program.measures
        self._size = len(program.objective)
        number = np.full(self._size, -1, dtype=np.int64)
        number[shape.columns] = np.arange(len(shape.columns))
        supports = [number[measure.loss.columns] for measure in self._measures]
        self._supports: list[IntArray] = [support[support >= 0] for support in supports]
        self.shape, self._places = with_linking_rows(shape, self._supports)
        self.weight: FloatArray = self.shape.entry_value.copy()
        self.uppers: FloatArray = np.zeros(len(self._measures))
        self._normals: list[FloatArray] = [np.zeros(len(support)) for support in self._supports]
        #: Measures of losses whose densities are known to be limited by a cap alone.
        self._scenario = [i for i, m in enumerate(self._measures) if isinstance(m, _BY_SCENARIO)]
        self._runs = _runs_of([self._measures[i] for i in self._scenario], number, len(shape.columns))
        self._base = _joined([self._measures[i].loss.base for i in self._scenario])
        self._caps = [_cap(self._measures[i]) for i in self._scenario]
        self._density = np.zeros(len(self._base))
        self._all_runs, self._all_base = self._runs, self._base
        self._kept: IntArray = np.arange(len(self._base))

    @property
    def many(self) -> bool:
        """Whether there are so many scenarios that `sample` and `focus` save time."""
        return len(self._all_base) > 2 * _LEAST_SCENARIOS * len(self._caps)

    def sample(self) -> None:
        """Look at a few scenarios only, as if they were all: to find prices; what comes of it is no bound."""
        random = np.random.default_rng(np.random.SeedSequence(0))
        kept, probability = [], []
        for first, last in pairwise(self._all_runs.offset.tolist()):
            few = np.sort(random.permutation(last - first)[:_LEAST_SCENARIOS]) + first
            kept.append(few)
            probability.append(self._all_runs.probability[few] / self._all_runs.probability[few].sum())
        self._look_at(np.concatenate(kept), _joined(probability))

    def focus(self, share: FloatArray) -> None:
        """Look only at scenarios that a tail near a fractional plan may have; densities start anew there.

        A density that is 0 elsewhere is one over all scenarios, so bounds stay valid.
        """
        loss = self._all_base.copy()
        add_losses(share, self._all_runs, loss)
        kept = []
        for (first, last), i in zip(pairwise(self._all_runs.offset.tolist()), self._scenario, strict=True):
            probability = self._all_runs.probability[first:last]
            order = np.argsort(-loss[first:last], kind="stable")
            enough = int(np.searchsorted(np.cumsum(probability[order]), _NEAR * _tail(self._measures[i]))) + 1
            kept.append(np.sort(order[: max(enough, _LEAST_SCENARIOS)]) + first)
        places = np.concatenate(kept)
        self._look_at(places, self._all_runs.probability[places])

    def _look_at(self, kept: IntArray, probability: FloatArray) -> None:
        self._runs = only_scenarios(self._all_runs, kept, probability)
        self._base = self._all_base[kept]
        self._density = np.zeros(len(kept))
        self._kept = kept

    def climb(self, share: FloatArray, step: float) -> None:
        """Move the densities along the losses of a fractional plan; ``step`` in spreads of the losses.

        Measures that are no function of the losses go the same share of the way to their cut there.
        """
        loss = self._base.copy()
        add_losses(share, self._runs, loss)
        for k, cap in enumerate(self._caps):
            part = slice(self._runs.offset[k], self._runs.offset[k + 1])
            spread = float(loss[part].std())
            if spread > 0.0 or step == WHOLE:
                way = (loss[part] - loss[part].mean()) / (spread or 1.0)
                wanted = self._density[part] + step * cap * way
                project_density(wanted, self._runs.probability[part], cap)
                self._density[part] = wanted
        expected = np.empty(len(self._runs.limit))
        expected_losses(self._density, self._runs, expected)
        x = self._full(share)
        for i, measure in enumerate(self._measures):
            if i in self._scenario:
                k = self._scenario.index(i)
                part = slice(self._runs.offset[k], self._runs.offset[k + 1])
                # Runs are sorted by column, as supports are not.
                normal = np.zeros(len(self.shape.value))
                mine = self._runs.limit == k
                normal[np.repeat(np.arange(len(normal)), np.diff(self._runs.ptr))[mine]] = expected[mine]
                self._normals[i] = normal[self._supports[i]]
                held = float(self._base[part] @ (self._density[part] * self._runs.probability[part]))
                self.uppers[i] = measure.ceiling + _slack(measure) - held
            else:
                cut, share_of_way = measure.cut(x), min(1.0, step)
                normal = cut.normal[self.shape.columns[self._supports[i]]]
                self._normals[i] += share_of_way * (normal - self._normals[i])
                self.uppers[i] += share_of_way * (cut.upper + _slack(measure) - self.uppers[i])
            self.shape.entry_value[self._places[i]] = _scaled(self._normals[i], self.uppers[i])

    @contextmanager
    def following(self) -> Iterator[None]:
        """Let the densities follow a plan in the making; afterwards they are what they were."""
        density, uppers = self._density.copy(), self.uppers.copy()
        normals = [normal.copy() for normal in self._normals]
        weights = self.shape.entry_value.copy()
        try:
            yield
        finally:
            self._density, self.uppers, self._normals = density, uppers, normals
            self.shape.entry_value[:] = weights

    def hold_to_mixture(self) -> None:
        """Hold plans to the rows of the bound."""
        self.weight[:] = self.shape.entry_value

    def hold_to_plan(self, assigned: IntArray) -> None:
        """Hold plans to the cuts at a plan that meets the limits."""
        x = self._full(self._used(assigned))
        for i, measure in enumerate(self._measures):
            cut = measure.cut(x)
            normal = cut.normal[self.shape.columns[self._supports[i]]]
            self.weight[self._places[i]] = _scaled(normal, cut.upper + _slack(measure))

    def unless_by_scenario(self) -> FloatArray:
        """What plans are held to, but for the limits that annealing follows scenario by scenario."""
        weight = self.weight.copy()
        for i in self._scenario:
            weight[self._places[i]] = 0.0
        return weight

    @property
    def by_scenario(self) -> bool:
        """Whether annealing follows any of the limits scenario by scenario."""
        return bool(self._scenario)

    def proofs(self, price: FloatArray) -> tuple[TailProof, ...]:
        """Multipliers of each limit's scenarios under the tails that are held to, at prices of the limits."""
        found = []
        for i, (measure, y) in enumerate(zip(self._measures, price.tolist(), strict=True)):
            loss = measure.loss
            if i in self._scenario:
                k = self._scenario.index(i)
                part = slice(self._runs.offset[k], self._runs.offset[k + 1])
                weights = y * self._density[part] * self._runs.probability[part]
                places = self._kept[part] - self._all_runs.offset[k]
            else:
                pays = np.zeros(self._size)
                pays[self.shape.columns[self._supports[i]]] = self._normals[i]
                share = loss.sample.failure_share()
                weights = y * np.maximum(pays[loss.columns] / loss.weight - share, 0.0)
                places = loss.columns
            kept = np.flatnonzero(weights > 0.0)
            found.append(TailProof(i, y, places[kept], weights[kept]))
        return tuple(found)

    def tolls(self, price: FloatArray) -> FloatArray:
        """Worth of a unit of expected excess of each limit by scenario, at prices of all rows."""
        mine = price[len(price) - len(self._measures) :]
        ceilings = [max(self._measures[i].ceiling, 1e-300) for i in self._scenario]
        return np.array(
            [mine[i] * cap / c for i, cap, c in zip(self._scenario, self._caps, ceilings, strict=True)]
        )

    def used_of_scenario_limits(self, assigned: IntArray) -> FloatArray:
        """Measure of a plan in units of the limit, for each limit by scenario."""
        x = self._full(self._used(assigned))
        limits = [self._measures[i] for i in self._scenario]
        return np.array([m.value(x) / max(m.ceiling, 1e-300) for m in limits])

    def annealed(self, assigned: IntArray, again: bool) -> tuple[Runs, FloatArray, FloatArray, FloatArray]:
        """Losses as `search.anneal` wants them: runs, levels, allowed excess, losses of the start.

        Of many scenarios those near the tail of the start count; with ``again`` they are sought anew.
        """
        if again and self.many:
            density = np.zeros(len(self._all_base))
            density[self._kept] = self._density
            self.focus(self._used(assigned))
            self._density = density[self._kept]
            for k, (first, last) in enumerate(pairwise(self._runs.offset.tolist())):
                # What it had elsewhere is made good.
                project_density(self._density[first:last], self._runs.probability[first:last], self._caps[k])
        loss = self._base.copy()
        add_losses(self._used(assigned), self._runs, loss)
        level, allowed = np.zeros(len(self._caps)), np.zeros(len(self._caps))
        for k, i in enumerate(self._scenario):
            measure = self._measures[i]
            ceiling = measure.ceiling + _slack(measure)
            part = slice(self._runs.offset[k], self._runs.offset[k + 1])
            if isinstance(measure, ConditionalValueAtRisk):
                level[k] = min(ceiling, _quantile(loss[part], self._runs.probability[part], _tail(measure)))
                allowed[k] = (1.0 - measure.level) * (ceiling - level[k])
            else:
                level[k] = ceiling
        return self._runs, level, allowed, loss

    def holds(self, assigned: IntArray) -> bool:
        """Whether a plan meets all limits."""
        x = self._full(self._used(assigned))
        return all(m.value(x) <= m.ceiling + _slack(m) for m in self._measures)

    def lighten(self, assigned: IntArray) -> IntArray:
        """Take columns out of a plan until it meets all limits; the plan itself where it does."""
        shape = self.shape
        lighter = assigned.copy()
        worth = shape.value - shape.leave[shape.task]
        for i, measure in enumerate(self._measures):
            while True:
                used = self._used(lighter)
                x = self._full(used)
                excess = measure.value(x) - measure.ceiling - _slack(measure)
                if excess <= 0.0:
                    break
                support = self._supports[i]
                loss = measure.cut(x).normal[shape.columns[support]]
                chosen = np.flatnonzero((used[support] > 0.5) & (loss > 0.0))
                if not len(chosen):
                    break
                given_up = chosen[_cheapest(worth[support[chosen]], loss[chosen], _GENEROUS * excess)]
                lighter[shape.task[support[given_up]]] = -1
        return lighter

    def _used(self, assigned: IntArray) -> FloatArray:
        used = np.zeros(len(self.shape.value))
        used[assigned[assigned >= 0]] = 1.0
        return used

    def _full(self, share: FloatArray) -> FloatArray:
        """Shares of the shape's columns as a point of the program."""
        x = np.zeros(self._size)
        x[self.shape.columns] = share
        return x


def _cheapest(worth: FloatArray, loss: FloatArray, excess: float) -> IntArray:
    """What to give up for ``excess`` of the loss: by falling loss per worth, or one that suffices."""
    cheap = np.argsort(worth / loss, kind="stable")
    several = cheap[: int(np.searchsorted(np.cumsum(loss[cheap]), excess)) + 1]
    enough = np.flatnonzero(loss >= excess)
    if len(enough):
        single = enough[np.argmin(worth[enough])]
        if worth[single] < worth[several].sum():
            return np.array([single])
    return several


def _slack(measure: Measure) -> float:
    """What a limit may be exceeded by, in plans and in bounds alike."""
    return ROW * abs(measure.ceiling)


def _scaled(normal: FloatArray, upper: float) -> FloatArray:
    """Weights of ``normal @ x <= upper`` for a limit of 1; nothing with a loss fits where none is allowed.

    What alone does not fit does so no less with a smaller weight above 1, and prices stay finite.
    """
    if upper <= 1e-12 * float(normal.max(initial=0.0)):
        return np.where(normal > 0.0, 2.0, 0.0)
    return np.minimum(normal / upper, _MOST_WEIGHT)


#: Measures that annealing follows scenario by scenario.
_BY_SCENARIO = (ConditionalValueAtRisk, WorstCase)


def _cap(measure: Measure) -> float:
    """Most that a density over the measure's scenarios may be."""
    if isinstance(measure, ConditionalValueAtRisk):
        return 1.0 / (1.0 - measure.level)
    probability = measure.loss.probability
    return float(1.0 / probability[probability > 0.0].min())


def _tail(measure: Measure) -> float:
    """Share of the scenarios that the measure looks at."""
    return 1.0 - measure.level if isinstance(measure, ConditionalValueAtRisk) else 0.0


def _quantile(loss: FloatArray, probability: FloatArray, tail: float) -> float:
    """Largest loss that is reached with the probability ``tail``; scenarios left out lose less."""
    order = np.argsort(-loss, kind="stable")
    reached = np.cumsum(probability[order])
    return float(loss[order[min(int(np.searchsorted(reached, tail)), len(loss) - 1)]])


def _runs_of(measures: list[Measure], number: IntArray, columns: int) -> Runs:
    """Failures of the columns under each measure; ``number`` turns columns of the program into ours."""
    if not measures:
        return no_runs(columns)
    column, limit, first, last, weight, failure = [], [], [], [], [], []
    before = 0
    for k, measure in enumerate(measures):
        mine = number[measure.loss.columns]
        kept = np.flatnonzero(mine >= 0)
        sample = measure.loss.sample.select(kept)
        column.append(mine[kept])
        limit.append(np.full(len(kept), k))
        first.append(before + sample.start[:-1])
        last.append(before + sample.start[1:])
        weight.append(measure.loss.weight[kept])
        failure.append(sample.scenario)
        before += len(sample.scenario)
    at = np.concatenate(column)
    order = np.argsort(at, kind="stable")
    return Runs(
        ptr=np.searchsorted(at[order], np.arange(columns + 1)).astype(np.int64),
        limit=np.concatenate(limit)[order].astype(np.int64),
        first=np.concatenate(first)[order].astype(np.int64),
        last=np.concatenate(last)[order].astype(np.int64),
        weight=np.concatenate(weight)[order],
        offset=np.cumsum([0, *(len(m.loss.base) for m in measures)]).astype(np.int64),
        failure=np.concatenate(failure),
        probability=_joined([m.loss.probability for m in measures]),
    )


def _joined(parts: list[FloatArray]) -> FloatArray:
    return np.concatenate([np.zeros(0), *parts])
