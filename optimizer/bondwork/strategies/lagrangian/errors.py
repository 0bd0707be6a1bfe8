"""What this strategy says when a program is not of the shape it can decide."""

from __future__ import annotations

from bondwork.problem.faults import Refusal


class NotDecomposable(Refusal):
    """The program is not tasks times knapsacks, so this strategy cannot decide it.

    Raised before any work is done; `reason` says what does not fit, for the plan's notes.
    """

    def __init__(self, reason: str) -> None:
        super().__init__([f"not a program of tasks and knapsacks: {reason}"])
        self.reason = reason
