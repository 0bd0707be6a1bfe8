"""``bondwork export``: programs and plans in foreign forms."""

from __future__ import annotations

from typing import Annotated

import typer

from bondwork.cli.app import export_group
from bondwork.cli.documents import hand_out, read_bytes
from bondwork.cli.parameters import OutOption


@export_group.command("mps")
def export_mps(
    program: Annotated[
        str, typer.Argument(metavar="PROGRAM.json", help="A program; - reads standard input.")
    ],
    fixed: Annotated[bool, typer.Option("--fixed", help="Fixed instead of free format.")] = False,
    output: OutOption = None,
) -> None:
    """Write the extensive form of a stochastic program as an MPS file."""
    from bondwork.program.mps import write_mps
    from bondwork.program.program_schema import load_program

    hand_out(write_mps(load_program(read_bytes(program)), "fixed" if fixed else "free"), output, program)
