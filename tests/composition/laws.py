"""Probabilities of outcomes: closed forms where they are independent, and tables that are handed over as
data."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

from composition.records import ONE, Document, Work, exact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Outcomes of some pieces of work, true for success, each with its probability.
Joint = list[tuple[Fraction, tuple[bool, ...]]]


class Law(Protocol):
    """Says what may come of pieces of work whose outcomes are drawn together."""

    def joint(self, works: Sequence[Work]) -> Joint:
        """All outcomes of positive probability."""
        ...


@dataclass(frozen=True)
class Independent:
    """Outcomes are independent but for outages, which fail all that a coprocessor has at the same moment."""

    outages: Mapping[str, Fraction]

    @classmethod
    def of(cls, document: Document) -> Independent:
        return cls({c["id"]: exact(c.get("outage_probability")) for c in document.get("coprocessors", [])})

    def joint(self, works: Sequence[Work]) -> Joint:
        chances: dict[tuple[bool, ...], Fraction] = {(): ONE}
        # executor by executor; the order of the pieces is put right at the end
        order = sorted(range(len(works)), key=lambda i: works[i].executor)
        for executor, places in itertools.groupby(order, key=lambda i: works[i].executor):
            mine = [works[i] for i in places]
            out = Fraction() if mine[0].own else self.outages.get(executor, Fraction())
            found: dict[tuple[bool, ...], Fraction] = {}
            for outcome in itertools.product((True, False), repeat=len(mine)):
                chance = 1 - out
                for work, good in zip(mine, outcome, strict=True):
                    given = work.p / (1 - out) if out < 1 else Fraction()
                    chance *= given if good else 1 - given
                if not any(outcome):
                    chance += out
                if chance > 0:
                    found[outcome] = chance
            chances = {a + b: q * r for a, q in chances.items() for b, r in found.items()}
        place = {i: at for at, i in enumerate(order)}
        return [(q, tuple(o[place[i]] for i in range(len(works)))) for o, q in chances.items()]


@dataclass(frozen=True)
class Rounds:
    """Outcomes as in the rounds of a history, each as likely; within a round they are independent.

    ``rates`` has a share of failures by round and executor. Who fails less often than its executor did on
    average has the failures of the round thinned, else the successes.
    """

    rates: tuple[Mapping[str, Fraction], ...]

    @classmethod
    def of(cls, rows: Sequence[tuple[str, str, int, int]]) -> Rounds:
        found: dict[str, dict[str, Fraction]] = {}
        for name, executor, done, failed in rows:
            found.setdefault(name, {})[executor] = Fraction(failed, done)
        return cls(tuple(found.values()))

    def joint(self, works: Sequence[Work]) -> Joint:
        chances: dict[tuple[bool, ...], Fraction] = {}
        for rates in self.rates:
            for outcome in itertools.product((True, False), repeat=len(works)):
                chance = Fraction(1, len(self.rates))
                for work, good in zip(works, outcome, strict=True):
                    failing = self._failing(work, rates)
                    chance *= 1 - failing if good else failing
                chances[outcome] = chances.get(outcome, Fraction()) + chance
        return [(q, outcome) for outcome, q in chances.items() if q > 0]

    def _failing(self, work: Work, rates: Mapping[str, Fraction]) -> Fraction:
        mean = sum((each[work.executor] for each in self.rates), Fraction()) / len(self.rates)
        rate, failing = rates[work.executor], 1 - work.p
        if failing <= mean:
            return failing * rate / mean if mean else Fraction()
        return 1 - (1 - failing) * (1 - rate) / (1 - mean)


@dataclass(frozen=True)
class Table:
    """Scenarios, handed over: columns by the key of a piece of work, and outcomes with probabilities."""

    columns: Mapping[tuple[Any, ...], int]
    lines: tuple[tuple[Fraction, tuple[bool, ...]], ...]

    def joint(self, works: Sequence[Work]) -> Joint:
        places = [self.columns[work.key] for work in works]
        chances: dict[tuple[bool, ...], Fraction] = {}
        for q, line in self.lines:
            outcome = tuple(line[i] for i in places)
            chances[outcome] = chances.get(outcome, Fraction()) + q
        return [(q, outcome) for outcome, q in chances.items()]
