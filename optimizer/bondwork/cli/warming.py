"""``bondwork warm-up``: everything compiled before it is needed."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from bondwork import console
from bondwork.cli.app import app
from bondwork.cli.documents import print_json
from bondwork.cli.parameters import JsonOption


@app.command("warm-up")
def warm_up(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="lagrangian, simulation, reputation; all of them without one.", show_default=False
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compile what later commands need, and keep it: a step of installing, of images of containers above all.

    Exit code 0 where all of it is kept now, 2 where no folder can be written to.
    """
    from bondwork.base.compiled import KERNEL_SETS
    from bondwork.base.kernel_files import compile_lock, writable_folder

    for name in names or ():
        if name not in KERNEL_SETS:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(KERNEL_SETS)}")
    made: dict[str, float] = {}
    folders: set[str] = set()
    for name in names or KERNEL_SETS:
        kernels, started = KERNEL_SETS[name], time.perf_counter()
        if not kernels.ready():
            folders.add(str(writable_folder()))  # an error where there is none, before anything is compiled
            while not kernels.ready():
                with compile_lock() as mine:
                    if mine:
                        kernels.load(lambda what, name=name: console.say(f"{name}: {what}"))  # type: ignore[misc]
                        break
                console.say(f"{name}: another process is compiling")
                time.sleep(1.0)
        if not kernels.ready():
            raise OSError(28, "compiled code could not be kept", str(writable_folder()))
        folders.update(map(str, kernels.folders()))
        made[name] = time.perf_counter() - started
    if as_json:
        print_json({"folders": sorted(folders), "seconds": made})
        return
    for name, seconds in made.items():
        typer.echo(f"{name}: ready ({seconds:.1f} s)")
    for folder in sorted(folders):
        typer.echo(f"compiled code is in {folder}")
