"""``bondwork schema`` and ``bondwork strategies``: what there is."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from bondwork import tables
from bondwork.cli.app import app
from bondwork.cli.documents import hand_out, print_json
from bondwork.cli.parameters import JsonOption, OutOption


@app.command()
def schema(
    name: Annotated[str, typer.Argument(metavar="round|plan|program|solution", help="Which format.")],
    output: OutOption = None,
) -> None:
    """Print the JSON Schema (draft 2020-12) of a format."""
    from bondwork.schemas import json_schema

    hand_out(json.dumps(json_schema(name), indent=2) + "\n", output)


@app.command()
def strategies(as_json: JsonOption = False) -> None:
    """List the installed strategies and formulations."""
    from bondwork.registry import find_strategy, formulation_names, strategy_names

    summaries = {name: find_strategy(name).summary for name in strategy_names()}
    if as_json:
        print_json({"strategies": summaries, "formulations": formulation_names()})
    else:
        tables.print_strategies(summaries, formulation_names())
