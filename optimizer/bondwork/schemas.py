"""The published JSON Schemas, generated from the classes that read and write the formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bondwork.problem.faults import Fault, InvalidInput

if TYPE_CHECKING:
    from pydantic import BaseModel

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(name: str) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of ``round``, ``plan``, ``program`` or ``solution``.

    Notes
    -----
    What refers to what, and which sums must be 1, JSON Schema cannot say: `bondwork.load` checks more.

    Raises
    ------
    InvalidInput
        No format of that name.
    """
    classes = _classes()
    if name not in classes:
        raise InvalidInput([Fault("schema", f'"{name}"', f"one of {', '.join(classes)}")])
    body = classes[name].model_json_schema(mode="validation")
    return {"$schema": DIALECT, "$id": f"urn:bondwork:schema:{name}:1", **body}


def _classes() -> dict[str, type[BaseModel]]:
    from bondwork.plan.plan import Plan
    from bondwork.problem.schema import Round
    from bondwork.program.program_schema import Program
    from bondwork.program.program_solution import ProgramSolution

    return {"round": Round, "plan": Plan, "program": Program, "solution": ProgramSolution}
