"""Making a plan say what is so: numbers as recounted, and no commentary that does not stand its check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.plan.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bondwork.plan.findings import Finding, Place

#: Findings that a note tells in full; the others are counted.
MOST_TOLD = 3


def amended(plan: Plan, findings: Iterable[Finding]) -> Plan:
    """Put right in a plan what can be: recounted numbers in, doubtful commentary out; notes say so.

    Parameters
    ----------
    findings
        What `bondwork.plan.verify` found; what no number or omission can set right stays as it is.
    """
    by_kind = {"commentary": "does not verify and was left out or set right", "core": "was recounted"}
    findings = [each for each in findings if each.amendment]
    document: dict[str, Any] = plan.model_dump()
    notes = document["provenance"]["notes"] = list(plan.provenance.notes)
    for each in findings:
        # a whole list may have been taken out by an earlier finding
        for place, value in each.amendment:
            _put(document, place, value)
    for kind, said in by_kind.items():
        told = [each.violation for each in findings if each.violation.kind == kind]
        if told:
            more = f"; and {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else ""
            notes.append(f"{kind} {said}: {'; '.join(map(str, told[:MOST_TOLD]))}{more}")
    return Plan.model_validate(document)


def _put(document: dict[str, Any], place: Place, value: object) -> None:
    inside: Any = document
    for step in place[:-1]:
        try:
            inside = inside[step]
        except (IndexError, KeyError, TypeError):
            return
    if inside is not None:
        inside[place[-1]] = value.item() if isinstance(value, np.generic) else value
