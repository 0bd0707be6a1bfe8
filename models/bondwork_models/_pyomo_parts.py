"""Tail limits, mean-risk objective and load incentives in Pyomo's algebra: each a block of the model.

Amounts of a tail limit are in units of its loss's largest amount (`ScopeLoss.unit`, a power of two), so that
variables are of the size of the choices even where money is in wei.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyomo.environ as pyo
from pyomo.core.expr import LinearExpression

from bondwork.risk.ambiguous import WorstExpectation
from bondwork.risk.chance import Chance
from bondwork.risk.cvar import ConditionalValueAtRisk
from bondwork.risk.worst_case import WorstCase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bondwork.arrays import FloatArray
    from bondwork.program.loads import Pieces
    from bondwork.risk.measure import Measure

# Pyomo has no types, and scipy's leave slices open: these say what is meant.
Block: TypeAlias = Any
Matrix: TypeAlias = Any
Variable: TypeAlias = Any
Expression: TypeAlias = Any


@dataclass
class Parts:
    """What has been put into a model beside its choices and limits.

    Attributes
    ----------
    x
        Shape (n,). The choices.
    nothing
        Variable that is always 0: the left side of rows that no choice enters.
    variables, constraints
        All that was added, in that order.
    """

    x: NDArray[np.object_]
    nothing: Variable
    variables: list[Variable] = field(default_factory=list)
    constraints: list[Any] = field(default_factory=list)

    def add_measure(self, block: Block, measure: Measure, *, limited: bool = True) -> Expression:
        """Write a measure into an empty block; return its value, where it can stand in an objective.

        Parameters
        ----------
        block
            Gets ``limit``, and by the measure ``eta`` and ``excess`` (CVaR), ``over`` (chance and solvency),
            ``t`` and ``more`` (ambiguous), with the constraints that tie them to the choices.
        measure
            One of `bondwork.risk`.
        limited
            Whether its value is limited, too.

        Raises
        ------
        TypeError
            A measure that is none of those.
        """
        match measure:
            case ConditionalValueAtRisk():
                return self._cvar(block, measure, limited=limited)
            case Chance():
                return self._chance(block, measure)
            case WorstCase():
                return self._worst_case(block, measure)
            case WorstExpectation():
                return self._ambiguous(block, measure)
        raise TypeError(f"{measure.label}: a measure of {type(measure).__name__} has no algebra here")

    def _cvar(self, block: Block, measure: ConditionalValueAtRisk, *, limited: bool) -> Expression:
        loss = measure.loss
        unit, count = loss.unit, len(loss.base)
        most = float(loss.largest().max(initial=0.0)) / unit
        block.eta = pyo.Var(bounds=(0.0, most))
        block.excess = pyo.Var(range(count), bounds=(0.0, most))
        excess = list(block.excess.values())
        rows = loss.rows(np.arange(count)) * (1.0 / unit)
        block.beyond = self._below(rows, -loss.base / unit, [[(-1.0, block.eta), (-1.0, e)] for e in excess])
        share = (loss.probability / (1.0 - measure.level)).tolist()
        value = LinearExpression(linear_coefs=[1.0, *share], linear_vars=[block.eta, *excess])
        if limited:
            block.limit = pyo.Constraint(expr=(None, value, measure.ceiling / unit))
        self._keep([block.eta, *excess], block)
        return LinearExpression(
            linear_coefs=[unit, *(unit * each for each in share)], linear_vars=[block.eta, *excess]
        )

    def _chance(self, block: Block, measure: Chance) -> None:
        loss = measure.loss
        most, budget = loss.largest(), measure.most_allowed
        binding = np.flatnonzero((most > budget) & (loss.probability > 0.0))
        room = (most[binding] - budget).tolist()
        block.over = pyo.Var(binding.tolist(), domain=pyo.Binary)
        over = list(block.over.values())
        terms = [[(-r, each)] for r, each in zip(room, over, strict=True)]
        block.exceed = self._below(loss.rows(binding), budget - loss.base[binding], terms)
        likely = LinearExpression(linear_coefs=loss.probability[binding].tolist(), linear_vars=over)
        body = likely if over else self.nothing
        # shares of probabilities such as 0.05 of 1000 scenarios must not fail for a rounding
        block.limit = pyo.Constraint(expr=(None, body, measure.ceiling + 1e-9))
        self._keep(over, block)

    def _worst_case(self, block: Block, measure: WorstCase) -> None:
        possible = np.flatnonzero(measure.loss.probability > 0.0)
        block.limit = self._below(measure.loss.rows(possible), measure.ceiling - measure.loss.base[possible])
        self._keep([], block)

    def _ambiguous(self, block: Block, measure: WorstExpectation) -> None:
        loss = measure.loss
        unit, free = measure.unit, len(loss.columns)
        weight = np.append(loss.weight, measure.held_weight) / unit
        share = measure.failure_shares()
        most = float(weight.max(initial=0.0))
        block.t = pyo.Var(bounds=(0.0, most))
        block.more = pyo.Var(range(len(weight)), bounds=(0.0, most))
        more = list(block.more.values())
        mine = self.x[loss.columns]
        block.above = pyo.Constraint(range(len(weight)))
        for k, (each, w) in enumerate(zip(more, weight.tolist(), strict=True)):
            if k < free:
                body = LinearExpression(linear_coefs=[w, -1.0, -1.0], linear_vars=[mine[k], block.t, each])
                block.above[k] = (None, body, 0.0)
            else:
                block.above[k] = (
                    None,
                    LinearExpression(linear_coefs=[-1.0, -1.0], linear_vars=[block.t, each]),
                    -w,
                )
        body = LinearExpression(
            linear_coefs=[*(weight[:free] * share[:free]).tolist(), measure.radius, *(1.0 - share).tolist()],
            linear_vars=[*mine, block.t, *more],
        )
        already = float(share[free:] @ weight[free:])
        block.limit = pyo.Constraint(expr=(None, body, measure.ceiling / unit - already))
        self._keep([block.t, *more], block)

    def add_loads(self, block: Block, pieces: Pieces, work: Matrix) -> Expression:
        """Write load incentives into an empty block; return what the load above its start earns.

        ``used[p]`` is the share of piece p that is used, ``level[t]`` says that the pieces of a term add up
        to its load. Where slopes rise ``opened[q]`` is a binary: ``open[p]`` lets a piece be used only where
        it is 1, ``filled[p]`` lets it be 1 only once a piece before it is used up.
        """
        count = len(pieces.length)
        block.used = pyo.Var(range(count), bounds=(0.0, 1.0))
        block.opened = pyo.Var(range(pieces.binaries), domain=pyo.Binary)
        used, opened = list(block.used.values()), list(block.opened.values())
        parts = list(zip((-pieces.length).tolist(), used, strict=True))
        of_term = np.searchsorted(pieces.term, np.arange(len(pieces.row) + 1)).tolist()
        terms = [parts[a:b] for a, b in pairwise(of_term)]
        load = work.multiply(1.0 / pieces.capacity[:, np.newaxis]).tocsr()
        block.level = self._below(load, np.zeros(len(terms)), terms, equal=True)
        before, after = np.flatnonzero(pieces.needs >= 0), np.flatnonzero(pieces.opens >= 0)

        def difference(p: int, q: int) -> Expression:
            return LinearExpression(linear_coefs=[1.0, -1.0], linear_vars=[used[p], opened[q]])

        needs, opens = pieces.needs.tolist(), pieces.opens.tolist()
        block.filled = pyo.Constraint(before.tolist(), rule=lambda _, p: (0.0, difference(p, needs[p]), None))
        block.open = pyo.Constraint(after.tolist(), rule=lambda _, p: (None, difference(p, opens[p]), 0.0))
        self._keep([*used, *opened], block)
        return LinearExpression(linear_coefs=pieces.gain.tolist(), linear_vars=used)

    def _below(
        self,
        matrix: Matrix,
        upper: FloatArray,
        terms: Sequence[Sequence[tuple[float, Variable]]] | None = None,
        *,
        equal: bool = False,
    ) -> Any:
        """Constraints ``matrix @ x + terms <= upper``, or equal to it, a row each."""
        chosen = self.x[matrix.indices].tolist()
        data, start, bounds = matrix.data.tolist(), matrix.indptr.tolist(), upper.tolist()

        def rule(_: Block, row: int) -> tuple[float | None, Expression, float]:
            a, b = start[row], start[row + 1]
            others = [] if terms is None else terms[row]
            coefficients = [*data[a:b], *(c for c, _ in others)]
            variables = [*chosen[a:b], *(v for _, v in others)]
            body = LinearExpression(linear_coefs=coefficients, linear_vars=variables)
            return bounds[row] if equal else None, body if variables else self.nothing, bounds[row]

        return pyo.Constraint(range(len(bounds)), rule=rule)

    def _keep(self, variables: Sequence[Variable], block: Block) -> None:
        self.variables += variables
        self.constraints += block.component_data_objects(pyo.Constraint)
