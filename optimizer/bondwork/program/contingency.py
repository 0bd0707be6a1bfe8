"""What a plan with rescues does in outcomes that it has not seen: a rule, so that anybody can follow it.

A plan lists the outcomes that its scenarios showed. Any other outcome gets the rescues of the listed one most
like it, as far as they apply, and then those for tasks that are still lost:

1. The listed outcome in which the fewest tasks and commitments fared differently; of equals the first one in
   the plan, which is the most probable.
2. Its rescues of tasks that failed here, too, and all its rescues of tasks that were left. They fit: rescues
   take from what the first stage left, and that depends on no outcome.
3. For failed tasks without one, the rescues that pay, while there is room: those of the largest slashing
   first, of these the surest, then the cheapest, then in the order of the input.

It is no optimum of each outcome: limits on losses speak of all outcomes together, so that an outcome alone
has no optimum. What the rule earns and loses is what somebody who follows the plan can expect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csc_array

from bondwork.arrays import freeze_fields
from bondwork.problem.rescues import limits_losses
from bondwork.program.recourse import ROOM, used_by_root
from bondwork.program.redelegation import has_tails, redelegate, without_risk
from bondwork.uncertainty.first_stage import FirstStage, distinct, draw_fresh_outcomes

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.program.redelegation import Redelegation
    from bondwork.uncertainty.first_stage import FreshOutcomes
    from bondwork.uncertainty.seeds import Seed

#: Numbers of one batch of outcomes.
_BATCH = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class FreshRecourse:
    """Fresh scenarios, and what is done in each.

    Attributes
    ----------
    outcomes
        S scenarios.
    rescued
        Shape (S, decisions), bool. Columns as those of the model.
    listed
        Share of the scenarios whose outcome the plan lists.
    """

    outcomes: FreshOutcomes
    rescued: BoolArray
    listed: float

    def __post_init__(self) -> None:
        freeze_fields(self, "rescued")


def carry_out(
    model: Redelegation, x: FloatArray, rescued: FloatArray, *, seed: Seed, scenarios: int
) -> FreshRecourse:
    """Draw fresh scenarios, and apply the rule of this module to each.

    Parameters
    ----------
    model
        Program of what is seen of the first stage ``x``, shape (choices,).
    rescued
        Shape (K, decisions). What the plan does in each of its outcomes.
    seed, scenarios
        Of the fresh scenarios.
    """
    first = model.first
    chosen = np.sort(first.columns[: first.choices][x[: first.choices] > 0.5])
    instance = model.instance
    outcomes = draw_fresh_outcomes(
        instance,
        chosen,
        model.rescues.offers,
        seed=seed,
        scenarios=scenarios,
        commitments=limits_losses(instance),
        leaves=has_tails(instance),
    )
    table, which = distinct(np.concatenate([outcomes.failed, outcomes.lost], axis=1))
    order = np.argsort(-model.outcomes.probability, kind="stable")
    places = np.searchsorted(model.outcomes.offers, chosen)
    listed = np.concatenate([model.outcomes.failed[:, places], model.outcomes.lost], axis=1)[order]
    rule = _Rule(model, x, chosen)
    done = np.zeros((len(table), model.decisions), dtype=bool)
    known = np.zeros(len(table), dtype=bool)
    batch = max(1, _BATCH // max(len(rule.room), len(listed), 1))
    for start in range(0, len(table), batch):
        some = slice(start, start + batch)
        nearest, distance = _nearest(listed, table[some])
        known[some] = distance == 0
        copied = rescued[order[nearest]] > 0.5
        done[some] = rule.apply(table[some, : len(chosen)], copied, ~known[some])
    return FreshRecourse(outcomes, done[which], float(known[which].mean()))


def _nearest(listed: BoolArray, table: BoolArray) -> tuple[IntArray, IntArray]:
    """Which listed outcome is most like each line of a table, and in how many places the two differ."""
    one, two = listed.astype(np.float32), table.astype(np.float32)
    # whole numbers far below 2**24: exact
    apart = two.sum(axis=1)[:, np.newaxis] + one.sum(axis=1) - 2.0 * (two @ one.T)
    nearest = np.argmin(apart, axis=1)
    return nearest, np.round(apart[np.arange(len(table)), nearest]).astype(np.int64)


class _Rule:
    """Applies steps 2 and 3 to many outcomes of one first stage at once."""

    def __init__(self, model: Redelegation, x: FloatArray, chosen: IntArray) -> None:
        instance, rescues = model.instance, model.rescues
        # one node in which everything fails: its rows say what fits, whatever else failed or not
        nothing = np.zeros((1, 0), dtype=bool)
        everything = FirstStage(
            chosen, np.ones((1, len(chosen)), dtype=bool), nothing, np.ones(1), 0, rescues.offers,
            np.zeros((0, len(rescues)), dtype=bool), np.zeros(0),
        )  # fmt: skip
        all_lost = redelegate(without_risk(instance), model.first, everything, rescues)
        node = np.array([1])
        program = all_lost.program
        template = program.templates[1]
        own = template.entry_stage == 1
        bound = program.gather(node, "row_upper")[0]
        shape = (len(template.rows), len(template.columns))
        place = (template.entry_row[own], template.entry_column[own])
        self.rows = csc_array((template.part("entries")[own], place), shape=shape)
        self.room = bound - used_by_root(all_lost, x, node)[0]
        self.bound = np.abs(bound)
        self.over = len(model.over)
        offers = instance.offers
        late = rescues.offers[model.over]
        holder = np.full(len(instance.tasks), -1)
        holder[offers.task[chosen]] = np.arange(len(chosen))
        self.holder = holder[offers.task[late]]
        slashing = instance.claims.slashing[offers.claim[late]]
        keys = (late, offers.bid[late], -offers.success_probability[late], -slashing)
        pays = rescues.after_failure[model.over] > 0.0
        fits = program.gather(node, "upper")[0][: self.over] > 0.0
        self.order = [j for j in np.lexsort(keys).tolist() if pays[j] and fits[j] and self.holder[j] >= 0]

    def apply(self, failed: BoolArray, copied: BoolArray, unlisted: BoolArray) -> BoolArray:
        """Rescues of outcomes, from the ones of those that they are like; listed ones keep theirs."""
        done = copied.copy()
        lost = np.zeros((len(failed), self.over), dtype=bool)
        held = np.flatnonzero(self.holder >= 0)
        lost[:, held] = failed[:, self.holder[held]]
        done[:, : self.over] &= lost
        room = self.room - (self.rows @ done.T.astype(np.float64)).T
        for j in self.order:
            there = slice(self.rows.indptr[j], self.rows.indptr[j + 1])
            row, need = self.rows.indices[there], self.rows.data[there]
            who = np.flatnonzero(lost[:, j] & ~done[:, j] & unlisted)
            slack = ROOM * np.maximum(self.bound[row], need)
            who = who[np.all(room[np.ix_(who, row)] + slack >= need, axis=1)]
            done[who, j] = True
            room[np.ix_(who, row)] -= need
        return done
