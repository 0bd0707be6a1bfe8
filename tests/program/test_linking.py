"""Rows over several nodes: in the extensive form, in JSON and MPS, in the recount, and under wait and see."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.problem.faults import InvalidInput
from bondwork.program.extensive import extensive_form, split
from bondwork.program.joint_paths import joint_paths
from bondwork.program.linking import Linking
from bondwork.program.mps import write_mps
from bondwork.program.program_recount import recount
from bondwork.program.program_schema import load_program
from bondwork.program.program_solving import solve_stochastic
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate
from bondwork.solver.solving import solve_program
from program.stochastic_programs import best, programs, toy

EXACT = Options(mip_rel_gap=0.0)


def mean_sales(most: float) -> Linking:
    """The expected sales of the toy at most ``most``."""
    return Linking.make([("mean sales", -math.inf, most)], [(0, 1, 0, 0.5), (0, 2, 0, 0.5)])


def linked(most: float = 3.0) -> StochasticProgram:
    return dataclasses.replace(toy(), linking=mean_sales(most))


def test_the_toy_with_limited_mean_sales() -> None:
    # y1 + y2 <= 6 with y1 <= 2: stake 4, sell 2 and 4
    solution = solve_stochastic(linked(), EXACT)
    assert solution.objective == pytest.approx(5.0)
    assert solution.first_stage == {"x": pytest.approx(4.0)}


def test_linking_rows_come_last_in_the_extensive_form() -> None:
    form = extensive_form(linked())
    assert form.matrices.matrix.toarray()[form.row_start[-1] :].tolist() == [[0.0, 0.5, 0.5]]
    assert form.matrices.row_upper[-1] == 3.0


def test_json_and_mps_keep_linking_rows() -> None:
    program = linked()
    again = StochasticProgram.from_json(program.to_json())
    assert again.sha256 == program.sha256 != toy().sha256
    lines = write_mps(program).splitlines()
    assert " L mean%20sales" in lines
    assert " y@2 mean%20sales 0.5" in lines
    assert " RHS mean%20sales 3.0" in lines


def test_without_linking_rows_nothing_is_written() -> None:
    assert "linking" not in toy().to_document()


def test_the_recount_finds_a_broken_linking_row() -> None:
    program = linked()
    values = [np.array([6.0]), np.array([2.0]), np.array([6.0])]
    found = recount(program, values).violations
    assert [str(each) for each in found] == ["linking row mean sales: found 4, expected at most 3"]
    assert not recount(dataclasses.replace(program, linking=mean_sales(4.0)), values).violations


FAULTS = [
    (["rows", "name", 0], "", "$.linking.rows.name[0]"),
    (["rows", "lower", 0], 9.0, "$.linking.rows.lower[0]"),
    (["rows", "upper", 0], 1e21, "$.linking.rows.upper[0]"),
    (["rows", "upper"], [], "$.linking.rows.upper"),
    (["rows", "informational"], [1], "$.linking.rows.informational[0]"),
    (["entries", "row", 0], 1, "$.linking.entries.row[0]"),
    (["entries", "node", 1], 7, "$.linking.entries.node[1]"),
    (["entries", "column", 1], 4, "$.linking.entries.column[1]"),
    (["entries", "node", 1], 1, "$.linking.entries.row["),
    (["entries", "value", 1], None, "$.linking.entries.value[1]"),
    (["entries", "value"], [1.0], "$.linking.entries.value"),
    (["joint", "node"], [0], "$.linking.joint.column"),
    (["joint"], {"node": [0], "column": [5]}, "$.linking.joint.column[0]"),
    (["surprise"], 1, "$.linking.surprise"),
]


@pytest.mark.parametrize(("path", "value", "expected"), FAULTS)
def test_faults_have_their_path(path: list, value: object, expected: str) -> None:
    changed = copy.deepcopy(linked().to_document())
    place = changed["linking"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(InvalidInput) as caught:
        load_program(json.dumps(changed).encode())
    assert any(str(fault).startswith(expected) for fault in caught.value.faults), caught.value.faults


@st.composite
def linked_programs(draw: st.DrawFn) -> StochasticProgram:
    """Two linking rows with small whole numbers, one of them perhaps informational."""
    program = draw(programs(whole=True))
    places = [
        (node, k) for node in range(len(program)) for k in range(len(program.template_of(node).columns))
    ]
    rows, entries = [], []
    for row in range(2):
        rows.append((f"link {row}", -math.inf, float(draw(st.integers(0, 4)))))
        for node, column in draw(st.lists(st.sampled_from(places), unique=True, max_size=4)):
            entries.append((row, node, column, float(draw(st.integers(-2, 2)))))
    informational = draw(st.sampled_from([[], [1]]))
    return dataclasses.replace(program, linking=Linking.make(rows, entries, informational=informational))


def by_trying(program: StochasticProgram) -> float | None:
    """Optimum by trying every whole point, the worthiest first; ``None`` where there is none."""
    sign = 1.0 if program.sense == "max" else -1.0
    form = extensive_form(program)
    ranges = [
        range(math.ceil(a), int(b) + 1) for a, b in zip(form.matrices.lower, form.matrices.upper, strict=True)
    ]
    points = np.array(list(itertools.product(*ranges)), dtype=float)
    worth = points @ form.matrices.objective + form.matrices.offset
    for k in np.argsort(-worth).tolist():
        counted = recount(program, split(form, points[k]))
        assert sign * counted.objective == pytest.approx(float(worth[k]), abs=1e-9)
        if not counted.violations:
            return counted.objective
    return None


def small(program: StochasticProgram) -> bool:
    return 3 ** len(extensive_form(program).matrices.lower) <= 800


@given(linked_programs().filter(small))
def test_optimum_is_that_of_trying_everything(program: StochasticProgram) -> None:
    expected = by_trying(program)
    solution = solve_stochastic(program, EXACT)
    if expected is None:
        assert solution.solution == "none"
    else:
        assert solution.objective == pytest.approx(expected, abs=1e-6)


@given(programs(whole=True))
def test_without_linking_rows_joint_paths_are_the_paths_one_by_one(program: StochasticProgram) -> None:
    sign = 1.0 if program.sense == "max" else -1.0
    answer = solve_program(joint_paths(program), EXACT, Silence(), phase="test")
    worth = solve_stochastic(program, EXACT, value=True).stochastic
    assert worth is not None
    if worth.ws is None:
        assert answer.x is None
    else:
        assert sign * joint_paths(program).value(answer.x) == pytest.approx(worth.ws, abs=1e-6)


@given(linked_programs().filter(small))
def test_wait_and_see_is_no_worse_with_linking_rows(program: StochasticProgram) -> None:
    solution = solve_stochastic(program, EXACT, value=True)
    worth = solution.stochastic
    assert worth is not None
    assert worth.eev is None
    assert worth.vss is None
    if solution.objective is None:
        return
    sign = 1.0 if program.sense == "max" else -1.0
    assert worth.ws is not None
    assert sign * (worth.ws - solution.objective) >= -1e-6
    assert worth.evpi is not None
    assert worth.evpi >= 0.0


def test_a_joint_column_stays_one() -> None:
    # t >= y at each node, t costs 1: with a copy each, wait and see would pay the mean instead of the most
    root = NodeTemplate.make(0, ["t"], cost=1.0)
    leaf = NodeTemplate.make(1, ["y"], ["above"], cost=0.0, lower=2.0, row_upper=0.0,
                             entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0)])  # fmt: skip
    program = StochasticProgram.from_changes(
        "most",
        "min",
        [root, leaf],
        parent=[-1, 0, 0],
        template=[0, 1, 1],
        conditional=[1.0, 0.5, 0.5],
        changes=[{}, {}, {("lower", 0): 6.0}],
    )
    free = dataclasses.replace(program, linking=Linking.make([("any", 0.0, 99.0)], [(0, 0, 0, 1.0)]))
    joint = dataclasses.replace(
        program, linking=Linking.make([("any", 0.0, 99.0)], [(0, 0, 0, 1.0)], joint=[(0, 0)])
    )
    for case, expected in ((free, 4.0), (joint, 6.0)):
        worth = solve_stochastic(case, EXACT, value=True).stochastic
        assert worth is not None
        assert worth.ws == pytest.approx(expected)


@given(programs(whole=True).filter(small))
def test_the_two_brute_forces_agree_without_linking_rows(program: StochasticProgram) -> None:
    assert by_trying(program) == pytest.approx(best(program))
