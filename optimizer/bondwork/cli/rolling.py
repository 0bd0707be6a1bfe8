"""``bondwork roll``: a round carried through its later periods."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bondwork import console
from bondwork.cli.app import app
from bondwork.cli.documents import load_round
from bondwork.cli.parameters import (
    DecisionLimitOption,
    FormulationOption,
    GapOption,
    HighsOption,
    JsonOption,
    OutOption,
    RoundArgument,
    SeedOption,
    StrategyOption,
    ThreadsOption,
    highs_options,
)

if TYPE_CHECKING:
    from bondwork.rolling_report import Rolled


@app.command()
def roll(
    round_: RoundArgument,
    output: OutOption = None,
    strategy: StrategyOption = "auto",
    formulation: FormulationOption = "highs",
    time_limit: DecisionLimitOption = float("inf"),
    mip_rel_gap: GapOption = 1e-4,
    threads: ThreadsOption = 0,
    seed: SeedOption = None,
    highs: HighsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Carry a round through its later periods: decide, draw what happens, decide again; with the ledger.

    --seed decides what happens.
    """
    from bondwork.rolling import roll as roll_round
    from bondwork.tables_horizon import print_rolled

    if output is not None and str(output) == "-":
        output, as_json = None, True
    console.check_writable(output, round_)
    instance = load_round(round_)
    with console.watching() as watch:
        rolled = roll_round(
            instance,
            seed=seed,
            strategy=strategy,
            formulation=formulation,
            time_limit=time_limit,
            mip_rel_gap=mip_rel_gap,
            threads=threads,
            highs=highs_options(highs),
            observer=watch,
        )
        watch.hide()
        show = partial(print_rolled, rolled, written_to=output)
        console.hand_over(rolled.to_json(), output, as_json=as_json, show=show)
        raise SystemExit(_exit_code(rolled))


def _exit_code(rolled: Rolled) -> int:
    """0 at the end of the horizon; else why the last step had no plan, as for `bondwork solve`."""
    status = rolled.steps[-1].status
    if status == "interrupted":
        return 130
    if rolled.complete:
        return 0
    if status in ("infeasible", "dual_infeasible", "infeasible_or_unbounded"):
        return 3
    return 5 if status in ("numerical_error", "other_error") else 4
