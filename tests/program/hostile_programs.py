"""Tiny stochastic programs with hostile numbers, and their optimum in exact fractions.

Magnitudes from 1e-9 to 1e15 side by side, equal things, rows of zeros, fixed columns, empty lists.
"""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate

if TYPE_CHECKING:
    from collections.abc import Iterator

Row: TypeAlias = tuple[dict[int, Fraction], Fraction | None, Fraction | None]
Limited: TypeAlias = tuple[list[Fraction], Fraction | None, Fraction | None]

#: Digits as people write them.
DIGITS = (1.0, 1.0, 2.0, 3.0, 5.0, 7.0, 9.5, 1.25, 0.1)


def hostile_program(seed: int, *, least: int = -9, most: int = 15) -> StochasticProgram:
    """One or two stages, at most four columns in all, every column bounded.

    Parameters
    ----------
    least, most
        Powers of ten of the amounts.
    """
    draw = random.Random(seed)
    same = draw.random() < 0.2
    usual = draw.randint(least, most)

    def amount() -> float:
        power = usual if same or draw.random() < 0.3 else draw.randint(least, most)
        return draw.choice((1.0, 1.0, -1.0)) * draw.choice(DIGITS) * 10.0**power

    depth = draw.choice((1, 2, 2))
    widths = [draw.choice((0, 1, 1, 2)), draw.choice((1, 1, 2))] if depth == 2 else [draw.randint(1, 3)]
    # a point that keeps all rows, or nearly all
    templates = []
    point: list[list[float]] = []
    for stage, width in enumerate(widths):
        whole = [draw.random() < 0.3 for _ in range(width)]
        lower, upper, own = [], [], []
        for is_whole in whole:
            if is_whole:
                low, high = 0.0, float(draw.randint(0, 3))
                at = float(draw.randint(0, int(high)))
            else:
                low = draw.choice((0.0, 0.0, -abs(amount())))
                high = draw.choice((low, low + abs(amount()), abs(amount())))
                low, high = min(low, high), max(low, high)
                at = draw.choice((low, high, low + (high - low) / 2.0))
            lower.append(low)
            upper.append(high)
            own.append(at)
        point.append(own)
        rows = draw.choice((0, 1, 2, 2))
        entries, floor, ceiling = [], [], []
        for row in range(rows):
            activity = Fraction(0)
            for k in range(stage + 1):
                for column in range(widths[k]):
                    if draw.random() < 0.7:
                        value = amount()
                        entries.append((row, k, column, value))
                        activity += Fraction(value) * Fraction(point[k][column])
            level = float(activity) if draw.random() < 0.85 else amount()
            room = draw.choice((0.0, 0.0, abs(amount())))
            kind = draw.choice(("most", "least", "equal"))
            ceiling.append(level + room if kind != "least" else math.inf)
            floor.append({"most": -math.inf, "least": level - room, "equal": level}[kind])
            ceiling[-1] = max(ceiling[-1], floor[-1])
        templates.append(
            NodeTemplate.make(
                stage,
                [f"x{stage}{k}" for k in range(width)],
                [f"r{stage}{k}" for k in range(rows)],
                cost=[draw.choice((0.0, amount(), amount())) for _ in range(width)],
                lower=lower,
                upper=upper,
                integer=whole,
                row_lower=floor,
                row_upper=ceiling,
                entries=entries,
            )
        )
    children = draw.choice((1, 2)) if depth == 2 and sum(widths) <= 2 else depth - 1
    chance = 1.0 / children if children else 1.0
    return StochasticProgram.from_changes(
        f"hostile {seed}",
        draw.choice(("max", "min")),
        templates,
        parent=[-1] + [0] * children,
        template=[0] + [1] * children,
        conditional=[1.0] + [chance] * children,
        changes=[{} for _ in range(children + 1)],
    )


