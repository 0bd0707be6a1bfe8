"""No command writes its result over what it reads, nor over what is somebody else's."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from bondwork import cli

DATA = Path(__file__).resolve().parents[2] / "data"
OFFER = {"task": "t", "coprocessor": "cp", "success_probability": 0.9}
ROUND = {
    "format": "bondwork.round/1",
    "operators": [{"id": "op"}],
    "coprocessors": [{"id": "cp"}],
    "tasks": [{"id": "t", "operator": "op", "reward": 5}],
    "offers": [OFFER],
}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run the command here; return its exit code."""
    monkeypatch.setattr("sys.argv", ["bondwork", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


@pytest.mark.parametrize(
    "command",
    [
        "solve FILE -o FILE",
        "solve FILE -o ./FILE",
        "solve FILE -o LINK",
        "solve FILE --report FILE",
        "solve FILE -o new.json --report new.json",
        "solve FILE --warm-start plan.json -o plan.json",
        "compare FILE --strategy greedy -o FILE",
        "compare FILE --strategy greedy --report FILE",
        "compare FILE --strategy greedy --journal FILE",
        "compare FILE --strategy greedy --journal new.json -o new.json",
        "compare FILE --strategy greedy --journal other.json",
        "roll FILE -o FILE",
        "tree make FILE -o FILE",
        "report plan.json --round FILE -o plan.json",
        "report plan.json --round FILE -o FILE",
        "export mps FILE -o FILE",
        "import gap FILE --sense max -o FILE",
    ],
)
def test_what_is_read_is_not_written_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given = tmp_path / "round.json"
    given.write_text(json.dumps(ROUND))
    if "export mps" in command:
        assert run(monkeypatch, "solve", given, "-o", "plan.json") == 0
        program = {"format": "bondwork.program/1"}
        given.write_text(json.dumps(program))
    if "import gap" in command:
        given.write_text("1 1 5 1 1\n")
    (tmp_path / "link.json").symlink_to(given)
    (tmp_path / "other.json").write_text(json.dumps(ROUND))
    if "plan.json" in command:
        assert run(monkeypatch, "solve", given, "-o", "plan.json") == 0
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    capsys.readouterr()
    arguments = command.replace("FILE", "round.json").replace("LINK", "link.json").split()
    assert run(monkeypatch, *arguments) == 2
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before
    assert "Traceback" not in capsys.readouterr().err


def test_other_results_may_be_written_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given, plan = tmp_path / "round.json", tmp_path / "plan.json"
    given.write_text(json.dumps(ROUND))
    for _ in range(2):
        assert run(monkeypatch, "solve", given, "-o", plan) == 0
    assert json.loads(plan.read_bytes())["verified"]


def test_the_database_of_another_program_is_no_planners_state(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not even where it has no tables yet: its number says whose it is."""
    for statement in ("CREATE TABLE t(a)", "PRAGMA application_id = 5"):
        path = tmp_path / "state.sqlite"
        path.unlink(missing_ok=True)
        with sqlite3.connect(path) as connection:
            connection.execute(statement)
        connection.close()
        before = path.read_bytes()
        assert run(monkeypatch, "stream", "--state", path) == 2
        assert path.read_bytes() == before


def test_a_folder_of_other_results_is_no_simulation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = min((DATA / "simulations").glob("*.json"))
    summary = tmp_path / "summary.json"
    summary.write_text("mine")
    assert run(monkeypatch, "simulate", config, "-o", tmp_path) == 2
    assert summary.read_text() == "mine"
    assert [each.name for each in tmp_path.iterdir()] == ["summary.json"]
