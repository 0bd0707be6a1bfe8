"""``bondwork tree``, ``bondwork saa`` and ``--history`` as people use them."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from bondwork import cli
from bondwork.schemas import json_schema
from bondwork.uncertainty import read_tree
from program.stochastic_programs import toy

ROUNDS = Path(__file__).resolve().parents[2] / "data" / "rounds"

SPEC = {
    "format": "bondwork.tree-spec/1",
    "root": {"price": 5.0},
    "stages": [
        {
            "branching": 4,
            "repeat": 2,
            "laws": {"price": {"law": "lognormal", "mean": 1.0, "cv": 0.2}},
            "moves": {"price": "multiplies"},
        }
    ],
}


@pytest.fixture
def bond(capsys, monkeypatch, tmp_path):
    """Run a command in this process; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["bondwork", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    Path("spec.json").write_text(json.dumps(SPEC))
    return run


def valid(name: str, text: str) -> dict:
    document = json.loads(text)
    jsonschema.Draft202012Validator(json_schema(name)).validate(document)
    return document


def test_make_inspect_draw(bond) -> None:
    jsonschema.Draft202012Validator(json_schema("tree-spec")).validate(SPEC)
    code, out, _ = bond("tree", "make", "spec.json")
    assert code == 0
    assert len(valid("tree", out)["stage"]) == 21
    assert bond("tree", "make", "spec.json", "-o", "tree.npz")[0] == 0
    assert read_tree("tree.npz") == read_tree(out.encode())
    code, out, _ = bond("tree", "inspect", "tree.npz")
    assert code == 0
    assert out.startswith("3 stages, 21 nodes, 16 scenarios\n")
    assert read_tree("tree.npz").sha256 in out
    summary = json.loads(bond("tree", "inspect", "tree.npz", "--json")[1])
    assert summary["stages"][2]["columns"]["price"]["mean"] == pytest.approx(5.0, rel=0.1)
    code, out, _ = bond("tree", "draw", "tree.npz", "--ascii", "--max-children", "2")
    assert "`- ... 2 more, 0.5 together" in out


def test_a_round_and_a_history(bond) -> None:
    document = json.loads((ROUNDS / "three-tasks.json").read_bytes())
    executors = [each["id"] for each in document["coprocessors"] + document["operators"]]
    rows = [f"{label},{name},4,{label}" for label in (0, 1, 2) for name in executors]
    Path("history.csv").write_text("\n".join(["round,executor,done,failed", *rows]) + "\n")
    code, out, err = bond("tree", "make", ROUNDS / "three-tasks.json", "--scenarios", "64")
    assert (code, err) == (0, "")
    assert valid("tree", out)["names"][1]
    again = bond("tree", "make", ROUNDS / "three-tasks.json", "--scenarios", "64", "--history", "history.csv")
    assert again[1] != out
    document["risk"] = [{"measure": "cvar", "level": 0.9, "budget": 1000.0}]
    Path("round.json").write_text(json.dumps(document))
    assert bond("solve", "round.json", "-o", "plan.json", "--history", "history.csv")[0] == 0
    plan = valid("plan", Path("plan.json").read_text())
    assert len(plan["provenance"]["history_sha256"]) == 64
    assert bond("verify", "round.json", "plan.json", "--history", "history.csv")[0] == 0
    code, _, err = bond("verify", "round.json", "plan.json")
    assert (code, "needs the history" in err) == (2, True)
    Path("bad.csv").write_text("round,executor,done,failed\n1,x,1,2\n2,x\n")
    code, _, err = bond("solve", "round.json", "--history", "bad.csv")
    assert code == 2
    assert "line 2" in err
    assert "line 3" in err


@pytest.mark.parametrize("method", ["forward", "backward", "kmedoids", "multistage"])
def test_reduce_tells_the_distance_reached(bond, method) -> None:
    bond("tree", "make", "spec.json", "-o", "tree.json")
    code, out, err = bond("tree", "reduce", "tree.json", "--size", "6", "--method", method, "-o", "few.npz")
    assert (code, out) == (0, "")
    assert "distance" in err
    assert len(read_tree("few.npz").leaves) <= 6
    told = float(err.split("distance ")[1].split(" ")[0])
    code, out, _ = bond("tree", "distance", "tree.json", "few.npz", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["nested"] >= found["wasserstein"] - 1e-9
    code, out, err = bond("tree", "reduce", "tree.json", "--error", told, "--method", method)
    assert code == 0
    assert float(err.split("distance ")[1].split(" ")[0]) <= told + 1e-9
    valid("tree", out)


def test_what_is_wrong_is_said(bond) -> None:
    bond("tree", "make", "spec.json", "-o", "tree.json")
    for arguments, word in (
        (("make", "spec.json", "--scenarios", "4"), "--scenarios"),
        (("reduce", "tree.json"), "one of the two"),
        (("reduce", "tree.json", "--size", "3", "--method", "best"), "expected one of"),
        (("inspect", "spec.json"), "$.format"),
        (("inspect", "nowhere.json"), "nowhere.json"),
        (("make", "spec.json", "-o", "no/where.json"), "where.json"),
    ):
        code, out, err = bond("tree", *arguments)
        assert (code, out) == (2, ""), arguments
        assert word in err, arguments
    Path("other.json").write_text(json.dumps(SPEC | {"stages": SPEC["stages"] * 2}))
    bond("tree", "make", "other.json", "-o", "other-tree.json")
    assert bond("tree", "distance", "tree.json", "other-tree.json")[0] == 2


def test_saa(bond) -> None:
    Path("toy.json").write_text(toy().to_json())
    arguments = ["saa", "toy.json", "--scenarios", "60", "--evaluate", "200", "--seed", "3"]
    code, out, err = bond(*arguments, "--json")
    assert (code, err) == (0, "")
    report = valid("saa", out)
    assert report["first_stage"] == {"x": 6.0}
    assert len(report["gap"]["replications"]) == 10
    assert bond(*arguments, "--json")[1] == out
    code, out, _ = bond(*arguments, "--tolerance", "1.0")
    assert code == 0
    assert "within the tolerance" in out
    assert bond("saa", "toy.json", "toy.json")[0] == 2
    code, _, err = bond("saa", "toy.json", "--confidence", "1.5", "--tolerance", "-1")
    assert code == 2
    assert "confidence" in err
    assert "tolerance" in err
    assert bond("saa", "toy.json", "--time-limit", "0")[0] == 4
    code, out, _ = bond("solve", "toy.json", "--strategy", "saa", "--json")
    solution = valid("solution", out)
    assert code == 0
    assert solution["strategy"] == "saa"
    assert solution["objective"] == pytest.approx(6.0)
    assert solution["bound"] == pytest.approx(6.0)  # its certificate proves more than the mean of samples
    assert any("no proof" in note for note in solution["provenance"]["notes"])
