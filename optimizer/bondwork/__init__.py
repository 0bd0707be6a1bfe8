"""bondwork: who does which slashable piece of work, round after round, with a proof of how good the plan is.

The public names, and nothing else. Each is loaded when it is first used, so that importing the package (and
``bondwork --help``) costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bondwork.comparison.comparison import Comparison, compare, compare_study
    from bondwork.contracts import (
        Formulation,
        Observer,
        Options,
        Progress,
        Reduction,
        Sampler,
        Solution,
        Strategy,
    )
    from bondwork.desk.alternatives import Alternatives, find_alternatives
    from bondwork.desk.given import plan_from
    from bondwork.plan.plan import Plan, load_plan
    from bondwork.plan.verify import Verification, verify
    from bondwork.planner.breaker import Breaker
    from bondwork.planner.planner import Planner
    from bondwork.problem.faults import Fault, InvalidInput, Refusal
    from bondwork.problem.from_arrays import from_arrays
    from bondwork.problem.instance import Instance
    from bondwork.problem.reading import load
    from bondwork.program.program import Program
    from bondwork.registry import formulation_names, strategy_names
    from bondwork.repairing import VerificationFailure
    from bondwork.report.comparison_report import report_comparison
    from bondwork.report.plan_report import report_plan
    from bondwork.report.tree_report import report_tree
    from bondwork.rolling import roll
    from bondwork.solving import build, solve
    from bondwork.uncertainty.bootstrap import with_history

_HOME = {
    "Alternatives": "bondwork.desk.alternatives",
    "Breaker": "bondwork.planner.breaker",
    "Comparison": "bondwork.comparison.comparison",
    "Fault": "bondwork.problem.faults",
    "Formulation": "bondwork.contracts",
    "Instance": "bondwork.problem.instance",
    "InvalidInput": "bondwork.problem.faults",
    "Observer": "bondwork.contracts",
    "Options": "bondwork.contracts",
    "Plan": "bondwork.plan.plan",
    "Planner": "bondwork.planner.planner",
    "Program": "bondwork.program.program",
    "Progress": "bondwork.contracts",
    "Reduction": "bondwork.contracts",
    "Refusal": "bondwork.problem.faults",
    "Sampler": "bondwork.contracts",
    "Solution": "bondwork.contracts",
    "Strategy": "bondwork.contracts",
    "Verification": "bondwork.plan.verify",
    "VerificationFailure": "bondwork.repairing",
    "build": "bondwork.solving",
    "compare": "bondwork.comparison.comparison",
    "compare_study": "bondwork.comparison.comparison",
    "find_alternatives": "bondwork.desk.alternatives",
    "formulation_names": "bondwork.registry",
    "from_arrays": "bondwork.problem.from_arrays",
    "load": "bondwork.problem.reading",
    "load_plan": "bondwork.plan.plan",
    "plan_from": "bondwork.desk.given",
    "report_comparison": "bondwork.report.comparison_report",
    "report_plan": "bondwork.report.plan_report",
    "report_tree": "bondwork.report.tree_report",
    "roll": "bondwork.rolling",
    "solve": "bondwork.solving",
    "strategy_names": "bondwork.registry",
    "verify": "bondwork.plan.verify",
    "with_history": "bondwork.uncertainty.bootstrap",
}

__all__ = [
    "Alternatives",
    "Breaker",
    "Comparison",
    "Fault",
    "Formulation",
    "Instance",
    "InvalidInput",
    "Observer",
    "Options",
    "Plan",
    "Planner",
    "Program",
    "Progress",
    "Reduction",
    "Refusal",
    "Sampler",
    "Solution",
    "Strategy",
    "Verification",
    "VerificationFailure",
    "build",
    "compare",
    "compare_study",
    "find_alternatives",
    "formulation_names",
    "from_arrays",
    "load",
    "load_plan",
    "plan_from",
    "report_comparison",
    "report_plan",
    "report_tree",
    "roll",
    "solve",
    "strategy_names",
    "verify",
    "with_history",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
