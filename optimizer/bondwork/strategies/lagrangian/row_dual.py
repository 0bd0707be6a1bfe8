"""Dual of all rows: as strong as the LP relaxation, and fast.

For multipliers ``price >= 0`` every task takes its best column at reduced value, so

    L(price) = sum of price + sum over tasks of max(leave, max over columns of value - price @ weights)

(all limits are 1). L is convex and piecewise linear; we go down its subgradients with Adam steps (Kingma & Ba
2015), which cope with rows of very different prices, with a step that shrinks geometrically. Rows ``a @ x <=
1`` may be appended during a solve, with coefficients of either sign: nothing here needs them to be positive.
"""

# Kernels take arrays and numbers; numba infers their types at the first call.
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.compiled import kernel
from bondwork.strategies.lagrangian.shape import TOLERANCE, typical_prices

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.strategies.lagrangian.session import Session
    from bondwork.strategies.lagrangian.shape import Shape
    from bondwork.strategies.lagrangian.tails import Tails


#: Steps between two moves of the tails, share of the last length of step and climb in the first, first climb,
#: and least weight of the newest choices in the running average that the tails climb along.
_TAIL_STEPS, _TAIL_LENGTH, _TAIL_CLIMB, _TAIL_AVERAGE = 8, 1e-2, 0.3, 0.15

#: Of many scenarios: share of the turns on a sample of them, the climb (in spreads) that starts the tails on
#: all, and the least weight of the newest choices.
_SAMPLED, _REFOCUS, _MANY_AVERAGE = 0.2, 4.0, 0.3


@kernel
def row_lagrangian(
    value, task_ptr, task_columns, leave, entry_ptr, entry_row, entry_value, price, best, slack, picked
):
    """Evaluate L(price).

    ``best`` receives the best reduced value of each task, ``slack`` a subgradient: what each row has left
    when every task takes its best column, ``picked`` that column or -1. Returns L.
    """
    total = 0.0
    for r in range(len(price)):
        total += price[r]
        slack[r] = 1.0
    for t in range(len(leave)):
        top = leave[t]
        chosen = -1
        for k in range(task_ptr[t], task_ptr[t + 1]):
            j = task_columns[k]
            reduced = value[j]
            for e in range(entry_ptr[j], entry_ptr[j + 1]):
                reduced -= price[entry_row[e]] * entry_value[e]
            if reduced > top:
                top = reduced
                chosen = j
        best[t] = top
        picked[t] = chosen
        total += top
        if chosen >= 0:
            for e in range(entry_ptr[chosen], entry_ptr[chosen + 1]):
                slack[entry_row[e]] -= entry_value[e]
    return total


@kernel
def descend_rows(
    value,
    task_ptr,
    task_columns,
    leave,
    entry_ptr,
    entry_row,
    entry_value,
    price,
    step,
    shrink,
    iterations,
    share,
    state,
    begun,
    stop,
):
    """Run Adam from ``price``; ``step`` has the first step length of each row.

    Returns the least L found; ``price`` then holds the multipliers it was found at, and ``share`` how often
    each column was the best of its task in the second half: nearly the fractional plan. ``state`` (where we
    are and the two moments; 3 by rows) goes on from ``begun`` iterations before. Ends early when ``stop[0]``
    is set.
    """
    share[:] = 0.0
    picked = np.empty(len(leave), dtype=np.int64)
    rows = len(price)
    best = np.empty(len(leave))
    slack = np.empty(rows)
    current, first, second = state[0], state[1], state[2]
    least = np.inf
    length = 1.0
    decay1, decay2 = 0.9, 0.99
    power1, power2 = decay1**begun, decay2**begun
    for iteration in range(iterations):
        bound = row_lagrangian(
            value,
            task_ptr,
            task_columns,
            leave,
            entry_ptr,
            entry_row,
            entry_value,
            current,
            best,
            slack,
            picked,
        )
        if bound < least:
            least = bound
            price[:] = current
        if 2 * iteration >= iterations:
            for t in range(len(leave)):
                if picked[t] >= 0:
                    share[picked[t]] += 2.0 / (iterations + 1)
        if stop[0] != 0:
            break
        power1 *= decay1
        power2 *= decay2
        for r in range(rows):
            g = slack[r]
            first[r] = decay1 * first[r] + (1 - decay1) * g
            second[r] = decay2 * second[r] + (1 - decay2) * g * g
            move = first[r] / (1 - power1) / (np.sqrt(second[r] / (1 - power2)) + 1e-12)
            current[r] = max(0.0, current[r] - length * step[r] * move)
        length *= shrink
    return least


def descend_from(
    shape: Shape, price: FloatArray, iterations: int, reach: float, stop: IntArray
) -> tuple[float, FloatArray, FloatArray]:
    """Lower L from ``price`` (changed in place); ``reach`` scales the first step.

    Returns the least L, the best reduced value of each task (its price), and the reduced value of each column
    less its task's price: at most 0, and the more below the less a good plan wants the column.
    """
    arrays = (
        shape.value, shape.task_ptr, shape.task_columns, shape.leave,
        shape.entry_ptr, shape.entry_row, shape.entry_value,
    )  # fmt: skip
    step = reach * typical_prices(shape)
    shrink = 1e-3 ** (1.0 / max(iterations, 1))
    share = np.zeros(len(shape.value))
    state = np.vstack([price, np.zeros((2, len(price)))])
    least = descend_rows(*arrays, price, step, shrink, iterations, share, state, 0, stop)
    best = np.empty(shape.tasks)
    row_lagrangian(*arrays, price, best, np.empty(shape.rows), np.empty(shape.tasks, dtype=np.int64))
    cost = price[shape.entry_row] * shape.entry_value
    column = np.repeat(np.arange(len(shape.value)), np.diff(shape.entry_ptr))
    reduced = shape.value - np.bincount(column, cost, minlength=len(shape.value)) - best[shape.task]
    return least + TOLERANCE * float(price.sum()), best, reduced


def follow_tails(session: Session, tails: Tails, price: FloatArray, reach: float, turns: int) -> None:
    """Find prices (in place) and the tails that go with them, in turns of a few steps each.

    Of many scenarios a few serve at first; what they say is where those near the tail are looked for, and
    with those the steps begin anew.
    """
    shape = tails.shape
    step = reach * typical_prices(shape)
    state = np.vstack([price, np.zeros((2, len(price)))])
    share, average = np.zeros(len(shape.value)), np.zeros(len(shape.value))
    shrink = _TAIL_LENGTH ** (1.0 / (turns * _TAIL_STEPS))
    sampled = round(_SAMPLED * turns) if tails.many else 0
    newest = _MANY_AVERAGE if sampled else _TAIL_AVERAGE
    if sampled:
        tails.sample()
    for turn in range(turns):
        if turn == sampled and sampled:
            tails.focus(average)
            tails.climb(average, _REFOCUS)
        cooled = shrink ** ((turn if turn < sampled else turn - sampled) * _TAIL_STEPS)
        job = partial(
            descend_rows, shape.value, shape.task_ptr, shape.task_columns, shape.leave, shape.entry_ptr,
            shape.entry_row, shape.entry_value, price, cooled * step, shrink, _TAIL_STEPS, share, state,
            turn * _TAIL_STEPS, session.stop,
        )  # fmt: skip
        least = session.run([job])[0]
        session.check()
        if turn >= sampled:
            session.offer_bound(least + TOLERANCE * float(price.sum()), "row dual")
        average += max(newest, 1.0 / (turn + 1)) * (share - average)
        tails.climb(average, _TAIL_CLIMB * cooled)
    price[:] = state[0]
