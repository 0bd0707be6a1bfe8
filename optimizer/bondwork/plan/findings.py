"""What the check of a plan finds, of which kind, and what would make the plan say what is so.

*Core* findings are about the decision: feasibility, objective, bound, risk, status and the facts of what is
chosen. *Commentary* findings are about what a plan says of its decision: reasons, prices, explanations, a
conflict, shares. A plan whose commentary is doubtful is as good a plan without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from bondwork.plan.plan import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bondwork.plan.plan import FindingKind

#: A place in a plan's document: ``("assignments", 3, "bid")``.
Place: TypeAlias = tuple[str | int, ...]

#: Values that, put at their places, make a plan say what is so, or nothing where that is not known.
Amendment: TypeAlias = tuple[tuple[Place, object], ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a plan that is not so.

    Attributes
    ----------
    violation
        What is told of it.
    amendment
        What would set it right; empty where only another plan would.
    together
        Offers that cannot all be chosen; empty where that is not what is wrong.
    """

    violation: Violation
    amendment: Amendment = ()
    together: frozenset[int] = frozenset()


class Findings:
    """What was found so far, in the order in which it was found; the base of all checks of a plan."""

    def __init__(self) -> None:
        self.found: list[Finding] = []
        #: Parts of the plan that make no claim, or one that nobody can check.
        self.unchecked: list[str] = []

    @property
    def violations(self) -> list[Violation]:
        """Everything that is not so, of both kinds."""
        return [each.violation for each in self.found]

    def wrong(
        self,
        what: str,
        found: object,
        expected: object,
        *amendment: tuple[Place, object],
        together: Iterable[int] = (),
    ) -> None:
        """Note something about the decision that is not so; of a broken limit the offers that break it."""
        self._note("core", what, found, expected, amendment, together)

    def doubt(self, what: str, found: object, expected: object, *amendment: tuple[Place, object]) -> None:
        """Note something in the commentary that is not so."""
        self._note("commentary", what, found, expected, amendment)

    def _note(
        self,
        kind: FindingKind,
        what: str,
        found: object,
        expected: object,
        amendment: Amendment,
        together: Iterable[int] = (),
    ) -> None:
        violation = Violation(what=what, found=_text(found), expected=_text(expected), kind=kind)
        self.found.append(Finding(violation, amendment, frozenset(together)))


def _text(value: object) -> str:
    return f"{value:.12g}" if isinstance(value, float) else "null" if value is None else str(value)
