"""A plan as the allocations CSV of eigenlayer-cli."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

import bondwork
from bondwork.exporters.eigenlayer import COLUMNS, allocations, read_sets, write_allocations

ROOT = Path(__file__).resolve().parents[2]
AVS, OTHER, STRATEGY = ("0x" + each * 40 for each in "ab5")


def make_round(*slashing: float, stake: float | None = 300.0) -> dict:
    operator = {"id": "op"} if stake is None else {"id": "op", "stake": stake}
    tasks = [
        {"id": f"{'xy'[n % 2]}-{n}", "operator": "op", "reward": 99, "slashing": each}
        for n, each in enumerate(slashing)
    ]
    return {
        "format": "bondwork.round/1",
        "operators": [operator],
        "coprocessors": [{"id": "cp"}],
        "tasks": tasks,
        "offers": [{"task": each["id"], "coprocessor": "cp", "success_probability": 0.9} for each in tasks],
    }


def sets(*pairs: tuple[str, int, str]) -> bytes:
    head = f'strategy_address = "{STRATEGY}"\n'
    body = "".join(
        f'[[sets]]\navs_address = "{avs}"\noperator_set_id = {number}\ntasks = ["{tasks}"]\n'
        for avs, number, tasks in pairs
    )
    return (head + body).encode()


BOTH = sets((AVS, 1, "x-*"), (OTHER, 2, "y-*"), (OTHER, 3, "nothing"))


def rows_of(document: dict, text: bytes = BOTH) -> list:
    plan = bondwork.solve(bondwork.load(document), mip_rel_gap=0)
    return allocations(document, plan, read_sets(text))


def test_shares_are_what_the_plan_could_slash_rounded_up():
    document = make_round(10.0, 50.0, 20.0)
    document["commitments"] = [
        {"id": "k", "task": "x-2", "operator": "op", "executor": "cp", "success_probability": 0.9}
    ]
    rows = rows_of(document)
    assert rows == [(AVS, 1, STRATEGY, 1000), (OTHER, 2, STRATEGY, 1667), (OTHER, 3, STRATEGY, 0)]
    read = list(csv.DictReader(io.StringIO(write_allocations(rows))))
    assert tuple(read[0]) == COLUMNS == ("avs_address", "operator_set_id", "strategy_address", "bips")
    assert [int(each["bips"]) for each in read] == [1000, 1667, 0]


def test_more_than_everything_is_refused():
    assert [row[3] for row in rows_of(make_round(150.0, 150.0))] == [5000, 5000, 0]
    with pytest.raises(bondwork.Refusal, match="10001 bips"):
        rows_of(make_round(100.0, 200.0))  # 3334 and 6667
    with pytest.raises(bondwork.Refusal, match="not limited"):
        rows_of(make_round(1.0, stake=None))


def test_every_task_needs_one_home():
    with pytest.raises(bondwork.InvalidInput) as caught:
        rows_of(make_round(1.0, 2.0), sets((AVS, 1, "*"), (OTHER, 2, "x-*"), (OTHER, 3, "z")))
    assert str(caught.value).startswith('task "x-0": found 2 operator sets')
    with pytest.raises(bondwork.InvalidInput, match="no operator set"):
        rows_of(make_round(1.0, 2.0), sets((AVS, 1, "x-*")))


def test_every_fault_of_the_sets_is_listed():
    text = b'[[sets]]\navs_address = "0x12"\noperator_set_id = -1\ntasks = []\n[[sets]]\ntask = ["a"]\n'
    with pytest.raises(bondwork.InvalidInput) as caught:
        read_sets(text)
    assert len(caught.value.faults) == 7
    with pytest.raises(bondwork.InvalidInput, match="each once"):
        read_sets(sets((AVS, 1, "x"), (AVS.upper().replace("X", "x"), 1, "y")))
    with pytest.raises(bondwork.InvalidInput, match="strategy_address"):
        read_sets(sets((AVS, 1, "x")).split(b"\n", 1)[1])


def test_whose_allocations():
    document = make_round(1.0)
    document["operators"].append({"id": "two", "stake": 5})
    plan = bondwork.solve(bondwork.load(document))
    with pytest.raises(bondwork.InvalidInput, match="several operators"):
        allocations(document, plan, read_sets(BOTH))
    assert [row[3] for row in allocations(document, plan, read_sets(BOTH), "two")] == [0, 0, 0]


def test_the_example():
    document = json.loads((ROOT / "data" / "rounds" / "restaking.json").read_bytes())
    plan = bondwork.solve(bondwork.load(document))
    homes = read_sets((ROOT / "data" / "markets" / "operator-sets.toml").read_bytes())
    for operator in ("north", "east", "west"):
        rows = allocations(document, plan, homes, operator)
        assert 0 < sum(row[3] for row in rows) <= 10_000
