"""``bondwork solve``."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from bondwork import console, tables
from bondwork.cli.app import app
from bondwork.cli.documents import beside_history, exit_code, read_either
from bondwork.cli.parameters import (
    AlternativesOption,
    CertificateOption,
    ExplainOption,
    FixOption,
    ForbidOption,
    FormulationOption,
    GapOption,
    HighsOption,
    HistoryOption,
    JsonOption,
    OutOption,
    ReportOption,
    RiskForm,
    RiskFormOption,
    RoundArgument,
    SeedOption,
    SetOption,
    StrategyOption,
    ThreadsOption,
    TimeLimitOption,
    WarmStartOption,
    check_report,
    highs_options,
    strategy_settings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bondwork.contracts import Options
    from bondwork.plan.plan import Plan
    from bondwork.problem.instance import Instance


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
    set_: SetOption = None,
    history: HistoryOption = None,
    allow_violations: Annotated[
        bool, typer.Option("--allow-violations", help="Hand out a heuristic's plan that breaks limits.")
    ] = False,
    value: Annotated[
        bool,
        typer.Option("--value", help="Tell what the stochastic model is worth, where there is recourse."),
    ] = False,
    warm_start: WarmStartOption = None,
    fix: FixOption = None,
    forbid: ForbidOption = None,
    alternatives: AlternativesOption = None,
    certificate: CertificateOption = None,
    explain: ExplainOption = False,
    report: ReportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Solve a round, or a stochastic program: the best plan within its limits, verified."""
    from bondwork.contracts import Options
    from bondwork.plan.plan import load_plan
    from bondwork.problem.periods import states_later
    from bondwork.solving import solve as solve_round

    if output is not None and str(output) == "-":
        output, as_json = None, True
    console.check_writable(output, round_, history, warm_start)
    check_report(report, round_, history, warm_start, output)
    begun = time.perf_counter()  # the time limit counts reading
    document, instance = read_either(round_)
    if instance is None:
        _check_for_program(
            history=history,
            report=report,
            warm_start=warm_start,
            fix=fix,
            forbid=forbid,
            alternatives=alternatives,
        )
        options = Options(
            time_limit, mip_rel_gap, threads, seed or 0, highs_options(highs), strategy_settings(set_)
        )
        how = {"strategy": strategy, "formulation": formulation}
        proof: Literal["full", "none"] | None = None if certificate is None else certificate.value
        _solve_program(document, options, output, how, proof, begun, value=value, as_json=as_json)
    instance = beside_history(instance, history)
    if value and not states_later(instance):
        raise typer.BadParameter("--value is for programs and rounds with recourse; this has one stage")
    if alternatives is not None and (report is not None or explain):
        raise typer.BadParameter("--report and --explain are about one plan: leave --alternatives out")
    with console.watching() as watch, console.keeping_unverified(output, as_json=as_json):
        given: dict[str, Any] = {
            "strategy": strategy,
            "formulation": formulation,
            "time_limit": time_limit,
            "mip_rel_gap": mip_rel_gap,
            "threads": threads,
            "seed": seed,
            "risk_form": risk_form.value,
            "highs": highs_options(highs),
            "settings": strategy_settings(set_),
            "warm_start": None if warm_start is None else load_plan(warm_start),
            "allow_violations": allow_violations,
            "fix": fix or (),
            "forbid": forbid or (),
            "value": value,
            "certificate": None if certificate is None else certificate.value,
            "observer": watch,
            "begun": begun,
        }
        if alternatives is not None:
            _find_alternatives(instance, alternatives, given, output, as_json=as_json)
        plan = solve_round(instance, **given)
        watch.hide()
        _show(instance, plan, output, report, explain=explain, as_json=as_json)
        raise SystemExit(exit_code(plan))


def _show(
    instance: Instance, plan: Plan, output: Path | None, report: Path | None, *, explain: bool, as_json: bool
) -> None:
    """Write a plan where it is to go."""
    from bondwork.problem.periods import is_staged
    from bondwork.problem.rescues import has_rescues

    text = plan.to_json()
    if output is not None:
        console.write(output, text)
    if report is not None:
        from bondwork.report.plan_report import report_plan

        console.write(report, report_plan(instance, plan))
    if as_json:
        console.hand_out(text)
    else:
        tables.print_plan(instance, plan, written_to=output, explain=explain)
        if is_staged(instance):
            from bondwork.tables_horizon import print_periods

            print_periods(instance, plan)
        elif has_rescues(instance):
            from bondwork.tables_rescues import print_rescues

            print_rescues(instance, plan)


def _check_for_program(**given: object) -> None:
    """Refuse options that mean nothing to a program."""
    why = {"history": "holds its scenarios itself", "report": "has no plan", "warm_start": "has no plan"}
    for name, value in given.items():
        if value is not None:
            option = f"--{name.replace('_', '-')}"
            raise typer.BadParameter(f"{option} is for rounds: a program {why.get(name, 'has no offers')}")


def _find_alternatives(
    instance: Instance, number: int, given: dict[str, Any], output: Path | None, *, as_json: bool
) -> NoReturn:
    """Find the best plans and end the command."""
    from bondwork.desk.alternatives import find_alternatives
    from bondwork.tables_alternatives import print_alternatives

    found = find_alternatives(instance, number, **given)
    given["observer"].hide()
    show = partial(print_alternatives, instance, found, written_to=output)
    console.hand_over(found.to_json(), output, as_json=as_json, show=show)
    raise SystemExit(exit_code(found.alternatives[0].plan))


def _solve_program(
    document: Any,
    options: Options,
    output: Path | None,
    how: Mapping[str, str],
    proof: Literal["full", "none"] | None,
    begun: float,
    *,
    value: bool,
    as_json: bool,
) -> NoReturn:
    """Solve a stochastic program and end the command; its time limit counts from ``begun`` on."""
    from bondwork.base.clock import Clock
    from bondwork.program.program_schema import load_program
    from bondwork.program.program_solving import solve_stochastic

    program = load_program(document)
    with console.watching() as watch, console.keeping_unverified(output, as_json=as_json):
        solution = solve_stochastic(
            program,
            options,
            watch,
            strategy=how["strategy"],
            formulation=how["formulation"],
            value=value,
            certificate=proof,
            clock=Clock(options.time_limit, begun),
        )
        watch.hide()
        show = partial(tables.print_solution, solution, written_to=output)
        console.hand_over(solution.to_json(), output, as_json=as_json, show=show)
        raise SystemExit(exit_code(solution))
