from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from bondwork.problem.faults import InvalidInput
from bondwork.simulation.figures import draw_figures
from bondwork.simulation.findings import dispersion, find, load_spread, smooth
from bondwork.simulation.running import run_experiment
from bondwork.simulation.schema import read_experiment
from simulation.networks import BUSY, EVERYTHING
from simulation.test_running import document, without_nulls


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("matplotlib")
    path = tmp_path_factory.mktemp("simulation")
    run_experiment(read_experiment(without_nulls(document(BUSY))), path)
    return path


def test_figures_2_to_9_are_drawn_with_captions_that_say_what_is_there(folder, tmp_path):
    told = draw_figures(folder, tmp_path / "a")
    assert list(told) == [f"figure-{n}" for n in range(2, 10)]
    for name in told:
        root = ET.fromstring((tmp_path / "a" / f"{name}.svg").read_bytes())
        assert root.tag.endswith("svg")
    text = (tmp_path / "a" / "captions.md").read_text()
    assert all(caption in text for caption in told.values())
    findings = find(folder)
    assert findings.variant == "s-0.02"
    assert findings.told("reputation_reward") in told["figure-4"]
    for variant in ("s-0.02", "s-0.4"):
        assert findings.told("survivors", variant) in told["figure-2"]
    grows = load_spread(findings)[2]
    assert ("the spread grows" in told["figure-6"]) == (grows[-1] > grows[0])
    early, late = dispersion(findings)
    assert ("rewards converge" in told["figure-3"]) == (late < 0.9 * early)


def test_the_same_data_gives_the_same_bytes(folder, tmp_path):
    for name in ("a", "b"):
        draw_figures(folder, tmp_path / name, variant="s-0.4")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_what_is_not_there_is_told(folder, tmp_path):
    with pytest.raises(InvalidInput, match=r"one of s-0\.02"):
        draw_figures(folder, variant="s-9")
    with pytest.raises(InvalidInput, match="the folder of a simulation"):
        draw_figures(tmp_path)
    plain = without_nulls({**document(EVERYTHING, replications=1), "detail": "none"})
    run_experiment(read_experiment(plain), tmp_path)
    with pytest.raises(InvalidInput, match="detail"):
        draw_figures(tmp_path)


def test_moving_means():
    values = np.arange(1.0, 7.0)
    assert smooth(values, 3).tolist() == [1.0, 1.5, 2.0, 3.0, 4.0, 5.0]
    assert smooth(values[:, None] * [1.0, 2.0], 2)[-1].tolist() == [5.5, 11.0]
