"""Generated rounds: the family of the reference script, and its arguments."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bondwork.problem.generate import generate_round
from bondwork.problem.schema import Round

REFERENCE = Path(__file__).resolve().parents[2].parent / "shared" / "bench" / "make_round.py"


@pytest.mark.skipif(not REFERENCE.is_file(), reason=f"the reference script is not at {REFERENCE}")
@pytest.mark.parametrize(
    "arguments",
    [
        {"tasks": 50, "coprocessors": 10, "offers": 5, "seed": 1},
        {"tasks": 1, "coprocessors": 1, "offers": 1, "seed": 0, "tightness": 1.3},
        {"tasks": 7, "coprocessors": 30, "offers": 30, "seed": 3, "tightness": 0.5},
        {"tasks": 20, "coprocessors": 5, "offers": 2, "seed": 9, "risk_level": 0.9, "risk_budget": 12.5},
        {"tasks": 400, "coprocessors": 60, "offers": 20, "seed": 123456789},
    ],
    ids=lambda arguments: "x".join(str(value) for value in arguments.values()),
)
def test_the_same_numbers_as_the_reference_script(arguments: dict):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in arguments.items()]
    script = subprocess.run(
        [sys.executable, str(REFERENCE), *options], capture_output=True, check=True, text=True
    )
    expected = json.loads(script.stdout)
    document = json.loads(json.dumps(generate_round(**arguments)))
    assert document == expected
    assert list(document) == list(expected)


def test_the_round_is_of_the_format():
    document = generate_round(tasks=12, coprocessors=4, offers=3, seed=5, risk_budget=2.0)
    Round.model_validate_json(json.dumps(document))


def test_every_task_has_its_offers_of_different_coprocessors():
    document = generate_round(tasks=30, coprocessors=6, offers=4, seed=2)
    who: dict[str, list[str]] = {}
    for offer in document["offers"]:
        who.setdefault(offer["task"], []).append(offer["coprocessor"])
    assert {len(names) for names in who.values()} == {4}
    assert all(len(set(names)) == 4 for names in who.values())


def test_numbers_are_within_their_ranges():
    document = generate_round(tasks=200, coprocessors=20, offers=10, seed=4)
    tasks = {task["id"]: task for task in document["tasks"]}
    for offer in document["offers"]:
        task = tasks[offer["task"]]
        assert 0.299 <= offer["bid"] / task["reward"] <= 0.801
        assert 0.999 <= offer["collateral"] / task["slashing"] <= 1.201
        assert 0.3 <= offer["success_probability"] <= 0.999


def test_the_seed_decides():
    assert generate_round(5, 3, 2, 1) == generate_round(5, 3, 2, 1)
    assert generate_round(5, 3, 2, 1)["tasks"] != generate_round(5, 3, 2, 2)["tasks"]


def test_numpy_integers_are_written_as_numbers():
    document = generate_round(*np.array([5, 3, 2, 1]))
    assert json.loads(json.dumps(document)) == generate_round(5, 3, 2, 1)


def test_numpys_own_generator_is_left_alone():
    np.random.seed(0)  # noqa: NPY002 - the global state is what is watched
    before = np.random.random()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    generate_round(5, 3, 2, 1)
    assert np.random.random() == before  # noqa: NPY002


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tasks": 0}, "tasks is 0, expected a whole number >= 1"),
        ({"coprocessors": -3}, "coprocessors is -3, expected a whole number >= 1"),
        ({"offers": 0}, "offers is 0, expected a whole number >= 1"),
        ({"offers": 4}, "offers is 4, expected at most 3: a task has one offer of a coprocessor"),
        ({"seed": -1}, "seed is -1, expected a whole number >= 0"),
        ({"tightness": 0.0}, "tightness is 0.0, expected a finite number > 0"),
        ({"tightness": float("nan")}, "tightness is nan, expected a finite number > 0"),
        ({"risk_level": 1.0}, "risk_level is 1.0, expected a number >= 0 and < 1"),
        ({"risk_budget": -1.0}, "risk_budget is -1.0, expected a finite number >= 0"),
        ({"risk_budget": float("inf")}, "risk_budget is inf, expected a finite number >= 0"),
    ],
)
def test_arguments_out_of_range(changed: dict, message: str):
    with pytest.raises(ValueError, match=f"^{message}$"):
        generate_round(**{"tasks": 5, "coprocessors": 3, "offers": 2, "seed": 1} | changed)


def test_arguments_of_another_type():
    with pytest.raises(TypeError, match=r"tasks is 2\.5, expected a whole number"):
        generate_round(tasks=2.5, coprocessors=1, offers=1, seed=0)
