"""Tail limits, mean-risk objective and load incentives in CVXPY's algebra.

Amounts of a tail limit are in units of its loss's largest amount (`ScopeLoss.unit`, a power of two), so that
variables are of the size of the choices even where money is in wei.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import cvxpy as cp
import numpy as np
from scipy.sparse import csr_array

from bondwork.risk.ambiguous import WorstExpectation
from bondwork.risk.chance import Chance
from bondwork.risk.cvar import ConditionalValueAtRisk
from bondwork.risk.worst_case import WorstCase

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.program.loads import Pieces
    from bondwork.risk.measure import Measure

# CVXPY is imported without its types: these say what is meant.
Variable: TypeAlias = Any
Expression: TypeAlias = Any
Constraint: TypeAlias = Any
Matrix: TypeAlias = Any


@dataclass
class Parts:
    """What has been put into a problem beside its choices and limits.

    Attributes
    ----------
    x
        Shape (n,). The choices.
    plain
        Whether variables are made without bounds and without being binary: compiling is faster then, and the
        program itself says both.
    variables
        Each added variable with its bounds and whether it is binary.
    constraints
        All that was added, in that order.
    """

    x: Variable
    plain: bool
    variables: list[tuple[Variable, FloatArray, bool]] = field(default_factory=list)
    constraints: list[Constraint] = field(default_factory=list)

    def all_variables(self) -> list[Variable]:
        """The choices, then everything that was added."""
        return [self.x, *(made for made, _, _ in self.variables)]

    def variable(self, name: str, upper: FloatArray, *, binary: bool = False) -> Variable:
        """Make a variable between 0 and ``upper``, shape (k,)."""
        if self.plain:
            made = cp.Variable(len(upper), name=name)
        elif binary:
            made = cp.Variable(len(upper), boolean=True, name=name)
        else:
            made = cp.Variable(len(upper), bounds=[np.zeros(len(upper)), upper], name=name)
        self.variables.append((made, upper, binary))
        return made

    def add_measure(self, measure: Measure, *, limited: bool = True) -> Expression:
        """Write a measure down; return its value, where it can stand in an objective, else ``None``.

        Parameters
        ----------
        measure
            One of `bondwork.risk`. Its variables are called by its label: ``eta`` and ``excess`` (CVaR),
            ``over`` (chance and solvency), ``t`` and ``more`` (ambiguous).
        limited
            Whether its value is limited, too.

        Raises
        ------
        TypeError
            A measure that is none of those.
        """
        match measure:
            case ConditionalValueAtRisk():
                return self._cvar(measure, limited=limited)
            case Chance():
                return self._chance(measure)
            case WorstCase():
                return self._worst_case(measure)
            case WorstExpectation():
                return self._ambiguous(measure)
        raise TypeError(f"{measure.label}: a measure of {type(measure).__name__} has no algebra here")

    def _cvar(self, measure: ConditionalValueAtRisk, *, limited: bool) -> Expression:
        loss = measure.loss
        unit, count = loss.unit, len(loss.base)
        most = np.full(count, float(loss.largest().max(initial=0.0)) / unit)
        eta = self.variable(f"eta of {measure.label}", most[:1])
        excess = self.variable(f"excess of {measure.label}", most)
        lost = loss.rows(np.arange(count)) * (1.0 / unit) @ self.x + loss.base / unit
        value = eta[0] + loss.probability / (1.0 - measure.level) @ excess
        self.constraints.append(excess >= lost - eta[0])
        if limited:
            self.constraints.append(value <= measure.ceiling / unit)
        return unit * value

    def _chance(self, measure: Chance) -> None:
        loss = measure.loss
        most, budget = loss.largest(), measure.most_allowed
        binding = np.flatnonzero((most > budget) & (loss.probability > 0.0))
        if not len(binding):
            return
        over = self.variable(f"over of {measure.label}", np.ones(len(binding)), binary=True)
        lost = loss.rows(binding) @ self.x + loss.base[binding]
        self.constraints.append(lost <= budget + cp.multiply(most[binding] - budget, over))
        # shares of probabilities such as 0.05 of 1000 scenarios must not fail for a rounding
        self.constraints.append(loss.probability[binding] @ over <= measure.ceiling + 1e-9)

    def _worst_case(self, measure: WorstCase) -> None:
        possible = np.flatnonzero(measure.loss.probability > 0.0)
        lost = measure.loss.rows(possible) @ self.x + measure.loss.base[possible]
        self.constraints.append(lost <= measure.ceiling)

    def _ambiguous(self, measure: WorstExpectation) -> None:
        loss = measure.loss
        unit, free = measure.unit, len(loss.columns)
        weight = np.append(loss.weight, measure.held_weight) / unit
        share = measure.failure_shares()
        most = np.full(len(weight), float(weight.max(initial=0.0)))
        t = self.variable(f"t of {measure.label}", most[:1] if len(most) else np.zeros(1))
        own = csr_array((weight[:free], (np.arange(free), loss.columns)), shape=(len(weight), loss.size))
        held = np.concatenate([np.zeros(free), weight[free:]])
        expected = (own.T @ share) @ self.x + share @ held
        if not len(weight):
            self.constraints.append(measure.radius * t <= measure.ceiling / unit)
            return
        more = self.variable(f"more of {measure.label}", most)
        self.constraints.append(more >= own @ self.x + held - t[0])
        worst = measure.radius * t[0] + expected + (1.0 - share) @ more
        self.constraints.append(worst <= measure.ceiling / unit)

    def add_loads(self, pieces: Pieces, work: Matrix) -> Expression:
        """Write load incentives down; return what the load above its start earns.

        ``used`` is the share of each straight piece that is used; the pieces of a coprocessor add up to its
        load. Where slopes rise ``opened`` is a binary that lets the next pieces be used, and may be 1 only
        once those before are used up.
        """
        count, terms = len(pieces.length), len(pieces.row)
        if not count:
            return 0.0
        used = self.variable("used", np.ones(count))
        of_term = csr_array((pieces.length, (pieces.term, np.arange(count))), shape=(terms, count))
        load = work.multiply(1.0 / pieces.capacity[:, np.newaxis]).tocsr() @ self.x
        self.constraints.append(load == of_term @ used)
        if pieces.binaries:
            opened = self.variable("opened", np.ones(pieces.binaries), binary=True)
            before, after = np.flatnonzero(pieces.needs >= 0), np.flatnonzero(pieces.opens >= 0)
            self.constraints.append(used[before] >= opened[pieces.needs[before]])
            self.constraints.append(used[after] <= opened[pieces.opens[after]])
        return pieces.gain @ used
