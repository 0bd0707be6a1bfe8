"""What a policy over later periods measures under the limits of its round; keeps those on tails."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.tolerances import ROW
from bondwork.problem.release import THIS_ROUND
from bondwork.program.horizon_losses import column_offsets
from bondwork.program.horizon_unseen import alike
from bondwork.program.linking import Linking
from bondwork.risk.assessment import Assessment, assess
from bondwork.risk.limits import committed_value, is_tail_limit, members, permit_committed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.program.horizon import HorizonProgram
    from bondwork.risk.measure import Measure


def choice(made: HorizonProgram, chosen: Sequence[IntArray]) -> FloatArray:
    """Columns of all nodes one after the other, 1 where chosen.

    Parameters
    ----------
    chosen
        Columns that are chosen, by node.
    """
    offsets = column_offsets(made.tree, made.teams)
    x = np.zeros(int(offsets[-1]))
    for node, columns in enumerate(chosen):
        x[offsets[node] + columns] = 1.0
    return x


def assess_horizon(made: HorizonProgram, chosen: Sequence[IntArray], seed: int) -> list[Assessment]:
    """Measure a policy under every limit of its round, member by member, in the round's order.

    Expected losses are those of what the round itself chooses. Tails are those of the losses of whole paths:
    exact where the tree holds every path, else those of its sample, which say nothing of other samples.

    Parameters
    ----------
    chosen
        Columns that are chosen, by node.
    seed
        Of the solve.
    """
    instance = made.tree.horizon.instance
    now = made.teams[THIS_ROUND].select(chosen[0]).member
    expected = [number for number, limit in enumerate(instance.risk) if not is_tail_limit(limit)]
    plain = dataclasses.replace(instance, risk=tuple(instance.risk[number] for number in expected))
    found = [dataclasses.replace(each, limit=expected[each.limit]) for each in assess(plain, None, now, seed)]
    measures, x = iter(made.measures.limits), choice(made, chosen)
    for number, limit in enumerate(instance.risk):
        if is_tail_limit(limit):
            for _, _, name in members(instance, limit):
                found.append(_assessed(number, name, next(measures), x, exact=made.tree.exact))
    return sorted(found, key=lambda each: each.limit)


def _assessed(number: int, name: str, measure: Measure, x: FloatArray, *, exact: bool) -> Assessment:
    value, held = measure.value(x), committed_value(measure)
    return Assessment(
        number,
        name,
        measure.ceiling,
        value,
        value if exact else None,
        0.0 if exact else None,
        held,
        held if exact else None,
    )


def exceeded(made: HorizonProgram, chosen: Sequence[IntArray]) -> list[Measure]:
    """Limits on tails that a policy breaks by more than a rounding, commitments aside."""
    x = choice(made, chosen)
    return [each for each in permit_committed(made.measures.limits) if not _is_kept(each, x)]


def without_choices(
    made: HorizonProgram, chosen: Sequence[IntArray], broken: Sequence[Measure]
) -> HorizonProgram:
    """Forbid to choose all that loses under a limit which a policy breaks by less than a solver sees.

    Whoever chooses more loses no less, so that a row for each limit rules all of that out.
    """
    offsets, x = column_offsets(made.tree, made.teams), choice(made, chosen)
    known = len(made.program.linking)
    rows: list[tuple[str, float, float]] = []
    entries: list[tuple[int, int, int, float]] = []
    for each in broken:
        mine = each.loss.columns[x[each.loss.columns] > 0.5]
        node = np.searchsorted(offsets, mine, side="right") - 1
        places = zip(node.tolist(), (mine - offsets[node]).tolist(), strict=True)
        entries += [(len(rows), at, column, 1.0) for at, column in places]
        rows.append((f"together {known + len(rows) + 1}", -np.inf, len(mine) - 1.0))
    linking = made.program.linking.joined(Linking.make(rows, entries))
    return dataclasses.replace(made, program=dataclasses.replace(made.program, linking=linking))


def settle(made: HorizonProgram, chosen: Sequence[IntArray]) -> list[IntArray] | None:
    """A policy of what is seen that keeps the limits on tails, from one that might not.

    Nodes that look alike decide as the first of them; then as few choices as will do are given up, those that
    earn least for what they lose on average first, of equal ones the latest; none of a task that is required.
    ``None`` where what is chosen for those alone breaks a limit.

    Parameters
    ----------
    chosen
        Columns that are chosen, by node: every other limit holds.
    """
    look = alike(made, chosen)
    _, first = np.unique(look, return_index=True)
    settled = [chosen[int(first[each])] for each in look.tolist()]
    broken = exceeded(made, settled)
    if not broken:
        return settled
    order = _dearest(made, settled, look, broken)
    # whoever chooses less loses no more: the least number that is enough
    if exceeded(made, _without(settled, look, order)):
        return None
    low, high = 0, len(order)
    while low < high:
        middle = (low + high) // 2
        if exceeded(made, _without(settled, look, order[:middle])):
            low = middle + 1
        else:
            high = middle
    return _without(settled, look, order[:low])


def _without(
    chosen: Sequence[IntArray], look: IntArray, given_up: Sequence[tuple[int, int]]
) -> list[IntArray]:
    """A policy without some choices, at all nodes that look like theirs."""
    gone: dict[int, list[int]] = {}
    for number, column in given_up:
        gone.setdefault(number, []).append(column)
    return [
        columns[~np.isin(columns, gone[number])] if number in gone else columns
        for columns, number in zip(chosen, look.tolist(), strict=True)
    ]


def _dearest(
    made: HorizonProgram, chosen: Sequence[IntArray], look: IntArray, broken: Sequence[Measure]
) -> list[tuple[int, int]]:
    """Choices that a policy could do without, in the order in which they are given up: look and column."""
    offsets = column_offsets(made.tree, made.teams)
    loses = np.zeros(int(offsets[-1]))
    for each in broken:
        loses[each.loss.columns] += each.loss.weight * each.loss.sample.failure_share() / each.loss.unit
    worth: dict[tuple[int, int], list[float]] = {}
    for node, columns in enumerate(chosen):
        point = int(made.tree.period[node])
        if point < THIS_ROUND or not len(columns):
            continue
        decided, teams = made.tree.horizon.rounds[point], made.teams[point]
        cost = made.bare.values(node)[made.bare.template_of(node).spans["cost"]] * made.bare.probability[node]
        required = decided.tasks.required[decided.claims.task[teams.claim]]
        for c in columns[~required[columns]].tolist():
            terms = worth.setdefault((int(look[node]), c), [0.0, 0.0])
            terms[0] += float(cost[c])
            terms[1] += float(loses[offsets[node] + c])
    some = {place: gain / lost for place, (gain, lost) in worth.items() if lost > 0.0}
    return sorted(some, key=lambda place: (some[place], -place[0], place[1]))


def _is_kept(measure: Measure, x: FloatArray) -> bool:
    value, most = measure.value(x), measure.ceiling
    return value <= most + ROW * max(abs(most), 1e-3)
