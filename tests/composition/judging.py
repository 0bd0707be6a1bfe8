"""A round with some features: solved, verified, and compared with brute force."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import bondwork
from bondwork.uncertainty.history import OutcomeHistory
from bondwork.uncertainty.sampling import sample_round
from composition.features import HISTORY, Sketch, make, present
from composition.laws import Rounds, Table
from composition.oracle import Oracle, TooLarge
from composition.refused import reasons

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bondwork.plan.plan import Plan
    from bondwork.problem.instance import Instance

Document = dict[str, Any]

#: Formulations beside `highs`, which are slow: asked in a sample.
OTHERS = ("cvxpy", "pyomo")

#: Rounds that are tried until one is small enough for brute force.
MOST_SEEDS = 12

#: Relative difference of an optimum that a solve and brute force may have.
CLOSE = 1e-9


def round_of(names: Iterable[str], seed: int = 0) -> Document:
    """Return the document of a round with some features."""
    return make(names, seed).document


def read(document: Document) -> Instance:
    instance = bondwork.load(document)
    if document["uncertainty"].get("sampling") == "bootstrap":
        return bondwork.with_history(instance, OutcomeHistory.from_rows(HISTORY))
    return instance


def scenarios(instance: Instance, document: Document) -> Table:
    """Scenarios of a round of one stage as they are handed over to measure tails on."""
    sample = sample_round(instance, seed=instance.uncertainty.seed)
    numbers = {
        offer.get("id")
        or "/".join(filter(None, (offer["task"], offer["coprocessor"], offer.get("operator")))): k
        for k, offer in enumerate(document["offers"])
    }
    offers = instance.offers
    columns: dict[tuple[Any, ...], int] = {}
    for column, id_ in enumerate(offers.ids):
        operator = instance.operators.ids[offers.operator[column]]
        own = (None, "own", operator, instance.tasks.ids[offers.task[column]])
        columns[own if offers.is_self[column] else (None, numbers[id_], operator)] = column
    for column, id_ in enumerate(instance.commitments.ids):
        columns["commitment", id_] = len(offers) + column
    failed = [list(row) for row in sample.offers.dense()]
    lost = [list(row) for row in sample.commitments.dense()]
    lines: dict[tuple[bool, ...], Fraction] = {}
    for line, more in zip(failed, lost, strict=True):
        outcome = tuple(not each for each in (*line, *more))
        lines[outcome] = lines.get(outcome, Fraction()) + Fraction(1, len(failed))
    return Table(columns, tuple((q, outcome) for outcome, q in lines.items()))


def brute_force(instance: Instance, document: Document, plan: Plan | None = None) -> Any:
    """Return the best value of all policies; of calibrated limits at the ceilings that the plan states."""
    law = None
    if document["uncertainty"].get("sampling") == "bootstrap":
        law = Rounds.of(HISTORY)
    ceilings: dict[tuple[str, str], Fraction] = {
        (each.measure, each.of): Fraction(each.calibrated)
        for each in (plan.risk if plan else ())
        if each.calibrated is not None
    }
    oracle = Oracle(document, law=law, ceilings=ceilings)
    if not oracle.second and not oracle.reader.periods and (oracle.tails or oracle.weight):
        oracle = Oracle(document, law=law, leaves=scenarios(instance, document), ceilings=ceilings)
    return oracle.best()


def solved(sketch: Sketch, formulation: str = "highs") -> tuple[Instance, Plan]:
    """Solve a round to the end, as its features ask for it.

    Raises
    ------
    bondwork.Refusal
        The round is refused.
    """
    instance = read(sketch.document)
    options: dict[str, Any] = {"mip_rel_gap": 0.0, "formulation": formulation, "threads": 1}
    if sketch.options.get("warm_start"):
        options["warm_start"] = bondwork.solve(instance, **options)
    if sketch.options.get("value"):
        options["value"] = True
    return instance, bondwork.solve(instance, **options)


def differences(document: Document, plan: Plan, best: Any) -> list[str]:
    """Say where a plan and brute force disagree; nothing where they do not."""
    found = [] if plan.verified else [f"not verified: {plan.violations}"]
    if best is None:
        return (
            found if plan.status == "infeasible" else [*found, f"{plan.objective}, and nothing is feasible"]
        )
    if plan.objective is None or plan.bound is None:
        return [*found, f"{plan.status}, and {float(best)} can be had"]
    best, slack = float(best), CLOSE * max(1.0, abs(float(best)))
    error = plan.load_error or 0.0
    if plan.status != "optimal":
        found.append(f"ended {plan.status}")
    moved = any(each.calibrated is not None for each in plan.risk)
    if plan.objective > best + slack:
        found.append(f"{plan.objective} above the best, {best}")
    if plan.objective < best - error - slack and not moved:
        found.append(f"{plan.objective} below the best, {best}")
    if not -slack <= plan.bound - best <= error + 1e-6 * max(1.0, abs(best)):
        found.append(f"a bound of {plan.bound} where the best is {best}")
    return found


def judge(names: Iterable[str], seed: int = 0) -> str:
    """Solve a round with some features and compare; return ``refused`` or ``solved``.

    A round is refused exactly where the table of what is refused says so. Rounds too large for brute
    force are passed over: the next seed makes another one.

    Raises
    ------
    AssertionError
        With the round: it is refused and should not be, or should be and is not, or brute force disagrees.
    """
    names = tuple(names)
    entries = reasons(present(names))
    for each in range(seed, seed + MOST_SEEDS):
        sketch = make(names, each)
        told = f"{' + '.join(names)}, seed {each}: {json.dumps(sketch.document)}"
        # brute force first: what is too large for it need not be solved; calibrated budgets
        # are told by a plan
        alone = not entries and "calibrate" not in present(names)
        try:
            best = brute_force(read(sketch.document), sketch.document) if alone else None
            instance, plan = solved(sketch)
            if not entries and not alone:
                best = brute_force(instance, sketch.document, plan)
        except TooLarge:
            continue
        except bondwork.Refusal as refusal:
            assert entries, f"refused, and in no entry: {refusal}: {told}"
            assert any(entry.says in str(refusal) for entry in entries), (
                f"refused otherwise: {refusal}: {told}"
            )
            return "refused"
        assert not entries, f"not refused any more, take out {sorted(entries[0].features)}: {told}"
        found = differences(sketch.document, plan, best)
        assert not found, f"{'; '.join(found)}: {told}"
        return "solved"
    raise AssertionError(f"{' + '.join(names)}: every round is too large for brute force")
