"""Generalised assignment instances with published optima, of OR-Library (see ../shared/data/README.md)."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest

import bondwork
from bondwork.importers.gap import read_gap

if TYPE_CHECKING:
    from pathlib import Path

    from bondwork.importers.gap import Sense

CATTRYSSE = [f"gap{k}-{i}" for k in range(1, 13) for i in range(1, 6)]
CHU = ["a05100", "a10100", "a20100", "a05200", "a10200", "a20200"]

pytestmark = pytest.mark.published


@pytest.fixture(scope="session")
def optima(shared: Path) -> dict[tuple[str, str], tuple[Path, float]]:
    """Return file and published optimum of each instance and sense."""
    folder = shared / "data" / "gap"
    if not (folder / "optima.csv").is_file():
        pytest.skip(f"the published instances are not at {folder}")
    with (folder / "optima.csv").open(encoding="utf-8", newline="") as file:
        return {
            (row["instance"], row["sense"]): (folder / "files" / row["file"], float(row["best_known"]))
            for row in csv.DictReader(file)
            if row["proven_optimal"] == "yes"
        }


def value_of(plan: bondwork.Plan, sense: Sense) -> float:
    assert plan.status == "optimal"
    assert plan.verified
    assert plan.objective is not None
    assert plan.bound == pytest.approx(plan.objective, rel=1e-6)
    return plan.objective if sense == "max" else -plan.objective


@pytest.mark.parametrize("formulation", ["highs", "cvxpy", "pyomo"])
@pytest.mark.parametrize("sense", ["max", "min"])
@pytest.mark.parametrize("name", CATTRYSSE)
def test_cattrysse(
    name: str, sense: Sense, formulation: str, optima: dict[tuple[str, str], tuple[Path, float]]
):
    path, optimum = optima[name, sense]
    instance = bondwork.load(read_gap(path, sense))
    plan = bondwork.solve(instance, strategy="extensive", formulation=formulation, mip_rel_gap=0.0)
    assert value_of(plan, sense) == optimum


@pytest.mark.parametrize("sense", ["max", "min"])
@pytest.mark.parametrize("name", CATTRYSSE)
def test_cattrysse_by_decomposition(
    name: str, sense: Sense, optima: dict[tuple[str, str], tuple[Path, float]]
):
    path, optimum = optima[name, sense]
    instance = bondwork.load(read_gap(path, sense))
    assert value_of(bondwork.solve(instance, strategy="lagrangian", mip_rel_gap=0.0), sense) == optimum


@pytest.mark.parametrize("strategy", ["extensive", "lagrangian"])
@pytest.mark.parametrize("name", CHU)
def test_chu(name: str, strategy: str, optima: dict[tuple[str, str], tuple[Path, float]]):
    path, optimum = optima[name, "min"]
    instance = bondwork.load(read_gap(path, "min"))
    plan = bondwork.solve(instance, strategy=strategy, formulation="highs", mip_rel_gap=0.0, time_limit=60.0)
    assert value_of(plan, "min") == optimum
