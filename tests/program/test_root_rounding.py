"""A root decision that is off by rounding leaves the recourse that the recount of a solution would accept."""

from __future__ import annotations

import numpy as np
import pytest

from bondwork.program.evaluation import evaluate
from bondwork.program.program_recount import recount
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate


def filled(size: float, *, whole: bool = False, sees_it: bool = True, stages: int = 2) -> StochasticProgram:
    """Return a program whose root may take 2 ``size`` of what later rows have, as recourse may."""
    root = NodeTemplate.make(0, ["x"], cost=1.0, upper=10.0 * size)
    templates = [root]
    for stage in range(1, stages):
        entries = [(0, 0, 0, 1.0)] + ([(0, stage, 0, 1.0)] if sees_it else [])
        templates.append(
            NodeTemplate.make(
                stage,
                ["y"],
                ["fits"],
                cost=1.0,
                upper=1.0,
                row_upper=2.0 * size,
                entries=entries,
                integer=whole,
            )
        )
    path = [stage for stage in range(1, stages) for _ in range(2)]
    parent = [-1, *(max(node - 1, 0) for node in range(len(path)))]
    parent[1:3] = [0, 0]
    return StochasticProgram.from_changes(
        "filled", "max", templates, parent=parent, template=[0, *path],
        conditional=[1.0] + [0.5 if stage == 1 else 1.0 for stage in path], changes=[{}] * (1 + len(path)),
    )  # fmt: skip


@pytest.mark.parametrize("off", [1e-9, 1e-7, 9e-7])
@pytest.mark.parametrize("size", [1.0, 1000.0, 1e6])
@pytest.mark.parametrize("kind", [{}, {"whole": True}, {"sees_it": False}, {"whole": True, "stages": 3}])
def test_what_the_recount_accepts_has_a_value(off: float, size: float, kind: dict[str, bool]):
    program = filled(size, **kind)  # type: ignore[arg-type]
    x = 2.0 * size * (1.0 + off)
    nothing = [np.array([x]), *([np.zeros(1)] * (len(program) - 1))]
    assert not recount(program, nothing).violations
    found = evaluate(program, {"x": x})
    assert found.status == "optimal"
    best = recount(program, nothing).objective
    more = (len(program.stages) - 1) if kind.get("sees_it") is False else 2e-6 * size * 2
    assert best - 1e-6 * best <= found.objective <= best + more + 1e-6 * best


@pytest.mark.parametrize("size", [1.0, 1000.0, 1e6])
@pytest.mark.parametrize("kind", [{}, {"whole": True}, {"whole": True, "stages": 3}])
def test_what_it_does_not_accept_is_infeasible(size: float, kind: dict[str, bool]):
    program = filled(size, **kind)  # type: ignore[arg-type]
    x = 2.0 * size * (1.0 + 1e-5)
    assert recount(program, [np.array([x]), *([np.zeros(1)] * (len(program) - 1))]).violations
    assert evaluate(program, {"x": x}).status == "infeasible"


@pytest.mark.parametrize("size", [1.0, 1e6])
def test_nothing_is_given_beyond_a_limit_where_it_can_be_kept(size: float):
    found = evaluate(filled(size), {"x": 2.0 * size - 0.5})
    assert found.objective == pytest.approx(2.0 * size, rel=1e-12)
