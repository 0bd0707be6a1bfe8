"""Strategies and formulations side by side."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import bondwork
from bondwork import Comparison
from hand_made import Document, everyone_busy, make_round, market, offer
from observers import Notebook

if TYPE_CHECKING:
    from pathlib import Path

IMPOSSIBLE = make_round(name="impossible", tasks=[{"id": "t", "operator": "op", "required": True}])
REFUSED = make_round(
    name="refused",
    tasks=[{"id": "t", "operator": "op", "reward": 8, "slashing": 2}],
    offers=[offer("t", "cp", 1)],
    risk=[{"measure": "cvar", "level": 0.9, "budget": 1, "of": "network"}],
    uncertainty={"sampling": "bootstrap"},
)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return bondwork.compare(
        [market(), everyone_busy(), IMPOSSIBLE, REFUSED],
        strategies=["greedy", "extensive"],
        formulations=["highs", "pyomo"],
        mip_rel_gap=0.0,
    )


def test_one_row_for_each_solve_in_order(comparison: Comparison):
    assert [(row.round, row.strategy, row.formulation) for row in comparison.rows] == [
        (name, strategy, formulation)
        for name in ("market", "round 2", "impossible", "refused")
        for strategy in ("greedy", "extensive")
        for formulation in ("highs", "pyomo")
    ]


def test_rows_say_what_the_plans_say(comparison: Comparison):
    plan = bondwork.solve(bondwork.load(market()), strategy="extensive", mip_rel_gap=0.0)
    row = comparison.rows[2]
    for name in ("status", "solution", "objective", "bound", "gap", "verified"):
        assert getattr(row, name) == getattr(plan, name)
    assert row.build > 0.0
    assert row.solve > 0.0
    assert row.refusal is None


def test_an_impossible_round_is_a_result_with_a_reason(comparison: Comparison):
    rows = [row for row in comparison.rows if row.round == "impossible"]
    assert [row.refusal for row in rows if row.strategy == "extensive"] == [
        "no plan: infeasible (task t required)"
    ] * 2
    assert [row.refusal for row in rows if row.strategy == "greedy"] == ["no plan: locally_infeasible"] * 2
    assert all(row.objective is None and row.solution == "none" and row.verified for row in rows)


def test_a_refusal_is_a_result_with_a_reason(comparison: Comparison):
    for row in comparison.rows[-4:]:
        assert row.status == "refused"
        assert row.refusal is not None
        assert "history" in row.refusal
        assert not row.verified


def test_nothing_disagrees(comparison: Comparison):
    assert comparison.disagreements() == []


def test_disagreements_are_told():
    comparison = bondwork.compare([market()], strategies=["greedy", "extensive"], mip_rel_gap=0.0)
    greedy, extensive = comparison.rows
    assert extensive.objective is not None
    wrong = dataclasses.replace(greedy, objective=10.0, bound=extensive.objective * (1 - 1e-3))
    (told,) = Comparison((wrong, extensive)).disagreements()
    assert "market: extensive/highs earns 19.1875, above the bound 19.1683125 of greedy/highs" in told
    assert Comparison((wrong, extensive)).disagreements(mip_rel_gap=0.01) == []
    # of different rounds nothing follows
    assert Comparison((dataclasses.replace(wrong, round="other"), extensive)).disagreements() == []


def test_table_and_json(comparison: Comparison):
    frame = comparison.to_frame()
    assert len(frame) == 16
    assert list(frame["strategy"][:4]) == ["greedy", "greedy", "extensive", "extensive"]
    document = json.loads(comparison.to_json())
    assert document["format"] == "bondwork.comparison/1"
    assert Comparison.from_json(comparison.to_json().encode()) == comparison
    assert len(document["rows"]) == 16


def test_rounds_from_everywhere(tmp_path: Path):
    def nameless() -> Document:
        return everyone_busy()

    path = tmp_path / "round.json"
    path.write_text(json.dumps(nameless()), encoding="utf-8")
    comparison = bondwork.compare(
        [path, str(path), nameless(), bondwork.load(market())], strategies=["greedy"]
    )
    assert [row.round for row in comparison.rows] == [str(path), f"{path} (2)", "round 3", "market"]
    assert {row.objective for row in comparison.rows[:3]} == {17.0}


def test_no_further_solve_after_stop():
    assert bondwork.compare([market()], observer=Notebook(seconds=-1.0)).rows == ()


def test_unknown_options_are_no_result_but_an_error():
    with pytest.raises(bondwork.InvalidInput):
        bondwork.compare([market()], strategies=["best"])
    with pytest.raises(TypeError):
        bondwork.compare([market()], time_limits=3.0)


def test_what_every_solve_loads_is_no_contenders_memory():
    """In a process of its own: whichever contender comes first does not pay for the imports."""
    code = (
        "import json, sys\n"
        "import bondwork\n"
        "from bondwork.problem.generate import generate_round\n"
        "round_ = bondwork.load(generate_round(20, 5, 3, 1, tightness=0.5, risk_budget=150))\n"
        "found = bondwork.compare([round_], strategies=sys.argv[1:], time_limit=5, threads=1, scenarios=0)\n"
        "print(json.dumps({row.strategy: row.memory for row in found.rows}))\n"
    )
    orders = (["greedy", "extensive"], ["extensive", "greedy"])
    one, two = (
        json.loads(
            subprocess.run([sys.executable, "-c", code, *order], capture_output=True, check=True).stdout
        )
        for order in orders
    )
    if None in one.values():
        pytest.skip("the system does not tell of memory")
    for strategy, first in one.items():
        assert abs(first - two[strategy]) < 25.0  # imports are about 50 MiB
