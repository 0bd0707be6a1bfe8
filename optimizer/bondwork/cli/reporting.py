"""``bondwork report``: pages for people from files that earlier commands wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bondwork import console
from bondwork.cli.app import app
from bondwork.cli.documents import beside_history, load_round, read_bytes
from bondwork.cli.parameters import HistoryOption, check_report

if TYPE_CHECKING:
    from bondwork.problem.faults import InvalidInput


@app.command()
def report(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A plan, a comparison or a tree; - reads standard input.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PAGE.html", help="Page to write.")],
    round_: Annotated[
        str | None,
        typer.Option("--round", metavar="ROUND.json", help="Round of a plan.", show_default=False),
    ] = None,
    history: HistoryOption = None,
    name: Annotated[str | None, typer.Option(help="Heading of the page.", show_default=False)] = None,
    currency: Annotated[
        str, typer.Option(help="Currency of a comparison's rounds.", show_default=False)
    ] = "",
    reference: Annotated[
        str | None,
        typer.Option(help="Strategy that a comparison's others are compared with.", show_default=False),
    ] = None,
) -> None:
    """Write a page for people: one HTML file of a plan, a comparison or a scenario tree; extra `report`."""
    check_report(output, file, round_, history)
    if file == round_ == "-":
        raise typer.BadParameter("only one of the two can come from standard input")
    data = read_bytes(file)
    heading = name if name is not None else "" if file == "-" else Path(file).stem
    kind = _format(data)
    if kind != "bondwork.plan/1" and (round_ is not None or history is not None):
        raise typer.BadParameter("--round and --history are for plans")
    if kind != "bondwork.comparison/1" and (currency or reference is not None):
        raise typer.BadParameter("--currency and --reference are for comparisons")
    if kind == "bondwork.plan/1":
        html = _plan(data, round_, history)
    elif kind == "bondwork.comparison/1":
        html = _comparison(data, heading, currency, reference)
    else:
        from bondwork.report.tree_report import report_tree
        from bondwork.uncertainty.tree_io import read_tree

        html = report_tree(read_tree(data), name=heading)
    console.write(output, html)
    console.say(f"written to {output}")


def _plan(data: bytes, round_: str | None, history: Path | None) -> str:
    from bondwork.plan.plan import load_plan
    from bondwork.report.plan_report import report_plan

    if round_ is None:
        raise typer.BadParameter("the report of a plan needs its round too: --round ROUND.json")
    return report_plan(beside_history(load_round(round_), history), load_plan(data))


def _comparison(data: bytes, name: str, currency: str, reference: str | None) -> str:
    from bondwork.comparison.comparison import Comparison
    from bondwork.report.comparison_report import report_comparison

    comparison = Comparison.from_json(data)
    names = dict.fromkeys(row.contender for row in comparison.rows)
    if reference is not None and reference not in names:
        raise typer.BadParameter(f"--reference is {reference!r}, expected one of {', '.join(names)}")
    return report_comparison(comparison, name=name, unit=currency, reference=reference)


def _format(data: bytes) -> str:
    """What a document says it is; what can only be a tree (an ``npz``) is taken for one."""
    from bondwork.problem.document import parse_document

    if data.startswith(b"PK"):
        return "bondwork.tree/1"
    document: Any = parse_document(data)
    found = document.get("format") if isinstance(document, dict) else None
    if found not in ("bondwork.plan/1", "bondwork.comparison/1", "bondwork.tree/1"):
        raise _unknown(found)
    return str(found)


def _unknown(found: object) -> InvalidInput:
    from bondwork.problem.faults import Fault, InvalidInput, preview

    expected = '"bondwork.plan/1", "bondwork.comparison/1" or "bondwork.tree/1"'
    return InvalidInput([Fault("$.format", preview(found), expected)])
