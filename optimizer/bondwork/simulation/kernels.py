"""The inner loops, compiled: who serves which task, the clock, and settlement in whole units."""

# Kernels take arrays and numbers; numba infers their types at the first call.
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from bondwork.base.compiled import kernel

#: As `bondwork.program.filling.ROOM_TOLERANCE`: decimals that add up on paper need not do so in binary.
ROOM = 1e-12


@kernel
def choose_operators(uniform, weight):
    """Index of the operator for each uniform, with probabilities proportional to weights; -1 if all are 0."""
    total = np.cumsum(weight)
    out = np.full(len(uniform), -1)
    if total[-1] > 0.0:
        for i in range(len(uniform)):
            out[i] = min(np.searchsorted(total, uniform[i] * total[-1], side="right"), len(weight) - 1)
    return out


@kernel
def choose_distinct(uniform, size):
    """Choose different numbers below ``size``, one for each uniform of a row: how a shuffle starts."""
    n, k = uniform.shape
    out = np.empty((n, k), dtype=np.int64)
    cards = np.arange(size)
    for i in range(n):
        for j in range(k):
            at = j + int(uniform[i, j] * (size - j))
            cards[j], cards[at] = cards[at], cards[j]
            out[i, j] = cards[j]
    return out


@kernel
def _price(clock, bid, load, is_self, rising, bidding):
    """What an offer takes while the clock shows a price; ``inf`` to wait or to stay away."""
    premium, margin, stay_away = bidding
    if is_self:
        return bid if bid <= clock else np.inf
    if load >= stay_away:
        return np.inf
    needed = bid * (1.0 + premium * load)
    if rising:
        return clock if clock >= needed else np.inf
    if clock > needed * (1.0 + margin * min(max(1.0 - load, 0.0), 1.0)):
        return np.inf
    return max(clock, needed)


@kernel
def hold_clock(
    task,
    executor,
    is_self,
    bid,
    reward,
    reserve,
    work,
    collateral,
    operator,
    slashing,
    order,
    shares,
    rising,
    bidding,
    capacity,
    free,
    stake,
    replicas,
):
    """Hold a clock auction; the rules of `bondwork.market.auction`, with replicas and stake besides.

    Columns stand in the order of the tasks; ``order`` is the tie rule. ``bidding`` is premium, margin and
    stay_away. Returns awarded columns in the order of the awards, and prices.
    """
    tasks = task[-1] + 1 if len(task) else 0
    left = np.full(tasks, replicas)
    used = np.zeros(len(capacity))
    held = np.zeros(len(free))
    at_stake = np.zeros(len(stake))
    taken = np.zeros(len(task), dtype=np.bool_)
    load = np.zeros(len(capacity))
    columns = np.empty(tasks * replicas, dtype=np.int64)
    prices = np.empty(tasks * replicas)
    waiting = order.copy()
    number, waits = 0, len(order)
    for share in shares:
        for e in range(len(capacity)):
            load[e] = used[e] / capacity[e] if capacity[e] > 0.0 else 1.0
        still = 0
        for position in range(waits):
            column = waiting[position]
            a = task[column]
            if left[a] == 0 or taken[column]:
                continue
            waiting[still] = column
            still += 1
            e, v = executor[column], operator[column]
            price = _price(share * reward[column], bid[column], load[e], is_self[column], rising, bidding)
            if price > reserve[column]:
                continue
            if used[e] + work[column] > capacity[e] + ROOM * capacity[e]:
                continue
            if at_stake[v] + slashing[column] > stake[v] + ROOM * stake[v] and left[a] == replicas:
                continue
            if not is_self[column]:
                if held[e] + collateral[column] > free[e] + ROOM * free[e]:
                    continue
                held[e] += collateral[column]
            if left[a] == replicas:
                at_stake[v] += slashing[column]
            used[e] += work[column]
            taken[column] = True
            left[a] -= 1
            columns[number] = column
            prices[number] = price
            number += 1
        waits = still
    return columns[:number], prices[:number]


@kernel
def split_units(units, shares, parts):
    """Split units by shares in millionths without losing one: largest remainders first, then the first."""
    given = 0
    for i in range(4):
        parts[i] = units * shares[i] // 1_000_000
        given += parts[i]
    for _ in range(units - given):
        best, largest = 0, -1
        for i in range(4):
            remainder = units * shares[i] % 1_000_000
            # who was served already has its remainder spent
            if parts[i] == units * shares[i] // 1_000_000 and remainder > largest:
                best, largest = i, remainder
        parts[best] += 1


