from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from commands import bond
from simulation.networks import busy
from simulation.test_running import document, without_nulls

if TYPE_CHECKING:
    import subprocess


def bondwork(*arguments: object, given: str | None = None) -> subprocess.CompletedProcess[str]:
    return bond(*arguments, data=given or "")


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "small.json"
    path.write_text(json.dumps(without_nulls(document(busy(periods=6)))))
    return path


def test_simulate_figures_and_tune(config, tmp_path):
    out = tmp_path / "out"
    done = bondwork("simulate", config, "-o", out, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((out / "summary.json").read_text())
    again = bondwork("simulate", "-", "-o", out, "--replications", 3, given=config.read_text())
    assert again.returncode == 0, again.stderr
    assert "6 periods, 3 replications" in again.stdout
    drawn = bondwork("figures", out)
    assert drawn.returncode == 0, drawn.stderr
    assert (out / "figures" / "figure-9.svg").exists()
    tuned = bondwork("tune", config, "slashing", "--points", 2, "--refinements", 0, "-o", tmp_path / "t.json")
    assert tuned.returncode == 0, tuned.stderr
    assert f"best slashing.factor: {json.loads((tmp_path / 't.json').read_text())['best']:g}" in tuned.stdout


def test_what_is_wrong_is_told_without_a_traceback(config, tmp_path):
    config.write_text('{"format": "bondwork.simulation/1", "network": {"periods": 0}}')
    done = bondwork("simulate", config, "-o", tmp_path / "out")
    assert (done.returncode, done.stderr) == (
        2,
        "bondwork: $.network.periods: found 0, expected a number >= 1\nbondwork: 1 fault\n",
    )


@pytest.mark.parametrize("command", [("simulate", "-o", "out"), ("tune", "slashing")])
def test_a_document_that_is_a_text_names_no_file(command, config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in (json.dumps(str(config)), '"\\ud800"'):
        done = bondwork(command[0], "-", *command[1:], given=text)
        assert done.returncode == 2
        assert done.stdout == ""
        assert "bondwork: $: found" in done.stderr
