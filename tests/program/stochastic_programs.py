"""Small random stochastic programs, the toy of the literature, and an optimum by brute force."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate
from drawing import either, one_of, some_of
from drawing import whole as whole_number

#: Feasibility slack of the brute force; all numbers are small whole ones.
SLACK = 1e-9


def toy(sense: str = "max", copies: int = 1) -> StochasticProgram:
    """Stake x at 1 a unit, serve min(x, d) at 3 a unit, d = 2 or 6; each demand in several equal nodes."""
    sign = 1.0 if sense == "max" else -1.0
    stake = NodeTemplate.make(0, ["x"], cost=-sign, upper=10.0)
    serve = NodeTemplate.make(
        1,
        ["y"],
        ["stock", "demand"],
        cost=3.0 * sign,
        row_upper=[0.0, 2.0],
        entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0), (1, 1, 0, 1.0)],
    )
    changes = [{}, *[{}] * copies, *[{("row_upper", 1): 6.0}] * copies]
    return StochasticProgram.from_changes(
        "toy",
        sense,
        [stake, serve],
        parent=[-1] + [0] * 2 * copies,
        template=[0] + [1] * 2 * copies,
        conditional=[1.0] + [0.5 / copies] * 2 * copies,
        changes=changes,
    )


@st.composite
def programs(draw: st.DrawFn, *, whole: bool | None = None) -> StochasticProgram:
    """Two or three stages, one or two columns a node, small whole numbers; not always feasible.

    With ``whole``, every column is whole and bounded by 2, so that `best` can try everything.
    """
    depth = whole_number(draw, 2, 3)
    widths = [whole_number(draw, 1, 2) for _ in range(depth)]
    templates = []
    for stage in range(depth):
        n, m = widths[stage], whole_number(draw, 0, 2)
        places = [(r, k, c) for r in range(m) for k in range(stage + 1) for c in range(widths[k])]
        entries = [(*place, float(whole_number(draw, -3, 3))) for place in places if either(draw)]
        floor = [
            -math.inf if whole_number(draw, 0, 5) else float(whole_number(draw, -3, 1)) for _ in range(m)
        ]
        templates.append(
            NodeTemplate.make(
                stage,
                [f"x{stage}{c}" for c in range(n)],
                [f"r{stage}{r}" for r in range(m)],
                cost=[float(whole_number(draw, -3, 3)) for _ in range(n)],
                upper=[float(whole_number(draw, 1, 2)) for _ in range(n)],
                integer=[bool(whole) or (whole is None and either(draw)) for _ in range(n)],
                row_lower=floor,
                row_upper=[float(whole_number(draw, 1, 5)) for _ in range(m)],
                entries=entries,
                constant=float(whole_number(draw, -3, 3)),
            )
        )
    parent, template, conditional, changes = [-1], [0], [1.0], [{}]
    generation = [0]
    for stage in range(1, depth):
        following = []
        for above in generation:
            for chance in one_of(draw, [[1.0], [0.5, 0.5], [0.25, 0.75]]):
                following.append(len(parent))
                parent.append(above)
                template.append(stage)
                conditional.append(chance)
                changes.append(_changes(draw, templates[stage]))
        generation = following
    return StochasticProgram.from_changes(
        "random",
        one_of(draw, ["max", "min"]),
        templates,
        parent=parent,
        template=template,
        conditional=conditional,
        changes=changes,
    )


#: What a node may have otherwise than its template, and from where to where.
_CHANGES = {"constant": (-3, 3), "cost": (-3, 3), "upper": (0, 2), "row_upper": (1, 5), "entries": (-3, 3)}


def _changes(draw: st.DrawFn, template: NodeTemplate) -> dict[tuple[str, int], float]:
    places = [
        (name, k) for name in _CHANGES for k in range(template.spans[name].stop - template.spans[name].start)
    ]
    chosen = some_of(draw, places, 0, 4)
    return {place: float(whole_number(draw, *_CHANGES[place[0]])) for place in chosen}


@dataclass(frozen=True)
class _Node:
    """A node, written out once: every whole decision there, what it is worth and what it does to the rows."""

    decisions: np.ndarray
    gains: np.ndarray
    activity: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    to_ancestors: dict[int, np.ndarray]

    @classmethod
    def of(cls, program: StochasticProgram, number: int) -> _Node:
        matrices = program.node(number)
        ranges = [
            range(math.ceil(a), int(b) + 1) for a, b in zip(matrices.lower, matrices.upper, strict=True)
        ]
        decisions = np.array(list(itertools.product(*ranges)), dtype=float).reshape(-1, len(ranges))
        weight = float(program.probability[number]) * (1.0 if program.sense == "max" else -1.0)
        return cls(
            decisions,
            weight * (matrices.constant + decisions @ matrices.cost),
            decisions @ matrices.own.toarray().T,
            matrices.row_lower - SLACK,
            matrices.row_upper + SLACK,
            {stage: block.toarray() for stage, block in matrices.to_ancestors.items()},
        )

    def feasible(self, past: list[np.ndarray]) -> np.ndarray:
        """Numbers of the decisions that keep every row after those of the ancestors."""
        rows = self.activity
        for stage, block in self.to_ancestors.items():
            rows = rows + block @ past[stage]
        return np.flatnonzero(((rows <= self.upper) & (rows >= self.lower)).all(axis=1))


def best(program: StochasticProgram) -> float | None:
    """Optimum by trying every whole decision at every node; ``None`` where nothing is feasible."""
    nodes = [_Node.of(program, number) for number in range(len(program))]
    children: dict[int, list[int]] = {}
    for number, above in enumerate(program.parent.tolist()):
        children.setdefault(above, []).append(number)

    def value(number: int, past: list[np.ndarray]) -> float:
        node = nodes[number]
        some = node.feasible(past)
        if number not in children:
            return float(node.gains[some].max(initial=-math.inf))
        return max(
            (
                float(node.gains[k])
                + sum(value(child, [*past, node.decisions[k]]) for child in children[number])
                for k in some.tolist()
            ),
            default=-math.inf,
        )

    optimum = value(0, [])
    return (optimum if program.sense == "max" else -optimum) if math.isfinite(optimum) else None
