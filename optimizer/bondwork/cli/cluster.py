"""Hedging by hand: ``bondwork export mpi-sppy``, a run on a cluster, ``bondwork import mpi-sppy``."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bondwork import console, tables
from bondwork.cli.app import export_group, import_group
from bondwork.cli.documents import exit_code, read_bytes
from bondwork.cli.parameters import (
    GapOption,
    HighsOption,
    JsonOption,
    OutOption,
    SeedOption,
    SetOption,
    ThreadsOption,
    highs_options,
    strategy_settings,
)

ProgramArgument = Annotated[
    str, typer.Argument(metavar="PROGRAM.json", help="A program; - reads standard input.")
]


@export_group.command("mpi-sppy")
def export_mpi_sppy(
    program: ProgramArgument,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="New folder to write.")],
    mip_rel_gap: GapOption = 1e-4,
    threads: ThreadsOption = 1,
    seed: SeedOption = None,
    highs: HighsOption = None,
    set_: SetOption = None,
) -> None:
    """Write a folder in which mpi-sppy solves a stochastic program: run.sh has the command."""
    from bondwork.contracts import Options
    from bondwork.program.program_schema import load_program
    from bondwork.strategies.hedging.folder import write_folder

    options = Options(
        mip_rel_gap=mip_rel_gap,
        threads=threads,
        random_seed=seed or 0,
        highs=highs_options(highs),
        settings=strategy_settings(set_),
    )
    with console.watching() as watch:
        write_folder(output, load_program(read_bytes(program)), options, watch)


@import_group.command("mpi-sppy")
def import_mpi_sppy(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of `bondwork export mpi-sppy`.")],
    program: ProgramArgument,
    output: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read what mpi-sppy has found in a folder: a verified solution, however the run ended."""
    from bondwork.program.program_schema import load_program
    from bondwork.program.program_solving import carry_out
    from bondwork.strategies.hedging.folder import read_folder

    console.check_writable(output, program)
    problem = load_program(read_bytes(program))
    start = time.perf_counter()
    with console.watching() as watch:
        decision, options = read_folder(folder, problem, watch)
        seconds = time.perf_counter() - start
        solution = carry_out(problem, decision, options, watch, ("hedging", "highs"), seconds)
        watch.hide()
        show = partial(tables.print_solution, solution, written_to=output)
        console.hand_over(solution.to_json(), output, as_json=as_json, show=show)
        raise SystemExit(exit_code(solution))
