"""Checks that the lists of a round and those of its later periods share."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from bondwork.problem.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.problem import schema
    from bondwork.problem.sections import Section

#: Numbers that must add up to 1 may miss it by this, for decimals are not binary.
SUM_TOLERANCE = 1e-9

#: A success probability may exceed 1 - outage probability by this, likewise.
PROBABILITY_TOLERANCE = 1e-12


def check_claim_form(section: Section[schema.Task] | Section[schema.PeriodTask], faults: list[Fault]) -> None:
    """Check that each task says who claims it, in one of the two ways, and that its quorum can be reached."""
    for number, entry in enumerate(section.entries):
        task = cast("schema.Task | schema.PeriodTask", entry)  # a union of sections has entries of their base
        if task.claims is None and task.operator is None:
            faults.append(Fault(section.at(number), "no operator", "operator, or claims"))
        if task.claims is not None:
            faults.extend(
                Fault(section.at(number, name), "a field beside claims", f"{name} inside each claim")
                for name in ("operator", "reward", "slashing")
                if getattr(task, name) is not None
            )
        if task.quorum > task.replicas:
            faults.append(
                Fault(section.at(number, "quorum"), str(task.quorum), f"at most replicas, {task.replicas}")
            )


def check_outage(
    section: Section[schema.Offer] | Section[schema.PeriodOffer] | Section[schema.Commitment],
    p: FloatArray,
    coprocessor: IntArray,
    outage: FloatArray,
    faults: list[Fault],
) -> None:
    """Check that nothing succeeds more often than its coprocessor is there (MODEL 3)."""
    if not len(outage):
        return
    most = np.where(coprocessor >= 0, 1.0 - outage[coprocessor], 1.0)
    faults.extend(
        Fault(
            section.at(number, "success_probability"),
            f"{p[number]:g}",
            f"at most {most[number]:g}: 1 - outage_probability of the coprocessor",
        )
        for number in np.flatnonzero(p > most + PROBABILITY_TOLERANCE).tolist()
    )


def check_sum(path: str, numbers: Iterable[float], what: str, faults: list[Fault]) -> None:
    """Check that shares or probabilities add up to 1."""
    total = sum(numbers)
    if abs(total - 1.0) > SUM_TOLERANCE:
        faults.append(Fault(path, f"{what} that add up to {total:g}", f"{what} that add up to 1"))
