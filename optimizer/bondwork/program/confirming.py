"""What a strategy says of a program that it took apart, confirmed on the whole before it is handed out.

Of parts that a solver calls unbounded, or feasible by its tolerances, the program need not be a copy.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from bondwork.program.program_recount import recount
from bondwork.registry import find_program_strategy

if TYPE_CHECKING:
    from bondwork.contracts import Observer, Options, ProgramDecision, Status
    from bondwork.program.stochastic import StochasticProgram

#: Statuses that say something of the program and hand out nothing.
CLAIMS: tuple[Status, ...] = ("infeasible", "dual_infeasible", "infeasible_or_unbounded")

#: Those that nothing could prove but a direction.
UNBOUNDED: tuple[Status, ...] = ("dual_infeasible", "infeasible_or_unbounded")


def is_taken_apart(strategy: str) -> bool:
    """Whether what a strategy says of a program is what it found of its parts.

    Strategies that others are measured against say what they say of another program.

    Examples
    --------
    >>> [is_taken_apart(name) for name in ("l-shaped", "extensive", "wait-and-see")]
    [True, False, False]
    """
    chosen = find_program_strategy(strategy)
    return not hasattr(chosen, "write") and not getattr(chosen, "is_reference", False)


def confirm(
    program: StochasticProgram, decision: ProgramDecision, options: Options, observer: Observer
) -> ProgramDecision:
    """Solve a program as a whole whose parts say that nothing can be handed out.

    Returns
    -------
    ProgramDecision
        Of the whole, whichever it is; where that tells nothing in time the same, but for a note.
    """
    plain = dataclasses.replace(options, settings={})
    found = find_program_strategy("extensive").solve_program(program, plain, observer)
    holds = found.nodes is not None and not recount(program, found.nodes).violations
    if not holds and found.status not in CLAIMS:
        return unconfirmed(decision) if decision.status in UNBOUNDED else decision
    note = f"the parts seemed {_words(decision)}: the program was solved again as a whole"
    return dataclasses.replace(
        found, notes=(*decision.notes, note, *found.notes), strategy=decision.strategy, build=decision.build
    )


def unconfirmed(decision: ProgramDecision) -> ProgramDecision:
    """Return a decision with a word about what nobody has looked at."""
    note = f"the parts are {_words(decision)}; the program as a whole was not solved to confirm it"
    return dataclasses.replace(decision, notes=(*decision.notes, note))


def _words(decision: ProgramDecision) -> str:
    return "unbounded" if decision.status == "dual_infeasible" else decision.status.replace("_", " ")
