"""From what is random to a tree: the product of independent laws, a sample of it, or listed scenarios."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bondwork.importers.smps_stoch import stage_of
from bondwork.problem.faults import Fault, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from bondwork.importers.mps_core import Core
    from bondwork.importers.smps_lines import Reader
    from bondwork.importers.smps_stoch import Change, Element, Law, Scenario, Stochastics
    from bondwork.importers.smps_time import Periods

#: Value of an element where it is no longer the core's.
State = dict["Element", float]


@dataclass(slots=True)
class Node:
    """A node: its parent, its probability given that, its stage, and what is not as in the core so far."""

    parent: int
    probability: float
    stage: int
    state: State
    name: str


@dataclass(slots=True)
class _Branch:
    """A node of a scenario tree that is being put together."""

    parent: _Branch | None
    stage: int
    state: State
    name: str
    mass: float = 0.0
    children: list[_Branch] = field(default_factory=list)


class TreeMaker:
    """Makes the nodes of a program from its core, periods and stochastics.

    Attributes
    ----------
    most_nodes
        Larger trees are refused.
    """

    def __init__(self, core: Core, periods: Periods, reader: Reader, most_nodes: int) -> None:
        self.core, self.periods, self.reader, self.most_nodes = core, periods, reader, most_nodes

    def make(self, random: Stochastics, draws: Sequence[int] | None, seed: int) -> list[Node]:
        """Nodes stage by stage, parents first.

        Parameters
        ----------
        draws
            Children drawn for each node, by stage after the first; ``None``: the whole tree.
        """
        if not random.scenarios:
            return self._product(random.laws, draws, seed)
        shares = {number: each.outcome.probability for number, each in enumerate(random.scenarios)}
        if draws is not None:
            shares = self._drawn(random.scenarios, draws, seed)
        return self._scenario_tree(shares, random.scenarios)

    def stage_of(self, element: Element) -> int:
        """Stage of an element."""
        return stage_of(element, self.core, self.periods)

    def value(self, element: Element) -> float:
        """Value of an element in the core."""
        core, (kind, first, second) = self.core, element
        if kind == "entry":
            return core.entries.get((first, second), 0.0)
        if kind == "cost":
            return core.entries.get((first, core.objective), 0.0)
        if kind == "rhs":
            return core.rhs.get(first, 0.0)
        return core.column_limits(first)[kind == "upper"]

    def _changed(self, state: Mapping[Element, float], changes: Iterable[Change]) -> State:
        after = dict(state)
        for change in changes:
            current = after.get(change.element)
            after[change.element] = change.applied(self.value(change.element) if current is None else current)
        return after

    # --- products ------------------------------------------------------------------------------------------

    def _product(self, laws: Sequence[Law], draws: Sequence[int] | None, seed: int) -> list[Node]:
        stages = len(self.periods.names)
        known = [[law for law in laws if law.stage == stage] for stage in range(stages)]
        self._check_size(known, draws)
        random = np.random.default_rng(seed)
        nodes = [Node(-1, 1.0, 0, {}, "root")]
        generation = [0]
        for stage in range(1, stages):
            children: Callable[[], Iterator[tuple[float, list[Change]]]]
            if draws is None:
                every = list(_combinations(known[stage]))
                children = every.__iter__
            else:
                children = _Sampler(known[stage], draws[stage - 1], random)
            following = []
            for parent in generation:
                # what became known before and belongs to earlier stages is with those nodes
                carried = {e: v for e, v in nodes[parent].state.items() if self.stage_of(e) >= stage}
                for probability, changes in children():
                    following.append(len(nodes))
                    state = self._changed(carried, changes)
                    nodes.append(Node(parent, probability, stage, state, str(len(nodes))))
            generation = following
        return nodes

    def _check_size(self, known: Sequence[Sequence[Law]], draws: Sequence[int] | None) -> None:
        nodes, generation, sizes = 1, 1, []
        for stage, laws in enumerate(known[1:]):
            width = 1
            for law in laws:
                width *= len(law.outcomes)
            if draws is not None:
                width = min(width, draws[stage])
            sizes.append(width)
            generation *= width
            nodes += generation
        if nodes > self.most_nodes:
            found = (
                f"{_short(generation)} scenarios, {_short(nodes)} nodes ({' x '.join(map(_short, sizes))})"
            )
            expected = f"at most {self.most_nodes} nodes; draw scenarios from them instead"
            raise InvalidInput([Fault(self.reader.name, found, expected)])

    # --- scenarios -----------------------------------------------------------------------------------------

    def _drawn(self, scenarios: Sequence[Scenario], draws: Sequence[int], seed: int) -> dict[int, float]:
        """Numbers of the scenarios that are drawn, and the share of each; what was read stays as it is."""
        if len(self.periods.names) > 2:
            expected = "two periods: scenarios drawn from a tree would no longer share its inner nodes"
            raise InvalidInput([Fault("scenarios", f"{len(self.periods.names)} periods", expected)])
        chances = np.array([each.outcome.probability for each in scenarios])
        drawn = np.random.default_rng(seed).choice(len(scenarios), draws[0], p=chances / chances.sum())
        number, times = np.unique(drawn, return_counts=True)
        return dict(zip(number.tolist(), (times / draws[0]).tolist(), strict=True))

    def _scenario_tree(self, shares: Mapping[int, float], scenarios: Sequence[Scenario]) -> list[Node]:
        """Join the paths of scenarios: each shares its parent's nodes up to the period of its branch."""
        names = self.periods.names
        last = len(names) - 1
        core_path: list[_Branch] = []
        for stage, period in enumerate(names):
            above = core_path[-1] if core_path else None
            core_path.append(_Branch(above, stage, {}, f"core/{period}"))
            if above is not None:
                above.children.append(core_path[-1])
        if len(scenarios) > self.most_nodes:
            expected = f"at most {self.most_nodes} nodes"
            raise InvalidInput([Fault(self.reader.name, f"{len(scenarios)} scenarios", expected)])
        paths: list[list[_Branch]] = []
        states: list[State] = []
        roots = set()
        for number, each in enumerate(scenarios):
            base = paths[each.parent] if each.parent >= 0 else core_path
            state = self._changed(
                states[each.parent] if each.parent >= 0 else {}, each.outcome.changes.values()
            )
            path = base[: each.stage]
            for stage in range(each.stage, last + 1):
                above = path[-1] if path else None
                name = each.name if stage == last else f"{each.name}/{names[stage]}"
                path.append(_Branch(above, stage, state, name))
                if above is not None:
                    above.children.append(path[-1])
            paths.append(path)
            states.append(state)
            if number in shares:
                roots.add(id(path[0]))
                for node in path:
                    node.mass += shares[number]
        if len(roots) > 1:
            found = f"{len(roots)} scenarios that differ in the first period"
            raise InvalidInput([Fault(self.reader.name, found, "one first period, which is certain")])
        root = paths[min(shares)][0]
        return _numbered(root, {id(node) for path in paths for node in path})


