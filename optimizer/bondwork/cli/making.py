"""``bondwork generate``: rounds to try things on."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from bondwork.cli.app import app
from bondwork.cli.documents import hand_out
from bondwork.cli.parameters import OutOption


@app.command()
def generate(
    tasks: Annotated[int, typer.Option(min=1, help="Number of tasks.")] = 100,
    coprocessors: Annotated[int, typer.Option(min=1, help="Number of coprocessors, and of operators.")] = 10,
    offers: Annotated[int, typer.Option(min=1, help="Offers for each task.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same round.")] = 0,
    tightness: Annotated[float, typer.Option(help="Share of all tasks that the limits let through.")] = 0.8,
    risk_level: Annotated[float, typer.Option(help="Level of the CVaR limit.")] = 0.95,
    risk_budget: Annotated[
        float | None, typer.Option(help="Budget of a CVaR limit; none if left out.")
    ] = None,
    rescue: Annotated[
        int, typer.Option("--rescue", min=0, help="Second-stage offers for each task.", show_default="none")
    ] = 0,
    output: OutOption = None,
) -> None:
    """Make a random round of the paper's kind, in which capacity and collateral both bind."""
    from bondwork.problem.generate import generate_round

    try:
        document = generate_round(
            tasks,
            coprocessors,
            offers,
            seed,
            tightness=tightness,
            risk_level=risk_level,
            risk_budget=risk_budget,
            rescue=rescue,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    hand_out(json.dumps(document) + "\n", output)
