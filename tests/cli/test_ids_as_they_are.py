"""Ids are shown as they are: no emoji, no markup, nothing a terminal obeys, nothing broken over lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from bondwork import cli
from bondwork.console import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: An id, and how it is shown.
NAMES = [
    ("eip155:100:0xabc", "eip155:100:0xabc"),
    (":smile: :ok:", ":smile: :ok:"),
    ("[bold]x[/bold]", "[bold]x[/bold]"),
    ("[/]", "[/]"),
    ("[link=https://example.org]here", "[link=https://example.org]here"),
    ("ends in \\", "ends in \\"),
    ("\\[red]", "\\[red]"),
    ("$x_1$ & <b>", "$x_1$ & <b>"),
    ("a\nb\tc\x1b[31m", "a\\nb\\tc\\x1b[31m"),
    ("\u202egnp.exe", "\\u202egnp.exe"),
    ("0x" + "f" * 128, "0x" + "f" * 128),
    ("задача 任務", "задача 任務"),
]


def document(name: str) -> dict[str, Any]:
    """A round in which everything is called by the name, with something after it."""
    offer = {"coprocessor": f"{name} c", "collateral": 1, "success_probability": 0.5, "bid": 1}
    return {
        "format": "bondwork.round/1",
        "name": f"{name} round",
        "currency": name,
        "operators": [{"id": f"{name} o"}],
        "coprocessors": [
            {
                "id": f"{name} c",
                "free_collateral": 1,
                "capacity": {f"{name} r": 3},
                "load_curve": {"resource": f"{name} r", "weight": 0, **dict.fromkeys("ABCDEFGHI", 1)},
            }
        ],
        "tasks": [
            {
                "id": f"{name} {k}",
                "operator": f"{name} o",
                "reward": 9 - k,
                "slashing": 1,
                "work": {f"{name} r": 1},
            }
            for k in range(2)
        ],
        "offers": [{"id": f"{name} offer {k}", "task": f"{name} {k}", **offer} for k in range(2)],
        "risk": [{"measure": "expected", "of": {"operator": f"{name} o"}, "budget": 5}],
    }


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run the command here; return its exit code and all that it says."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["bondwork", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out + said.err

    return run


@pytest.mark.parametrize(("name", "shown"), NAMES)
def test_a_plan_in_the_terminal(
    run: Callable[..., tuple[int, str]], tmp_path: Path, name: str, shown: str
) -> None:
    given = tmp_path / "round.json"
    given.write_text(json.dumps(document(name)))
    code, out = run("solve", str(given), "--explain")
    assert code == 0
    for what in ("round:", "c", "o", "0", "1", "r", "offer 0"):
        assert f"{shown} {what}" in out, what
    assert f"collateral of {shown} c" in out
    code, out = run("check", str(given))
    assert code == 0
    assert f"{shown} round" in out


@pytest.mark.parametrize(("name", "shown"), NAMES)
def test_later_periods_and_rescues_in_the_terminal(
    run: Callable[..., tuple[int, str]], tmp_path: Path, name: str, shown: str
) -> None:
    given = tmp_path / "round.json"
    staged = document(name)
    del staged["coprocessors"][0]["load_curve"]
    later = {"tasks": staged["tasks"][:1], "offers": staged["offers"][:1]}
    given.write_text(json.dumps(staged | {"periods": [{"id": f"{name} p", "at": 9, **later}]}))
    code, out = run("solve", str(given))
    assert code == 0
    assert f"{shown} p" in out
    code, out = run("roll", str(given))
    assert code == 0
    for what in ("p", "0 by"):
        assert f"{shown} {what}" in out, what
    staged["coprocessors"].append({"id": f"{name} late"})
    rescue = {"coprocessor": f"{name} late", "stage": 2, "id": f"{name} rescue"}
    staged["offers"].append(staged["offers"][0] | rescue)
    given.write_text(json.dumps(staged))
    code, out = run("solve", str(given))
    assert code == 0
    assert f"{shown} late" in out


@pytest.mark.parametrize("name", [name for name, _ in NAMES])
def test_a_fault_in_the_terminal(run: Callable[..., tuple[int, str]], tmp_path: Path, name: str) -> None:
    given = tmp_path / "round.json"
    broken = document(name)
    broken["offers"][0]["task"] = f"{name} lost"
    given.write_text(json.dumps(broken))
    code, out = run("solve", str(given))
    assert code == 2
    found = json.dumps(f"{name} lost", ensure_ascii=False)  # found values are shown as JSON
    assert printable(found) in out


@pytest.mark.parametrize(("name", "shown"), NAMES)
def test_a_comparison_in_the_terminal(
    run: Callable[..., tuple[int, str]], tmp_path: Path, name: str, shown: str
) -> None:
    given = tmp_path / "round.json"
    given.write_text(json.dumps(document(name)))
    code, out = run("compare", str(given), "--strategy", "greedy", "--strategy", "extensive")
    assert code == 0
    assert f"{shown} round" in out
