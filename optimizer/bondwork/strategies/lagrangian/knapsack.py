"""Exact knapsacks with several rows: branch and bound with many cheap bounds.

Maximise ``profit @ x`` subject to ``weight[:, r] @ x <= room[r]`` for each row r, x binary. For any ``price
>= 0``

    profit @ x <= price @ room + sum of max(0, profit_i - price @ weight_i)

bounds it, with ``room`` for what the rows allow (1 less what is taken beforehand); the best price gives the
LP bound. Below a node that has decided items 0 to i-1, the same holds for what is left of the rows and the
items i and on, whose terms are summed up beforehand. So a fixed list of prices gives as many bounds at each
node, each for one multiplication per row, and their minimum comes close to the LP bound of the node: the
prices are the best one, scaled (items deep in the list are worth less), and tilted towards each row (a node
may run out of one row before another).
"""

# Kernels take arrays and numbers; numba infers their types at the first call.
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from bondwork.base.compiled import kernel
from bondwork.strategies.lagrangian.shape import TOLERANCE

_SCALES = np.array([1.0, 0.85, 0.7, 0.5, 0.3, 1.2])
_TILTS = np.array([0.5, 1.6])


@kernel
def price_bound(profit, weight, room, rows, count, price):
    """Bound of the whole knapsack at ``price``."""
    total = 0.0
    for r in range(rows):
        total += price[r] * room[r]
    for i in range(count):
        reduced = profit[i]
        for r in range(rows):
            reduced -= price[r] * weight[i, r]
        if reduced > 0.0:
            total += reduced
    return total


@kernel
def best_price(profit, weight, room, rows, count, price, sweeps):
    """Lower the bound over ``price``, in place: row by row, each time a fractional knapsack (Dantzig)."""
    ratio = np.empty(count)
    for _ in range(sweeps):
        moved = 0.0
        for r in range(rows):
            for i in range(count):
                left = profit[i]
                for s in range(rows):
                    if s != r:
                        left -= price[s] * weight[i, s]
                ratio[i] = left / weight[i, r] if weight[i, r] > 0.0 and left > 0.0 else 0.0
            order = np.argsort(-ratio[:count])
            left = room[r]
            level = 0.0
            for k in range(count):
                i = order[k]
                if ratio[i] <= 0.0:
                    break
                left -= weight[i, r]
                if left < 0.0:
                    level = ratio[i]
                    break
            moved = max(moved, abs(level - price[r]) / (abs(level) + abs(price[r]) + 1e-300))
            price[r] = level
        if moved < 1e-9:
            break


