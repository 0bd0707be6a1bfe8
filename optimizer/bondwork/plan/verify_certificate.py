"""What a plan's certificate proves, recomputed without a solver. Part of `bondwork.plan.verify`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from bondwork.base.tolerances import SUM
from bondwork.plan.certificate import BadCertificate, read_entries
from bondwork.plan.recount_columns import Uncheckable
from bondwork.plan.recount_exact import round_up

if TYPE_CHECKING:
    from bondwork.plan.plan import Certificate
    from bondwork.plan.verify_plan import PlanCheck
    from bondwork.plan.verify_status import StatusCheck

#: A plan without its certificate is as good a plan.
_NONE: Final = (("certificate",), None)

#: How a plan begins to say why it has none.
_WITHOUT: Final = "no certificate"

#: Assignments of a plan that are named where none should exist.
NAMED = 20

#: Share by which a stated bound may miss the recomputed one: a digit that another writer of JSON lost.
DIGITS = 1e-12


def check_certificate(check: PlanCheck) -> None:
    """Recompute a certificate; what nothing proves is listed as unchecked."""
    plan, given = check.plan, check.plan.certificate
    if given is None:
        if plan.bound is not None:
            told = (note for note in plan.provenance.notes if note.startswith(_WITHOUT))
            check.unchecked.append(f"bound: {next(told, _WITHOUT)}")
    else:
        _read(check, given)
    if plan.status == "infeasible" and not check.refuted:
        _look_for_a_plan(check)


def _look_for_a_plan(check: PlanCheck) -> None:
    """Look whether a round that is said to have no plan has one."""
    if check.violations:
        return
    search = check.feasible_search()
    if search is None:
        check.unchecked.append("infeasibility: not proven")
        return
    found = search.run()
    if found is None:
        check.unchecked.append("infeasibility: not proven, and no plan was found")
        return
    round_ = check.round
    names = [f"{round_.instance.tasks.ids[round_.task[o]]} by {round_.executor_id(o)}" for o in found]
    said = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    check.wrong(
        "status", "infeasible", f"another status: the round is feasible, with {said or 'nothing done'}"
    )


def _read(check: PlanCheck, given: Certificate) -> None:
    try:
        _check(check, given)
    except BadCertificate as fault:
        check.wrong("certificate.multipliers", str(fault), "multipliers of limits of the round", _NONE)
    except OverflowError:
        expected = "multipliers whose sums are within the range of numbers"
        check.wrong("certificate.multipliers", "larger ones", expected, _NONE)
    except Uncheckable as reason:
        check.unchecked.append(f"certificate: {reason}")
        _compare_unproven(check, given)


def _check(check: PlanCheck, given: Certificate) -> None:
    entries = read_entries(given.multipliers)
    recount = check.proof()
    if given.kind == "infeasibility":
        if check.plan.solution != "none" or check.plan.bound is not None:
            expected = "none beside a solution or a bound"
            check.wrong("certificate", "a proof that nothing is feasible", expected, _NONE)
        elif given.bound is not None or given.vouched_by is not None:
            check.wrong("certificate.bound", given.bound, "null, and nobody who vouches for it", _NONE)
        elif not recount.refutes(entries):
            check.wrong(
                "certificate", "multipliers that prove nothing", "a proof that nothing is feasible", _NONE
            )
        else:
            check.refuted = True
        return
    bound = recount.bound(entries)
    if bound is None:
        if given.bound is not None or check.plan.bound is not None:
            check.wrong("certificate.bound", given.bound, "none: a required task has no team", _NONE)
        return
    proven = round_up(bound)
    if math.isinf(proven):
        raise OverflowError
    if given.bound is None or not abs(given.bound - proven) <= DIGITS * abs(proven):
        check.wrong("certificate.bound", given.bound, f"{proven!r}, what the multipliers prove", _NONE)
        return
    check.certified = proven
    _compare(check, given, proven)


def _compare_unproven(check: PlanCheck, given: Certificate) -> None:
    """What is stated of a proof that is not recomputed, beside what the plan says."""
    objective = check.plan.objective
    if given.kind == "infeasibility":
        if check.plan.solution != "none" or check.plan.bound is not None:
            expected = "none beside a solution or a bound"
            check.wrong("certificate", "a proof that nothing is feasible", expected, _NONE)
        elif given.bound is not None or given.vouched_by is not None:
            check.wrong("certificate.bound", given.bound, "null, and nobody who vouches for it", _NONE)
    elif given.bound is None:
        check.wrong("certificate.bound", None, "what the multipliers prove", _NONE)
    elif objective is not None and objective - given.bound > SUM * max(abs(objective), abs(given.bound)):
        check.wrong("certificate.bound", given.bound, f"at least the objective, {objective:.12g}", _NONE)
    else:
        _compare(check, given, given.bound)


def _compare(check: PlanCheck, given: Certificate, proven: float) -> None:
    """The plan's bound beside the proven one: what is better than that, somebody vouches for."""
    stated = check.plan.bound
    if stated is None or proven - stated <= SUM * max(abs(stated), abs(proven)):
        if given.vouched_by:
            right = (("certificate", "vouched_by"), None)
            check.doubt(
                "certificate.vouched_by", given.vouched_by, "null: the multipliers prove it all", right
            )
        return
    if not given.vouched_by:
        check.wrong("certificate.vouched_by", None, f"who vouches for a bound of {stated:.12g}", _NONE)
    objective = check.plan.objective
    share = f", {proven:.12g} certified"
    if objective is not None and (size := max(abs(proven), abs(objective))) > 0.0:
        share += f" ({(proven - objective) / size:.3%} above the objective)"
    check.unchecked.append(f"bound {stated:.12g} by {given.vouched_by}{share}")


def ceilings_of_plan(check: StatusCheck) -> dict[tuple[int, int], float]:
    """Budgets that calibration moved: the bound is about those."""
    instance, found, place = check.instance, {}, 0
    for number, limit in enumerate(instance.risk):
        for position, _ in enumerate(check.round.members(limit.scope, limit.member)):
            if place < len(check.plan.risk) and check.plan.risk[place].calibrated is not None:
                member = position if limit.member is None else limit.member
                found[number, member] = float(check.plan.risk[place].calibrated or 0.0)
            place += 1
    return found if place == len(check.plan.risk) else {}
