from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bondwork.comparison.comparison import Comparison, compare_study
from bondwork.comparison.row import Row, Worth
from bondwork.comparison.study_schema import parse_study
from bondwork.registry import strategy_names
from bondwork.report.comparison_report import report_comparison
from bondwork.report.figures_comparison import LEAST_GAP, best_bound, progress
from report.pages import cells, check_page, facts, headings, table

STUDY = {
    "format": "bondwork.study/1",
    "rounds": [{"generate": {"tasks": 12, "coprocessors": 4, "offers": 3, "seed": seed}} for seed in (1, 2)],
    "strategies": ["greedy", "relaxation", "extensive"],
    "replications": 2,
    "out_of_sample": {"scenarios": 200, "level": 0.9},
}

ROW = Row(round="r", contender="a", strategy="a", formulation="highs", status="optimal", solution="optimal")


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare_study(STUDY)


@pytest.fixture(scope="module")
def html(comparison: Comparison) -> str:
    return report_comparison(comparison, name="small", unit="ETH", reference="extensive")


def test_a_page_tells_what_the_comparison_tells(comparison: Comparison, html: str):
    page = check_page(html)
    assert report_comparison(Comparison.from_json(comparison.to_json().encode()), name="small", unit="ETH",
                             reference="extensive") == html  # fmt: skip
    assert headings(page) == [
        "Strategies over all problems",
        "Paired differences",
        "Performance profiles",
        "Progress over the time",
        "Time and memory",
        "Every solve",
    ]
    summary = cells(table(page, "Each strategy"))
    assert [row[0] for row in summary] == ["greedy", "relaxation", "extensive"]
    assert [row[1] for row in summary] == ["4", "4", "4"]
    differences = table(page, "Differences from extensive")
    assert {row[0] for row in cells(differences)} == {"greedy", "relaxation"}
    assert len(cells(table(page, "12 solves"))) == 12
    assert facts(page)["failures"] == "0"
    assert facts(page)["plans, all verified"] == "12"
    assert {each.attributes["id"] for each in page.all("figure")} >= {
        "forest-objective",
        "profile-0",
        "gap-0",
    }


def test_numbers_sort_by_their_value_and_not_by_their_text(comparison: Comparison, html: str):
    page = check_page(html)
    rows = table(page, "12 solves").all("tbody")[0].all("tr")
    heads = [each.words() for each in table(page, "12 solves").all("thead")[0].all("th")]
    k = heads.index("objective (ETH)")
    told = [float(row.children[k].attributes["data-v"]) for row in rows]
    assert told == [row.objective for row in comparison.rows]


def test_refusals_failures_and_unverified_plans_stand_out(comparison: Comparison):
    rows = [
        dataclasses.replace(
            ROW, contender="<b>", status="refused", solution="none", refusal="no & never <i>"
        ),
        dataclasses.replace(
            ROW, contender="b", status="failed", solution="none", refusal="ValueError: \x1b[31m"
        ),
        dataclasses.replace(ROW, contender="c", objective=1.0, bound=2.0, gap=0.5, verified=False),
        dataclasses.replace(
            ROW,
            contender="d",
            objective=0.4,
            bound=0.5,
            gap=0.2,
            verified=True,
            worth=Worth(3.0, 2.0, 1.0, 1.0, None),
        ),
    ]
    page = check_page(report_comparison(Comparison(tuple(rows))))
    told = cells(table(page, "2 solves"))
    assert told == [
        ["r", "<b>", "refused", "no & never <i>"],
        ["r", "b", "failed", r"ValueError: \x1b[31m"],
    ]
    assert facts(page)["failures"] == "1"
    assert facts(page)["plans that do not verify"] == "1"
    assert facts(page)["proofs that contradict each other"] == "1"
    assert cells(table(page, "Wait-and-see"))[0][2:] == ["3", "2", "1", "1", "–"]
    every = cells(table(page, "4 solves"))
    assert any("not verified" in cell for cell in every[2])


def test_a_comparison_of_nothing_has_a_page():
    page = check_page(report_comparison(Comparison(())))
    assert facts(page)["solves"] == "0"


def test_progress_of_a_minimisation_counts_from_the_other_side():
    row = dataclasses.replace(
        ROW, sense="min", objective=10.0, bound=9.0, gap=0.1, solve=4.0,
        trajectory=((1.0, 20.0, 5.0), (2.0, 12.0, 5.0), (3.0, 10.0, 9.0)),
    )  # fmt: skip
    found = np.array(progress(row, "gap", None))
    assert found == pytest.approx(np.array([(1.0, 0.75), (2.0, 7 / 12), (3.0, 0.1), (4.0, 0.1)]))
    other = dataclasses.replace(row, contender="o", bound=9.5, objective=None)
    assert best_bound({"a": row, "o": other}) == 9.5
    found = np.array(progress(row, "shortfall", 9.5))
    assert found == pytest.approx(np.array([(1.0, 0.525), (2.0, 2.5 / 12), (3.0, 0.05), (4.0, 0.05)]))
    assert progress(dataclasses.replace(row, trajectory=(), bound=10.0), "gap", None)[-1][1] == LEAST_GAP


def test_an_unknown_reference_is_refused(comparison: Comparison):
    with pytest.raises(ValueError, match="expected one of greedy, relaxation, extensive"):
        report_comparison(comparison, reference="nobody")


def test_the_published_study_names_strategies_that_there_are():
    path = Path(__file__).resolve().parents[2] / "data" / "studies" / "ten-rounds.json"
    study = parse_study(path.read_bytes())
    sizes = [each.generate.tasks for each in study.rounds if each.generate is not None]
    assert (len(sizes), min(sizes), max(sizes)) == (10, 50, 1000)
    named = {each if isinstance(each, str) else each.strategy for each in study.strategies}
    assert named <= set(strategy_names("rounds"))
    assert len(named) == len(study.strategies) >= 17
