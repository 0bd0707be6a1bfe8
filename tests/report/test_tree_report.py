from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bondwork.report.figures_tree import MOST_NODES, Branches, likeliest
from bondwork.report.tree_report import report_tree
from bondwork.uncertainty.tree import ScenarioTree
from report.pages import cells, check_page, facts, table


@st.composite
def trees(draw: st.DrawFn) -> Branches:
    parent = [-1]
    while len(parent) < draw(st.integers(1, 60)):
        parent.append(draw(st.integers(0, len(parent) - 1)))
    weight = np.array([draw(st.integers(1, 9)) for _ in parent], dtype=float)
    probability = np.ones(len(parent))
    for node in range(1, len(parent)):
        siblings = weight[np.array(parent) == parent[node]].sum()
        probability[node] = probability[parent[node]] * weight[node] / siblings
    return Branches(np.array(parent), probability, str)


@given(trees(), st.integers(1, 70))
def test_what_is_drawn_is_whole_paths_and_the_likeliest_of_them(tree: Branches, most: int):
    kept = likeliest(tree, most)
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert kept[0] == 0
    assert set(tree.parent[kept[1:]].tolist()) <= set(kept.tolist())
    leaves = set(range(len(tree.parent))) - set(tree.parent.tolist())
    drawn = leaves & set(kept.tolist())
    # every drawn path goes down to a leaf
    inner = set(kept.tolist()) - drawn
    assert inner <= set(tree.parent[kept].tolist())
    if len(tree.parent) <= most:
        assert len(kept) == len(tree.parent)
    if len(drawn) > 1:
        assert len(kept) <= most
    left = [tree.probability[leaf] for leaf in leaves - drawn]
    assert not left or min(tree.probability[leaf] for leaf in drawn) >= max(left) - 1e-12


def test_a_small_tree_is_drawn_whole_with_its_probabilities():
    tree = ScenarioTree.from_fan([[2.0, 1.0], [6.0, 5.0]], [0.25, 0.75], names=["demand", "<price>"])
    html = report_tree(tree, name="a & b")
    page = check_page(html)
    assert page.all("h1")[0].text == "a & b"
    drawn = [each.words() for each in page.all("figure")[0].all("text")]
    assert "demand=6 <price>=5 75%" in drawn
    assert facts(page)["sha256"] == tree.sha256
    assert cells(table(page, "Columns"))[0] == ["demand", "1", "5", "1.73205", "2", "6"]
    assert cells(table(page, "Strongest first")) == [["demand", "<price>", "1", "1"]]
    assert report_tree(tree, name="a & b") == html


def test_a_large_tree_is_thinned_and_says_so():
    rng = np.random.default_rng(1)
    paths = [np.zeros((2000, 1)), rng.integers(0, 9, (2000, 1)), rng.normal(size=(2000, 2))]
    tree = ScenarioTree.from_paths(paths)
    html = report_tree(tree)
    page = check_page(html)
    assert f"of {len(tree):,} nodes, those of the likeliest paths, are drawn" in html
    assert len(page.all("figure")[0].all("use")) <= 2 * MOST_NODES + 20
    assert len(html) < 300_000


@pytest.mark.parametrize("values", [[[0.0, 1.0], [1.0, 1.0]], [[3.0, 3.0]]])
def test_trees_of_outcomes_and_trees_without_a_choice_have_pages(values: list[list[float]]):
    check_page(report_tree(ScenarioTree.from_fan(values)))


def test_a_root_alone_has_a_page():
    tree = ScenarioTree(np.array([0]), np.array([-1]), np.array([1.0]), (np.zeros((1, 0)),))
    assert facts(check_page(report_tree(tree)))["scenarios"] == "1"
