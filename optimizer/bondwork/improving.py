"""Better plans near one that holds: offers are added, given up and exchanged, one task or two at a time.

Exchanges are looked for on scenarios of their own, many more than a solve has; whether what comes of them
holds is said by the one who judges plans, exactly where that can be. A plan that holds is never made worse,
and what is done depends on no clock but the time limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bondwork.program.exact import DOUBT, ExactRows
from bondwork.risk.measure import REACH_TOLERANCE
from bondwork.risk.moving import Exchange, MovingMeasures, exchanges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.program.program import Program
    from bondwork.risk.measure import Measure

#: Exchanges of one task that are combined with each other, and combinations that are measured, in one step.
MOST_COMBINED, MOST_PAIRS = 600, 400

#: Exchanges that are made in any case, one after the other, where no better plan is near.
MOST_KICKS = 40

#: Pairs of exchanges looked at together.
_CHUNK = 2000

#: Share of a ceiling by which an exchange may seem to exceed it before it is not judged at all.
SLACK = 0.004

#: Share of the value of a plan that an exchange must add.
LEAST_GAIN = 1e-9

#: Share of the ceilings that is given up where a plan within them does not hold after all.
TIGHTER = 0.01

#: Times that ceilings are made smaller for that reason.
MOST_TIGHTER = 12


class Judgement(NamedTuple):
    """What is said of a plan: whether it holds, and by what to multiply each ceiling of the scenarios.

    ``scale`` has the shape (k,) and is for those who know more than scenarios show; 1 where nobody does.
    """

    holds: bool
    scale: FloatArray


@dataclass(slots=True)
class Effort:
    """What may still be spent: exchanges measured, plans judged. ``is_over`` stops everything at once."""

    exchanges: int
    judgements: int
    is_over: Callable[[], bool]

    def is_spent(self) -> bool:
        """Whether nothing is left."""
        return self.exchanges < 0 or self.judgements < 0 or self.is_over()

    def measures(self, count: int = 1) -> bool:
        """Spend exchanges; say whether there were so many."""
        self.exchanges -= count
        return self.exchanges >= 0 and not self.is_over()

    def judges(self) -> bool:
        """Spend one judgement; say whether there was one."""
        self.judgements -= 1
        return self.judgements >= 0 and not self.is_over()


class Improver:
    """Looks for better plans of a program near given ones.

    Parameters
    ----------
    program
        The round as a strategy sees it; its rows hold exactly, tail limits are those of ``measures``.
    task
        Shape (choices,). Task of each column.
    measures
        Tail limits on the scenarios that exchanges are looked for on, each with its ceiling.
    judge
        Says of a choice whether it is a plan that holds.
    effort
        What may be spent in all.
    """

    def __init__(
        self,
        program: Program,
        task: IntArray,
        measures: Sequence[Measure],
        judge: Callable[[FloatArray], Judgement],
        effort: Effort,
    ) -> None:
        self._program, self._task, self._measures = program, task, list(measures)
        self._ceiling = np.array([measure.ceiling for measure in measures])
        self._judge, self._effort = judge, effort
        core = program.without_auxiliaries()
        self._rows = ExactRows(core)
        self._objective = core.objective
        self._allowed = np.flatnonzero(core.upper > 0.0)
        self._is_linear = not program.loads and program.mean_risk is None
        self._columns = core.matrix.tocsc()
        self._uses: dict[int, FloatArray] = {}
        self._judged: dict[bytes, Judgement] = {}
        self._seen: set[bytes] = set()

    def improve(self, x: FloatArray) -> FloatArray | None:
        """Return the best plan that holds and is found from ``x`` on, if any; ``x`` itself may be it.

        ``None``, too, where an earlier search came by the same plans.
        """
        if self._was_here(x):
            return None
        judgement = self._judgement(x)
        if judgement is None:
            return None
        if not judgement.holds:
            mended = self._mend(x, judgement)
            if mended is None or self._was_here(mended[0]):
                return None
            x, judgement = mended
        x, judgement = self._climb(x, judgement)
        while True:
            other = self._elsewhere(x, judgement)
            if other is None:
                return x
            x, judgement = other

    def _climb(self, x: FloatArray, judgement: Judgement) -> tuple[FloatArray, Judgement]:
        """Go from a plan that holds to better ones, as far as that leads or somebody went before."""
        while True:
            better = self._better(x, judgement)
            if better is None:
                return x, judgement
            x, judgement = better
            if self._was_here(x):
                return x, judgement

    def _elsewhere(self, x: FloatArray, judgement: Judgement) -> tuple[FloatArray, Judgement] | None:
        """A better plan beyond one exchange that is made in any case, and what it takes to hold with it."""
        value = self._program.value(x)
        single = self._singles(MovingMeasures(self._measures, x), x)
        if single is None:
            return None
        found, gain, _ = single
        for i in np.argsort(-gain, kind="stable")[:MOST_KICKS].tolist():
            task = int(self._task[(found[i].dropped + found[i].added)[0]])
            mended = self._mend(found[i].of(x), judgement, task)
            if self._effort.is_spent():
                return None
            if mended is None or self._was_here(mended[0]):
                continue
            there = self._climb(*mended)
            if self._program.value(there[0]) > value + LEAST_GAIN * abs(value):
                return there
        return None

    def _was_here(self, x: FloatArray) -> bool:
        """Whether a search went on from this choice before; from now on, one did."""
        key = _key(x)
        was = key in self._seen
        self._seen.add(key)
        return was

    def _better(self, x: FloatArray, judgement: Judgement) -> tuple[FloatArray, Judgement] | None:
        """The best exchange of one task or two that holds and earns something, if there is one."""
        moving = MovingMeasures(self._measures, x)
        ceiling = self._ceiling * judgement.scale
        most = ceiling + np.maximum(SLACK * np.abs(ceiling), REACH_TOLERANCE * np.abs(ceiling))
        value = self._program.value(x)
        least = LEAST_GAIN * max(abs(value), 1e-300)
        single = self._singles(moving, x)
        if single is None:
            return None
        for exchange in self._promising(moving, x, *single, most, least):
            after = exchange.of(x)
            if self._program.value(after) <= value + least or len(self._rows.broken(after)):
                continue
            found = self._judgement(after)
            if found is None:
                return None
            if found.holds:
                return after, found
        return None

    def _singles(
        self, moving: MovingMeasures, x: FloatArray
    ) -> tuple[list[Exchange], FloatArray, FloatArray] | None:
        """Exchanges of one task: what each earns, and by how much it changes each measure."""
        found = exchanges(self._task, self._allowed, x)
        if not self._effort.measures(len(found)):
            return None
        gain = np.array([self._gain(each, x) for each in found])
        change = np.array([moving.after(each) for each in found]).reshape(len(found), -1) - moving.values
        return found, gain, change

    def _gain(self, exchange: Exchange, x: FloatArray) -> float:
        if not self._is_linear:
            return self._program.value(exchange.of(x)) - self._program.value(x)
        given_up, taken = list(exchange.dropped), list(exchange.added)
        return float(self._objective[taken].sum() - self._objective[given_up].sum())

    def _promising(
        self,
        moving: MovingMeasures,
        x: FloatArray,
        found: list[Exchange],
        gain: FloatArray,
        change: FloatArray,
        most: FloatArray,
        least: float,
    ) -> Iterator[Exchange]:
        """Exchanges of one task or two that seem to keep every limit, best first."""
        fits = np.all(moving.values + change <= most, axis=1) & (gain > least)
        alone = np.flatnonzero(fits)
        kept = _combined(gain, change, most)
        both = gain[kept][:, np.newaxis] + gain[kept]
        together = both > least
        for k in range(change.shape[1]):
            mine = change[kept, k]
            together &= moving.values[k] + mine[:, np.newaxis] + mine <= most[k] * (1.0 + 2.0 * SLACK)
        task = np.array([self._task[(each.dropped + each.added)[0]] for each in found])[kept]
        together &= task[:, np.newaxis] < task
        first, second = np.nonzero(together)
        order = np.argsort(-both[first, second], kind="stable")
        first, second = kept[first[order]], kept[second[order]]
        fit = self._with_room(x, found, first, second)
        listed = [(float(gain[i]), i, -1) for i in alone.tolist()]
        listed += [(float(gain[i] + gain[j]), i, j) for i, j in zip(first[fit], second[fit], strict=True)]
        for _, i, j in sorted(listed, key=lambda each: -each[0]):
            if j < 0:
                yield found[i]
                continue
            exchange = found[i].and_also(found[j])
            if not self._effort.measures():
                return
            if np.all(moving.after(exchange) <= most):
                yield exchange

    def _with_room(self, x: FloatArray, found: list[Exchange], first: IntArray, second: IntArray) -> IntArray:
        """Which pairs of exchanges no row surely bars: the first of them, by position."""
        core, rows = self._rows.program, np.flatnonzero(~self._rows.is_task)
        use = np.zeros((len(found), len(rows)))
        for number in np.unique(np.concatenate([first, second])).tolist():
            use[number] = self._use_of(found[number])
        activity = (core.matrix @ x)[rows]
        limit = self._rows.limit[rows] + self._rows.doubt[rows]
        limit = limit + DOUBT * np.where(np.isfinite(limit), np.abs(limit) + np.abs(activity), 0.0)
        kept: list[IntArray] = []
        count = 0
        for start in range(0, len(first), _CHUNK):
            part = slice(start, start + _CHUNK)
            after = activity + use[first[part]] + use[second[part]]
            mine = start + np.flatnonzero(np.all(after <= limit, axis=1))
            kept.append(mine)
            count += len(mine)
            if count >= MOST_PAIRS:
                break
        return np.concatenate(kept)[:MOST_PAIRS] if kept else np.zeros(0, dtype=np.int64)

    def _use_of(self, exchange: Exchange) -> FloatArray:
        """What an exchange takes of the rows that are no tasks'."""
        total = np.zeros(int(np.count_nonzero(~self._rows.is_task)))
        for columns, sign in ((exchange.dropped, -1.0), (exchange.added, 1.0)):
            for column in columns:
                total += sign * self._use(column)
        return total

    def _use(self, column: int) -> FloatArray:
        """What a column takes of the rows that are no tasks'."""
        if column not in self._uses:
            start, end = self._columns.indptr[column], self._columns.indptr[column + 1]
            full = np.zeros(self._columns.shape[0])
            full[self._columns.indices[start:end]] = self._columns.data[start:end]
            self._uses[column] = full[~self._rows.is_task]
        return self._uses[column]

    def _mend(
        self, x: FloatArray, judgement: Judgement, kept: int = -1
    ) -> tuple[FloatArray, Judgement] | None:
        """Give up as little as need be for a plan that holds; ``None`` where that leads nowhere.

        What is done with the task ``kept`` stays.
        """
        share, scale = 1.0, judgement.scale
        for _ in range(MOST_TIGHTER):
            within = self._within(x, share * scale * self._ceiling, kept)
            if within is None:
                return None
            x = within
            found = self._judgement(x)
            if found is None:
                return None
            if found.holds:
                return x, found
            # the judge knows better than the scenarios, or nobody does
            scale = np.minimum(found.scale, scale)
            share *= 1.0 - TIGHTER
        return None

    def _within(self, x: FloatArray, most: FloatArray, kept: int) -> FloatArray | None:
        """A choice within some ceilings and all rows, by what costs the least for what it saves."""
        most = most + REACH_TOLERANCE * np.abs(most)
        core, rows = self._rows.program, np.flatnonzero(~self._rows.is_task)
        upper = self._rows.limit[rows]
        size = np.concatenate([self._ceiling, np.where(np.isfinite(upper), upper, 1.0)])
        size = np.where(np.abs(size) > 0.0, np.abs(size), 1.0)
        limit = np.concatenate([most, upper])
        while True:
            moving = MovingMeasures(self._measures, x)
            now = np.concatenate([moving.values, (core.matrix @ x)[rows]])
            over = np.maximum(now - limit, 0.0)
            if not over.any() and not len(self._rows.broken(x)):
                return x
            single = self._singles(moving, x)
            if single is None:
                return None
            found, gain, change = single
            use = np.array([self._use_of(each) for each in found]).reshape(len(found), -1)
            after = np.maximum(now + np.concatenate([change, use], axis=1) - limit, 0.0)
            saved = ((over - after) / size).sum(axis=1)
            if kept >= 0:
                saved[[int(self._task[(each.dropped + each.added)[0]]) == kept for each in found]] = 0.0
            ratio = np.where(saved > 1e-12, np.maximum(-gain, 1e-12) / np.maximum(saved, 1e-12), np.inf)
            best = int(np.argmin(ratio)) if len(ratio) else -1
            if best < 0 or not np.isfinite(ratio[best]):
                return None
            x = found[best].of(x)

    def _judgement(self, x: FloatArray) -> Judgement | None:
        """What is said of a choice; ``None`` where nobody has the time to say it."""
        key = _key(x)
        if key not in self._judged:
            if not self._effort.judges():
                return None
            self._judged[key] = self._judge(x)
        return self._judged[key]


def _key(x: FloatArray) -> bytes:
    return np.packbits(x > 0.5).tobytes()


def _combined(gain: FloatArray, change: FloatArray, most: FloatArray) -> IntArray:
    """Exchanges worth combining: those that earn the most, and those that save the most for a loss."""
    if len(gain) <= MOST_COMBINED:
        return np.arange(len(gain))
    relief = np.maximum(-change / np.maximum(np.abs(most), 1e-300), 0.0).sum(axis=1)
    by_gain = np.argsort(-gain, kind="stable")[: MOST_COMBINED // 2]
    ratio = np.where(relief > 0.0, np.maximum(-gain, 0.0) / np.maximum(relief, 1e-300), np.inf)
    by_relief = np.argsort(ratio, kind="stable")[: MOST_COMBINED // 2]
    return np.unique(np.concatenate([by_gain, by_relief]))
