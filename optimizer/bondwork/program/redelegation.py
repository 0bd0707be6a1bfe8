"""A round with second-stage offers as a stochastic program: the first stage, then what each outcome allows.

The root is the chosen formulation's own program of the first stage. Behind it stands a node for every
distinct outcome, with the same columns everywhere: rescue g takes over a task whose executor failed (``y``),
or takes up one that was left (``w``). Its rows say that only a failed, chosen offer can be taken over, and
only by another coprocessor; that a task is rescued once; and that what the first stage uses of capacity,
collateral, stake and time stays used, failed collateral included.

What may be seen. A node tells outcomes of *all* first-stage offers apart, chosen or not, and nobody observes
the latter. Without linking rows that brings nothing: given x, the rows and the objective of a node hold
outcomes only in products with x, so nodes that agree on the chosen offers have the same feasible decisions at
the same values, and the same best one. With linking rows (an expected loss, a CVaR, a chance limit over all
nodes) such nodes could share a budget unevenly; then ``|y[s] - y[s']| <= sum of x over the offers whose
outcomes differ`` is needed, and `keep_unseen_apart` adds it where a solution breaks it.

References
----------
J. R. Birge & F. Louveaux, Introduction to Stochastic Programming, 2nd edition, Springer 2011, section 2.4.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from bondwork.base.tolerances import STAGED_ROW
from bondwork.problem.instance import NOBODY, Objective
from bondwork.problem.limits import LimitKind
from bondwork.problem.rescues import find_rescues, is_better_left, limits_losses
from bondwork.problem.values import at_stake, is_eligible, posted
from bondwork.program.exact import for_solver
from bondwork.program.horizon_entries import FORFEITABLE
from bondwork.program.linking import Linking
from bondwork.program.node_rows import Meaning, NodeRows, Spare, unique_names
from bondwork.program.redelegation_loss import add_losses
from bondwork.program.staged_money import with_covers
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate
from bondwork.program.units import in_reach, row_units, unit_for
from bondwork.uncertainty.first_stage import draw_first_stage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.problem.instance import Instance
    from bondwork.problem.limits import Limits
    from bondwork.problem.rescues import Rescues
    from bondwork.program.program import Program
    from bondwork.program.redelegation_loss import Losses
    from bondwork.program.staged_money import Cover
    from bondwork.uncertainty.first_stage import FirstStage
    from bondwork.uncertainty.seeds import Seed

#: Measures whose value depends on the leaves behind a node.
TAIL_MEASURES = frozenset({"cvar", "chance", "worst_case"})


@dataclass(frozen=True, slots=True)
class Meanings:
    """What the rows of a two-stage program say of its round, in their order; ``None`` for no limit of it.

    Linking rows that only keep decisions from what nobody observes stand behind those of ``linking``.
    """

    root: tuple[Meaning | None, ...] = ()
    node: tuple[Meaning | None, ...] = ()
    linking: tuple[Meaning, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Redelegation:
    """A two-stage round in matrix form, with what its nodes and columns mean.

    Attributes
    ----------
    first
        The first stage, without limits on losses: those hold after the rescues.
    outcomes
        Node k + 1 of ``program`` is outcome k.
    over, up
        Shapes (Y,), (W,). Columns of a node: rescue ``over[j]`` takes over at column j, rescue ``up[j]``
        takes up at column Y + j; further columns belong to measures.
    spares
        Columns of the root behind its choices: what the first stage leaves of limits, where compact.
    unit
        Currency in a unit of the program's objective: 1, or a power of two where amounts are far from 1. The
        same for all programs of a round, whatever their outcomes.
    money
        Rows of a node that are money, and the row of the first stage whose limit each shares.
    covers
        Rows of both stages beyond those of the limits; see `bondwork.program.staged_money`.
    meanings
        What the rows say of the round.
    """

    instance: Instance
    rescues: Rescues
    first: Program
    outcomes: FirstStage
    over: IntArray
    up: IntArray
    program: StochasticProgram
    spares: tuple[Spare, ...]
    unit: float = 1.0
    money: Mapping[int, int] = field(default_factory=dict)
    covers: tuple[Cover, ...] = ()
    meanings: Meanings = field(default_factory=Meanings)

    def root(self, x: FloatArray) -> FloatArray:
        """Columns of the root for a first stage ``x``, shape (choices,), without thresholds of measures."""
        spare = [s.upper - float(s.values @ x[s.columns]) for s in self.spares]
        return np.append(x, np.maximum(spare, 0.0))

    @property
    def decisions(self) -> int:
        """How many columns of a node are decisions."""
        return len(self.over) + len(self.up)


def without_risk(instance: Instance) -> Instance:
    """Return a round in which nothing measures losses."""
    return dataclasses.replace(instance, risk=(), objective=Objective())


def has_tails(instance: Instance) -> bool:
    """Whether anything about a round depends on more of its losses than their mean."""
    return instance.objective.risk_weight > 0.0 or any(r.measure in TAIL_MEASURES for r in instance.risk)


def observe(
    instance: Instance,
    rescues: Rescues,
    seed: Seed,
    *,
    scenarios: int | None = None,
    method: str | None = None,
    among: IntArray | None = None,
) -> FirstStage:
    """Draw what a round's second stage may see.

    Where losses are limited over all outcomes together, every outcome counts, of all eligible offers and of
    the commitments, whether somebody loses by it or not: a budget may be spent in one and not in another.
    Where nothing is limited, only the failures that a rescue could follow do.

    Parameters
    ----------
    seed, scenarios, method
        As of `bondwork.uncertainty.first_stage.draw_first_stage`.
    among
        Offers that are chosen: no others are drawn.
    """
    tails, limited = has_tails(instance), limits_losses(instance)
    offers = np.flatnonzero(is_eligible(instance)) if limited else rescues.watched
    if among is not None:
        offers = offers[np.isin(offers, among)]
    return draw_first_stage(
        instance,
        offers,
        rescues.offers,
        seed=seed,
        commitments=limited,
        leaves=tails,
        scenarios=scenarios,
        method=method,
    )


def redelegate(
    instance: Instance,
    first: Program,
    outcomes: FirstStage,
    rescues: Rescues | None = None,
    *,
    luck: bool = False,
    compact: bool = False,
    covers: Sequence[Cover] = (),
) -> Redelegation:
    """Write a round with second-stage offers down as a stochastic program.

    Parameters
    ----------
    instance
        The round.
    first
        Its first stage from a formulation, made of the round without risk limits; bounds may fix choices.
    outcomes
        From `observe`.
    rescues
        From `bondwork.problem.rescues.find_rescues`; found where left out.
    luck
        Add a column to every node that holds what the chosen offers earn there, less what they earn on
        average. Its expectation is 0, so that neither the optimum nor any decision changes; but someone who
        knew the outcome beforehand would see it. Wait and see needs it: else it would count rewards at p, and
        the rescue of a failure known beforehand on top.
    compact
        Let columns of the root hold what the first stage leaves of limits, instead of repeating its terms at
        every node: half the entries, but a first stage that is no longer a matter of yes and no alone.
    covers
        Those of another model of the same round, whatever its outcomes.
    """
    rescues = find_rescues(instance) if rescues is None else rescues
    over, up = np.flatnonzero(rescues.takes_over), np.flatnonzero(rescues.takes_up)
    kept = 1.0 - instance.objective.risk_weight
    rows = NodeRows(len(first.columns), len(over) + len(up), outcomes, compact=compact)
    _add_rescue_rows(instance, first, rescues, over, up, rows)
    seen, pointless = for_solver(first), is_better_left(instance, rescues)
    barred = pointless[first.columns] & (first.lower == 0.0)
    seen = dataclasses.replace(
        seen,
        upper=np.where(barred, 0.0, seen.upper),
        objective=np.where(barred, 0.0, seen.objective),  # large amounts may drown all others
    )
    money = _add_limit_rows(instance, seen, rescues, over, up, rows)
    gain = kept * np.concatenate([rescues.after_failure[over], rescues.when_left[up]])
    followed = rescues.pair_rescue[~pointless[rescues.pair_offer]]
    gain[: len(over)][~np.isin(over, followed)] = 0.0
    unit = _objective_unit(instance, seen, gain)
    losses = add_losses(instance, first, rescues, (over, up), outcomes, rows)
    losses.root_cost, losses.node_cost = losses.root_cost / unit, losses.node_cost / unit
    lower = np.zeros(len(over) + len(up) + len(losses.node_columns))
    if luck:
        lower = np.append(lower, -np.inf)
        _add_luck(instance, first, outcomes, rows, losses, unit)
    late = [instance.offers.ids[g] for g in rescues.offers.tolist()]
    names = [f"{late[g]} after failure" for g in over.tolist()]
    names += [f"{late[g]} when left" for g in up.tolist()]
    y = _followed(rescues, over, outcomes, pointless)
    second = rows.template(
        unique_names([*names, *losses.node_columns]),
        cost=np.concatenate([gain / unit, losses.node_cost]),
        lower=lower,
        upper=np.concatenate([np.zeros(len(over)), np.ones(len(up)), losses.node_upper]),
        integer=np.concatenate([np.ones(len(names), dtype=bool), losses.node_integer]),
    )
    start, position, value = rows.changes(second, y)
    root, of_root = _root(instance, seen, rows.spares, losses, unit)
    meanings = Meanings(of_root, rows.told(), losses.meanings)
    nodes = len(outcomes)
    program = StochasticProgram(
        name=instance.name,
        sense="max",
        stages=("first stage", "second stage"),
        templates=(root, second),
        template=np.append(0, np.ones(nodes, dtype=np.int64)),
        parent=np.append(-1, np.zeros(nodes, dtype=np.int64)),
        conditional=np.append(1.0, outcomes.probability),
        nodes=("now", *(f"outcome {k}" for k in range(1, nodes + 1))),
        change_start=np.append(0, start),
        change_position=position,
        change_value=value,
        linking=losses.linking,
        row_tolerance=STAGED_ROW,
    )
    covers = tuple(replace(each, nodes=np.flatnonzero(program.template == each.template)) for each in covers)
    return Redelegation(
        instance, rescues, first, outcomes, over, up, with_covers(program, covers), tuple(rows.spares), unit,
        money, covers, meanings,
    )  # fmt: skip


def _objective_unit(instance: Instance, first: Program, gain: FloatArray) -> float:
    """The unit for whatever may stand in the objective; outcomes play no part."""
    largest = max(float(np.abs(each).max(initial=0.0)) for each in (first.objective, first.offset, gain))
    if instance.objective.risk_weight > 0.0:
        largest = max(largest, float(instance.claims.slashing.max(initial=0.0)))
    return unit_for(largest)


def _add_luck(
    instance: Instance, first: Program, outcomes: FirstStage, rows: NodeRows, losses: Losses, unit: float
) -> None:
    """A free column: what the chosen offers earn at a node, less their mean."""
    offers, terms = instance.offers, instance.terms
    mine = np.flatnonzero(np.isin(first.columns, outcomes.offers))
    some = first.columns[mine]
    claim = offers.claim[some]
    lost = -instance.claims.reward[claim] - instance.claims.slashing[claim]
    lost += terms.operator * terms.collateral_rate * offers.collateral[some]
    if terms.bid_paid == "on_success":
        lost += np.where(offers.is_self[some], 0.0, offers.bid[some])
    column = rows.decisions + len(losses.node_columns)
    row = rows.add("luck", 0.0)
    rows.own(row, np.array([column]), 1.0)
    rows.luck(row, mine, some, -lost / unit)
    losses.node_columns.append("luck")
    losses.node_cost = np.append(losses.node_cost, 1.0 - instance.objective.risk_weight)
    losses.node_upper = np.append(losses.node_upper, np.inf)
    losses.node_integer = np.append(losses.node_integer, False)


def _root(
    instance: Instance, first: Program, spares: Sequence[Spare], losses: Losses, unit: float
) -> tuple[NodeTemplate, tuple[Meaning | None, ...]]:
    """The first stage with what it leaves of limits, the thresholds of measures, and what its rows say."""
    kept = 1.0 - instance.objective.risk_weight
    matrix = first.matrix.tocoo()
    m, n = matrix.shape
    offers = [instance.offers.ids[o] for o in first.columns.tolist()]
    names = [f"spare {spare.name}" for spare in spares]
    count, more = len(spares), len(spares) + len(losses.root_columns)
    spare_upper = np.array([max(s.upper, 0.0) for s in spares])
    rows = [matrix.row, *(np.append(np.full(len(s.columns), m + k), m + k) for k, s in enumerate(spares))]
    columns = [matrix.col, *(np.append(s.columns, n + k) for k, s in enumerate(spares))]
    values = [matrix.data, *(np.append(s.values, 1.0) for s in spares)]
    row, entries = np.concatenate(rows).astype(np.int64), np.concatenate(values)
    row_unit = row_units(row, np.abs(entries), m + count)
    row_lower = np.append(first.row_lower, np.full(count, -np.inf)) / row_unit
    row_upper = np.concatenate([first.row_upper, [s.upper for s in spares]]) / row_unit
    said = [*_said(first), *(spare.meaning for spare in spares)]
    meanings = [each and replace(each, unit=each.unit * u) for each, u in zip(said, row_unit, strict=True)]
    template = NodeTemplate(
        0,
        tuple(unique_names([*offers, *names, *losses.root_columns])),
        tuple(unique_names([*(first.label(row) for row in range(m)), *names])),
        np.append(first.integer, np.zeros(more, dtype=bool)),
        row,
        np.zeros(len(entries), dtype=np.int64),
        np.concatenate(columns).astype(np.int64),
        np.concatenate(
            [
                [kept * first.offset / unit],
                np.concatenate([kept * first.objective / unit, np.zeros(count), losses.root_cost]),
                np.append(first.lower, np.zeros(more)),
                np.concatenate([first.upper, in_reach(spare_upper), losses.root_upper]),
                row_lower,
                in_reach(row_upper),
                entries / row_unit[row],
            ]
        ),
    )
    return template, tuple(meanings)


def _said(first: Program) -> list[Meaning | None]:
    """What each row of the first stage says."""
    limits = first.limits
    known = [_meaning(limits, row) for row in range(len(limits))]
    return known + [None] * (first.matrix.shape[0] - len(known))


def _meaning(limits: Limits, row: int) -> Meaning | None:
    """What a limit of the first stage says; tasks, which have no multipliers, aside."""
    kind, owner = LimitKind(int(limits.kind[row])), int(limits.owner[row])
    match kind:
        case LimitKind.CAPACITY | LimitKind.OPERATOR_CAPACITY:
            word = "capacity" if kind == LimitKind.CAPACITY else "own_capacity"
            return Meaning(word, (owner, int(limits.detail[row])))
        case LimitKind.COLLATERAL:
            return Meaning("collateral", (owner,))
        case LimitKind.STAKE:
            return Meaning("stake", (owner,))
        case LimitKind.DEADLINE:
            return Meaning("deadline", (owner, float(limits.deadline[row])))
    return None


def _followed(rescues: Rescues, over: IntArray, outcomes: FirstStage, pointless: BoolArray) -> FloatArray:
    """1 where a rescue has a failure to follow, of an offer that is not pointless. Shape (K, Y)."""
    known = np.isin(rescues.pair_offer, outcomes.offers) & ~pointless[rescues.pair_offer]
    place = np.searchsorted(outcomes.offers, rescues.pair_offer[known])
    column = np.searchsorted(over, rescues.pair_rescue[known])
    where = csr_array((np.ones(len(place)), (place, column)), shape=(len(outcomes.offers), len(over)))
    found: FloatArray = np.minimum(np.asarray(outcomes.failed.astype(np.float64) @ where), 1.0)
    return found


def _add_rescue_rows(
    instance: Instance, first: Program, rescues: Rescues, over: IntArray, up: IntArray, rows: NodeRows
) -> None:
    """Only what was chosen and failed is taken over, only what was left is taken up, and each task once."""
    task = instance.offers.task
    x_of = np.full(len(instance.offers), -1)
    x_of[first.columns] = np.arange(len(first.columns))
    pair_task = task[rescues.pair_offer]
    by_task = _groups(task[rescues.offers[over]])
    for a, mine in by_task:
        name = instance.tasks.ids[a]
        together = np.unique(rescues.pair_offer[pair_task == a])
        row = rows.add(f"{name} failed", 0.0)
        rows.own(row, mine, 1.0)
        rows.if_failed(row, x_of[together], together, -1.0)
        for j in mine.tolist():
            followed = rescues.pair_offer[rescues.pair_rescue == over[j]]
            if len(followed) < len(together):  # not whoever failed may be followed by this one
                row = rows.add(f"{name} failed for {instance.offers.ids[rescues.offers[over[j]]]}", 0.0)
                rows.own(row, np.array([j]), 1.0)
                rows.if_failed(row, x_of[followed], followed, -1.0)
    chosen_task = task[first.columns]
    for a, mine in _groups(task[rescues.offers[up]]):
        row = rows.share_out(f"{instance.tasks.ids[a]} left", 1.0, np.flatnonzero(chosen_task == a), 1.0)
        rows.own(row, len(over) + mine, 1.0)


def _groups(owner: IntArray) -> list[tuple[int, IntArray]]:
    """Positions of each owner, owners ascending."""
    if not len(owner):
        return []
    order = np.argsort(owner, kind="stable")
    owners, start = np.unique(owner[order], return_index=True)
    return list(zip(owners.tolist(), np.split(order, start[1:]), strict=True))


def _add_limit_rows(
    instance: Instance, first: Program, rescues: Rescues, over: IntArray, up: IntArray, rows: NodeRows
) -> dict[int, int]:
    """What the first stage uses stays used: the second has what is left. Return which rows are money."""
    money: dict[int, int] = {}
    offers, limits = instance.offers, first.limits
    late = rescues.offers[np.concatenate([over, up])]
    collateral, new_stake = posted(instance)[late], at_stake(instance)[offers.claim[late]]
    new_stake[: len(over)] = 0.0
    for row in range(len(limits)):
        kind, owner = int(limits.kind[row]), int(limits.owner[row])
        if kind == LimitKind.CAPACITY:
            use = np.where(offers.coprocessor[late] == owner, offers.work[late, limits.detail[row]], 0.0)
        elif kind == LimitKind.COLLATERAL:
            use = np.where(offers.coprocessor[late] == owner, collateral, 0.0)
        elif kind == LimitKind.STAKE:
            use = np.where(offers.operator[late] == owner, new_stake, 0.0)
        else:
            continue
        if np.any(use > 0.0):
            span = slice(first.matrix.indptr[row], first.matrix.indptr[row + 1])
            number = rows.share_out(
                limits.label(row),
                float(first.row_upper[row]),
                first.matrix.indices[span].astype(np.int64),
                first.matrix.data[span],
                _meaning(limits, row),
            )
            rows.own(number, np.flatnonzero(use), use[use != 0.0])
            if kind in FORFEITABLE:
                money[number] = row
    _add_deadline_rows(instance, first, late, rows)
    return money


def _add_deadline_rows(instance: Instance, first: Program, late: IntArray, rows: NodeRows) -> None:
    """Serial coprocessors: what they have promised by each deadline, rescues included."""
    offers, coprocessors = instance.offers, instance.coprocessors
    early = first.columns
    due_early, due_late = (instance.tasks.deadline[offers.task[some]] for some in (early, late))
    for c in np.unique(offers.coprocessor[late]).tolist():
        if c == NOBODY or not coprocessors.serial[c]:
            continue
        mine, theirs = offers.coprocessor[early] == c, offers.coprocessor[late] == c
        free = max(float(coprocessors.free_at[c]), instance.now)
        known = np.flatnonzero((first.limits.kind == LimitKind.DEADLINE) & (first.limits.owner == c))
        room = dict(zip(first.limits.deadline[known].tolist(), first.row_upper[known].tolist(), strict=True))
        ends = np.unique(np.concatenate([due_early[mine], due_late[theirs]]))
        for end in ends[np.isfinite(ends)].tolist():
            use = np.where(theirs & (due_late <= end), offers.duration[late], 0.0)
            if np.any(use > 0.0):
                taken = np.flatnonzero(mine & (due_early <= end))
                name = f"deadline {end:.15g} of {coprocessors.ids[c]}"
                left, meaning = room.get(end, end - free), Meaning("deadline", (c, end))
                row = rows.share_out(name, left, taken, offers.duration[early[taken]], meaning)
                rows.own(row, np.flatnonzero(use), use[use != 0.0])


def keep_unseen_apart(
    model: Redelegation, nodes: Sequence[FloatArray], chosen: IntArray
) -> Redelegation | None:
    """Add the rows that a solution lacks: same decisions where the chosen offers had the same outcomes.

    Parameters
    ----------
    nodes
        Decisions of every node, the root's first.
    chosen
        Offers that the solution chooses.

    Returns
    -------
    Redelegation or None
        With further informational linking rows; ``None`` where the solution sees nothing it may not see.
    """
    outcomes, count = model.outcomes, model.decisions
    _, which = outcomes.seen(chosen)
    x_of = {offer: column for column, offer in enumerate(model.first.columns.tolist())}
    rows: list[tuple[str, float, float]] = []
    entries: list[tuple[int, int, int, float]] = []
    known = len(model.program.linking)
    for group in range(int(which.max(initial=-1)) + 1):
        members = np.flatnonzero(which == group)
        base = int(members[0])
        for other in members[1:].tolist():
            if np.array_equal(np.round(nodes[base + 1][:count]), np.round(nodes[other + 1][:count])):
                continue
            differ = outcomes.offers[outcomes.failed[base] != outcomes.failed[other]].tolist()
            for column in range(count):
                for one, two in ((base, other), (other, base)):
                    row = known + len(rows)
                    rows.append((f"unseen {row}", -np.inf, 0.0))
                    entries += [(row, one + 1, column, 1.0), (row, two + 1, column, -1.0)]
                    entries += [(row, 0, x_of[offer], -1.0) for offer in differ]
    if not rows:
        return None
    more = Linking.make(rows, [(e[0] - known, *e[1:]) for e in entries], informational=range(len(rows)))
    linking = model.program.linking.joined(more)
    return dataclasses.replace(model, program=dataclasses.replace(model.program, linking=linking))
