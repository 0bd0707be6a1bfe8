"""The one table of what a solve refuses today. Whoever makes an entry work takes it out.

An entry is refused where all its features are in a round and none of those that lift it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Refused:
    """Features that are refused beside each other, a word of the message, and what lifts it."""

    features: frozenset[str]
    says: str
    unless: frozenset[str] = frozenset()

    def matches(self, present: Iterable[str]) -> bool:
        return self.features <= set(present) and not self.unless & set(present)


def _all(first: str, others: Iterable[str], says: str) -> list[Refused]:
    return [Refused(frozenset({first, other}), says) for other in others]


EXPECTED = ("expected", "expected of operator", "expected of coprocessor")
SOLVENCY_AND_BALLS = ("solvency", "ambiguous", "ambiguous of coprocessor")
TAILS = (
    "cvar", "cvar of operator", "cvar of coprocessor", "chance", "chance of coprocessor", "worst case",
    "worst case of operator", *SOLVENCY_AND_BALLS, "calibrate",
)  # fmt: skip
OF_COPROCESSOR = ("expected of coprocessor", "cvar of coprocessor", "chance of coprocessor")

REFUSED: tuple[Refused, ...] = (
    *_all("periods", ["calibrate"], "limits that are calibrated"),
    *_all("periods", ["bootstrap"], "bootstrap"),
    *_all("periods", ["second stage"], "second-stage offers beside later periods"),
    *_all("second stage", SOLVENCY_AND_BALLS, "beside second-stage offers"),
    *_all("second stage", OF_COPROCESSOR, "of a coprocessor beside second-stage offers"),
    *_all("second stage", ["replicas"], "replicas beside second-stage offers"),
    *_all("second stage", ["bootstrap"], "bootstrap"),
    *_all("second stage", ["load curve"], "a load curve with a weight"),
    *_all("second stage", ["worth"], "worth beside second-stage offers"),
    *(
        Refused(frozenset({"second stage", "several commitments", loss}), "several commitments of one task")
        for loss in (*EXPECTED, *TAILS, "mean-risk")
    ),
    *_all("warm start", ["second stage"], "a warm start"),
    Refused(frozenset({"value"}), "of one stage", unless=frozenset({"periods", "second stage"})),
)


def reasons(present: Iterable[str]) -> list[Refused]:
    """Return the entries that a round with these features meets."""
    present = set(present)
    return [each for each in REFUSED if each.matches(present)]