@kernel
def solve_knapsack(profit, weight, room, rows, count, price, hint, node_limit, take, stop):  # noqa: PLR0912, PLR0915
    """Solve one knapsack; ``price`` is the best price, ``hint`` a selection to start from (or all False).

    ``take`` receives the best selection found. Returns (its value, a bound on the optimum, nodes).
    """
    root = price_bound(profit, weight, room, rows, count, price)

    # Order by worth per priced weight; reduced values decide what can be fixed.
    reduced = np.empty(count)
    density = np.empty(count)
    for i in range(count):
        cost = 0.0
        for r in range(rows):
            cost += price[r] * weight[i, r]
        reduced[i] = profit[i] - cost
        density[i] = -profit[i] / (cost + 1e-12)
    order = np.argsort(density)

    # Two starting selections: the hint, and greedy by density.
    best = 0.0
    used = np.zeros(rows)
    for i in range(count):
        take[i] = False
    value = 0.0
    fits = True
    for i in range(count):
        if hint[i]:
            value += profit[i]
            for r in range(rows):
                used[r] += weight[i, r]
    for r in range(rows):
        fits = fits and used[r] <= room[r]
    if fits and value > best:
        best = value
        for i in range(count):
            take[i] = hint[i]
    used[:] = 0.0
    value = 0.0
    greedy = np.zeros(count, dtype=np.bool_)
    for k in range(count):
        i = order[k]
        fits = True
        for r in range(rows):
            if used[r] + weight[i, r] > room[r]:
                fits = False
        if fits:
            greedy[i] = True
            value += profit[i]
            for r in range(rows):
                used[r] += weight[i, r]
    if value > best:
        best = value
        for i in range(count):
            take[i] = greedy[i]

    gap_eps = 1e-10 * (abs(root) + 1e-30)
    if root <= best + gap_eps:
        return best, max(root, best), 0

    # Items whose reduced value alone spends the gap are fixed.
    left = room.copy()
    fixed_value = 0.0
    core = np.empty(count, dtype=np.int64)
    free = 0
    fixed = np.zeros(count, dtype=np.bool_)
    for k in range(count):
        i = order[k]
        if root - abs(reduced[i]) <= best + gap_eps:
            if reduced[i] > 0.0:
                fixed[i] = True
                fixed_value += profit[i]
                for r in range(rows):
                    left[r] -= weight[i, r]
        else:
            core[free] = i
            free += 1
    for r in range(rows):
        if left[r] < 0.0:  # then nothing better than the start exists
            return best, best + gap_eps, 0

    # Prices, and their suffix sums over the core.
    count_prices = len(_SCALES) + (rows * len(_TILTS) if rows > 1 else 0)
    prices = np.empty((count_prices, rows))
    for s in range(len(_SCALES)):
        for r in range(rows):
            prices[s, r] = price[r] * _SCALES[s]
    if rows > 1:
        q = len(_SCALES)
        for r in range(rows):
            for s in range(len(_TILTS)):
                for o in range(rows):
                    prices[q, o] = price[o]
                prices[q, r] = price[r] * _TILTS[s]
                q += 1
    suffix = np.zeros((free + 1, count_prices))
    p = np.empty(free)
    w = np.empty((free, rows))
    for k in range(free):
        p[k] = profit[core[k]]
        for r in range(rows):
            w[k, r] = weight[core[k], r]
    for k in range(free - 1, -1, -1):
        for s in range(count_prices):
            gain = p[k]
            for r in range(rows):
                gain -= prices[s, r] * w[k, r]
            suffix[k, s] = suffix[k + 1, s] + max(gain, 0.0)

    # Depth first: take what fits, leave it on the way back.
    stack = np.empty(free, dtype=np.int64)
    depth = 0
    nodes = 0
    value = fixed_value
    open_bound = -np.inf
    sharp = 0  # the price that pruned last is tried first
    k = 0
    while True:
        while k < free:
            fits = True
            for r in range(rows):
                if w[k, r] > left[r]:
                    fits = False
                    break
            if fits:
                break
            k += 1
        if k == free:
            if value > best:
                best = value
                for i in range(count):
                    take[i] = fixed[i]
                for d in range(depth):
                    take[core[stack[d]]] = True
        else:
            nodes += 1
            if nodes & 4095 == 0 and stop[0] != 0:
                node_limit = nodes
            worth = best + gap_eps - value
            bound = suffix[k, sharp]
            for r in range(rows):
                bound += prices[sharp, r] * left[r]
            if bound > worth:
                for s in range(count_prices):
                    b = suffix[k, s]
                    for r in range(rows):
                        b += prices[s, r] * left[r]
                    if b < bound:
                        bound = b
                        if bound <= worth:
                            sharp = s
                            break
            if bound > worth:
                if nodes <= node_limit:
                    stack[depth] = k
                    depth += 1
                    value += p[k]
                    for r in range(rows):
                        left[r] -= w[k, r]
                    k += 1
                    continue
                open_bound = max(open_bound, value + bound)
        if depth == 0:
            break
        depth -= 1
        k = stack[depth]
        value -= p[k]
        for r in range(rows):
            left[r] += w[k, r]
        k += 1
    return best, max(best + gap_eps, min(open_bound, root)), nodes


@kernel
def _gather(block, gain, excluded, block_ptr, row_ptr, dense_ptr, dense, item, profit, weight):
    """Columns of a block that may pay, with their profit and weights; returns how many."""
    low, high = block_ptr[block], block_ptr[block + 1]
    rows = row_ptr[block + 1] - row_ptr[block]
    count = 0
    for j in range(low, high):
        if gain[j] > 0.0 and not excluded[j]:
            item[count] = j
            profit[count] = gain[j]
            for r in range(rows):
                weight[count, r] = dense[dense_ptr[block] + (j - low) * rows + r]
            count += 1
    return count


