"""Whether limits that are said to conflict are limits, and can hold together. Part of `bondwork.plan.verify`.

Without a solver nobody can say that they cannot: a plan is sought that meets them, in bounded time.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from bondwork.base.tolerances import PROGRAM_ROW
from bondwork.plan.certificate import read_entries
from bondwork.plan.recount import Recount, label
from bondwork.plan.recount_bound import BoundRecount
from bondwork.plan.recount_columns import Uncheckable
from bondwork.plan.recount_names import places_by_name
from bondwork.plan.verify_feasible import FeasibleSearch, ceiling_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from bondwork.plan.findings import Amendment
    from bondwork.plan.plan import Conflict
    from bondwork.plan.verify_status import StatusCheck
    from bondwork.problem.instance import RiskLimit

#: A plan that does not say why it is infeasible is as good a plan.
_NOTHING: Final[Amendment] = ((("conflict",), None),)

#: Choices tried and seconds of each search, and limits that are left out one by one.
_CHOICES, _SECONDS, _MOST_LEFT_OUT = 2_000, 0.5, 12


def check_conflict(check: StatusCheck, *, one_stage: bool) -> None:
    """Check the conflict of a plan, where it names one."""
    given, status = check.plan.conflict, check.plan.status
    if given is None:
        return
    if status != "infeasible":
        check.doubt("conflict", "a value", f"none beside status {status}", *_NOTHING)
    elif _are_limits(check, given):
        if one_stage:
            _check_together(check, given)
        elif not any(name.startswith("task ") for name in given.limits):
            # at every node a limit leaves room for what is held: only required tasks do not go with nothing
            expected = "limits that cannot hold together: without a required task they do with nothing done"
            check.doubt("conflict", f"{len(given.limits)} limits", expected, *_NOTHING)
        else:
            check.unchecked.append("conflict: whether its limits can hold together")
            check.unchecked += [f"conflict.least of {name}" for name in given.least]
            check.unchecked.append("conflict: minimal")


def _are_limits(check: StatusCheck, given: Conflict) -> bool:
    """Check that the limits are the round's, each named once; of the tail those with a least value."""
    tails = {name for name, _, _ in _tails(check)}
    known = {
        *tails,
        *map(label, check.round.accounts([])),
        *(f"task {name} required" for name in check.instance.tasks.ids),
    }
    for period in check.instance.periods:
        known |= {f"task {name} required in {period.id}" for name in period.tasks.ids}
    before = len(check.found)
    for name in given.limits:
        if name not in known:
            check.doubt("conflict", name[:200], "limits of the round", *_NOTHING)
    if len(set(given.limits)) < len(given.limits):
        check.doubt("conflict", "a limit twice", "each limit once", *_NOTHING)
    for name, value in given.least.items():
        if name not in tails or name not in given.limits:
            check.doubt("conflict.least", name[:200], "limits on the tail of the conflict", *_NOTHING)
        elif value < 0.0:
            check.doubt(f"conflict.least of {name}", value, "a value >= 0", *_NOTHING)
    return len(check.found) == before


def _tails(check: StatusCheck) -> Iterator[tuple[str, RiskLimit, str]]:
    """Limits on the tail with whom they are about, by their names."""
    for limit in check.instance.risk:
        if limit.measure != "expected":
            for member in check.round.members(limit.scope, limit.member):
                yield f"{limit.measure} of {member}", limit, member


def _check_together(check: StatusCheck, given: Conflict) -> None:
    """Look for plans that meet the limits, and all but one of them."""
    limits = set(given.limits)
    if not _is_proven(check, limits):
        search = FeasibleSearch(check.round, only=limits, choices=_CHOICES, seconds=_SECONDS)
        found = search.run()
        if found is not None:
            expected = f"limits that cannot hold together: they do with {_said(check, found)}"
            check.doubt("conflict", f"{len(limits)} limits", expected, *_NOTHING)
            return
        if not search.saw_all:
            check.unchecked.append("conflict: not proven, and no plan was found that meets its limits")
    _check_least(check, given)
    _check_minimal(check, given)


