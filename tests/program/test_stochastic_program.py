"""The stochastic program itself: what it holds, its JSON, what it refuses."""

from __future__ import annotations

import copy
import json
import random
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bondwork.problem.faults import InvalidInput
from bondwork.program.program_schema import is_program, load_program
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate
from program.stochastic_programs import programs, toy


def document() -> dict:
    return json.loads(toy().to_json())


def refused(changed: object) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        load_program(json.dumps(changed).encode())
    return [str(fault) for fault in caught.value.faults]


def test_matrices_of_a_node() -> None:
    program = toy()
    low, high = program.node(1), program.node(2)
    assert low.own.toarray().tolist() == [[1.0], [1.0]]
    assert low.to_ancestors[0].toarray().tolist() == [[-1.0], [0.0]]
    assert (low.row_upper.tolist(), high.row_upper.tolist()) == ([0.0, 2.0], [0.0, 6.0])
    assert program.probability.tolist() == [1.0, 0.5, 0.5]
    assert program.leaves.tolist() == [1, 2]
    assert program.ancestors.tolist() == [[0, -1], [0, 1], [0, 2]]


def test_a_row_may_refer_to_every_ancestor() -> None:
    first = NodeTemplate.make(0, ["a"], cost=1.0)
    second = NodeTemplate.make(1, ["b", "c"], cost=1.0)
    third = NodeTemplate.make(
        2, ["d"], ["r"], cost=1.0, entries=[(0, 0, 0, 1.0), (0, 1, 1, 2.0), (0, 2, 0, 3.0)]
    )
    program = StochasticProgram.from_changes(
        "three",
        "min",
        [first, second, third],
        parent=[-1, 0, 1],
        template=[0, 1, 2],
        conditional=[1.0, 1.0, 1.0],
        changes=[{}, {}, {}],
    )
    node = program.node(2)
    assert {stage: block.toarray().tolist() for stage, block in node.to_ancestors.items()} == {
        0: [[1.0]],
        1: [[0.0, 2.0]],
    }


def test_arrays_are_read_only() -> None:
    program = toy()
    for array in (program.change_value, program.parent, program.probability, program.templates[1].values):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7


@given(programs())
def test_json_round_trip(program: StochasticProgram) -> None:
    again = StochasticProgram.from_json(program.to_json())
    assert again.sha256 == program.sha256
    assert again.to_json() == program.to_json()
    assert is_program(again.to_document())


def test_digest_depends_on_content_and_not_on_the_order_of_changes() -> None:
    base = document()
    base["nodes"][1]["changes"] = {"row_upper": {"at": [0, 1], "value": [1.0, 2.0]}}
    turned = copy.deepcopy(base)
    turned["nodes"][1]["changes"] = {"row_upper": {"at": [1, 0], "value": [2.0, 1.0]}}
    other = copy.deepcopy(base)
    other["nodes"][1]["changes"]["row_upper"]["value"][0] = 1.5
    digests = [load_program(each).sha256 for each in (base, turned, other)]
    assert digests[0] == digests[1] != digests[2]


def test_memory_stays_flat_over_many_alike_nodes() -> None:
    wide = NodeTemplate.make(
        1, [f"y{k}" for k in range(200)], ["r"], cost=1.0, upper=1.0, entries=[(0, 0, 0, 1.0)]
    )
    count = 10_000
    tracemalloc.start()
    program = StochasticProgram.from_changes(
        "wide",
        "min",
        [NodeTemplate.make(0, ["x"], cost=1.0), wide],
        parent=[-1] + [0] * count,
        template=[0] + [1] * count,
        conditional=[1.0] + [1.0 / count] * count,
        changes=[{}, *[{("row_upper", 0): float(k % 7)} for k in range(count)]],
    )
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(program) == count + 1
    assert held < 10e6  # dense, the nodes alone would take 48 MB


