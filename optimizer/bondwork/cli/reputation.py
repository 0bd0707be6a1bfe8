"""``bondwork reputation``: what the past says about executors, from a history to a round's probabilities."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bondwork.cli.app import app
from bondwork.cli.documents import hand_out, print_json, read_bytes
from bondwork.cli.parameters import JsonOption, OutOption

if TYPE_CHECKING:
    from bondwork.reputation.evaluation import Score

group = typer.Typer(
    help="Fit, update and score reputations on a history.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(group, name="reputation")

HistoryArgument = Annotated[
    str, typer.Argument(metavar="HISTORY", help="CSV or JSON of outcomes; - reads standard input.")
]
ModelOption = Annotated[str, typer.Option(help="gas, forgetting, ewma or smoothed.")]


@group.command()
def fit(history: HistoryArgument, model: ModelOption = "gas", output: OutOption = None) -> None:
    """Fit a model to a history; its states after the last round come with it."""
    from bondwork.reputation.ledger import fit_reputation
    from bondwork.reputation.reputation_schema import ledger_to_json
    from bondwork.uncertainty.history import read_history

    hand_out(ledger_to_json(fit_reputation(read_history(read_bytes(history)), model)), output, history)


@group.command()
def update(
    reputation: Annotated[Path, typer.Argument(metavar="REPUTATION.json", help="Made by fit.")],
    history: HistoryArgument,
    output: OutOption = None,
) -> None:
    """Take in further rounds without fitting again."""
    from bondwork.reputation.reputation_schema import ledger_to_json, load_ledger
    from bondwork.uncertainty.history import read_history

    ledger = load_ledger(reputation)
    ledger.update(read_history(read_bytes(history), least_rounds=1))
    hand_out(ledger_to_json(ledger), output, history)  # a reputation may take the place of the old one


@group.command("apply")
def apply_reputation(
    reputation: Annotated[Path, typer.Argument(metavar="REPUTATION.json", help="Made by fit.")],
    round_: Annotated[str, typer.Argument(metavar="ROUND.json", help="A round; - reads standard input.")],
    output: OutOption = None,
) -> None:
    """Put the forecasts into a round as the success probabilities of its offers."""
    from bondwork.problem.document import parse_document
    from bondwork.problem.reading import read_document
    from bondwork.reputation.reputation_schema import load_ledger

    document = parse_document(read_bytes(round_))
    read_document(document)  # every fault of the round, before anything is made of it
    hand_out(json.dumps(load_ledger(reputation).apply(document)) + "\n", output, reputation)


@group.command()
def score(
    history: HistoryArgument,
    holdout: Annotated[int, typer.Option(min=1, help="Last rounds that no model is fitted on.")] = 1,
    model: Annotated[
        list[str] | None, typer.Option(help="Model to score; repeatable. [default: all]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fit models on the past, score their forecasts of what came after; best first."""
    from bondwork.reputation.evaluation import score_models
    from bondwork.reputation.models import MODELS
    from bondwork.uncertainty.history import read_history

    scores = score_models(read_history(read_bytes(history)), holdout, model or list(MODELS))
    if as_json:
        print_json({"format": "bondwork.scores/1", "scores": [_told(each) for each in scores]})
    else:
        _print(scores)


def _told(score: Score) -> dict[str, Any]:
    told = asdict(score)
    told["calibration"] = {name: values.tolist() for name, values in told["calibration"].items()}
    return told


def _print(scores: list[Score]) -> None:
    from bondwork.console import text_console
    from bondwork.tables import make_table, show_number, show_percent

    table = make_table(
        "model",
        "log score",
        "Brier",
        "calibration error",
        "90% covered",
        "worse than the best by",
        "p value",
        title="Smaller scores are better",
    )
    for each in scores:
        table.add_row(
            each.model,
            f"{each.log_score:.4f}",
            f"{each.brier:.4f}",
            show_percent(each.calibration.error),
            show_percent(each.coverage),
            show_number(each.difference),
            "-" if each.p_value is None else f"{each.p_value:.2g}",
        )
    text_console(sys.stdout).print(table)
