"""Simulated annealing over insert, shift, swap and eject moves, compiled.

A move takes a random task to a random one of its columns. Where that does not fit, one task of the same block
makes room and goes to the best place it finds, the one just vacated included (a swap), or stays out (an
ejection; Yagiura, Ibaraki & Glover 2006 chain more of them). Every state visited is feasible but for required
tasks left out, which cost more than any plan is worth. Works for any nonnegative rows, linking ones included.
"""

# Kernels take arrays and numbers; numba infers their types at the first call.
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from bondwork.base.compiled import kernel
from bondwork.strategies.lagrangian.losses import shift_losses
from bondwork.strategies.lagrangian.shape import TOLERANCE


@kernel(inline="always")
def _draw(state):
    """Next 64 random bits of the xorshift64* generator (Vigna 2016) in ``state[0]``."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return x * np.uint64(2685821657736338717)


@kernel(inline="always")
def _below(state, n):
    return np.int64((_draw(state) >> np.uint64(33)) % np.uint64(n))


@kernel(inline="always")
def _uniform(state):
    return np.float64(_draw(state) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel(inline="always")
def _fits(j, entry_ptr, entry_row, entry_value, load):
    for e in range(entry_ptr[j], entry_ptr[j + 1]):
        if load[entry_row[e]] + entry_value[e] > 1.0 + TOLERANCE:
            return False
    return True


@kernel(inline="always")
def _add(j, sign, entry_ptr, entry_row, entry_value, load):
    for e in range(entry_ptr[j], entry_ptr[j + 1]):
        load[entry_row[e]] += sign * entry_value[e]


@kernel(inline="always")
def _link(t, b, head, after, before):
    after[t] = head[b]
    before[t] = -1
    if head[b] >= 0:
        before[head[b]] = t
    head[b] = t


@kernel(inline="always")
def _unlink(t, b, head, after, before):
    if before[t] >= 0:
        after[before[t]] = after[t]
    else:
        head[b] = after[t]
    if after[t] >= 0:
        before[after[t]] = before[t]


@kernel
def _within(old, new, other_old, other_new, least, runs, level, allowed, toll, excess, loss):
    """Exchange columns (-1 for none) in the losses if the tail limits allow, and cost at most -``least``.

    What they cost is ``toll`` for each unit of expected excess. Returns whether it was done, and what it
    costs.
    """
    if len(level) == 0:
        return True, 0.0
    before = 0.0
    for i in range(len(level)):
        before += toll[i] * excess[i]
    if old >= 0:
        shift_losses(old, -1.0, runs, level, excess, loss)
    if other_old >= 0:
        shift_losses(other_old, -1.0, runs, level, excess, loss)
    if other_new >= 0:
        shift_losses(other_new, 1.0, runs, level, excess, loss)
    if new >= 0:
        shift_losses(new, 1.0, runs, level, excess, loss)
    cost = -before
    fits = True
    for i in range(len(level)):
        cost += toll[i] * excess[i]
        fits = fits and excess[i] <= allowed[i]
    if fits and cost <= -least:
        return True, cost
    if new >= 0:
        shift_losses(new, -1.0, runs, level, excess, loss)
    if other_new >= 0:
        shift_losses(other_new, -1.0, runs, level, excess, loss)
    if other_old >= 0:
        shift_losses(other_old, 1.0, runs, level, excess, loss)
    if old >= 0:
        shift_losses(old, 1.0, runs, level, excess, loss)
    return False, 0.0


@kernel
def anneal(  # noqa: PLR0912, PLR0915 - calls cost more than lines here
    value, block, task_ptr, task_columns, leave, entry_ptr, entry_row, entry_value,
    blocks, rows, assigned, best, state, hot, cold, moves, runs, level, allowed, toll, loss, stop,
):  # fmt: skip
    """Run ``moves`` moves while the temperature falls geometrically from ``hot`` to ``cold``.

    ``assigned`` (column of each task or -1) is where to start and receives the last state, ``best`` the best
    state seen in this run (the start included). Returns its value. Ends early when ``stop[0]`` is set.

    ``runs`` are the losses of columns under the tail limits; the expected excess of each limit's ``loss``
    (that of the start) over ``level`` may reach ``allowed``. At any level that keeps CVaR within its limit
    (Rockafellar & Uryasev 2000), and it costs only the scenarios in which the columns of a move fail. Each
    unit of excess costs its limit's ``toll``: with tolls a move may be worth more than its values say, and
    limits may be left open.
    """
    excess = np.zeros(len(level))
    for i in range(len(level)):
        for s in range(runs.offset[i], runs.offset[i + 1]):
            excess[i] += runs.probability[s] * max(0.0, loss[s] - level[i])
    tasks = len(leave)
    load = np.zeros(rows)
    head = np.full(blocks, -1, dtype=np.int64)
    after = np.full(tasks, -1, dtype=np.int64)
    before = np.full(tasks, -1, dtype=np.int64)
    total = 0.0
    for t in range(tasks):
        j = assigned[t]
        if j >= 0:
            _add(j, 1.0, entry_ptr, entry_row, entry_value, load)
            _link(t, block[j], head, after, before)
            total += value[j]
        else:
            total += leave[t]
    tolled = False
    for i in range(len(level)):
        total -= toll[i] * excess[i]
        tolled = tolled or toll[i] > 0.0
    top = total
    best[:] = assigned
    dirty = False  # a better state than `best` is held and not yet copied
    temperature = hot
    chunk = 256
    cool = (cold / hot) ** (chunk / max(moves, 1))
    for move in range(moves):
        if move % chunk == 0:
            if move > 0:
                temperature *= cool
            if stop[0] != 0:
                break
        t = _below(state, tasks)
        degree = task_ptr[t + 1] - task_ptr[t]
        if degree == 0:
            continue
        old = assigned[t]
        pick = _below(state, degree + (tolled and old >= 0))
        worth = value[old] if old >= 0 else leave[t]
        threshold = -temperature * -np.log(_uniform(state) + 1e-300)
        if pick == degree:
            # Where losses cost something, leaving the task may be best.
            gain = leave[t] - worth
            done, cost = _within(old, -1, -1, -1, threshold - gain, runs, level, allowed, toll, excess, loss)
            if done:
                gain -= cost
                if dirty and gain < 0.0:
                    best[:] = assigned
                    dirty = False
                _add(old, -1.0, entry_ptr, entry_row, entry_value, load)
                _unlink(t, block[old], head, after, before)
                assigned[t] = -1
                total += gain
                if total > top + 1e-12:
                    top = total
                    dirty = True
            continue
        j = task_columns[task_ptr[t] + pick]
        if j == old:
            continue
        if old >= 0:
            _add(old, -1.0, entry_ptr, entry_row, entry_value, load)
        gain = value[j] - worth
        if _fits(j, entry_ptr, entry_row, entry_value, load):
            done = False
            if gain >= threshold or (tolled and old >= 0):
                done, cost = _within(
                    old, j, -1, -1, threshold - gain, runs, level, allowed, toll, excess, loss
                )
            if done:
                gain -= cost
                if dirty and gain < 0.0:
                    best[:] = assigned
                    dirty = False
                _add(j, 1.0, entry_ptr, entry_row, entry_value, load)
                if old >= 0:
                    _unlink(t, block[old], head, after, before)
                _link(t, block[j], head, after, before)
                assigned[t] = j
                total += gain
                if total > top + 1e-12:
                    top = total
                    dirty = True
            elif old >= 0:
                _add(old, 1.0, entry_ptr, entry_row, entry_value, load)
            continue
        # One task of the block makes room, if it can.
        out, out_to, out_gain = -1, -1, -np.inf
        _add(j, 1.0, entry_ptr, entry_row, entry_value, load)
        other = head[block[j]]
        while other >= 0:
            if other != t:
                i = assigned[other]
                _add(i, -1.0, entry_ptr, entry_row, entry_value, load)
                room = True
                for e in range(entry_ptr[j], entry_ptr[j + 1]):
                    if load[entry_row[e]] > 1.0 + TOLERANCE:
                        room = False
                        break
                if room:
                    if leave[other] - value[i] > out_gain:
                        out, out_to, out_gain = other, -1, leave[other] - value[i]
                    for k in range(task_ptr[other], task_ptr[other + 1]):
                        to = task_columns[k]
                        if value[to] - value[i] <= out_gain:
                            break  # best first
                        if to != i and _fits(to, entry_ptr, entry_row, entry_value, load):
                            out, out_to, out_gain = other, to, value[to] - value[i]
                            break
                _add(i, 1.0, entry_ptr, entry_row, entry_value, load)
            other = after[other]
        gain += out_gain
        done = False
        if out >= 0 and (gain >= threshold or tolled):
            done, cost = _within(
                old, j, assigned[out], out_to, threshold - gain, runs, level, allowed, toll, excess, loss
            )
        if done:
            gain -= cost
            if dirty and gain < 0.0:
                best[:] = assigned
                dirty = False
            if old >= 0:
                _unlink(t, block[old], head, after, before)
            _link(t, block[j], head, after, before)
            assigned[t] = j
            i = assigned[out]
            _add(i, -1.0, entry_ptr, entry_row, entry_value, load)
            _unlink(out, block[i], head, after, before)
            assigned[out] = out_to
            if out_to >= 0:
                _add(out_to, 1.0, entry_ptr, entry_row, entry_value, load)
                _link(out, block[out_to], head, after, before)
            total += gain
            if total > top + 1e-12:
                top = total
                dirty = True
        else:
            _add(j, -1.0, entry_ptr, entry_row, entry_value, load)
            if old >= 0:
                _add(old, 1.0, entry_ptr, entry_row, entry_value, load)
    if dirty:
        best[:] = assigned
    return top


@kernel
def fill(order, task, entry_ptr, entry_row, entry_value, load, assigned):
    """Give each task without a column the first in ``order`` that fits, in place."""
    for j in order:
        if assigned[task[j]] < 0 and _fits(j, entry_ptr, entry_row, entry_value, load):
            _add(j, 1.0, entry_ptr, entry_row, entry_value, load)
            assigned[task[j]] = j
