"""The commands of `bondwork reputation`, on files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import bondwork
from commands import bond

if TYPE_CHECKING:
    import subprocess

ROUND = Path(__file__).parents[2] / "data" / "rounds" / "three-tasks.json"


def run(*arguments: object, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return bond("reputation", *arguments, data=text or "")


def write_history(path: Path, rounds: range) -> Path:
    lines = ["round,executor,done,failed"]
    lines += [f"{t},cp-1,9,{int(t % 4 == 0)}" for t in rounds]
    lines += [f"{t},cp-2,9,{2 + t % 3}" for t in rounds]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_from_history_to_round(tmp_path: Path):
    history = write_history(tmp_path / "history.csv", range(30))
    reputation = tmp_path / "reputation.json"
    assert run("fit", history, "--model", "forgetting", "-o", reputation).returncode == 0
    means = {each["id"]: each["mean"] for each in json.loads(reputation.read_text())["executors"]}
    assert means["cp-1"] > 0.9 > means["cp-2"]
    further = write_history(tmp_path / "further.csv", range(30, 31))
    updated = tmp_path / "updated.json"
    assert run("update", reputation, further, "-o", updated).returncode == 0
    assert json.loads(updated.read_text())["rounds"] == 31
    round_ = tmp_path / "round.json"
    assert run("apply", updated, ROUND, "-o", round_).returncode == 0
    offers = json.loads(round_.read_text())["offers"]
    assert all(set(offer["success_probability"]) == {"mean", "concentration"} for offer in offers)
    assert bondwork.solve(bondwork.load(round_)).verified


def test_scores(tmp_path: Path):
    history = write_history(tmp_path / "history.csv", range(30))
    shown = run("score", history, "--holdout", 10)
    assert shown.returncode == 0
    assert "smoothed" in shown.stdout
    answer = json.loads(run("score", history, "--holdout", 10, "--model", "gas", "--json").stdout)
    (score,) = answer["scores"]
    assert score["model"] == "gas"
    assert 0.0 < score["brier"] < 0.25


def test_bad_input_is_told_without_a_traceback(tmp_path: Path):
    for arguments, text, words in (
        (("fit", "-"), "round,executor,done,failed\n1,a,2,3\n", "0 <= failed <= done"),
        (("fit", "-", "--model", "best"), "round,executor,done,failed\n1,a,2,1\n2,a,1,0\n", "one of gas"),
        (("fit", tmp_path / "nowhere.csv"), None, "No such file"),
        (("score", "-", "--holdout", 5), "round,executor,done,failed\n1,a,2,1\n2,a,1,0\n", "from 1 to 1"),
    ):
        done = run(*arguments, text=text)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def test_states_and_parameters_that_are_none(tmp_path: Path):
    history = write_history(tmp_path / "history.csv", range(30))
    for model, faults in {
        "ewma": {"state": [1e308], "weight": 1e308, "initial": -0.5, "concentration": 0.0},
        "forgetting": {"state": [-1.0, 3.0], "keep": 2.0, "prior_mean": 1.5, "prior_size": -1.0},
    }.items():
        made = run("fit", history, "--model", model)
        assert made.returncode == 0
        for name, value in faults.items():
            document = json.loads(made.stdout)
            if name == "state":
                document["executors"][1]["state"] = value
            else:
                document["parameters"][name] = value
            broken = tmp_path / "broken.json"
            broken.write_text(json.dumps(document))
            done = run("update", broken, history)
            assert done.returncode == 2
            assert (f"$.executors[1].{name}" if name == "state" else f"$.parameters.{name}") in done.stderr
