"""Reputations on a real marketplace: Golem's providers, four snapshots of their counters."""

from __future__ import annotations

import csv
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bondwork.reputation.evaluation import score_models
from bondwork.uncertainty.history import OutcomeHistory

if TYPE_CHECKING:
    from pathlib import Path

    from bondwork.reputation.evaluation import Score


def increments(path: Path) -> OutcomeHistory:
    """Outcomes between snapshots: counters are cumulative, and one that falls has started again from 0.

    What a provider had done when it was first seen counts as it stands.
    """
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    snapshots: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for row in rows:
        failed = int(row["subtasks_error"]) + int(row["subtasks_timeout"])
        snapshots[row["commit_date"]][row["node"]] = int(row["subtasks_success"]), failed
    before: dict[str, tuple[int, int]] = {}
    outcomes = []
    for date in sorted(snapshots):
        for node, (done, failed) in snapshots[date].items():
            was_done, was_failed = before.get(node, (0, 0))
            if done < was_done or failed < was_failed:
                was_done = was_failed = 0
            before[node] = done, failed
            new, lost = done - was_done, failed - was_failed
            if new + lost:
                outcomes.append((date, node, new + lost, lost))
    return OutcomeHistory.from_rows(outcomes)


@pytest.fixture(scope="module")
def history(shared: Path) -> OutcomeHistory:
    path = shared / "data" / "golem" / "providers.csv"
    if not path.exists():
        pytest.skip("the providers of Golem are not there")
    return increments(path)


@pytest.fixture(scope="module")
def scores(history: OutcomeHistory) -> list[Score]:
    return score_models(history, holdout=1)


def test_three_snapshots_predict_the_fourth(history: OutcomeHistory, scores: list[Score]):
    """Moving average and forgetting beta law win, alike; then GAS; the smoothed rate is far off."""
    assert history.done.shape[0] == 4
    assert [each.model for each in scores] == ["ewma", "forgetting", "gas", "smoothed"]
    told = {each.model: each for each in scores}
    expected = {"ewma": 1.380, "forgetting": 1.381, "gas": 1.413, "smoothed": 2.011}
    assert {name: each.log_score for name, each in told.items()} == pytest.approx(expected, abs=2e-3)
    # Brier and calibration put forgetting first by a hair; the order of the others is the same
    assert told["forgetting"].brier == min(each.brier for each in scores)
    assert told["smoothed"].brier == max(each.brier for each in scores)
    assert told["gas"].calibration.error < 0.04 < 0.1 < told["smoothed"].calibration.error
    # nobody can tell GAS from the winner; the smoothed rate everybody can
    assert told["forgetting"].p_value > 0.5
    assert told["gas"].p_value > 0.05
    assert told["smoothed"].p_value < 1e-6


def test_forecasts_cover_what_came(scores: list[Score]):
    told = {each.model: each.coverage for each in scores if each.model in ("gas", "forgetting")}
    assert len(told) == 2
    assert np.abs(np.array(list(told.values())) - 0.9).max() < 0.05
