"""Finding formulations, strategies, samplers and reductions by name, by entry points, ours and others'.

A plug-in that cannot be imported is said so once, on standard error, and left out of every list; whoever asks
for it by name is told why it is not there.
"""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from bondwork.console import say
from bondwork.problem.faults import Fault, InvalidInput, Refusal, preview

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.contracts import Formulation, ProgramStrategy, Reduction, Sampler, Strategy
    from bondwork.settings import Setting
    from bondwork.strategies.accepting import Kind

#: What a strategy may decide: rounds of one stage, stochastic programs, or both.
Input: TypeAlias = Literal["rounds", "programs"]

_FORMULATIONS = "bondwork.formulations"
_STRATEGIES = "bondwork.strategies"
_SAMPLERS = "bondwork.samplers"
_REDUCTIONS = "bondwork.reductions"
_GROUPS = (_STRATEGIES, _FORMULATIONS, _SAMPLERS, _REDUCTIONS)
_OURS = ("bondwork", "bondwork_models")
_METHODS: dict[Input, str] = {"rounds": "solve", "programs": "solve_program"}


def formulation_names() -> list[str]:
    """Names of all installed formulations, sorted."""
    return sorted(_installed(_FORMULATIONS).names)


def strategy_names(takes: Input | None = None) -> list[str]:
    """Names of all installed strategies, sorted; with ``takes``, of those that decide such inputs."""
    if takes is None:
        return sorted(_installed(_STRATEGIES).names)
    return [name for name, kind in _strategies().items() if hasattr(kind, _METHODS[takes])]


def strategy_inputs(name: str) -> tuple[Input, ...]:
    """What the strategy of a name decides.

    Raises
    ------
    InvalidInput
        No strategy of that name is installed.
    """
    return _inputs(load_strategy(name))


def _inputs(kind: type[Any]) -> tuple[Input, ...]:
    return tuple(takes for takes, method in _METHODS.items() if hasattr(kind, method))


@dataclass(frozen=True, slots=True)
class Description:
    """What a strategy says of itself: one line, what it takes, and its settings by name."""

    summary: str
    takes: tuple[Input, ...]
    settings: Mapping[str, Setting]


def describe_strategies() -> dict[str, Description]:
    """Return what every strategy that can be imported says of itself, by name."""
    return {
        name: Description(getattr(kind, "summary", ""), _inputs(kind), dict(getattr(kind, "settings", {})))
        for name, kind in _strategies().items()
    }


def broken_plugins() -> dict[str, str]:
    """Plug-ins of other packages that cannot be imported: why not, by group and name (``group:name``).

    Imports every plug-in that is not part of bondwork, of all groups.
    """
    failed = {}
    for group in _GROUPS:
        for entry in sorted(_installed(group), key=lambda each: each.name):
            if entry.module.partition(".")[0] not in _OURS and isinstance(loaded := _load(entry), Broken):
                failed[f"{group}:{entry.name}"] = loaded.why
    return failed


def compared_strategies(takes: Input) -> list[str]:
    """Names of the strategies that a comparison runs where none are named.

    All but ``auto``, which is one of the others, the presets of HiGHS, which are the same one again, and
    ``broker``, which does not look at what may fail.
    """
    left_out = ("auto", "broker")
    return [name for name in strategy_names(takes) if name not in left_out and not name.startswith("highs-")]


def strategy_matrix() -> dict[str, dict[Kind, list[str]]]:
    """Why each strategy that can be imported does not take each kind of input: nothing where it does."""
    from bondwork.strategies.accepting import KINDS, reasons_against

    return {
        name: {each: reasons_against(kind, each) for each in KINDS} for name, kind in _strategies().items()
    }


def check_takes(name: str, kind: Kind) -> None:
    """Refuse a strategy that does not take a kind of input, with the names of those that do.

    Raises
    ------
    InvalidInput
        No strategy of that name is installed.
    Refusal
        It does not take such input.
    """
    from bondwork.strategies.accepting import reasons_against, takers

    if reasons := reasons_against(load_strategy(name), kind):
        others = ", ".join(takers(_strategies().items(), kind))
        raise Refusal(f"strategy {name} on a {kind}: {each}; these do: {others}" for each in reasons)