@kernel
def _pay(v, c, is_self, price, stake, balance, cp_balance, money, op_flow, cp_flow):
    """Pay from an operator's balance, then from its stake; return what nobody could pay."""
    from_balance = min(price, balance[v])
    from_stake = min(price - from_balance, stake[v])
    balance[v] -= from_balance
    stake[v] -= from_stake
    paid = from_balance + from_stake
    op_flow[v, 1] += paid
    if is_self:
        money[2] += paid
    else:
        cp_balance[c] += paid
        cp_flow[c, 0] += paid
    return price - paid


@kernel
def _compare_results(start, end, failed, wrong):
    """Find wrong results where another executor has a right one; return how many are right and wrong."""
    right, wrongs = 0, 0
    for i in range(start, end):
        if not failed[i]:
            if wrong[i]:
                wrongs += 1
            else:
                right += 1
    if right > 0 and wrongs > 0:
        for i in range(start, end):
            if wrong[i]:
                failed[i] = True
        wrongs = 0
    return right, wrongs


@kernel
def _answer(v, c, failed, collateral, shares, parts, balance, cp_collateral, money, op_flow, cp_flow):
    """Count a delegated piece of work, and split the collateral of one that failed but a rescuer's share."""
    cp_flow[c, 2] += 1
    parts[2] = 0
    if not failed:
        cp_flow[c, 3] += 1
        return
    split_units(collateral, shares, parts)
    cp_collateral[c] -= collateral
    cp_flow[c, 1] += collateral
    money[0] += parts[0]
    balance[v] += parts[1]
    op_flow[v, 3] += parts[1]
    money[1] += parts[3]


@kernel
def _find_rescuer(start, end, executor, is_self, failed):
    """The coprocessor that did what another had failed to do; -1 where there is none."""
    for i in range(start, end):
        if not failed[i] and not is_self[i]:
            return executor[i]
    return -1


@kernel
def _reward_rescuer(units, rescuer, cp_balance, money, cp_flow):
    """Give a rescuer its share of forfeited collateral; without one it is burned."""
    if rescuer >= 0:
        cp_balance[rescuer] += units
        cp_flow[rescuer, 0] += units
    else:
        money[0] += units


@kernel
def settle(
    task,
    operator,
    executor,
    is_self,
    failed,
    wrong,
    price,
    reward,
    slashing,
    collateral,
    quorum,
    paid_always,
    rescues,
    shares,
    stake,
    balance,
    cp_collateral,
    cp_balance,
    money,
    op_flow,
    cp_flow,
    totals,
):
    """Settle chosen columns, task by task, as `bondwork.market.settlement.Ledger` would, in place.

    Chosen columns stand in the order of their tasks. ``failed`` is changed: a wrong result is found where
    another executor of the task has a right one. ``money`` is burned, treasury, outside. ``op_flow`` has
    columns reward, paid, slashed, given back, tasks, succeeded; ``cp_flow`` income, forfeited, pieces,
    succeeded. ``totals`` is tasks done, tasks failed, wrong results that counted, shortfall, rewards paid for
    wrong ones, and tasks rescued. With ``rescues`` a task's second executor was found after its first failed:
    it gets the rescuer's share, which is burned otherwise.
    """
    parts = np.zeros(4, dtype=np.int64)
    end = 0
    while end < len(task):
        start = end
        while end < len(task) and task[end] == task[start]:
            end += 1
        right, wrongs = _compare_results(start, end, failed, wrong)
        v = operator[start]
        done = right + wrongs >= quorum
        op_flow[v, 4] += 1
        if done:
            balance[v] += reward[start]
            money[2] -= reward[start]
            op_flow[v, 0] += reward[start]
            op_flow[v, 5] += 1
            totals[0] += 1
            totals[5] += rescues and end - start > 1
            if right == 0:
                totals[2] += 1
                totals[4] += reward[start]
        else:
            totals[1] += 1
        for i in range(start, end):
            if paid_always or is_self[i] or not failed[i]:
                c, own = executor[i], is_self[i]
                totals[3] += _pay(v, c, own, price[i], stake, balance, cp_balance, money, op_flow, cp_flow)
        if not done:
            slashed = min(slashing[start], stake[v])
            stake[v] -= slashed
            money[0] += slashed
            op_flow[v, 2] += slashed
            totals[3] += slashing[start] - slashed
        rescuer = _find_rescuer(start, end, executor, is_self, failed) if rescues else -1
        for i in range(start, end):
            if not is_self[i]:
                c, bad, units = executor[i], failed[i], collateral[i]
                _answer(v, c, bad, units, shares, parts, balance, cp_collateral, money, op_flow, cp_flow)
                _reward_rescuer(parts[2], rescuer, cp_balance, money, cp_flow)
