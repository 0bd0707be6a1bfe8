"""The published JSON Schemas, generated from the classes that read and write the formats."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bondwork.problem.faults import Fault, InvalidInput

DIALECT = "https://json-schema.org/draft/2020-12/schema"

#: Where each format's class lives; loaded only when its schema is asked for.
_CLASSES = {
    "round": ("bondwork.problem.schema", "Round"),
    "plan": ("bondwork.plan.plan", "Plan"),
    "alternatives": ("bondwork.desk.alternatives", "Alternatives"),
    "program": ("bondwork.program.program_schema", "Program"),
    "solution": ("bondwork.program.program_solution", "ProgramSolution"),
    "roll": ("bondwork.rolling_report", "Rolled"),
    "saa": ("bondwork.program.saa_report", "SaaReport"),
    "tree": ("bondwork.uncertainty.tree_schema", "Tree"),
    "tree-spec": ("bondwork.uncertainty.tree_schema", "TreeSpec"),
    "history": ("bondwork.uncertainty.history_schema", "History"),
    "study": ("bondwork.comparison.study_schema", "StudyFile"),
    "reputation": ("bondwork.reputation.reputation_schema", "ReputationFile"),
    "comparison": ("bondwork.comparison.comparison_schema", "ComparisonFile"),
    "simulation": ("bondwork.simulation.schema", "SimulationFile"),
    "simulation-summary": ("bondwork.simulation.summary", "SimulationSummary"),
    "tuning": ("bondwork.simulation.tuning", "Tuning"),
    "planner": ("bondwork.planner.planner_schema", "PlannerState"),
    "stream": ("bondwork.planner.stream_schema", "StreamLine"),
    "log": ("bondwork.replay.log_schema", "LogEntry"),
    "replay": ("bondwork.replay.replay_schema", "Replay"),
    "locks": ("bondwork.exporters.boundless", "LockList"),
}


def schema_names() -> list[str]:
    """Names of the published formats."""
    return list(_CLASSES)


def json_schema(name: str) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the format of a name; see `schema_names`.

    Notes
    -----
    What refers to what, and which sums must be 1, JSON Schema cannot say: `bondwork.load` checks more.

    Raises
    ------
    InvalidInput
        No format of that name.
    """
    if name not in _CLASSES:
        raise InvalidInput([Fault("schema", f'"{name}"', f"one of {', '.join(_CLASSES)}")])
    module, kind = _CLASSES[name]
    body = getattr(import_module(module), kind).model_json_schema(mode="validation")
    return {"$schema": DIALECT, "$id": f"urn:bondwork:schema:{name}:1", **body}