def _combinations(laws: Sequence[Law]) -> Iterator[tuple[float, list[Change]]]:
    """Every joint outcome of independent laws, the last law's varying fastest."""
    for joint in itertools.product(*(law.outcomes for law in laws)):
        probability = 1.0
        changes: list[Change] = []
        for outcome in joint:
            probability *= outcome.probability
            changes += outcome.changes.values()
        yield probability, changes


class _Sampler:
    """Draws joint outcomes of independent laws: equal ones become one with their share of the draws."""

    def __init__(self, laws: Sequence[Law], draws: int, random: np.random.Generator) -> None:
        self.laws, self.draws, self.random = laws, draws, random

    def __call__(self) -> Iterator[tuple[float, list[Change]]]:
        if not self.laws:
            yield 1.0, []
            return
        chances = [np.array([each.probability for each in law.outcomes]) for law in self.laws]
        drawn = np.stack([self.random.choice(len(p), self.draws, p=p / p.sum()) for p in chances], axis=1)
        joint, times = np.unique(drawn, axis=0, return_counts=True)
        for row, count in zip(joint.tolist(), times.tolist(), strict=True):
            picked = zip(row, self.laws, strict=True)
            yield (
                count / self.draws,
                [change for k, law in picked for change in law.outcomes[k].changes.values()],
            )


def _numbered(root: _Branch, used: set[int]) -> list[Node]:
    """Nodes of a tree stage by stage, without those of no scenario that is kept."""
    root.name = "root"
    nodes = [Node(-1, 1.0, 0, root.state, root.name)]
    generation = [(0, root)]
    while generation:
        following = []
        for number, above in generation:
            kept = [each for each in above.children if id(each) in used and (each.mass or not above.mass)]
            total = sum(each.mass for each in kept)
            for each in kept:
                share = each.mass / total if total else 1.0 / len(kept)
                following.append((len(nodes), each))
                nodes.append(Node(number, share, each.stage, each.state, each.name))
        generation = following
    return nodes


def _short(number: int) -> str:
    return str(number) if number < 10**6 else f"{float(min(number, 10**300)):.3g}"
