"""HiGHS's model statuses in the words of `bondwork.contracts.Status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import highspy

    from bondwork.contracts import Status

#: Every status of every version that is allowed; a test holds them against the version at hand.
WORDS: dict[str, Status] = {
    "kNotset": "other_error",
    "kLoadError": "other_error",
    "kModelError": "other_error",
    "kPresolveError": "other_error",
    "kSolveError": "other_error",
    "kPostsolveError": "other_error",
    "kModelEmpty": "optimal",
    "kOptimal": "optimal",
    "kInfeasible": "infeasible",
    "kUnboundedOrInfeasible": "infeasible_or_unbounded",
    "kUnbounded": "dual_infeasible",
    "kObjectiveBound": "objective_limit",
    "kObjectiveTarget": "objective_limit",
    "kTimeLimit": "time_limit",
    "kIterationLimit": "iteration_limit",
    "kUnknown": "other_error",
    "kSolutionLimit": "solution_limit",
    "kInterrupt": "interrupted",
    "kHighsInterrupt": "interrupted",
    "kMemoryLimit": "memory_limit",
}


def word(status: highspy.HighsModelStatus) -> Status:
    """Word for a status; ``other_error`` for one that no version known here has."""
    return WORDS.get(status.name, "other_error")
