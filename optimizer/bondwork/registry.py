"""Finding formulations and strategies by name, ours and other people's, through entry points."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from bondwork.problem.faults import Fault, InvalidInput, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.contracts import Formulation, ProgramStrategy, Reduction, Sampler, Strategy
    from bondwork.settings import Setting

#: What a strategy may decide: rounds of one stage, stochastic programs, or both.
Input: TypeAlias = Literal["rounds", "programs"]

_FORMULATIONS = "bondwork.formulations"
_STRATEGIES = "bondwork.strategies"
_SAMPLERS = "bondwork.samplers"
_REDUCTIONS = "bondwork.reductions"
_METHODS: dict[Input, str] = {"rounds": "solve", "programs": "solve_program"}


def formulation_names() -> list[str]:
    """Names of all installed formulations, sorted."""
    return sorted(_installed(_FORMULATIONS).names)


def strategy_names(takes: Input | None = None) -> list[str]:
    """Names of all installed strategies, sorted; with ``takes``, of those that decide such inputs."""
    names = sorted(_installed(_STRATEGIES).names)
    return names if takes is None else [name for name in names if takes in strategy_inputs(name)]


def strategy_inputs(name: str) -> tuple[Input, ...]:
    """What the strategy of a name decides.

    Raises
    ------
    InvalidInput
        No strategy of that name is installed.
    """
    kind = load_strategy(name)
    return tuple(takes for takes, method in _METHODS.items() if hasattr(kind, method))


@dataclass(frozen=True, slots=True)
class Description:
    """What a strategy says of itself: one line, what it takes, and its settings by name."""

    summary: str
    takes: tuple[Input, ...]
    settings: Mapping[str, Setting]


def describe_strategies() -> dict[str, Description]:
    """Return what every installed strategy says of itself, by name."""
    described = {}
    for name in strategy_names():
        kind = load_strategy(name)
        described[name] = Description(
            kind.summary, strategy_inputs(name), dict(getattr(kind, "settings", {}))
        )
    return described


def compared_strategies(takes: Input) -> list[str]:
    """Names of the strategies that a comparison runs where none are named.

    All but ``auto``, which is one of the others, the presets of HiGHS, which are the same one again, and
    ``broker``, which does not look at what may fail.
    """
    left_out = ("auto", "broker")
    return [name for name in strategy_names(takes) if name not in left_out and not name.startswith("highs-")]


def load_strategy(name: str) -> type[Any]:
    """Load the class of a strategy, whatever it decides; ``summary`` says what it does.

    Raises
    ------
    InvalidInput
        No strategy of that name is installed.
    """
    return cast("type[Any]", _find(_STRATEGIES, "strategy", name).load())


def find_formulation(name: str) -> Formulation:
    """Make the formulation of a name.

    Raises
    ------
    InvalidInput
        No formulation of that name is installed.
    """
    return cast("Formulation", _find(_FORMULATIONS, "formulation", name).load()())


def find_strategy(name: str) -> Strategy:
    """Make the strategy of a name, one that decides rounds.

    Raises
    ------
    InvalidInput
        No strategy of that name is installed.
    Refusal
        It decides stochastic programs only.
    """
    return cast("Strategy", _make(name, "rounds"))


def find_program_strategy(name: str) -> ProgramStrategy:
    """Make the strategy of a name, one that decides stochastic programs.

    Raises
    ------
    InvalidInput
        No strategy of that name is installed.
    Refusal
        It decides rounds of one stage only.
    """
    return cast("ProgramStrategy", _make(name, "programs"))


def find_sampler(name: str) -> Sampler:
    """Make the sampler of a name.

    Raises
    ------
    InvalidInput
        No sampler of that name is installed.
    """
    return cast("Sampler", _find(_SAMPLERS, "method", name).load()())


def find_reduction(name: str) -> Reduction:
    """Make the reduction of a name.

    Raises
    ------
    InvalidInput
        No reduction of that name is installed.
    """
    return cast("Reduction", _find(_REDUCTIONS, "method", name).load()())


def _make(name: str, takes: Input) -> Any:
    kind = load_strategy(name)
    if not hasattr(kind, _METHODS[takes]):
        what = {"rounds": "rounds of one stage", "programs": "stochastic programs"}[takes]
        others = ", ".join(strategy_names(takes))
        raise Refusal([f"strategy {name} does not decide {what}; these do: {others}"])
    return kind()


def _find(group: str, noun: str, name: str) -> EntryPoint:
    found = _installed(group)
    if name not in found.names:
        raise InvalidInput([Fault(noun, f'"{name}"', f"one of {', '.join(sorted(found.names))}")])
    return found[name]


def plugin_modules() -> list[str]:
    """Modules of all strategies and of the formulation ``highs``: what a process that solves will import."""
    chosen = [*entry_points(group=_STRATEGIES), *entry_points(group=_FORMULATIONS, name="highs")]
    return sorted({each.module for each in chosen})


@cache
def _installed(group: str) -> EntryPoints:
    """Entry points of a group, looked up once: it reads the metadata of every installed package (10 ms)."""
    return entry_points(group=group)
