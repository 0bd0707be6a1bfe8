"""Small random stochastic programs, the toy of the literature, and an optimum by brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import strategies as st

from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate

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
    depth = draw(st.integers(2, 3))
    small = st.integers(-3, 3)
    widths = [draw(st.integers(1, 2)) for _ in range(depth)]
    templates = []
    for stage in range(depth):
        n, m = widths[stage], draw(st.integers(0, 2))
        places = [(r, k, c) for r in range(m) for k in range(stage + 1) for c in range(widths[k])]
        entries = [(*place, float(draw(small))) for place in places if draw(st.booleans())]
        floor = [-math.inf if draw(st.integers(0, 5)) else float(draw(st.integers(-3, 1))) for _ in range(m)]
        templates.append(
            NodeTemplate.make(
                stage,
                [f"x{stage}{c}" for c in range(n)],
                [f"r{stage}{r}" for r in range(m)],
                cost=[float(draw(small)) for _ in range(n)],
                upper=[float(draw(st.integers(1, 2))) for _ in range(n)],
                integer=[bool(whole) or (whole is None and draw(st.booleans())) for _ in range(n)],
                row_lower=floor,
                row_upper=[float(draw(st.integers(1, 5))) for _ in range(m)],
                entries=entries,
                constant=float(draw(small)),
            )
        )
    parent, template, conditional, changes = [-1], [0], [1.0], [{}]
    generation = [0]
    for stage in range(1, depth):
        following = []
        for above in generation:
            for chance in draw(st.sampled_from([[1.0], [0.5, 0.5], [0.25, 0.75]])):
                following.append(len(parent))
                parent.append(above)
                template.append(stage)
                conditional.append(chance)
                changes.append(draw(_changes(templates[stage])))
        generation = following
    return StochasticProgram.from_changes(
        "random",
        draw(st.sampled_from(["max", "min"])),
        templates,
        parent=parent,
        template=template,
        conditional=conditional,
        changes=changes,
    )


def _changes(template: NodeTemplate) -> st.SearchStrategy[dict[tuple[str, int], float]]:
    fields = {
        "constant": st.integers(-3, 3),
        "cost": st.integers(-3, 3),
        "upper": st.integers(0, 2),
        "row_upper": st.integers(1, 5),
        "entries": st.integers(-3, 3),
    }
    places = [
        (name, k) for name in fields for k in range(template.spans[name].stop - template.spans[name].start)
    ]
    return st.lists(st.sampled_from(places), unique=True, max_size=4).flatmap(
        lambda chosen: st.fixed_dictionaries({place: fields[place[0]].map(float) for place in chosen})
    )


def best(program: StochasticProgram) -> float | None:
    """Optimum by trying every whole decision at every node; ``None`` where nothing is feasible."""
    sign = 1.0 if program.sense == "max" else -1.0
    children: dict[int, list[int]] = {}
    for node, above in enumerate(program.parent.tolist()):
        children.setdefault(above, []).append(node)

    def value(node: int, past: list[np.ndarray]) -> float:
        matrices = program.node(node)
        spent = np.zeros(len(matrices.row_lower))
        for stage, block in matrices.to_ancestors.items():
            spent = spent + block @ past[stage]
        ranges = [
            range(math.ceil(a), int(b) + 1) for a, b in zip(matrices.lower, matrices.upper, strict=True)
        ]
        found = -math.inf
        for choice in itertools.product(*ranges):
            x = np.array(choice, dtype=float)
            rows = spent + matrices.own @ x
            if np.any(rows > matrices.row_upper + SLACK) or np.any(rows < matrices.row_lower - SLACK):
                continue
            gain = sign * float(program.probability[node]) * (matrices.constant + float(matrices.cost @ x))
            found = max(found, gain + sum(value(child, [*past, x]) for child in children.get(node, [])))
        return found

    optimum = value(0, [])
    return sign * optimum if math.isfinite(optimum) else None
