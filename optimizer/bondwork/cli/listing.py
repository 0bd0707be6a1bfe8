"""``bondwork schema`` and ``bondwork strategies``: what there is."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from bondwork import tables
from bondwork.cli.app import app
from bondwork.cli.documents import hand_out, print_json
from bondwork.cli.parameters import JsonOption, OutOption


@app.command()
def schema(
    name: Annotated[
        str | None, typer.Argument(help="Which format; all names are listed without one.", show_default=False)
    ] = None,
    output: OutOption = None,
) -> None:
    """Print the JSON Schema (draft 2020-12) of a format."""
    from bondwork.schemas import json_schema, schema_names

    if name is None:
        hand_out("\n".join(schema_names()) + "\n", output)
    else:
        hand_out(json.dumps(json_schema(name), indent=2) + "\n", output)


@app.command()
def strategies(
    as_json: JsonOption = False,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="Show which strategy takes which kind of input, and why not.")
    ] = False,
) -> None:
    """List the installed strategies with what they take and their settings, formulations, broken plug-ins."""
    from bondwork.registry import (
        broken_plugins,
        describe_strategies,
        formulation_names,
        strategy_matrix,
    )

    if matrix:
        found = strategy_matrix()
        if as_json:
            print_json({"matrix": found})
        else:
            tables.print_matrix(found)
        return
    described, broken = describe_strategies(), broken_plugins()
    if as_json:
        listed = {name: dataclasses.asdict(each) for name, each in described.items()}
        print_json({"strategies": listed, "formulations": formulation_names(), "broken": broken})
    else:
        tables.print_strategies(described, formulation_names(), broken)
