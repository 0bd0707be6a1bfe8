"""``bondwork compare``."""

from __future__ import annotations

from typing import Annotated

import typer

from bondwork import console, tables
from bondwork.cli.app import app
from bondwork.cli.documents import load_round
from bondwork.cli.parameters import (
    GapOption,
    HighsOption,
    JsonOption,
    OutOption,
    SeedOption,
    ThreadsOption,
    TimeLimitOption,
    highs_options,
)


@app.command()
def compare(
    rounds: Annotated[list[str], typer.Argument(metavar="ROUND.json...", help="Rounds; - reads one.")],
    output: OutOption = None,
    strategy: Annotated[
        list[str] | None, typer.Option(help="Strategy to run; repeatable. [default: all but auto]")
    ] = None,
    formulation: Annotated[
        list[str] | None, typer.Option(help="Formulation to run; repeatable. [default: highs]")
    ] = None,
    time_limit: TimeLimitOption = float("inf"),
    mip_rel_gap: GapOption = 1e-4,
    threads: ThreadsOption = 0,
    seed: SeedOption = None,
    highs: HighsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare strategies and formulations on rounds: objective, bound, gap, seconds, verdict."""
    from bondwork.comparison.comparison import compare as compare_rounds
    from bondwork.registry import strategy_names

    console.check_writable(output)
    instances = [load_round(each) for each in rounds]
    with console.watching() as watch:
        comparison = compare_rounds(
            instances,
            strategies=strategy or [name for name in strategy_names() if name != "auto"],
            formulations=formulation or ["highs"],
            time_limit=time_limit,
            mip_rel_gap=mip_rel_gap,
            threads=threads,
            seed=seed,
            highs=highs_options(highs),
            observer=watch,
        )
    if output is not None:
        console.write(output, comparison.to_json())
    if as_json:
        console.hand_out(comparison.to_json())
    else:
        tables.print_comparison(comparison, instances)
    for each in comparison.disagreements():
        console.say(f"disagreement: {each}")
    interrupted = watch.should_stop()
    raise SystemExit(130 if interrupted else 5 if comparison.disagreements() else 0)
