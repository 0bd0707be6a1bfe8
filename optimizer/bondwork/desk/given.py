"""A plan of what somebody else chose: another solver, or a person."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np

from bondwork.contracts import Solution
from bondwork.plan.building import build_plan, count_ineligible, list_assignments
from bondwork.plan.plan import Timing
from bondwork.problem.constraints import offer_fault, with_constraints
from bondwork.problem.faults import Fault, InvalidInput, Refusal, preview
from bondwork.problem.periods import is_staged
from bondwork.problem.rescues import has_rescues
from bondwork.problem.support import unsupported
from bondwork.problem.teams import teams_of_offers
from bondwork.registry import find_formulation
from bondwork.repairing import check
from bondwork.risk.assessment import assess
from bondwork.road import draw_scenarios, write_program
from bondwork.solving import solve

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.plan.plan import Plan
    from bondwork.problem.constraints import Given
    from bondwork.problem.instance import Instance
    from bondwork.program.program import Program

    #: Ids of offers, with the operator's where an offer is open to several; or an array over all offers.
    Chosen: TypeAlias = Iterable[str | tuple[str, str]] | NDArray[Any]


def plan_from(
    instance: Instance,
    chosen: Chosen,
    *,
    constraints: Sequence[Given] = (),
    bound: Literal["none", "relaxation"] = "none",
    seed: int | None = None,
) -> Plan:
    """Make a plan of what somebody else chose, and check it.

    Parameters
    ----------
    instance
        The round, of one stage.
    chosen
        Ids of offers; ``(id, operator)`` where an offer is open to several operators. Or an array of shape
        (O,), over ``instance.offers``: bool, or amounts of which 1 to within 1e-6 is chosen and 0 is not.
    constraints
        As for `bondwork.solve`: the choice is checked with them.
    bound
        ``relaxation`` adds the bound of the linear relaxation, with its certificate.
    seed
        Of scenarios; the round's if left out.

    Returns
    -------
    Plan
        ``verified`` where it keeps every limit; else with ``violations``, as `bondwork.verify` lists
        them, and the status ``locally_infeasible``.

    Raises
    ------
    InvalidInput
        An unknown or ambiguous offer, or one that is chosen twice; an array of another shape or with
        fractions.
    Refusal
        The round has later stages, or something that no solve honours.

    Examples
    --------
    >>> import bondwork
    >>> instance = bondwork.load("data/rounds/three-tasks.json")
    >>> bondwork.plan_from(instance, ["t-1/cp-1", "t-2/cp-2", "t-3/cp-2"]).verified
    True
    """
    if constraints:
        instance = with_constraints(instance, constraints)
    reasons = [f"this version cannot honour {each}" for each in unsupported(instance)]
    if is_staged(instance) or has_rescues(instance):
        reasons.append("a plan of what was chosen for a round with later stages: they decide, too")
    if reasons:
        raise Refusal(reasons)
    if bound not in ("none", "relaxation"):
        raise InvalidInput([Fault("bound", preview(bound), "one of none, relaxation")])
    offers = _offers(instance, chosen)
    seed = instance.uncertainty.seed if seed is None else seed
    plan = _written(instance, offers, seed)
    if bound == "relaxation":
        plan = _with_bound(plan, solve(instance, strategy="relaxation", constraints=constraints, seed=seed))
    plan, verdict = check(instance, plan)
    if verdict.is_sound():
        return plan
    plan, _ = check(instance, plan.model_copy(update={"status": "locally_infeasible"}))
    return plan


def _offers(instance: Instance, chosen: Chosen) -> IntArray:
    """Numbers of the offers, ascending."""
    if isinstance(chosen, np.ndarray) and chosen.dtype.kind in "biuf":
        return _of_array(instance, chosen)
    by_id: dict[str, list[int]] = {}
    for number, id_ in enumerate(instance.offers.ids):
        by_id.setdefault(id_, []).append(number)
    found: list[int] = []
    faults: list[Fault] = []
    for place, each in enumerate(cast("Iterable[str | tuple[str, str]]", chosen)):
        id_, operator = each if isinstance(each, tuple) else (each, None)
        where = f"chosen[{place}]"
        mine = by_id.get(id_, [])
        if not mine:
            faults.append(offer_fault(where, id_, by_id))
            continue
        names = [instance.operators.ids[instance.offers.operator[number]] for number in mine]
        if operator is not None:
            mine = [number for number, name in zip(mine, names, strict=True) if name == operator]
        if len(mine) != 1:
            expected = f"the offer with one of its operators: {', '.join(names)}"
            faults.append(Fault(where, preview(each), expected))
            continue
        found += mine
    faults += [
        Fault("chosen", f"{preview(instance.offers.ids[number])} {count} times", "each offer once")
        for number, count in Counter(found).items()
        if count > 1
    ]
    if faults:
        raise InvalidInput(faults)
    return np.sort(np.array(found, dtype=np.int64))


def _of_array(instance: Instance, chosen: NDArray[Any]) -> IntArray:
    size = len(instance.offers)
    if chosen.shape != (size,):
        raise InvalidInput([Fault("chosen", f"shape {chosen.shape}", f"shape ({size},), one for each offer")])
    x = chosen.astype(np.float64)
    off = np.flatnonzero(~(np.minimum(np.abs(x), np.abs(x - 1.0)) <= 1e-6))
    if len(off):
        raise InvalidInput([Fault(f"chosen[{k}]", f"{x[k]:g}", "0 or 1") for k in off[:20].tolist()])
    return np.flatnonzero(x > 0.5)


def _written(instance: Instance, offers: IntArray, seed: int) -> Plan:
    """Write a choice down, not yet verified."""
    formulation = "highs"
    sample = draw_scenarios(instance, seed)
    program = write_program(instance, find_formulation(formulation), sample, "auto")
    x = _columns(program, offers)
    solution = Solution("locally_solved", np.zeros(program.choices) if x is None else x, np.inf)
    measured = () if x is None else assess(instance, sample, offers, seed)
    plan = build_plan(
        instance,
        program,
        solution,
        strategy="given",
        formulation=formulation,
        options={},
        seed=seed,
        timing=Timing(read=instance.read_seconds),
        assessments=tuple(measured),
    )
    if x is not None:
        return plan
    # what no column stands for breaks a rule: the check says which, and puts right what can be said of it
    assignments = list_assignments(instance, teams_of_offers(instance, offers))
    update = {"assignments": assignments, "ineligible_offers": count_ineligible(instance)}
    return plan.model_copy(update=update)


def _columns(program: Program, offers: IntArray) -> FloatArray | None:
    """The columns that stand for a choice, shape (choices,); ``None`` where there are none."""
    x = np.zeros(program.choices)
    if program.teams is None:
        x[np.isin(program.columns[: program.choices], offers)] = 1.0
        return x if int(x.sum()) == len(offers) else None
    teams, task = program.teams, program.limits.instance.offers.task
    of_task: dict[int, list[int]] = {}
    for offer in offers.tolist():
        of_task.setdefault(int(task[offer]), []).append(offer)
    known = {
        tuple(teams.member[teams.start[j] : teams.start[j + 1]].tolist()): j for j in range(program.choices)
    }
    for team in of_task.values():
        column = known.get(tuple(team))
        if column is None:
            return None
        x[column] = 1.0
    return x


def _with_bound(plan: Plan, other: Plan) -> Plan:
    """Take the bound of another plan of the same round."""
    if other.bound is None or plan.objective is None:
        return plan
    bound = max(other.bound, plan.objective)
    size = max(abs(bound), abs(plan.objective))
    gap = (bound - plan.objective) / size if size else 0.0
    certificate = other.certificate if other.certificate and other.certificate.kind == "bound" else None
    return plan.model_copy(update={"bound": bound, "gap": gap, "certificate": certificate})
