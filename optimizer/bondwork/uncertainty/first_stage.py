"""What may be seen before the second decision: outcomes of the first stage, alike ones made one (MODEL 4).

Outcomes of second-stage offers are leaves behind that decision. Their p is the probability once the failure
has been seen: they depend on one another as section 3 of the model says, but are drawn apart from the first
stage's, the same leaves behind every node. So nothing that is seen says anything about them, the outcomes of
offers that were not chosen included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields
from bondwork.problem.faults import Refusal
from bondwork.uncertainty.joint_outcomes import list_outcomes
from bondwork.uncertainty.sampling import outcome_law, sample_outcomes
from bondwork.uncertainty.seeds import child, seed_sequence
from bondwork.uncertainty.tree import ScenarioTree

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.problem.instance import Instance
    from bondwork.uncertainty.outcomes import OutcomeLaw
    from bondwork.uncertainty.seeds import Seed

#: Leaves behind each node where the outcomes of second-stage offers cannot all be listed.
LEAVES = 32

#: Outcomes up to which all combinations of second-stage offers are listed instead of sampled: 2**5 of them.
MOST_LISTED_LEAVES = 32

#: Keys of streams under the seed: of the leaves, and of the leaves behind fresh scenarios.
_LEAVES, _FRESH_LEAVES = 7, 8

#: Cells of the table of failures, one byte each here and eight in the tree.
MOST_CELLS = 50_000_000

#: Cells of a table of fresh outcomes, one byte each.
MOST_FRESH_CELLS = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class FirstStage:
    """K distinct outcomes of the first stage with their probabilities, and L leaves of the second.

    Attributes
    ----------
    offers
        Shape (F,). First-stage offers whose outcomes are told apart.
    failed
        Shape (K, F), bool.
    lost
        Shape (K, number of commitments), bool. Commitments that fail; no columns where nobody asks.
    probability
        Shape (K,), sum 1.
    scenarios
        How many scenarios were drawn; 0 where every outcome is listed, so that nothing is estimated.
    rescues
        Shape (G,). Second-stage offers of the leaves.
    leaf_failed
        Shape (L, G), bool.
    leaf_probability
        Shape (L,), sum 1.
    leaf_scenarios
        How many leaves were drawn; 0 where every one is listed.
    """

    offers: IntArray
    failed: BoolArray
    lost: BoolArray
    probability: FloatArray
    scenarios: int
    rescues: IntArray
    leaf_failed: BoolArray
    leaf_probability: FloatArray
    leaf_scenarios: int = 0

    def __post_init__(self) -> None:
        freeze_fields(self, *(name for name in self.__slots__ if not name.endswith("scenarios")))

    def __len__(self) -> int:
        """Return the number of distinct outcomes."""
        return len(self.probability)

    def seen(self, chosen: IntArray) -> tuple[FirstStage, IntArray]:
        """What is seen when ``chosen`` offers are: outcomes of others forgotten, and which became which.

        Returns
        -------
        FirstStage
            Failures of offers that are not chosen are all false; outcomes that look alike are one.
        IntArray
            Shape (K,). Number of the outcome that each became.
        """
        known = self.failed & np.isin(self.offers, chosen)
        table, which = distinct(np.concatenate([known, self.lost], axis=1))
        width = len(self.offers)
        together = _together(which, self.probability, len(table))
        alike = FirstStage(
            self.offers,
            table[:, :width],
            table[:, width:],
            together,
            self.scenarios,
            self.rescues,
            self.leaf_failed,
            self.leaf_probability,
            self.leaf_scenarios,
        )
        return alike, which

    def tree(self, ids: tuple[str, ...]) -> ScenarioTree:
        """Outcomes as a scenario tree, 1 for a failure; a third stage where there are leaves.

        Parameters
        ----------
        ids
            Of all offers of the round, for the names of the columns.
        """
        names = [f"{offer}: {ids[offer]}" for offer in self.offers.tolist()]
        names += [f"commitment {k}" for k in range(self.lost.shape[1])]
        table = np.concatenate([self.failed, self.lost], axis=1).astype(np.float64)
        if not len(self.leaf_probability):
            return ScenarioTree.from_fan(table, self.probability, names=names)
        count, leaves = len(self), len(self.leaf_probability)
        late = [f"{offer}: {ids[offer]}" for offer in self.rescues.tolist()]
        return ScenarioTree(
            stage=np.repeat([0, 1, 2], [1, count, count * leaves]),
            parent=np.concatenate(
                [[-1], np.zeros(count, np.int64), np.repeat(np.arange(1, count + 1), leaves)]
            ),
            conditional=np.concatenate([[1.0], self.probability, np.tile(self.leaf_probability, count)]),
            values=(np.zeros((1, 0)), table, np.tile(self.leaf_failed.astype(np.float64), (count, 1))),
            names=((), tuple(names), tuple(late)),
        )


def draw_first_stage(
    instance: Instance,
    offers: IntArray,
    rescues: IntArray,
    *,
    seed: Seed,
    commitments: bool = False,
    leaves: bool = False,
    scenarios: int | None = None,
    method: str | None = None,
) -> FirstStage:
    """Draw outcomes of the first stage, or list all of them with their probabilities where they are few.

    Parameters
    ----------
    offers, rescues
        First-stage offers to tell apart, and second-stage offers.
    seed
        Of the scenarios.
    commitments
        Draw the outcomes of commitments jointly with them: work under way is seen like chosen offers are.
    leaves
        Draw leaves of the second-stage offers.
    scenarios, method
        The round's where left out. With a number of scenarios nothing is listed.

    Raises
    ------
    Refusal
        The table of outcomes would not fit.
    """
    law = outcome_law(instance)
    held = np.arange(len(instance.commitments) if commitments else 0) + len(instance.offers)
    count = instance.uncertainty.scenarios if scenarios is None else scenarios
    width = len(offers) + len(held)
    if count * width > MOST_CELLS:
        raise Refusal(
            [
                f"{count} scenarios of {width} first-stage outcomes that a second stage may see; at most "
                f"{MOST_CELLS // max(width, 1)} scenarios of so many are honoured"
            ]
        )
    root = seed_sequence(seed)
    observed = law.select(np.concatenate([offers, held]))
    most = count if scenarios is None else 0
    table, chance, drawn = _outcomes(observed, count, most, root, method or instance.uncertainty.sampling)
    behind = law.select(rescues if leaves else np.zeros(0, np.int64))
    leaf_table, leaf_chance = np.zeros((0, len(rescues)), dtype=bool), np.zeros(0)
    leaves_drawn = 0
    if leaves:
        leaf_table, leaf_chance, leaves_drawn = _outcomes(
            behind, LEAVES, MOST_LISTED_LEAVES, child(root, _LEAVES), "monte_carlo"
        )
    split = len(offers)
    return FirstStage(
        np.asarray(offers), table[:, :split], table[:, split:], chance, drawn, np.asarray(rescues),
        leaf_table, leaf_chance, leaves_drawn,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class FreshOutcomes:
    """S equally likely scenarios of both stages, nothing merged: to measure plans, not to make them.

    Attributes
    ----------
    offers
        Shape (F,). First-stage offers.
    failed
        Shape (S, F), bool.
    lost
        Shape (S, number of commitments), bool; no columns where nobody asks.
    rescues
        Shape (G,). Second-stage offers.
    late_failed
        Shape (S, G), bool. Whether each would fail if it were used; no columns where nobody asks.
    """

    offers: IntArray
    failed: BoolArray
    lost: BoolArray
    rescues: IntArray
    late_failed: BoolArray

    def __post_init__(self) -> None:
        freeze_fields(self, *self.__slots__)

    def __len__(self) -> int:
        """Return the number of scenarios."""
        return len(self.failed)

    @property
    def probability(self) -> FloatArray:
        """Shape (S,). Of the scenarios."""
        return np.full(len(self), 1.0 / len(self))


def draw_fresh_outcomes(
    instance: Instance,
    chosen: IntArray,
    rescues: IntArray,
    *,
    seed: Seed,
    scenarios: int,
    commitments: bool,
    leaves: bool,
) -> FreshOutcomes:
    """Draw independent scenarios of chosen offers, and behind each an outcome of every second-stage offer.

    Parameters
    ----------
    chosen, rescues
        First-stage offers that are chosen, ascending, and second-stage offers.
    seed
        Of the scenarios: never the one of a solve.
    scenarios
        S >= 1.
    commitments, leaves
        Draw the outcomes of commitments, and of second-stage offers, as well.

    Raises
    ------
    Refusal
        The table of outcomes would not fit.
    """
    law = outcome_law(instance)
    held = np.arange(len(instance.commitments) if commitments else 0) + len(instance.offers)
    late = rescues if leaves else np.zeros(0, dtype=np.int64)
    width = len(chosen) + len(held) + len(late)
    if scenarios * width > MOST_FRESH_CELLS:
        raise Refusal([f"{scenarios} fresh scenarios of {width} outcomes; at most {MOST_FRESH_CELLS} in all"])
    root = seed_sequence(seed)
    early = law.select(np.concatenate([chosen, held]))
    seen = sample_outcomes(early, scenarios, seed=root, method="monte_carlo").dense()
    behind = np.zeros((scenarios, 0), dtype=bool)
    if len(late):
        stream_of_leaves = child(root, _FRESH_LEAVES)
        sample = sample_outcomes(law.select(late), scenarios, seed=stream_of_leaves, method="monte_carlo")
        behind = sample.dense()
    split = len(chosen)
    return FreshOutcomes(np.asarray(chosen), seen[:, :split], seen[:, split:], np.asarray(rescues), behind)


def _outcomes(
    law: OutcomeLaw, count: int, most: int, root: np.random.SeedSequence, method: str
) -> tuple[BoolArray, FloatArray, int]:
    """Distinct outcomes, their probabilities, and how many scenarios were drawn for them."""
    listed = list_outcomes(law, most) if most else None
    if listed is not None:
        failed, chance = ~listed[0], listed[1]
        order = np.lexsort(failed.T) if failed.shape[1] else np.zeros(1, dtype=np.int64)
        return failed[order], chance[order], 0
    sample = sample_outcomes(law, count, seed=root, method=method)
    table, which = distinct(sample.dense())
    return table, _together(which, sample.probability, len(table)), count


def _together(which: IntArray, probability: FloatArray, size: int) -> FloatArray:
    """Probabilities of alike scenarios added; their sum is 1 but for rounding, and none is above it."""
    total = np.bincount(which, probability, size)
    shares: FloatArray = np.minimum(total / total.sum(), 1.0)
    return shares


def distinct(table: BoolArray) -> tuple[BoolArray, IntArray]:
    """Distinct lines of a table in a fixed order, and which of them each line is."""
    if not table.shape[1]:
        return table[:1], np.zeros(len(table), dtype=np.int64)
    # eight failures a byte: lines are compared byte by byte
    packed = np.packbits(table, axis=1)
    _, first, which = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    return table[first], which.reshape(-1).astype(np.int64)
