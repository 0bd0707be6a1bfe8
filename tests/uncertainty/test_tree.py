import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bondwork.problem.faults import InvalidInput
from bondwork.uncertainty.laws import Lognormal, Normal, Values
from bondwork.uncertainty.tree import ScenarioTree, TreeError
from bondwork.uncertainty.tree_io import read_tree, tree_from_json, tree_to_json, write_tree
from bondwork.uncertainty.tree_sampling import sample_fan, sample_tree
from bondwork.uncertainty.tree_text import draw_tree, summarize_tree


@st.composite
def trees(draw, max_stages=4, max_children=3):
    """Trees of any shape, with any numbers of columns."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    parents, conditionals = [np.array([-1])], [np.ones(1)]
    for _ in range(draw(st.integers(0, max_stages - 1))):
        counts = rng.integers(1, max_children + 1, len(parents[-1]))
        parents.append(np.repeat(np.arange(len(counts)), counts))
        conditionals.append(np.concatenate([rng.dirichlet(np.ones(count)) for count in counts]))
    columns = [draw(st.integers(0, 2)) for _ in parents]
    values = [np.round(rng.normal(size=(len(p), c)), 2) for p, c in zip(parents, columns, strict=True)]
    return ScenarioTree.from_stages(parents, conditionals, values)


def test_a_tree_knows_its_nodes():
    tree = ScenarioTree.from_stages(
        [[-1], [0, 0], [0, 1, 1]],
        [[1], [0.4, 0.6], [1, 0.5, 0.5]],
        [[[0.5]], [1, 2], [[3, 4], [5, 6], [7, 8]]],
    )
    assert tree.parent.tolist() == [-1, 0, 0, 1, 2, 2]
    assert tree.probability.tolist() == [1.0, 0.4, 0.6, 0.4, 0.3, 0.3]
    assert tree.nodes(1) == slice(1, 3)
    assert [tree.children(n) for n in (0, 1, 2)] == [slice(1, 3), slice(3, 4), slice(4, 6)]
    assert tree.children(4).start == tree.children(4).stop
    assert tree.leaves.tolist() == [3, 4, 5]
    assert tree.path(5).tolist() == [0, 2, 5]
    assert tree.value(4).tolist() == [5.0, 6.0]
    assert tree.value(0).tolist() == [0.5]
    assert tree.ancestors().tolist() == [[0, 1, 3], [0, 2, 4], [0, 2, 5]]
    assert tree.paths()[1].tolist() == [[1.0], [2.0], [2.0]]
    with pytest.raises(IndexError):
        tree.nodes(3)


def test_a_tree_cannot_be_changed():
    values = np.array([[1.0], [2.0]])
    tree = ScenarioTree.from_fan(values)
    for array in (tree.stage, tree.parent, tree.conditional, tree.probability, tree.values[1]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    digest = tree.sha256
    values[0] = 9.0
    assert tree.sha256 == digest


@given(trees())
def test_probabilities_of_a_stage_sum_to_one_and_nodes_are_where_they_say(tree):
    for stage in range(tree.stages):
        assert tree.probability[tree.nodes(stage)].sum() == pytest.approx(1.0)
    for node in range(1, len(tree)):
        children = tree.children(int(tree.parent[node]))
        assert children.start <= node < children.stop
        assert tree.path(node)[-2] == tree.parent[node]


@given(trees())
def test_json_and_npz_give_back_the_same_tree_and_the_same_bytes(tmp_path_factory, tree):
    text = tree_to_json(tree)
    again = tree_from_json(text)
    assert again == tree
    assert hash(again) == hash(tree)
    assert tree_to_json(again) == text
    folder = tmp_path_factory.mktemp("trees")
    for name in ("a.npz", "b.npz", "a.json"):
        write_tree(tree, folder / name)
        assert read_tree(folder / name) == tree
    assert (folder / "a.npz").read_bytes() == (folder / "b.npz").read_bytes()


@given(trees())
def test_the_paths_of_a_tree_make_the_tree(tree):
    again = ScenarioTree.from_paths(tree.paths(), tree.probability[tree.leaves], merge=False)
    assert len(again.leaves) == len(tree.leaves)
    assert again.probability[again.leaves] == pytest.approx(tree.probability[tree.leaves])
    for ours, theirs in zip(again.paths(), tree.paths(), strict=True):
        assert np.array_equal(ours, theirs)


def test_paths_with_equal_beginnings_share_nodes_in_the_order_of_the_paths():
    paths = [np.zeros(4), [2.0, 1.0, 2.0, 1.0], [1.0, 1.0, 3.0, 1.0]]
    tree = ScenarioTree.from_paths(paths, [0.1, 0.2, 0.3, 0.4])
    assert tree.values[1].ravel().tolist() == [2.0, 1.0]
    assert tree.values[2].ravel().tolist() == [1.0, 3.0, 1.0]
    assert tree.conditional == pytest.approx([1.0, 0.4, 0.6, 0.25, 0.75, 1.0])
    apart = ScenarioTree.from_paths(paths, [0.1, 0.2, 0.3, 0.4], merge=False)
    assert [len(values) for values in apart.values] == [1, 4, 4]
    certain = ScenarioTree.from_paths(paths, [0.0, 0.5, 0.5, 0.0])
    assert len(certain.leaves) == 2
    with pytest.raises(TreeError, match="differ at stage 0"):
        ScenarioTree.from_paths(paths[1:])
    with pytest.raises(TreeError, match="one row for each scenario"):
        ScenarioTree.from_paths([np.zeros(2), np.zeros(3)])


GOOD = {
    "stage": [0, 1, 1],
    "parent": [-1, 0, 0],
    "conditional": [1.0, 0.5, 0.5],
    "values": ([[0.0]], [[1.0], [2.0]]),
    "names": (("a",), ("b",)),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage": [0, 1]}, r"parent has shape \(3,\), expected \(2,\)"),
        ({"parent": [-1, 0]}, r"parent has shape \(2,\), expected"),
        ({"stage": [0, 1, 2]}, "stage 2 has nodes"),
        ({"stage": [0, 0, 1], "values": ([[0.0]] * 2, [[1.0]])}, "stage 0 must hold one node"),
        ({"stage": [1, 0, 1]}, "must ascend"),
        ({"parent": [0, 0, 0]}, "root, with parent -1"),
        ({"parent": [-1, 0, 5]}, "no parent before it"),
        ({"parent": [-1, 0, 1]}, "node 2 has parent 1, which is not of the stage before"),
        ({"conditional": [1.0, 0.5, 0.6]}, "children of node 0 have probability 1.1"),
        ({"conditional": [0.9, 0.5, 0.5]}, "probability of the root"),
        ({"conditional": [1.0, -0.5, 1.5]}, "outside"),
        ({"conditional": [1.0, np.nan, 0.5]}, "outside"),
        ({"values": ([[0.0]], [[1.0]])}, r"values\[1\] has shape \(1, 1\)"),
        ({"values": ([[0.0]], [[1.0], [np.inf]])}, r"values\[1\] holds a number that is not finite"),
        ({"names": (("a",), ("b", "c"))}, "2 names, expected 1"),
        ({"names": (("a",),)}, "1 entries for 2 stages"),
        ({"names": (("a",), ("b", "b")), "values": ([[0.0]], [[1.0, 1.0]] * 2)}, "a name twice"),
        ({"stage": [], "parent": [], "conditional": [], "values": ()}, "no nodes"),
    ],
)
def test_what_is_no_tree_is_refused(change, message):
    fields = GOOD | change
    with pytest.raises(TreeError, match=message):
        ScenarioTree(
            np.array(fields["stage"], dtype=np.int64),
            np.array(fields["parent"], dtype=np.int64),
            np.array(fields["conditional"], dtype=np.float64),
            tuple(np.array(value) for value in fields["values"]),
            fields["names"],
        )


def test_an_inner_node_without_children_is_refused_and_all_faults_are_listed():
    with pytest.raises(TreeError, match="node 2 of stage 1 has no children"):
        ScenarioTree.from_stages([[-1], [0, 0], [0]], [[1], [0.5, 0.5], [1]], [[0.0], [1.0, 2.0], [3.0]])
    with pytest.raises(TreeError) as error:
        ScenarioTree.from_stages([[-1], [0, 0]], [[0.5], [0.5, 0.6]], [[np.nan], [1.0, np.inf]])
    assert len(error.value.faults) == 3


def faulty(**change):
    return json.dumps(json.loads(tree_to_json(ScenarioTree.from_fan([2.0, 6.0]))) | change)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "JSON"),
        ("[]", r"^\$: found an array of 0"),
        (faulty(format="bondwork.tree/2"), r"^\$.format: .*'bondwork.tree/1'"),
        (faulty(extra=1), r"^\$.extra: "),
        ('{"format": "bondwork.tree/1"}', r"\$.parent: found nothing"),
        ('{"format": "bondwork.tree/1", "format": "bondwork.tree/1"}', "given twice|once"),
        (faulty(sha256="0"), r"^\$.sha256: "),
        (faulty(stage=[0, 1.5, 1]), r"^\$.stage\[1\]: found 1.5"),
        (faulty(values=[[[]], [[2.0], ["x"]]]), r"^\$.values\[1\]\[1\]\[0\]: "),
        (faulty(values=[[[]], [[2.0], [6.0, 7.0]]]), r"^\$.values\[1\]\[1\]: found 2 numbers, expected 1"),
        (faulty(values=3), r"^\$.values: found 3"),
        (faulty(values=[[[]]]), r"^\$.stage|values end"),
        (faulty(conditional_probability=[1.0, 0.5, 0.4]), r"^\$.conditional_probability: .*0.9, expected 1"),
        (faulty(parent=[-1, 0, 1]), r"^\$.parent\[2\]: node 2|^\$.parent\[2\]: found node 2"),
        (faulty(names=[[], ["a", "b"]]), r"^\$.names\[1\]: "),
        (faulty(names=[[], ["a"], []]), r"^\$.names: "),
    ],
)
def test_files_that_are_no_tree_are_refused(text, message):
    with pytest.raises(InvalidInput, match=message):
        tree_from_json(text)


def test_all_faults_of_a_file_are_listed():
    with pytest.raises(InvalidInput) as error:
        tree_from_json(
            faulty(stage=[0, 1, "1"], parent=None, conditional_probability=[1.0, 2.0, 0.5], more=1)
        )
    assert [fault.path for fault in error.value.faults] == [
        "$.stage[2]",
        "$.parent",
        "$.conditional_probability[1]",
        "$.more",
    ]


def test_other_writers_may_leave_out_names_and_digest():
    document = json.loads(tree_to_json(ScenarioTree.from_fan([2.0, 6.0])))
    del document["names"], document["sha256"]
    assert tree_from_json(json.dumps(document)) == ScenarioTree.from_fan([2.0, 6.0])


def test_npz_files_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(InvalidInput, match=r"\$.format: found nothing"):
        read_tree(path)
    path.write_bytes(b"PK nothing")
    with pytest.raises(InvalidInput, match="an npz archive"):
        read_tree(path)


def test_negative_zero_is_zero():
    one, other = ScenarioTree.from_fan([0.0, 1.0]), ScenarioTree.from_fan([-0.0, 1.0])
    assert one == other
    assert one.to_json() == other.to_json()


@pytest.mark.parametrize("method", ["monte_carlo", "antithetic", "latin_hypercube", "sobol"])
def test_the_same_seed_gives_the_same_tree(method):
    laws = [{"a": Normal(), "b": Lognormal(10.0, 0.3)}, {"a": Normal()}]
    first = sample_tree(laws, [4, 3], seed=1, method=method)
    assert first == sample_tree(laws, [4, 3], seed=1, method=method)
    assert first != sample_tree(laws, [4, 3], seed=2, method=method)
    assert [value.shape for value in first.values] == [(1, 0), (4, 2), (12, 1)]
    assert len(np.unique(first.values[2])) == 12


def test_a_sampled_tree_follows_its_laws_at_every_stage():
    tree = sample_tree([{"x": Normal(5.0, 2.0)}, {"x": Values((0.0, 1.0), (0.75, 0.25))}], [256, 16], seed=3)
    weight = tree.probability[tree.nodes(1)]
    x = tree.values[1][:, 0]
    assert weight @ x == pytest.approx(5.0, abs=0.02)
    assert np.sqrt(weight @ (x - 5.0) ** 2) == pytest.approx(2.0, rel=0.02)
    for node in range(1, 257):
        children = tree.children(node)
        ones = tree.values[2][children.start - 257 : children.stop - 257, 0]
        assert ones.mean() == 0.25


def test_a_transition_carries_the_past_on():
    step = {"price": Lognormal(1.0, 0.1)}
    tree = sample_tree(
        [step] * 3, [3, 2, 2], seed=0, root={"price": 5.0}, transition=lambda _, before, draw: before * draw
    )
    plain = sample_tree([step] * 3, [3, 2, 2], seed=0)
    product = 5.0 * np.prod([path[:, 0] for path in plain.paths()[1:]], axis=0)
    assert tree.paths()[3][:, 0] == pytest.approx(product)


def test_faulty_branching_is_refused():
    with pytest.raises(TreeError, match="2 branching factors"):
        sample_tree([{"x": Normal()}], [2, 2], seed=0)
    with pytest.raises(TreeError, match=">= 1"):
        sample_tree([{"x": Normal()}], [0], seed=0)


def test_drawing_shows_every_node_or_says_what_it_leaves_out():
    tree = sample_fan({"x": Normal()}, 8, seed=0)
    full = draw_tree(tree, max_children=8).splitlines()
    assert len(full) == 9
    assert full[-1].startswith("└─ 0.125  x=")
    short = draw_tree(tree, max_children=3).splitlines()
    assert short[-1] == "└─ ... 5 more, 0.625 together"
    assert len(short) == 5
    # One hidden child takes no more room than the line that would announce it.
    assert draw_tree(tree, max_children=7) == draw_tree(tree, max_children=8)
    with pytest.raises(ValueError, match="at least 1"):
        draw_tree(tree, max_children=0)


def test_drawing_of_many_stages():
    tree = ScenarioTree.from_paths(
        [[0, 0, 0], [1, 1, 2], [3, 4, 5]], [0.25, 0.25, 0.5], names=[["s"], ["a"], ["b"]]
    )
    assert draw_tree(tree) == (
        "root s=0\n├─ 0.5  a=1\n│  ├─ 0.5  b=3\n│  └─ 0.5  b=4\n└─ 0.5  a=2\n   └─ 1  b=5"
    )
    deep = ScenarioTree.from_paths([[float(t)] for t in range(2000)])
    assert len(draw_tree(deep).splitlines()) == 2000


def test_summary_names_stages_and_moments():
    tree = ScenarioTree.from_paths(
        [np.zeros((3, 0)), [1, 1, 2], np.ones((3, 6))], [0.25, 0.25, 0.5], merge=True
    )
    lines = summarize_tree(tree).splitlines()
    assert lines[0] == "3 stages, 5 nodes, 2 scenarios"
    assert lines[2] == "stage 1: 2 nodes, 2 children of a node before; v0 1.5 ± 0.5"
    assert lines[3].endswith("v3 1 ± 0, and 2 more")
    many = draw_tree(tree).splitlines()
    assert many[2].endswith("v3=1  +2")
