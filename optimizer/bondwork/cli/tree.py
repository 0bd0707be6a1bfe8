"""``bondwork tree``: make, inspect, draw, reduce and compare scenario trees."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bondwork import console
from bondwork.cli.app import app
from bondwork.cli.documents import print_json, read_bytes
from bondwork.cli.parameters import HistoryOption, JsonOption, OutOption, ReportOption, check_report

if TYPE_CHECKING:
    from bondwork.uncertainty.tree import ScenarioTree

tree_group = typer.Typer(
    help="Make, inspect, draw, reduce and compare scenario trees.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(tree_group, name="tree")


class Norm(StrEnum):
    """How the distance of two points is measured."""

    l1 = "l1"
    l2 = "l2"


TreeArgument = Annotated[
    str, typer.Argument(metavar="TREE", help="A tree, JSON or npz; - reads standard input.")
]
OrderOption = Annotated[float, typer.Option(min=1.0, help="Order of the Wasserstein distance.")]
NormOption = Annotated[Norm, typer.Option(help="l1: sum of absolute differences; l2: Euclidean.")]


@tree_group.command("make")
def make(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE.json", help="A round, or laws by stage (bondwork.tree-spec/1)."),
    ],
    output: OutOption = None,
    scenarios: Annotated[
        int | None, typer.Option(min=1, help="Of a round. [default: the round's]", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="[default: the document's]", show_default=False)
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="Name of a sampler, or bootstrap. [default: the document's]", show_default=False),
    ] = None,
    history: HistoryOption = None,
) -> None:
    """Draw a tree from laws by stage, or from what is random in a round."""
    from bondwork.cli.documents import beside_history
    from bondwork.problem.document import parse_document
    from bondwork.problem.reading import read_document
    from bondwork.uncertainty.tree_making import is_tree_spec, make_tree, tree_of_round

    console.check_writable(output, source, history)
    document = parse_document(read_bytes(source))
    if is_tree_spec(document):
        if scenarios is not None or history is not None:
            raise typer.BadParameter("--scenarios and --history are for rounds; laws say how they branch")
        tree = make_tree(document, seed=seed, method=method)
    else:
        instance = beside_history(read_document(document), history)
        tree = tree_of_round(instance, scenarios=scenarios, seed=seed, method=method)
    _hand_out(tree, output)


@tree_group.command("inspect")
def inspect(tree: TreeArgument, report: ReportOption = None, as_json: JsonOption = False) -> None:
    """Say what a tree holds: stages, nodes, probabilities, mean, spread and correlation of each column."""
    from bondwork.uncertainty.tree_statistics import describe_tree
    from bondwork.uncertainty.tree_text import summarize_tree

    check_report(report, tree)
    read = _read(tree)
    if report is not None:
        from bondwork.report.tree_report import report_tree

        console.write(report, report_tree(read, name="" if tree == "-" else Path(tree).stem))
    found = describe_tree(read)
    if as_json:
        print_json({"format": "bondwork.tree-summary/1", **found})
        return
    lines = [summarize_tree(read)]
    for stage in found["stages"]:
        lines += [
            f"stage {stage['stage']}: correlation of {a} and {b} {value:+.3f}"
            for (a, b), value in _strongest(stage)
        ]
    low, high = found["least_probability"], found["largest_probability"]
    lines.append(f"probability of a scenario: {low:.4g} to {high:.4g}")
    lines.append(f"sha256 {found['sha256']}")
    _print("\n".join(lines))


@tree_group.command("draw")
def draw(
    tree: TreeArgument,
    max_children: Annotated[int, typer.Option(min=1, help="Children shown of each node.")] = 6,
    ascii_only: Annotated[bool, typer.Option("--ascii", help="No box characters.")] = False,
) -> None:
    """Draw a tree as text, one line a node."""
    from bondwork.uncertainty.tree_text import draw_tree

    _print(draw_tree(_read(tree), max_children=max_children, ascii_only=ascii_only))


@tree_group.command("reduce")
def reduce(
    tree: TreeArgument,
    output: OutOption = None,
    size: Annotated[
        int | None, typer.Option(min=1, help="Scenarios to keep, at most.", show_default=False)
    ] = None,
    error: Annotated[
        float | None, typer.Option(min=0.0, help="Largest distance allowed.", show_default=False)
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="forward, backward, kmedoids or another installed one for whole paths; or multistage."
        ),
    ] = "forward",
    order: OrderOption = 1.0,
    norm: NormOption = Norm.l2,
) -> None:
    """Reduce a tree to a size or within an error, and print the distance reached."""
    from bondwork.uncertainty.tree_reduction import branching_for, reduce_paths, reduce_tree

    console.check_writable(output)
    if (size is None) == (error is None):
        raise typer.BadParameter("give --size or --error, one of the two")
    read = _read(tree)
    name = "medoids" if method == "kmedoids" else method
    if name == "multistage":
        branching = None if size is None else branching_for(size, read.stages)
        found = reduce_tree(read, branching=branching, error=error, order=order, norm=norm.value)
        reduced, distance = found.tree, found.distance
    else:
        kept = None if size is None else min(size, len(read.leaves))
        paths = reduce_paths(read, size=kept, error=error, method=name, order=order, norm=norm.value)
        reduced, distance = paths.tree, paths.distance
    # the tree may go to standard output, so what people want to know goes to the other
    console.say(
        f"{len(read.leaves)} scenarios to {len(reduced.leaves)}, {len(read)} nodes to {len(reduced)}; "
        f"distance {distance:.6g} (order {order:g}, {norm.value}, {method})"
    )
    _hand_out(reduced, output)


@tree_group.command("distance")
def distance(
    first: Annotated[str, typer.Argument(metavar="TREE", help="A tree; - reads standard input.")],
    second: Annotated[str, typer.Argument(metavar="TREE", help="Another.")],
    order: OrderOption = 1.0,
    norm: NormOption = Norm.l2,
    nested: Annotated[
        bool, typer.Option("--nested/--no-nested", help="The nested distance too, which needs more time.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Print the Wasserstein distance of two trees' paths, and the nested distance of the trees."""
    from bondwork.problem.faults import Fault, InvalidInput
    from bondwork.uncertainty.distance import nested_distance, tree_wasserstein

    if first == second == "-":
        raise typer.BadParameter("only one of the two can come from standard input")
    a, b = _read(first), _read(second)
    try:
        found: dict[str, float] = {"wasserstein": tree_wasserstein(a, b, order=order, norm=norm.value)}
        if nested:
            found["nested"] = nested_distance(a, b, order=order, norm=norm.value)
    except ValueError as error:  # trees of different stages or columns
        raise InvalidInput([Fault(second, str(error), f"a tree that can be compared with {first}")]) from None
    if as_json:
        print_json({"format": "bondwork.tree-distance/1", "order": order, "norm": norm.value, **found})
    else:
        _print("\n".join(f"{name} {value:.9g}" for name, value in found.items()))


def _read(source: str) -> ScenarioTree:
    from bondwork.uncertainty.tree_io import read_tree

    return read_tree(read_bytes(source))


def _hand_out(tree: ScenarioTree, output: Path | None) -> None:
    from bondwork.uncertainty.tree_io import write_tree

    if output is None or str(output) == "-":
        console.hand_out(tree.to_json() + "\n")
    else:
        write_tree(tree, output)


def _strongest(stage: dict[str, Any], most: int = 5) -> list[tuple[tuple[str, str], float]]:
    """Pairs of columns with the strongest correlations of a stage."""
    pairs = [((each["between"][0], each["between"][1]), each["value"]) for each in stage["correlation"]]
    pairs = [pair for pair in pairs if abs(pair[1]) > 0.0005]
    return sorted(pairs, key=lambda pair: -abs(pair[1]))[:most]


def _print(text: str) -> None:
    lines = (console.printable(line) for line in text.split("\n"))
    sys.stdout.write("\n".join(lines) + "\n")