def _check_minimal(check: StatusCheck, given: Conflict) -> None:
    """Look whether the limits could hold with any one of them left out, and whether that is what is said."""
    few = given.limits[:_MOST_LEFT_OUT]
    holds = [_can_hold(check, set(given.limits) - {name}) for name in few]
    if False in holds:
        if given.minimal:
            expected = f"false: without {few[holds.index(False)]} the others cannot hold either"
            check.doubt("conflict.minimal", "true", expected, (("conflict", "minimal"), False))
    elif None in holds or len(few) < len(given.limits):
        check.unchecked.append("conflict: minimal")
    elif not given.minimal:
        expected = "true: whichever is left out, the others can hold"
        check.doubt("conflict.minimal", "false", expected, (("conflict", "minimal"), True))


def _check_least(check: StatusCheck, given: Conflict) -> None:
    """Compare least values with what some plan comes to that keeps all limits but those on the tail."""
    if not given.least:
        return
    tails = list(_tails(check))
    others = {*map(label, check.round.accounts([]))} - {name for name, _, _ in tails}
    others |= {f"task {name} required" for name in check.instance.tasks.ids}
    search = FeasibleSearch(check.round, only=others, choices=_CHOICES, seconds=_SECONDS)
    found = search.run()
    alone = len({name for name, _, _ in tails} & set(given.limits)) == 1
    for name, limit, member in tails:
        if name not in given.least or [each for each, _, _ in tails].count(name) > 1:
            continue
        value, ceiling = given.least[name], ceiling_of(limit)
        near = PROGRAM_ROW * max(abs(value), abs(ceiling))
        what = f"conflict.least of {name}"
        if alone and value < ceiling - near:
            check.doubt(what, value, f"more than the limit, {ceiling:.12g}", *_NOTHING)
        elif found is not None and search.tail_value(limit, member, found) < value - near:
            least = search.tail_value(limit, member, found)
            check.doubt(what, value, f"at most {least:.12g}, with {_said(check, found)}", *_NOTHING)
        else:
            check.unchecked.append(what)


def _is_proven(check: StatusCheck, limits: Collection[str]) -> bool:
    """Whether the certificate's multipliers of these limits alone prove that nothing meets them."""
    given, instance = check.plan.certificate, check.instance
    if given is None or not check.refuted:
        return False
    places = places_by_name(check.round)
    known = {place for name in limits for place in places.get(name, [])}
    entries = [each for each in read_entries(given.multipliers) if (each.word, each.about) in known]
    required = np.array([f"task {name} required" in limits for name in instance.tasks.ids], dtype=bool)
    tasks = dataclasses.replace(instance.tasks, required=instance.tasks.required & required)
    alone = Recount(dataclasses.replace(instance, tasks=tasks), check.plan.provenance.seed)
    try:
        return BoundRecount(alone).refutes(entries)
    except Uncheckable:
        return False


def _can_hold(check: StatusCheck, limits: Collection[str]) -> bool | None:
    """Whether a plan meets some limits; ``None`` where that is not known in bounded time."""
    search = FeasibleSearch(check.round, only=limits, choices=_CHOICES, seconds=_SECONDS)
    if search.run() is not None:
        return True
    # a name may be that of several limits, of which those who looked for a conflict meant one
    names = Counter(map(label, search.accounts))
    names.update(f"{limit.measure} of {member}" for limit, member in search.tails)
    told_apart = all(names[name] <= 1 for name in limits)
    return False if told_apart and (search.saw_all or _is_proven(check, limits)) else None


def _said(check: StatusCheck, found: list[int], most: int = 5) -> str:
    """Assignments in words."""
    round_ = check.round
    names = [f"{round_.instance.tasks.ids[round_.task[o]]} by {round_.executor_id(o)}" for o in found]
    return (
        ", ".join(names[:most]) + (f" and {len(names) - most} more" * (len(names) > most)) or "nothing done"
    )
