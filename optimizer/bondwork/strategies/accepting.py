"""Which strategy takes which kind of input: said once, for whoever asks beforehand and whoever refuses.

A strategy says of itself, by attributes of its class, what `reasons_against` cannot see from its methods:
``agrees_on_prices`` (an auction), ``most_stages`` of a program, and ``takes_linking``, whether rows may link
scenarios. What is left out is: no, any number, yes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Kinds of input: rounds by what follows the present, and programs.
Kind: TypeAlias = Literal[
    "one stage",
    "second stage",
    "second stage, limited losses",
    "later period",
    "later period, limited tails",
    "several later periods",
    "program",
    "program, linking rows",
]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

_STAGES: Final = {"several later periods": 3}
_LINKED: Final = ("second stage, limited losses", "later period, limited tails", "program, linking rows")


def reasons_against(strategy: type[Any], kind: Kind) -> list[str]:
    """Say why a strategy does not take a kind of input; an empty list where it does.

    Single inputs may have more that it cannot honour: whole columns in recourse, replicas at an auction.

    Parameters
    ----------
    strategy
        Its class.
    kind
        Of the input.

    Examples
    --------
    >>> from bondwork.strategies.greedy import Greedy
    >>> reasons_against(Greedy, "later period"), reasons_against(Greedy, "program")
    ([], ['it decides rounds only'])
    """
    of_programs = hasattr(strategy, "solve_program")
    if kind == "one stage":
        return []
    if not of_programs:
        if kind.startswith("program"):
            return ["it decides rounds only"]
        if getattr(strategy, "agrees_on_prices", False):
            return ["it agrees on prices, and what follows is paid its bids"]
        return []  # it decides the present, and what follows is decided for it
    found = []
    most = getattr(strategy, "most_stages", None)
    if most is not None and _STAGES.get(kind, 2) > most:
        found.append(f"it takes {most} stages at most")
    if kind in _LINKED and not getattr(strategy, "takes_linking", True):
        found.append("it takes no rows that link scenarios")
    return found


def takers(strategies: Iterable[tuple[str, type[Any]]], kind: Kind) -> list[str]:
    """Names of the strategies that take a kind of input, in their order."""
    return [name for name, each in strategies if not reasons_against(each, kind)]
