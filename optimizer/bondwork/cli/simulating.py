"""``bondwork simulate``, ``bondwork figures`` and ``bondwork tune``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from bondwork import console
from bondwork.cli.app import app
from bondwork.cli.documents import hand_out, read_bytes
from bondwork.cli.parameters import JsonOption, OutOption

ConfigArgument = Annotated[
    str, typer.Argument(metavar="SIMULATION.json", help="What to simulate; - reads standard input.")
]
FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Made by bondwork simulate.")]
JobsOption = Annotated[int, typer.Option(min=1, help="Processes.")]


@app.command()
def simulate(
    config: ConfigArgument,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder of results; one that is there is gone on with."
        ),
    ],
    replications: Annotated[
        int | None, typer.Option(min=1, help="How often. [default: the file's]", show_default=False)
    ] = None,
    jobs: JobsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Simulate a network over many periods, in every variant, and sum up what came of it.

    Killed at any moment, the same command goes on where it stood, with the same results.
    """
    from dataclasses import replace

    from bondwork.simulation.printing import print_summary
    from bondwork.simulation.running import Interrupted, run_experiment
    from bondwork.simulation.schema import read_experiment

    experiment = read_experiment(read_bytes(config))
    if replications is not None:
        document = {**experiment.document, "replications": replications}
        experiment = replace(experiment, replications=replications, document=document)
    with console.watching(show=False) as watch, _bar("simulating") as tally:
        try:
            summary = run_experiment(
                experiment, output, jobs=jobs, tally=tally, should_stop=watch.should_stop
            )
        except Interrupted:
            console.say(f"interrupted; the same command goes on from where {output} stands")
            raise SystemExit(130) from None
    if as_json:
        console.hand_out(summary.model_dump_json(indent=2) + "\n")
    else:
        print_summary(summary)


@app.command()
def figures(
    folder: FolderArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder for them. [default: DIR/figures]",
            show_default=False,
        ),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(help="Which one figures 3 to 9 show. [default: the largest reward]", show_default=False),
    ] = None,
) -> None:
    """Draw figures 2 to 9 of the paper from a simulation's own data, each with a caption."""
    from bondwork.simulation.figures import draw_figures
    from bondwork.tables import print_line

    out = console.text_console(sys.stdout)
    for name, caption in draw_figures(folder, output, variant=variant).items():
        print_line(out, f"{name}: {caption}")


@app.command()
def tune(
    config: ConfigArgument,
    parameter: Annotated[
        str,
        typer.Argument(
            help="slashing, collateral, share, replicas, validators, or a dotted name of a number."
        ),
    ],
    output: OutOption = None,
    low: Annotated[float | None, typer.Option(help="Smallest value.", show_default=False)] = None,
    high: Annotated[float | None, typer.Option(help="Largest value.", show_default=False)] = None,
    points: Annotated[int, typer.Option(min=2, help="Values of the first grid.")] = 9,
    refinements: Annotated[int, typer.Option(min=0, help="Finer grids around the best value.")] = 2,
    replications: Annotated[
        int | None, typer.Option(min=1, help="Of each value. [default: the file's]", show_default=False)
    ] = None,
    least_staying: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the first operators that must stay.")
    ] = 0.5,
    objective: Annotated[
        str | None,
        typer.Option(
            help="reward, value, net or another measure. [default: the parameter's]", show_default=False
        ),
    ] = None,
    jobs: JobsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Seek the best value of a network's number, on common random numbers, with confidence intervals."""
    from bondwork.simulation.printing import print_tuning
    from bondwork.simulation.schema import read_experiment
    from bondwork.simulation.tuning import tune as seek

    console.check_writable(output, config)
    document = read_experiment(read_bytes(config)).document
    with _bar("tuning") as tally:
        tuning = seek(
            document,
            parameter,
            low=low,
            high=high,
            points=points,
            refinements=refinements,
            replications=replications,
            least_staying=least_staying,
            objective=objective,
            jobs=jobs,
            tally=tally,
        )
    if output is not None:
        hand_out(tuning.model_dump_json(indent=2) + "\n", output)
    if as_json:
        console.hand_out(tuning.model_dump_json(indent=2) + "\n")
    else:
        print_tuning(tuning)
    raise SystemExit(0 if tuning.best is not None else 3)


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar with the time left, where standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console.text_console(sys.stderr), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def tally(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield tally
