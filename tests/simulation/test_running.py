from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bondwork.problem.faults import InvalidInput
from bondwork.simulation import running
from bondwork.simulation.running import Interrupted, load_records, run_experiment
from bondwork.simulation.schema import read_experiment, rules_to_document
from bondwork.simulation.summary import cvar, differences, interval, measure
from simulation.networks import BUSY, EVERYTHING, busy

if TYPE_CHECKING:
    from pathlib import Path


def document(rules=BUSY, variants=(0.02, 0.4), replications=2):
    return {
        "format": "bondwork.simulation/1",
        "name": "busy",
        "network": {k: v for k, v in rules_to_document(rules).items() if v is not None},
        "variants": [{"name": f"s-{f}", "changes": {"slashing.factor": f}} for f in variants],
        "replications": replications,
    }


def without_nulls(value):
    if isinstance(value, dict):
        return {name: without_nulls(each) for name, each in value.items() if each is not None}
    return value


def read(**changes):
    return read_experiment(without_nulls({**document(), **changes}))


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_same_experiment_writes_the_same_bytes(tmp_path):
    run_experiment(read(), tmp_path / "a")
    run_experiment(read(), tmp_path / "b", jobs=2)
    first = content(tmp_path / "a")
    assert first == content(tmp_path / "b")
    assert set(first) == {
        "simulation.json",
        "summary.json",
        *(f"s-{f}/00{r}.npz" for f in (0.02, 0.4) for r in (0, 1)),
    }


def test_an_interrupted_run_goes_on_and_writes_the_same_bytes(tmp_path):
    rules = dataclasses.replace(EVERYTHING, periods=12)
    experiment = read(network=without_nulls(rules_to_document(rules)))
    run_experiment(experiment, tmp_path / "whole")
    asked = iter([False] * 17 + [True] * 1000)
    with pytest.raises(Interrupted):
        run_experiment(experiment, tmp_path / "cut", should_stop=lambda: next(asked))
    assert (tmp_path / "cut" / "s-0.02" / "001.checkpoint.npz").exists()
    told = []
    run_experiment(experiment, tmp_path / "cut", tally=lambda done, total: told.append((done, total)))
    assert content(tmp_path / "cut") == content(tmp_path / "whole")
    assert told[0] == (12, 48)
    assert told[-1] == (48, 48)


def test_killed_at_any_moment_it_goes_on_with_the_same_result(tmp_path):
    config = tmp_path / "config.json"
    # long enough to be killed in it, with a checkpoint at every period
    big = busy(periods=150, tasks={"per_period": 100.0})
    config.write_text(json.dumps(without_nulls({**document(big, variants=(0.05,), replications=1)})))
    program = (
        "import sys; from pathlib import Path\n"
        "from bondwork.simulation.running import run_experiment\n"
        "from bondwork.simulation.schema import read_experiment\n"
        "run_experiment(read_experiment(sys.argv[1]), Path(sys.argv[2]), checkpoint_seconds=0.0)\n"
    )
    folder = tmp_path / "killed"
    checkpoint = folder / "s-0.05" / "000.checkpoint.npz"
    kills = 0
    for wait in (0.0, 0.15):
        run = subprocess.Popen([sys.executable, "-c", program, str(config), str(folder)])
        deadline = time.monotonic() + 60
        while not checkpoint.exists() and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(wait)
        if run.poll() is None:
            os.kill(run.pid, signal.SIGKILL)
            kills += 1
        run.wait()
    assert kills
    run_experiment(read_experiment(config), folder)
    run_experiment(read_experiment(config), tmp_path / "whole")
    assert content(folder) == content(tmp_path / "whole")


def test_a_folder_of_another_simulation_is_left_alone(tmp_path):
    run_experiment(read(replications=1), tmp_path)
    before = content(tmp_path)
    with pytest.raises(InvalidInput, match="another simulation"):
        run_experiment(read(variants=[]), tmp_path)
    assert content(tmp_path) == before
    more = run_experiment(read(replications=2), tmp_path)  # more of the same is welcome
    assert len(more.variants[0].replications) == 2


def test_a_broken_result_is_told(tmp_path):
    run_experiment(read(replications=1), tmp_path)
    (tmp_path / "s-0.02" / "000.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(InvalidInput, match=r"000\.npz"):
        load_records(tmp_path, "s-0.02", 0)
    with pytest.raises(InvalidInput, match="nothing"):
        load_records(tmp_path, "s-0.02", 7)


def test_measures_say_what_the_records_say(tmp_path):
    summary = run_experiment(read(detail="all"), tmp_path)
    for variant in summary.variants:
        rules = read().variants[variant.name]
        for number, row in enumerate(variant.replications):
            records = load_records(tmp_path, variant.name, number)
            assert row == measure(rules, records)
            assert row["reward"] == pytest.approx(records.reward.sum() / 1e6)
            assert row["net"] == pytest.approx(records.net.sum() / 1e6)
            left = (records.active == 0).any(axis=0)
            assert row["survivors"] == pytest.approx(1.0 - left.mean())
            middle = records.load.mean()
            assert row["load"] == pytest.approx(middle, abs=0.03)
        assert variant.measures["reward"].mean == pytest.approx(
            np.mean([r["reward"] for r in variant.replications])
        )
    found = differences(summary, "reward")
    a, b = ([row["reward"] for row in variant.replications] for variant in summary.variants)
    assert found["s-0.4"].mean == pytest.approx(np.mean(np.subtract(b, a)))
    mild, harsh = (v.measures["survivors"].mean for v in summary.variants)
    assert mild > harsh


def test_intervals_and_tails():
    assert cvar(np.arange(1.0, 101.0)) == pytest.approx(np.mean([96, 97, 98, 99, 100]))
    assert cvar(np.array([1.0, 2.0]), 0.75) == 2.0
    found = interval([1.0, 2.0, 4.0])
    assert found.low < 7 / 3 < found.high
    draws = np.random.default_rng(1).normal(5.0, 2.0, (2000, 6))
    covered = [(i := interval(row.tolist())).low < 5.0 < i.high for row in draws]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


def test_an_unknown_strategy_is_told_before_anything_is_done(tmp_path):
    with pytest.raises(InvalidInput, match="lagrangia"):
        run_experiment(
            read(variants=[{"name": "x", "changes": {"policy.name": "lagrangia"}}]), tmp_path / "x"
        )
    assert not (tmp_path / "x").exists()


def test_checkpoints_need_no_more_than_their_file(tmp_path, monkeypatch):
    """A write that fails leaves the checkpoint before it in force."""
    experiment = read(replications=1, variants=[])
    real, calls = running.write_whole, []

    def failing(path, content_):
        calls.append(path)
        if len(calls) == 6:
            raise OSError(28, "No space left on device", str(path))
        real(path, content_)

    monkeypatch.setattr(running, "write_whole", failing)
    with pytest.raises(OSError, match="No space"):
        run_experiment(experiment, tmp_path / "cut", checkpoint_seconds=0.0)
    monkeypatch.setattr(running, "write_whole", real)
    run_experiment(experiment, tmp_path / "cut")
    run_experiment(experiment, tmp_path / "whole")
    assert content(tmp_path / "cut") == content(tmp_path / "whole")
