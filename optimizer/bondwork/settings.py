"""Settings of a strategy: names and texts from outside, checked against what the strategy declares.

A strategy that can be tuned declares ``settings``, a mapping from names to `Setting`. Whoever calls gives
``Options.settings``, all text; what a strategy does not declare, or cannot take, is refused before anything
is solved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bondwork.problem.faults import Fault, InvalidInput, preview

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a strategy.

    Attributes
    ----------
    default
        Its value where nobody says otherwise; one that `read_settings` would take.
    summary
        One line that says what it does.
    words
        The words that it takes.
    least, most
        The whole numbers that it takes; none where ``least`` is ``None``, no upper end where ``most`` is.
    """

    default: str
    summary: str
    words: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None

    @property
    def expected(self) -> str:
        """What the setting takes, in words."""
        parts = list(self.words)
        if self.least is not None:
            upper = "" if self.most is None else f" and <= {self.most}"
            parts.append(f"a whole number >= {self.least}{upper}")
        return " or ".join(parts)

    def takes(self, value: str) -> bool:
        """Whether a value is one of the words or numbers of this setting."""
        if value in self.words:
            return True
        if self.least is None or not value.isascii() or not value.isdigit():
            return False
        return self.least <= int(value) and (self.most is None or int(value) <= self.most)


def read_settings(strategy: object, given: Mapping[str, str], name: str = "this strategy") -> dict[str, str]:
    """Return the value of every setting that a strategy declares.

    Parameters
    ----------
    strategy
        Declares ``settings``, or nothing.
    given
        What the caller chose, by name.
    name
        The strategy's name, for messages.

    Raises
    ------
    InvalidInput
        With every name that the strategy does not declare and every value that it does not take.

    Examples
    --------
    >>> class Tuned:
    ...     settings = {"cuts": Setting("auto", "How many cuts a step adds.", ("auto", "single"), least=1)}
    >>> read_settings(Tuned(), {"cuts": "20"})
    {'cuts': '20'}
    >>> try:
    ...     read_settings(Tuned(), {"cuts": "few"})
    ... except InvalidInput as wrong:
    ...     print(wrong)
    settings.cuts: found "few", expected auto or single or a whole number >= 1
    """
    declared: Mapping[str, Setting] = getattr(strategy, "settings", {})
    faults = []
    for key, value in given.items():
        if key not in declared:
            known = f"one of {', '.join(declared)}" if declared else "none, as it has no settings"
            faults.append(Fault(f"settings.{key}", preview(value), f"a setting of {name}: {known}"))
        elif not declared[key].takes(value):
            faults.append(Fault(f"settings.{key}", preview(value), declared[key].expected))
    if faults:
        raise InvalidInput(faults)
    return {key: given.get(key, setting.default) for key, setting in declared.items()}
