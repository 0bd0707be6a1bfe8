"""Small random two-stage programs: recourse that may be missing, unbounded or whole."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate
from drawing import one_of, some_of
from drawing import whole as whole_number

_SMALL = st.integers(-3, 3)


def _template(
    draw: st.DrawFn, stage: int, width: int, first: int, *, whole: str, bounded: bool, binary: bool = False
) -> NodeTemplate:
    rows = draw(st.integers(0, 3))
    places = [
        (r, k, c) for r in range(rows) for k in range(stage + 1) for c in range(first if k == 0 else width)
    ]
    lower, upper, floor, ceiling = [], [], [], []
    for _ in range(width):
        lower.append(0.0 if binary or not draw(st.integers(0, 2)) else float(draw(st.integers(-2, 0))))
        top = draw(st.integers(0, 3))
        upper.append(1.0 if binary else math.inf if top == 0 and not bounded else float(max(top, 1)))
    for _ in range(rows):
        kind = one_of(draw, ["most", "least", "range", "equal"])
        level = float(draw(st.integers(-2, 5)))
        floor.append(-math.inf if kind == "most" else level)
        ceiling.append({"least": math.inf, "equal": level, "range": level + 2.0}.get(kind, level))
    integer = [whole == "all" or (whole == "some" and draw(st.booleans())) for _ in range(width)]
    return NodeTemplate.make(
        stage,
        [f"x{stage}{c}" for c in range(width)],
        [f"r{stage}{r}" for r in range(rows)],
        cost=[float(draw(_SMALL)) for _ in range(width)],
        lower=lower,
        upper=upper,
        integer=integer,
        row_lower=floor,
        row_upper=ceiling,
        entries=[(*place, float(draw(_SMALL))) for place in places if draw(st.integers(0, 3))],
        constant=float(draw(_SMALL)),
    )


@st.composite
def two_stage(draw: st.DrawFn, *, whole_recourse: bool = False, bounded: bool = True) -> StochasticProgram:
    """Draw one; with ``whole_recourse`` the first stage is yes or no, and recourse has whole columns."""
    first = draw(st.integers(1, 3))
    whole = "all" if whole_recourse else draw(st.sampled_from(["none", "some", "all"]))
    templates = [_template(draw, 0, first, first, whole=whole, bounded=bounded, binary=whole_recourse)]
    kind = "some" if whole_recourse else "none"
    for _ in range(draw(st.sampled_from([1, 1, 2]))):
        width = draw(st.integers(1, 3))
        templates.append(_template(draw, 1, width, first, whole=kind, bounded=bounded))
    shares = one_of(draw, [[1.0], [0.5, 0.5], [0.25, 0.75], [0.5, 0.25, 0.25, 0.0], [0.125] * 8])
    template = [0] + [draw(st.integers(1, len(templates) - 1)) for _ in shares]
    changes: list[dict[tuple[str, int], float]] = [{}]
    changes += [_changes(draw, templates[kind]) for kind in template[1:]]
    return StochasticProgram.from_changes(
        "random",
        draw(st.sampled_from(["max", "min"])),
        templates,
        parent=[-1] + [0] * len(shares),
        template=template,
        conditional=[1.0, *shares],
        changes=changes,
    )


#: What a node may have otherwise than its template, and from where to where.
_CHANGES = {"constant": (-3, 3), "cost": (-3, 3), "entries": (-3, 3), "shift": (-2, 2)}


def _changes(draw: st.DrawFn, template: NodeTemplate) -> dict[tuple[str, int], float]:
    places = [
        (name, k)
        for name in ("constant", "cost", "entries")
        for k in range(template.spans[name].stop - template.spans[name].start)
    ]
    shifts = [("shift", k) for k in range(len(template.rows))]
    # rows more often than the rest
    result: dict[tuple[str, int], float] = {}
    for name, k in [*some_of(draw, places, 0, 3), *some_of(draw, shifts, 0, 2)]:
        value = float(whole_number(draw, *_CHANGES[name]))
        if name != "shift":
            result[name, k] = value
            continue
        for side in ("row_lower", "row_upper"):  # both, so that the lower stays the lower
            limit = float(template.part(side)[k])
            if math.isfinite(limit):
                result[side, k] = limit + value
    return result