def exact_optimum(program: StochasticProgram) -> Fraction | None:
    """Optimum over the vertices for every choice of whole columns; ``None`` where nothing is feasible."""
    cost, rows, lower, upper, whole = _written(program)
    sign = 1 if program.sense == "max" else -1
    best: Fraction | None = None
    ranges = [
        [Fraction(v) for v in range(math.ceil(low), math.floor(high) + 1)]
        for low, high, is_whole in zip(lower, upper, whole, strict=True)
        if is_whole
    ]
    for chosen in itertools.product(*ranges):
        given = iter(chosen)
        fixed = {k: next(given) for k, is_whole in enumerate(whole) if is_whole}
        free = [k for k in range(len(cost)) if k not in fixed]
        left = []
        for terms, low, high in rows:
            spent = sum((value * fixed[k] for k, value in terms.items() if k in fixed), Fraction(0))
            own = [terms.get(k, Fraction(0)) for k in free]
            left.append((own, None if low is None else low - spent, None if high is None else high - spent))
        for at, k in enumerate(free):
            left.append(([Fraction(int(at == other)) for other in range(len(free))], lower[k], upper[k]))
        for point in _vertices(left, len(free)):
            value = sum((cost[k] * v for k, v in fixed.items()), Fraction(0))
            value += sum((cost[k] * v for k, v in zip(free, point, strict=True)), Fraction(0))
            if best is None or sign * value > sign * best:
                best = value
    return best


def _vertices(rows: list[Limited], size: int) -> Iterator[list[Fraction]]:
    """Points in which as many limits as there are columns hold with equality, and all others hold."""
    limits = [(own, level) for own, low, high in rows for level in {low, high} if level is not None]
    limits = [each for each in limits if any(each[0])]
    for some in itertools.combinations(limits, size):
        point = _solved([list(own) for own, _ in some], [level for _, level in some])
        if point is None:
            continue
        if all(_holds(own, low, high, point) for own, low, high in rows):
            yield point


def _holds(own: list[Fraction], low: Fraction | None, high: Fraction | None, point: list[Fraction]) -> bool:
    activity = sum((a * x for a, x in zip(own, point, strict=True)), Fraction(0))
    return (low is None or activity >= low) and (high is None or activity <= high)


def _solved(matrix: list[list[Fraction]], right: list[Fraction]) -> list[Fraction] | None:
    """Gauss in fractions; ``None`` where the matrix is singular."""
    size = len(right)
    for k in range(size):
        pivot = next((i for i in range(k, size) if matrix[i][k]), None)
        if pivot is None:
            return None
        matrix[k], matrix[pivot] = matrix[pivot], matrix[k]
        right[k], right[pivot] = right[pivot], right[k]
        for i in range(size):
            if i != k and matrix[i][k]:
                factor = matrix[i][k] / matrix[k][k]
                matrix[i] = [a - factor * b for a, b in zip(matrix[i], matrix[k], strict=True)]
                right[i] -= factor * right[k]
    return [right[k] / matrix[k][k] for k in range(size)]


def _written(
    program: StochasticProgram,
) -> tuple[list[Fraction], list[Row], list[Fraction], list[Fraction], list[bool]]:
    """Costs, rows, bounds and whole columns of the extensive form, from the nodes, in fractions."""
    widths = [len(program.template_of(node).columns) for node in range(len(program))]
    start = [0, *itertools.accumulate(widths)]
    cost: list[Fraction] = []
    lower: list[Fraction] = []
    upper: list[Fraction] = []
    whole: list[bool] = []
    rows: list[Row] = []
    for node in range(len(program)):
        template, numbers = program.template_of(node), program.values(node)
        part = {name: numbers[span].tolist() for name, span in template.spans.items()}
        chance = Fraction(float(program.probability[node]))
        cost += [chance * Fraction(each) for each in part["cost"]]
        lower += [Fraction(each) for each in part["lower"]]
        upper += [Fraction(each) for each in part["upper"]]
        whole += template.integer.tolist()
        own: list[dict[int, Fraction]] = [{} for _ in template.rows]
        places = zip(
            template.entry_row, template.entry_stage, template.entry_column, part["entries"], strict=True
        )
        for row, stage, column, value in places:
            k = start[int(program.ancestors[node, stage])] + int(column)
            own[row][k] = own[row].get(k, Fraction(0)) + Fraction(value)
        for terms, low, high in zip(own, part["row_lower"], part["row_upper"], strict=True):
            limits = [Fraction(each) if math.isfinite(each) else None for each in (low, high)]
            rows.append((terms, limits[0], limits[1]))
    return cost, rows, lower, upper, whole
