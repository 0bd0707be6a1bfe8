"""Random stochastic programs whose columns may lack bounds, in amounts as people write them."""

from __future__ import annotations

import math
import random

from bondwork.program.linking import Linking
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate

#: Amounts as people write them.
AMOUNTS = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 0.95, 0.1, 1.5, 33.3, 100.0)


def open_program(
    seed: int, *, scale: float = 1.0, whole: bool = False, sound: bool = True
) -> StochasticProgram:
    """Two or three stages; feasible, as its rows hold at a point that is drawn first, and mostly bounded.

    Parameters
    ----------
    scale
        Of amounts and limits, not of coefficients.
    whole
        Let some columns be whole.
    sound
        Otherwise the rows of the last stage ask for something else than the point, often impossible.
    """
    draw = random.Random(seed)
    shift = 0.0 if sound else 25.0
    depth = draw.choice([2, 2, 3])
    widths = [draw.randint(1, 3) for _ in range(depth)]
    sense = draw.choice(["max", "min"])
    sign = 1.0 if sense == "max" else -1.0
    point = [[float(draw.randint(0, 4)) for _ in range(width)] for width in widths]
    templates = [
        _template(draw, widths[: stage + 1], point, sign, scale, shift * (stage == depth - 1), whole=whole)
        for stage in range(depth)
    ]
    parent, template, conditional = [-1], [0], [1.0]
    generation = [0]
    for stage in range(1, depth):
        following = []
        for above in generation:
            for chance in draw.choice([[1.0], [0.5, 0.5], [0.3, 0.7], [1 / 3, 1 / 3, 1 / 3]]):
                following.append(len(parent))
                parent.append(above)
                template.append(stage)
                conditional.append(chance)
        generation = following
    linking = Linking.none()
    if draw.random() < 0.3:
        linking = Linking.make(
            [("together", -math.inf, scale * (sum(point[-1][0] for _ in generation) + draw.randint(0, 3)))],
            [(0, node, 0, 1.0) for node in generation],
        )
    return StochasticProgram.from_changes(
        f"open {seed}",
        sense,
        templates,
        parent=parent,
        template=template,
        conditional=conditional,
        changes=[{} for _ in parent],
        linking=linking,
    )


def _template(
    draw: random.Random,
    widths: list[int],
    point: list[list[float]],
    sign: float,
    scale: float,
    shift: float,
    *,
    whole: bool,
) -> NodeTemplate:
    stage = len(widths) - 1
    n, m = widths[stage], draw.randint(1, 3)
    entries, lower, upper = [], [], []
    for row in range(m):
        activity = shift * draw.choice([1.0, -1.0])
        for k in range(stage + 1):
            for column in range(widths[k]):
                value = draw.choice(AMOUNTS) * draw.choice([1.0, 1.0, -1.0])
                if value and draw.random() < 0.7:
                    entries.append((row, k, column, value))
                    activity += value * point[k][column]
        room = float(draw.choice([0, 0, 1, 5]))
        kind = draw.choice(["most", "most", "least", "both", "equal"])
        upper.append(math.inf if kind == "least" else scale * (activity + (kind != "equal") * room))
        lower.append(-math.inf if kind == "most" else scale * (activity - (kind != "equal") * room))
    bounded = [draw.random() < 0.5 for _ in range(n)]
    return NodeTemplate.make(
        stage,
        [f"x{stage}{c}" for c in range(n)],
        [f"r{stage}{r}" for r in range(m)],
        cost=[draw.choice(AMOUNTS) * (draw.choice([1.0, -1.0]) if each else -sign) for each in bounded],
        lower=[0.0 if draw.random() < 0.8 else -scale * 5.0 if each else -math.inf for each in bounded],
        upper=[scale * 5.0 if each else math.inf for each in bounded],
        integer=[whole and draw.random() < 0.4 for _ in range(n)],
        row_lower=lower,
        row_upper=upper,
        entries=entries,
    )
