"""What a plan says of how it was made: names and options that a solve takes. Part of `bondwork.plan.verify`.

Versions, seconds and notes say nothing about the round, and nobody can check them.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, TypeAlias

from bondwork.base.tolerances import LARGEST_GAP
from bondwork.registry import formulation_names, strategy_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bondwork.plan.verify_status import StatusCheck

#: What an option may be.
Option: TypeAlias = bool | int | float | str | None

#: Least and largest value of numbers, and whether they are whole. ``None`` is no number: no limit of time.
_NUMBERS: Final = {
    "time_limit": (0.0, math.inf, False),
    "mip_rel_gap": (0.0, LARGEST_GAP, False),
    "threads": (0, 2**31 - 1, True),
    "random_seed": (0, 2**31 - 1, True),
}

#: Options that are text, and what they may be; empty where that depends on what is installed.
_TEXTS: Final[dict[str, tuple[str, ...]]] = {
    "strategy": (),
    "risk_form": ("auto", "rows", "cuts"),
}

#: Names of HiGHS's options, and of settings of strategies.
_OTHER: Final = re.compile(r"(settings\.)?[A-Za-z][A-Za-z0-9_.-]*")


def unknown_names(strategy: str, formulation: str) -> list[str]:
    """What is to be listed as unchecked of who decided: names that nobody here knows.

    They may be those of a plug-in, and say nothing about the decision: no reason to refuse it.

    Examples
    --------
    >>> unknown_names("auto", "by hand")
    ["formulation: 'by hand' is not installed here"]
    """
    named = (("strategy", strategy, strategy_names()), ("formulation", formulation, formulation_names()))
    return [
        f"{what}: {name[:80]!r} is not installed here" for what, name, known in named if name not in known
    ]


def check_options(check: StatusCheck) -> None:
    """Check that the options are such as a solve takes."""
    options = check.plan.provenance.options
    wrong = dict(wrong_options(options))
    kept = {name: value for name, value in options.items() if name not in wrong}
    for name, expected in wrong.items():
        what, found = f"provenance.options.{name[:80]}", options[name]
        check.doubt(what, found, expected, (("provenance", "options"), kept))


def wrong_options(options: Mapping[str, Option]) -> Iterator[tuple[str, str]]:
    """Names of options such as no solve takes, each with what it should be.

    Examples
    --------
    >>> dict(wrong_options({"threads": 2, "mip_rel_gap": -1.0}))
    {'mip_rel_gap': 'a number from 0 to 1e+06'}
    """
    for name, value in options.items():
        expected = _expected(name, value)
        if expected is not None:
            yield name, expected


def _expected(name: str, value: Option) -> str | None:
    """What an option should be instead; ``None`` where it is such."""
    if name in _NUMBERS:
        least, most, whole = _NUMBERS[name]
        if value is None and name == "time_limit":
            return None
        kinds = (int,) if whole else (int, float)
        if isinstance(value, kinds) and not isinstance(value, bool) and least <= value <= most:
            return None
        return f"a{' whole' if whole else ''} number from {least:g}" + (
            f" to {most:g}" if math.isfinite(most) else ""
        )
    if name in _TEXTS:
        known = _TEXTS[name]
        if isinstance(value, str) and value and (not known or value in known):
            return None
        return " or ".join(known) or "a name"
    if not _OTHER.fullmatch(name):
        return "the name of an option"
    if name.startswith("settings."):
        return None if isinstance(value, str) else "text"
    return "a value" if value is None else None
