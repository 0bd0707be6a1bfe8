"""``bondwork import``: foreign files in, rounds or programs out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from bondwork.cli.app import import_group
from bondwork.cli.documents import hand_out
from bondwork.cli.parameters import OutOption


@import_group.command("smps")
def import_smps(
    core: Annotated[Path, typer.Argument(metavar="CORE", help="Deterministic program in MPS form.")],
    periods: Annotated[Path, typer.Argument(metavar="TIME", help="Its periods.")],
    stoch: Annotated[Path, typer.Argument(metavar="STOCH", help="What is random.")],
    scenarios: Annotated[
        int | None, typer.Option(min=1, help="Sample so many instead of expanding all.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sample.")] = 0,
    output: OutOption = None,
) -> None:
    """Read a published stochastic program in SMPS form; `bondwork solve` takes the result."""
    from bondwork.importers.smps import read_smps

    program = read_smps(core, periods, stoch, scenarios=scenarios, seed=seed)
    hand_out(program.to_json(), output, core, periods, stoch)


@import_group.command("gap")
def import_gap(
    file: Annotated[str, typer.Argument(metavar="FILE", help="OR-Library file; - reads standard input.")],
    sense: Annotated[str, typer.Option(metavar="max|min", help="Largest profit, or least cost.")],
    problem: Annotated[int, typer.Option(min=1, help="Which problem of a file that holds several.")] = 1,
    output: OutOption = None,
) -> None:
    """Read a generalised assignment problem of OR-Library as a round."""
    from bondwork.importers.gap import read_gap

    if sense not in ("max", "min"):
        raise typer.BadParameter(f"--sense is {sense!r}, expected max or min")
    source = sys.stdin if file == "-" else Path(file)
    document = read_gap(source, "max" if sense == "max" else "min", problem=problem)
    hand_out(json.dumps(document) + "\n", output, file)