FAULTS = [
    (["sense"], "up", "$.sense"),
    (["surprise"], 1, "$.surprise"),
    (["stages"], [], "$.stages"),
    (["templates", 1, "columns", "cost"], [3.0, 4.0], "$.templates[1].columns.cost"),
    (["templates", 1, "columns", "cost", 0], None, "$.templates[1].columns.cost[0]"),
    (["templates", 1, "columns", "cost", 0], 1e21, "$.templates[1].columns.cost[0]"),
    (["templates", 1, "columns", "lower", 0], 1.0, None),
    (["templates", 1, "columns", "upper", 0], -1.0, "$.templates[1].columns.lower[0]"),
    (["templates", 1, "columns", "integer"], [4], "$.templates[1].columns.integer[0]"),
    (["templates", 1, "rows", "name"], ["stock", "stock"], "$.templates[1].rows.name[1]"),
    (["templates", 1, "entries", "row", 0], 9, "$.templates[1].entries.row[0]"),
    (["templates", 1, "entries", "stage", 0], 2, "$.templates[1].entries.stage[0]"),
    (["templates", 1, "entries", "column", 0], 5, "$.templates[1].entries.column[0]"),
    (["templates", 1, "entries", "column", 0], 10**30, "$.templates[1].entries.column[0]"),
    (["templates", 1, "entries", "row", 1], 1, "$.templates[1].entries.row["),
    (["templates", 1, "stage"], 0, "$.templates[1].entries.stage[1]"),
    (["templates", 0, "stage"], 1, "$.nodes[0].template"),
    (["nodes"], [], "$.nodes"),
    (["nodes", 0, "parent"], 0, "$.nodes[0].parent"),
    (["nodes", 1, "parent"], 2, "$.nodes[1].parent"),
    (["nodes", 2, "parent"], 1, "$.nodes[2].parent"),
    (["nodes", 2, "parent"], None, "$.nodes[2].parent"),
    (["nodes", 2, "probability"], 0.4, "$.nodes"),
    (["nodes", 2, "probability"], -0.5, "$.nodes[2].probability"),
    (["nodes", 2, "template"], 7, "$.nodes[2].template"),
    (["nodes", 2, "name"], "1", "$.nodes[2].name"),
    (["nodes", 2, "changes", "row_upper", "at"], [1, 1], "$.nodes[2].changes.row_upper.value"),
    (["nodes", 2, "changes", "row_upper", "at"], [2], "$.nodes[2].changes.row_upper.at[0]"),
    (["nodes", 2, "changes", "lower"], {"at": [0], "value": [1e9]}, None),
    (["nodes", 2, "changes", "upper"], {"at": [0], "value": [-1.0]}, "$.nodes[2].changes.upper at 0"),
    (["nodes", 2, "changes", "cost"], {"at": [0, 0], "value": [1, 2]}, "$.nodes[2].changes.cost at 0"),
    (["nodes", 2, "changes", "cost"], {"at": [0], "value": [None]}, "$.nodes[2].changes.cost at 0"),
    (["nodes", 2, "changes", "colour"], {}, "$.nodes[2].changes.colour"),
]


@pytest.mark.parametrize(("path", "value", "expected"), FAULTS)
def test_faults_have_their_path(path: list, value: object, expected: str | None) -> None:
    changed = document()
    place = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    if expected is None:
        load_program(changed)
    else:
        faults = refused(changed)
        assert any(fault.startswith(expected) for fault in faults), faults


def test_all_faults_at_once() -> None:
    changed = document()
    changed["templates"][1]["columns"]["cost"][0] = 1e30
    changed["templates"][1]["entries"]["row"][0] = 9
    changed["nodes"][2]["probability"] = 2
    assert len(refused(changed)) == 3


@given(st.integers(0, 10**6))
def test_a_mangled_document_is_read_or_refused(seed: int) -> None:
    """Whatever is put in whatever place: a program or faults, never another error."""
    chance = random.Random(seed)
    changed = document()
    for _ in range(chance.randint(1, 3)):
        places: list[tuple] = []
        pending: list = [changed]
        while pending:
            each = pending.pop()
            items = each.items() if isinstance(each, dict) else enumerate(each)
            for key, inner in list(items):
                places.append((each, key))
                if isinstance(inner, dict | list):
                    pending.append(inner)
        where, key = chance.choice(places)
        junk = [None, -1, 0, 1, 2, 10**400, 1e300, 0.5, "", "x", [], {}, True, [0], [None], float("nan")]
        where[key] = chance.choice(junk)
    try:
        program = load_program(changed)
    except InvalidInput as refusal:
        assert all(fault.path.startswith("$") for fault in refusal.faults)
    else:
        assert np.isclose(program.probability[program.leaves].sum(), 1.0, atol=1e-5)