@kernel
def solve_blocks(
    first,
    last,
    block_ptr,
    row_ptr,
    dense_ptr,
    dense,
    gain,
    excluded,
    taken,
    price,
    node_limit,
    chosen,
    bounds,
    stop,
):
    """Solve the knapsacks of blocks ``first`` to ``last - 1`` for column values ``gain``.

    ``price`` (own rows of all blocks) and ``chosen`` (columns) are read as starting points and receive the
    result; ``excluded`` columns cannot be chosen, and ``taken`` of each row is gone already. Returns the
    number of nodes.
    """
    nodes = 0
    for b in range(first, last):
        if stop[0] != 0:
            break
        size = block_ptr[b + 1] - block_ptr[b]
        rows = row_ptr[b + 1] - row_ptr[b]
        item = np.empty(size, dtype=np.int64)
        profit = np.empty(size)
        weight = np.empty((size, rows))
        count = _gather(b, gain, excluded, block_ptr, row_ptr, dense_ptr, dense, item, profit, weight)
        hint = np.empty(count, dtype=np.bool_)
        for k in range(count):
            hint[k] = chosen[item[k]]
        chosen[block_ptr[b] : block_ptr[b + 1]] = False
        room = np.empty(rows)
        for r in range(rows):
            room[r] = max(0.0, 1.0 + TOLERANCE - taken[row_ptr[b] + r])
        own = price[row_ptr[b] : row_ptr[b + 1]]
        best_price(profit, weight, room, rows, count, own, 3)
        take = np.zeros(count, dtype=np.bool_)
        _, bound, visited = solve_knapsack(
            profit, weight, room, rows, count, own, hint, node_limit, take, stop
        )
        bounds[b] = bound
        nodes += visited
        for k in range(count):
            chosen[item[k]] = take[k]
    return nodes


@kernel
def probe_columns(
    first, last, block_ptr, row_ptr, dense_ptr, dense, gain, price, node_limit, bounds, spare, keep, stop
):
    """Clear ``keep`` of the columns that no plan better than the incumbent uses.

    That is how Posta, Ferland & Michelon (2012) fix variables: choosing column j costs the bound the optimum
    of its block less the optimum with j forced in. ``spare`` is how much the bound can lose before it meets
    the incumbent, ``bounds`` the optimum of each block.
    """
    excluded = ~keep
    for b in range(first, last):
        low = block_ptr[b]
        size = block_ptr[b + 1] - low
        rows = row_ptr[b + 1] - row_ptr[b]
        item = np.empty(size, dtype=np.int64)
        profit = np.empty(size)
        weight = np.empty((size, rows))
        full = np.full(rows, 1.0 + TOLERANCE)
        own = price[row_ptr[b] : row_ptr[b + 1]].copy()
        for j in range(low, block_ptr[b + 1]):
            if stop[0] != 0:
                return
            if not keep[j]:
                continue
            excluded[j] = True
            count = _gather(b, gain, excluded, block_ptr, row_ptr, dense_ptr, dense, item, profit, weight)
            room = full.copy()
            for r in range(rows):
                room[r] = max(0.0, room[r] - dense[dense_ptr[b] + (j - low) * rows + r])
            # The price alone often shows enough; the knapsack is solved only where it does not.
            trial = own.copy()
            bound = price_bound(profit, weight, room, rows, count, trial)
            if bounds[b] - gain[j] - bound <= spare:
                best_price(profit, weight, room, rows, count, trial, 3)
                take = np.zeros(count, dtype=np.bool_)
                _, bound, _ = solve_knapsack(
                    profit,
                    weight,
                    room,
                    rows,
                    count,
                    trial,
                    np.zeros(count, dtype=np.bool_),
                    node_limit,
                    take,
                    stop,
                )
            if bounds[b] - gain[j] - bound > spare:
                keep[j] = False
            else:
                excluded[j] = False
