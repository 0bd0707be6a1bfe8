"""Limits on what is still slashed after the rescues, and the mean-risk objective, over all outcomes together.

The loss at a leaf is the slashing of what failed, chosen or committed, less that of what a successful rescue
took over, plus that of what a failed rescue took up. A rescue is decided at the node, before its own outcome:
the same decision stands in the losses of all leaves behind it.

- ``expected``: closed in p and p2, rescues weighted by the probability of their node: one linking row.
- ``cvar`` (Rockafellar & Uryasev 2000): a threshold at the root, an excess at every leaf, their mean in one
  linking row; in the mean-risk objective they are priced and need none.
- ``worst_case``: a row at every leaf.
- ``chance`` (Luedtke & Ahmed 2008): a whole column at every leaf, their mean in one linking row.

Limits of one coprocessor are refused: a rescued loss is partly of the one and partly of the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.statistics import weighted_cvar as cvar
from bondwork.problem.instance import RiskLimit
from bondwork.program.linking import Linking
from bondwork.program.node_rows import Meaning, unique_names
from bondwork.program.units import FAR_ABOVE, row_units
from bondwork.risk.chance import most_allowed
from bondwork.risk.limits import ceiling_of, members
from bondwork.risk.losses import unit_of

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.problem.instance import Instance
    from bondwork.problem.rescues import Rescues
    from bondwork.program.node_rows import NodeRows
    from bondwork.program.program import Program
    from bondwork.uncertainty.first_stage import FirstStage, FreshOutcomes

#: Probabilities such as 0.05 of 1000 scenarios must not fail for a rounding.
CHANCE_SLACK = 1e-9


@dataclass(slots=True)
class Losses:
    """Columns that measures need, and the linking rows."""

    root_columns: list[str] = field(default_factory=list)
    root_cost: FloatArray = field(default_factory=lambda: np.zeros(0))
    root_upper: FloatArray = field(default_factory=lambda: np.zeros(0))
    node_columns: list[str] = field(default_factory=list)
    node_cost: FloatArray = field(default_factory=lambda: np.zeros(0))
    node_upper: FloatArray = field(default_factory=lambda: np.zeros(0))
    node_integer: BoolArray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    linking: Linking = field(default_factory=Linking.none)
    #: What each linking row says of the round.
    meanings: tuple[Meaning, ...] = ()


def committed_loss(
    instance: Instance, outcomes: FirstStage | FreshOutcomes, limit: RiskLimit, member: int
) -> float:
    """What a limit measures of the commitments alone, for one member of its scope."""
    held = _held_slashing(instance, limit.scope, member)
    if limit.measure == "expected":
        return float(held @ (1.0 - instance.commitments.success_probability))
    losses: FloatArray = outcomes.lost @ held
    match limit.measure:
        case "cvar":
            return cvar(losses, outcomes.probability, limit.level)
        case "worst_case":
            return float(losses[outcomes.probability > 0.0].max(initial=0.0))
    return float(outcomes.probability[losses > most_allowed(limit.budget)].sum())


def _held_slashing(instance: Instance, scope: str, member: int) -> FloatArray:
    """Slashing of the commitments that count for a member, 0 for others. Shape (commitments,)."""
    held = instance.commitments
    amount = instance.claims.slashing[held.claim]
    return amount if scope == "network" else np.where(held.operator == member, amount, 0.0)


def add_losses(
    instance: Instance,
    first: Program,
    rescues: Rescues,
    decided: tuple[IntArray, IntArray],
    outcomes: FirstStage,
    rows: NodeRows,
) -> Losses:
    """Put the rows of all measures of a round into ``rows``; return their columns and linking rows."""
    build = _Losses(instance, first, rescues, decided, outcomes, rows)
    for number, limit in enumerate(instance.risk):
        for _scope, member, name in members(instance, limit):
            build.limit(limit, number, member, name)
    weight, level = instance.objective.risk_weight, instance.objective.risk_level
    if weight > 0.0:
        build.cvar(RiskLimit("cvar", "network", level=level), -1, "risk", Meaning("mean_risk", ()), weight)
    return build.finished()


class _Losses:
    def __init__(
        self,
        instance: Instance,
        first: Program,
        rescues: Rescues,
        decided: tuple[IntArray, IntArray],
        outcomes: FirstStage,
        rows: NodeRows,
    ) -> None:
        self.instance, self.first, self.outcomes, self.rows = instance, first, outcomes, rows
        offers = instance.offers
        slashing = instance.claims.slashing
        self.x_slashing = slashing[offers.claim[first.columns]]
        self.over, self.up = decided
        late = rescues.offers[np.concatenate(decided)]
        self.late, self.place = late, np.concatenate(decided)
        self.late_slashing = slashing[offers.claim[late]]
        self.p2 = offers.success_probability[late]
        self.takes_up = np.arange(len(late)) >= len(self.over)
        self.found = Losses()
        self.cost: list[FloatArray] = []
        self.upper: list[FloatArray] = []
        self.integer: list[BoolArray] = []
        self.links: list[tuple[str, float, float, Meaning]] = []
        self.entries: list[tuple[int, int, int, float]] = []
        self.joint: list[tuple[int, int]] = []

    def limit(self, limit: RiskLimit, number: int, member: int, name: str) -> None:
        """Add one limit of one member."""
        label = f"{limit.measure} of {name}"
        meaning = Meaning(limit.measure, (number, max(member, 0)))
        if not np.isfinite(limit.budget):
            return
        match limit.measure:
            case "expected":
                self.expected(limit, member, f"expected loss of {name}", meaning)
            case "cvar":
                self.cvar(limit, member, label, meaning)
            case "worst_case":
                for leaf in range(len(self.outcomes.leaf_probability)):
                    at, budget = replace(meaning, leaf=leaf), self.ceiling(limit, member)
                    self.loss_row(limit.scope, member, f"{label} at leaf {leaf}", budget, at)
            case "chance":
                self.chance(limit, member, label, meaning)
            case _:
                raise ValueError(f"{label} is not honoured beside second-stage offers")

    def ceiling(self, limit: RiskLimit, member: int) -> float:
        """What the measure may come to: the limit, or what the commitments alone take."""
        return max(ceiling_of(limit), committed_loss(self.instance, self.outcomes, limit, member))

    def of_first(self, scope: str, member: int) -> BoolArray:
        """Which columns of the root lose something here."""
        return self._mine(scope, member, self.first.columns) & (self.x_slashing > 0.0)

    def of_late(self, scope: str, member: int) -> BoolArray:
        """Which decisions of a node change the loss here."""
        return self._mine(scope, member, self.late) & (self.late_slashing > 0.0)

    def _mine(self, scope: str, member: int, offers: IntArray) -> BoolArray:
        if scope == "network":
            return np.ones(len(offers), dtype=bool)
        mine: BoolArray = self.instance.offers.operator[offers] == member
        return mine

    def base(self, scope: str, member: int) -> FloatArray:
        """What commitments lose at each node. Shape (K,)."""
        lost: FloatArray = self.outcomes.lost @ _held_slashing(self.instance, scope, member)
        return lost

    def loss_row(self, scope: str, member: int, name: str, budget: float, meaning: Meaning) -> int:
        """Begin ``loss at the leaf <= budget`` at every node, in its meaning's unit; return its number."""
        leaf, unit = meaning.leaf, meaning.unit
        row = self.rows.add(name, budget / unit, meaning)
        mine = np.flatnonzero(self.of_first(scope, member))
        offers = self.first.columns[mine]
        self.rows.if_failed(row, mine, offers, self.x_slashing[mine] / unit)
        failed = self.outcomes.leaf_failed[leaf, self.place]
        change = np.where(self.takes_up, failed, ~failed) & self.of_late(scope, member)
        late = np.flatnonzero(change)
        sign = np.where(self.takes_up[late], 1.0, -1.0)
        self.rows.own(row, late, sign * self.late_slashing[late] / unit)
        base = self.base(scope, member)
        if np.any(base):
            self.rows.upper_by_node(row, (budget - base) / unit)
        return row

    def expected(self, limit: RiskLimit, member: int, label: str, meaning: Meaning) -> None:
        """Slashing that p leaves, less what rescues are expected to save."""
        already = committed_loss(self.instance, self.outcomes, limit, member)
        row = self.link(label, max(limit.budget - already, 0.0), meaning)
        p = self.instance.offers.success_probability[self.first.columns]
        for j in np.flatnonzero(self.of_first(limit.scope, member)).tolist():
            self.entries.append((row, 0, j, float(self.x_slashing[j] * (1.0 - p[j]))))
        effect = np.where(self.takes_up, 1.0 - self.p2, -self.p2) * self.late_slashing
        late = np.flatnonzero(self.of_late(limit.scope, member) & (effect != 0.0)).tolist()
        for k, chance in enumerate(self.outcomes.probability.tolist()):
            self.entries += [(row, k + 1, j, chance * float(effect[j])) for j in late]

    def cvar(self, limit: RiskLimit, member: int, label: str, meaning: Meaning, priced: float = 0.0) -> None:
        """Threshold and excesses; limited, or priced in the objective."""
        unit = self.unit(limit.scope, member)
        most = float(self.most(limit.scope, member).max(initial=0.0)) / unit
        eta = len(self.first.columns) + len(self.rows.spares) + len(self.found.root_columns)
        self.found.root_columns.append(f"threshold of {label}")
        self.found.root_cost = np.append(self.found.root_cost, -priced * unit)
        self.found.root_upper = np.append(self.found.root_upper, most)
        self.joint.append((0, eta))
        share = self.outcomes.leaf_probability / (1.0 - limit.level)
        columns = self.columns(f"excess of {label}", len(share), -priced * unit * share, most, whole=False)
        for leaf, column in enumerate(columns):
            at = replace(meaning, leaf=leaf, unit=unit)
            row = self.loss_row(limit.scope, member, f"{label} at leaf {leaf}", 0.0, at)
            self.rows.root(row, np.array([eta]), -1.0)
            self.rows.own(row, np.array([column]), -1.0)
        if not priced:
            row = self.link(label, self.ceiling(limit, member) / unit, replace(meaning, unit=unit))
            self.entries.append((row, 0, eta, 1.0))
            self.spread(row, columns, share)

    def chance(self, limit: RiskLimit, member: int, label: str, meaning: Meaning) -> None:
        """A yes or no at every leaf."""
        unit = self.unit(limit.scope, member)
        share = self.outcomes.leaf_probability
        columns = self.columns(f"over {label}", len(share), np.zeros(len(share)), 1.0, whole=True)
        budget = most_allowed(limit.budget)
        room = np.maximum(self.most(limit.scope, member) - budget, 0.0) / unit
        for leaf, column in enumerate(columns):
            at = replace(meaning, leaf=leaf, unit=unit)
            row = self.loss_row(limit.scope, member, f"{label} at leaf {leaf}", budget, at)
            self.rows.own_by_node(row, column, -room)
        row = self.link(label, self.ceiling(limit, member) + CHANCE_SLACK, meaning)
        self.spread(row, columns, share)

    def unit(self, scope: str, member: int) -> float:
        """What auxiliary columns count in, lest wei drown them."""
        return unit_of(self.x_slashing[self.of_first(scope, member)], self.base(scope, member))

    def most(self, scope: str, member: int) -> FloatArray:
        """The most that can be lost at each node: of every task one executor. Shape (K,)."""
        offers, size = self.instance.offers, len(self.instance.tasks)
        first = self.of_first(scope, member)
        first &= np.isin(self.first.columns, self.outcomes.offers)
        at = np.searchsorted(self.outcomes.offers, self.first.columns[first])
        amounts = self.outcomes.failed[:, at] * self.x_slashing[first]
        late = self.of_late(scope, member) & self.takes_up
        worst = np.zeros((size, len(self.outcomes)))
        np.maximum.at(worst, offers.task[self.first.columns[first]], amounts.T)
        np.maximum.at(worst, offers.task[self.late[late]], self.late_slashing[late, np.newaxis])
        total: FloatArray = worst.sum(axis=0) + self.base(scope, member)
        return total

    def columns(self, name: str, size: int, cost: FloatArray, upper: float, *, whole: bool) -> list[int]:
        """Add columns of a measure to every node; return their numbers."""
        start = self.rows.decisions + len(self.found.node_columns)
        self.found.node_columns += [f"{name} at leaf {leaf}" for leaf in range(size)]
        self.cost.append(cost)
        self.upper.append(np.full(size, upper))
        self.integer.append(np.full(size, whole))
        return list(range(start, start + size))

    def link(self, name: str, upper: float, meaning: Meaning) -> int:
        """Begin a linking row; return its number."""
        self.links.append((name, -np.inf, upper, meaning))
        return len(self.links) - 1

    def spread(self, row: int, columns: list[int], share: FloatArray) -> None:
        """Put the mean of a leaf's columns over all nodes into a linking row."""
        for k, chance in enumerate(self.outcomes.probability.tolist()):
            weights = (chance * share).tolist()
            self.entries += [(row, k + 1, c, w) for c, w in zip(columns, weights, strict=True)]

    def finished(self) -> Losses:
        """Everything."""
        found = self.found
        if self.cost:
            found.node_cost = np.concatenate(self.cost)
            found.node_upper = np.concatenate(self.upper)
            found.node_integer = np.concatenate(self.integer)
        names = unique_names([name for name, *_ in self.links])
        row = np.array([entry[0] for entry in self.entries], dtype=np.int64)
        size = np.array([abs(entry[3]) for entry in self.entries])
        unit = row_units(row, size, len(names)).tolist()
        links = [
            (name, lower / unit[k], upper / unit[k] if upper / unit[k] < FAR_ABOVE else math.inf)
            for k, (name, (_, lower, upper, _)) in enumerate(zip(names, self.links, strict=True))
        ]
        found.meanings = tuple(
            replace(meaning, unit=meaning.unit * unit[k]) for k, (*_, meaning) in enumerate(self.links)
        )
        entries = [(k, node, column, value / unit[k]) for k, node, column, value in self.entries]
        found.linking = Linking.make(links, entries, joint=self.joint)
        return found
