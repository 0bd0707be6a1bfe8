"""``bondwork solve``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from bondwork import console, tables
from bondwork.cli.app import app
from bondwork.cli.documents import exit_code, read_either
from bondwork.cli.parameters import (
    FormulationOption,
    GapOption,
    HighsOption,
    JsonOption,
    OutOption,
    RiskForm,
    RiskFormOption,
    RoundArgument,
    SeedOption,
    StrategyOption,
    ThreadsOption,
    TimeLimitOption,
    highs_options,
)

if TYPE_CHECKING:
    from pathlib import Path

    from bondwork.contracts import Options


@app.command()
def solve(
    round_: RoundArgument,
    output: OutOption = None,
    strategy: StrategyOption = "auto",
    formulation: FormulationOption = "highs",
    time_limit: TimeLimitOption = float("inf"),
    mip_rel_gap: GapOption = 1e-4,
    threads: ThreadsOption = 0,
    seed: SeedOption = None,
    risk_form: RiskFormOption = RiskForm.auto,
    highs: HighsOption = None,
    allow_violations: Annotated[
        bool, typer.Option("--allow-violations", help="Hand out a heuristic's plan that breaks limits.")
    ] = False,
    value: Annotated[
        bool, typer.Option("--value", help="Tell what the stochastic model is worth (programs).")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Solve a round, or a stochastic program: the best plan within its limits, verified."""
    from bondwork.contracts import Options
    from bondwork.solving import solve as solve_round

    if output is not None and str(output) == "-":
        output, as_json = None, True
    console.check_writable(output)
    document, instance = read_either(round_)
    if instance is None:
        if strategy not in ("auto", "extensive") or formulation != "highs":
            raise typer.BadParameter("a stochastic program is solved by --strategy extensive with highs")
        options = Options(time_limit, mip_rel_gap, threads, seed or 0, highs_options(highs))
        _solve_program(document, options, output, value=value, as_json=as_json)
    if value:
        raise typer.BadParameter("--value is for stochastic programs; a round of one stage has no recourse")
    with console.watching() as watch:
        plan = solve_round(
            instance,
            strategy=strategy,
            formulation=formulation,
            time_limit=time_limit,
            mip_rel_gap=mip_rel_gap,
            threads=threads,
            seed=seed,
            risk_form=risk_form.value,
            highs=highs_options(highs),
            allow_violations=allow_violations,
            observer=watch,
        )
    text = plan.to_json()
    if output is not None:
        console.write(output, text)
    if as_json:
        console.hand_out(text)
    else:
        tables.print_plan(instance, plan, written_to=output)
    raise SystemExit(exit_code(plan))


def _solve_program(
    document: Any, options: Options, output: Path | None, *, value: bool, as_json: bool
) -> NoReturn:
    """Solve a stochastic program and end the command."""
    from bondwork.program.program_schema import load_program
    from bondwork.program.program_solving import solve_stochastic

    program = load_program(document)
    with console.watching() as watch:
        solution = solve_stochastic(program, options, watch, value=value)
    text = solution.to_json()
    if output is not None:
        console.write(output, text)
    if as_json:
        console.hand_out(text)
    else:
        tables.print_solution(solution, written_to=output)
    raise SystemExit(exit_code(solution))
