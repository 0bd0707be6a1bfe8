"""Limits on losses of a second stage, where a decision breaks them by less than a solver sees.

A loss grows with what is chosen and taken up, and shrinks with what is taken over; so does every measure of
it. Where a whole decision breaks a limit, every decision that chooses and takes up as much and takes over no
more does, too: one linking row rules all of them out.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from bondwork.program.linking import Linking
from bondwork.program.rescue_assessment import assess_rescues

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.program.recourse import SecondStage
    from bondwork.program.redelegation import Redelegation


def keeps_limits(model: Redelegation, x: FloatArray, rescued: FloatArray) -> bool:
    """Whether a decision keeps every limit on losses, on the outcomes of its model.

    Parameters
    ----------
    x
        First stage, shape (choices,).
    rescued
        Shape (K, decisions).
    """
    return all(each.is_kept for each in assess_rescues(model, x, rescued, None))


def without_decision(model: Redelegation, x: FloatArray, rescued: FloatArray) -> Redelegation:
    """Return a model without a decision that breaks a limit on losses, and all that lose as much."""
    over = len(model.over)
    nodes = np.arange(1, len(model.outcomes) + 1)
    able = model.program.gather(nodes, "upper")[:, :over] > 0.0
    chosen = np.flatnonzero(x[: model.first.choices] > 0.5).tolist()
    entries = [(0, 0, column, 1.0) for column in chosen]
    node, column = np.nonzero(rescued[:, over:] > 0.5)
    entries += [(0, k + 1, over + j, 1.0) for k, j in zip(node.tolist(), column.tolist(), strict=True)]
    most = len(entries) - 1.0
    node, column = np.nonzero(able & (rescued[:, :over] < 0.5))
    entries += [(0, k + 1, j, -1.0) for k, j in zip(node.tolist(), column.tolist(), strict=True)]
    known = len(model.program.linking)
    more = Linking.make([(f"too much is lost {known}", -np.inf, most)], entries)
    linking = model.program.linking.joined(more)
    return dataclasses.replace(model, program=dataclasses.replace(model.program, linking=linking))


def with_fewer_offers(
    model: Redelegation,
    x: FloatArray,
    decide: Callable[[FloatArray], SecondStage],
    is_late: Callable[[], bool],
) -> FloatArray | None:
    """Give up choices of a first stage until a second stage keeps every limit on losses behind it.

    What earns the least for what it is expected to lose goes first. What was given up without need is
    chosen again, the best first, while there is time.

    Parameters
    ----------
    x
        First stage, shape (choices,), behind which there is no second stage.
    decide
        Decides the second stage behind a first one.
    is_late
        Whether time is up.

    Returns
    -------
    numpy.ndarray or None
        A first stage with a second one behind it; ``None`` where none was found, as where required tasks
        lose too much.
    """
    instance, columns = model.instance, model.first.columns[: model.first.choices]
    offers = instance.offers
    chosen = np.flatnonzero(x > 0.5)
    of = columns[chosen]
    lost = instance.claims.slashing[offers.claim[of]] * (1.0 - offers.success_probability[of])
    free = (lost > 0.0) & ~instance.tasks.required[offers.task[of]]
    rate = model.first.objective[chosen[free]] / lost[free]
    order: IntArray = chosen[free][np.argsort(rate, kind="stable")]

    def without(given_up: IntArray) -> FloatArray:
        fewer: FloatArray = x.copy()
        fewer[given_up] = 0.0
        return fewer

    def works(given_up: IntArray) -> bool:
        return decide(without(given_up)).rescued is not None

    if not len(order) or not works(order):
        return None
    low, high = 0, len(order)  # so many are too few to give up, so many suffice
    while high - low > 1 and not is_late():
        middle = (low + high) // 2
        low, high = (low, middle) if works(order[:middle]) else (middle, high)
    gone = order[:high]
    for each in order[:high][::-1].tolist():
        if is_late():
            break
        fewer = gone[gone != each]
        gone = fewer if works(fewer) else gone
    return without(gone)