def load_strategy(name: str) -> type[Any]:
    """Load the class of a strategy, whatever it decides; ``summary`` says what it does.

    Raises
    ------
    InvalidInput
        No strategy of that name is installed.
    """
    return cast("type[Any]", _find(_STRATEGIES, "strategy", name))


def find_formulation(name: str) -> Formulation:
    """Make the formulation of a name.

    Raises
    ------
    InvalidInput
        No formulation of that name is installed.
    """
    return cast("Formulation", _find(_FORMULATIONS, "formulation", name)())


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
    return cast("Sampler", _find(_SAMPLERS, "method", name)())


def find_reduction(name: str) -> Reduction:
    """Make the reduction of a name.

    Raises
    ------
    InvalidInput
        No reduction of that name is installed.
    """
    return cast("Reduction", _find(_REDUCTIONS, "method", name)())


def _make(name: str, takes: Input) -> Any:
    kind = load_strategy(name)
    if not hasattr(kind, _METHODS[takes]):
        what = {"rounds": "rounds of one stage", "programs": "stochastic programs"}[takes]
        others = ", ".join(strategy_names(takes))
        raise Refusal([f"strategy {name} does not decide {what}; these do: {others}"])
    return kind()


def sampler_fault(path: str, name: str, others: tuple[str, ...] = ()) -> Fault | None:
    """Say what is wrong with the name of a sampler in a document; ``others`` are allowed as well."""
    return None if name in others else _fault(_SAMPLERS, path, name, others)


def _find(group: str, noun: str, name: str) -> Any:
    fault = _fault(group, noun, name)
    if fault is not None:
        raise InvalidInput([fault])
    return _load(_installed(group)[name])


def _fault(group: str, path: str, name: str, others: tuple[str, ...] = ()) -> Fault | None:
    """What is wrong with a name: nothing of it is installed, or what is cannot be imported."""
    found = _installed(group)
    if name in found.names:
        loaded = _load(found[name])
        if not isinstance(loaded, Broken):
            return None
        return Fault(path, f"{preview(name)}, a plug-in that cannot be imported ({loaded.why})", "another")
    known = sorted({*found.names, *others})
    close = difflib.get_close_matches(name[:100], known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return Fault(path, preview(name), f"one of {', '.join(known)}{hint}")


def _strategies() -> dict[str, type[Any]]:
    """Classes of the strategies that can be imported, by name, sorted."""
    loaded = {name: _load(_installed(_STRATEGIES)[name]) for name in strategy_names()}
    return {name: kind for name, kind in loaded.items() if not isinstance(kind, Broken)}


@dataclass(frozen=True, slots=True)
class Broken:
    """Stands for a plug-in that cannot be imported, with the reason in one line."""

    why: str


@cache
def _load(entry: EntryPoint) -> Any:
    """Import a plug-in, once. Whatever it raises is told on standard error, and is nobody else's trouble."""
    try:
        return entry.load()
    except (Exception, SystemExit) as error:  # a module that ends the process ends itself only
        said = str(error).strip().splitlines()
        why = f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
        if sys.stderr is not None:
            say(f"{entry.group}: {entry.name} ({entry.value}) is left out: {why}")
        return Broken(why)


def plugin_modules() -> list[str]:
    """Modules of our strategies and of the formulation ``highs``: what a process that solves will import.

    Those of other packages are imported where they are asked for: one that is broken must not end the process
    that all others are forked from.
    """
    chosen = [*_installed(_STRATEGIES), *_installed(_FORMULATIONS).select(name="highs")]
    return sorted({each.module for each in chosen if each.module.partition(".")[0] in _OURS})


def look_again() -> None:
    """Forget what was found: for packages that were installed while this process runs."""
    _installed.cache_clear()
    _load.cache_clear()


@cache
def _installed(group: str) -> EntryPoints:
    """Entry points of a group, looked up once: it reads the metadata of every installed package (10 ms)."""
    return entry_points(group=group)
