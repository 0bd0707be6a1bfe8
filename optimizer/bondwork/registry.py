"""Finding formulations and strategies by name, ours and other people's, through entry points."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, cast

from bondwork.problem.faults import Fault, InvalidInput

if TYPE_CHECKING:
    from bondwork.contracts import Formulation, Strategy

_FORMULATIONS = "bondwork.formulations"
_STRATEGIES = "bondwork.strategies"


def formulation_names() -> list[str]:
    """Names of all installed formulations, sorted."""
    return sorted(entry_points(group=_FORMULATIONS).names)


def strategy_names() -> list[str]:
    """Names of all installed strategies, sorted."""
    return sorted(entry_points(group=_STRATEGIES).names)


def find_formulation(name: str) -> Formulation:
    """Make the formulation of a name.

    Raises
    ------
    InvalidInput
        No formulation of that name is installed.
    """
    return cast("Formulation", _find(_FORMULATIONS, "formulation", name).load()())


def find_strategy(name: str) -> Strategy:
    """Make the strategy of a name.

    Raises
    ------
    InvalidInput
        No strategy of that name is installed.
    """
    return cast("Strategy", _find(_STRATEGIES, "strategy", name).load()())


def _find(group: str, noun: str, name: str) -> EntryPoint:
    found = entry_points(group=group)
    if name not in found.names:
        raise InvalidInput([Fault(noun, f'"{name}"', f"one of {', '.join(sorted(found.names))}")])
    return found[name]
