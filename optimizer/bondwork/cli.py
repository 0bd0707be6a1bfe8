"""The command line: it parses, calls and prints. What it calls is the Python API.

Exit codes: 0 a usable solution; 2 bad input or usage; 3 proven infeasible or unbounded; 4 a limit reached
without a solution; 5 the solver failed; 130 interrupted, with the best plan found so far written out.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from bondwork import console, tables

if TYPE_CHECKING:
    from bondwork.contracts import Options
    from bondwork.plan.plan import Plan
    from bondwork.problem.instance import Instance
    from bondwork.program.program_solution import ProgramSolution

app = typer.Typer(
    name="bondwork",
    help="Decide who does which slashable piece of work, round after round, and prove how good the plan is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
importing = typer.Typer(help="Read foreign files.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(importing, name="import")
exporting = typer.Typer(help="Write foreign files.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(exporting, name="export")


class RiskForm(StrEnum):
    """How tail limits enter the program."""

    auto = "auto"
    rows = "rows"
    cuts = "cuts"


RiskFormOption = Annotated[RiskForm, typer.Option(help="How tail limits enter the program.")]
RoundArgument = Annotated[str, typer.Argument(metavar="ROUND.json", help="A round; - reads standard input.")]
StrategyOption = Annotated[str, typer.Option(help="Name of a strategy; see `bondwork strategies`.")]
FormulationOption = Annotated[str, typer.Option(help="pyomo, cvxpy, highs or another installed one.")]
TimeLimitOption = Annotated[
    float, typer.Option(min=0.0, help="Seconds for the strategy.", show_default="none")
]
GapOption = Annotated[float, typer.Option(min=0.0, help="Stop at this relative gap.")]
ThreadsOption = Annotated[int, typer.Option(min=0, help="Threads of HiGHS; 0 lets it choose.")]
SeedOption = Annotated[
    int | None,
    typer.Option(min=0, help="Seed of every random choice. [default: the round's]", show_default=False),
]
HighsOption = Annotated[
    list[str] | None, typer.Option("--highs", metavar="NAME=VALUE", help="Any HiGHS option; repeatable.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
OutOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="File to write; whole or not at all.", show_default=False),
]


def main() -> None:
    """Entry point of the ``bondwork`` command."""
    console.prepare_streams()
    with console.exit_codes():
        app()


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        sys.stdout.write(f"bondwork {version('bondwork')}\n")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Decide who does which slashable piece of work, round after round, and prove how good the plan is."""


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
    document, instance = _read(round_)
    if instance is None:
        if strategy not in ("auto", "extensive") or formulation != "highs":
            raise typer.BadParameter("a stochastic program is solved by --strategy extensive with highs")
        options = Options(time_limit, mip_rel_gap, threads, seed or 0, _highs_options(highs))
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
            highs=_highs_options(highs),
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
    raise SystemExit(_exit_code(plan))


@app.command()
def check(round_: RoundArgument, as_json: JsonOption = False) -> None:
    """Check a round: every fault at once, with its path; or what it holds and what a solve would refuse."""
    from bondwork.problem.faults import InvalidInput
    from bondwork.problem.summary import summarise

    try:
        summary = summarise(_load(round_))
    except InvalidInput as error:
        if as_json:
            faults = [{"path": f.path, "found": f.found, "expected": f.expected} for f in error.faults]
            _print_json({"format": "bondwork.check/1", "valid": False, "faults": faults})
        raise
    if as_json:
        _print_json({"format": "bondwork.check/1", "valid": True, "faults": [], **summary})
    else:
        tables.print_summary(summary)


@app.command()
def verify(
    round_: RoundArgument,
    plan: Annotated[str, typer.Argument(metavar="PLAN.json", help="A plan; - reads standard input.")],
    as_json: JsonOption = False,
) -> None:
    """Check a plan against its round, without a solver; exit code 2 where anything is not so."""
    from bondwork.plan.plan import load_plan
    from bondwork.plan.verify import verify as verify_plan

    if round_ == plan == "-":
        raise typer.BadParameter("only one of the two can come from standard input")
    verdict = verify_plan(_load(round_), load_plan(_bytes(plan)))
    if as_json:
        violations = [each.model_dump() for each in verdict.violations]
        _print_json(
            {
                "format": "bondwork.verification/1",
                "verified": bool(verdict),
                "objective": verdict.objective,
                "violations": violations,
            }
        )
    else:
        tables.print_verdict(verdict)
    raise SystemExit(0 if verdict else 2)


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
    instances = [_load(each) for each in rounds]
    with console.watching() as watch:
        comparison = compare_rounds(
            instances,
            strategies=strategy or [name for name in strategy_names() if name != "auto"],
            formulations=formulation or ["highs"],
            time_limit=time_limit,
            mip_rel_gap=mip_rel_gap,
            threads=threads,
            seed=seed,
            highs=_highs_options(highs),
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
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    _hand_out(json.dumps(document) + "\n", output)


@app.command()
def schema(
    name: Annotated[str, typer.Argument(metavar="round|plan|program|solution", help="Which format.")],
    output: OutOption = None,
) -> None:
    """Print the JSON Schema (draft 2020-12) of a format."""
    from bondwork.schemas import json_schema

    _hand_out(json.dumps(json_schema(name), indent=2) + "\n", output)


@app.command()
def strategies(as_json: JsonOption = False) -> None:
    """List the installed strategies and formulations."""
    from bondwork.registry import find_strategy, formulation_names, strategy_names

    summaries = {name: find_strategy(name).summary for name in strategy_names()}
    if as_json:
        _print_json({"strategies": summaries, "formulations": formulation_names()})
    else:
        tables.print_strategies(summaries, formulation_names())


@importing.command("smps")
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
    _hand_out(program.to_json(), output)


@exporting.command("mps")
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

    _hand_out(write_mps(load_program(_bytes(program)), "fixed" if fixed else "free"), output)


@importing.command("gap")
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
    _hand_out(json.dumps(document) + "\n", output)


def _bytes(source: str) -> bytes:
    return sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()


def _read(source: str) -> tuple[Any, Instance | None]:
    """Read a document; the instance too, where it is a round and no stochastic program."""
    from bondwork.problem.document import parse_document
    from bondwork.problem.reading import read_document
    from bondwork.program.program_schema import is_program

    start = time.perf_counter()
    document = parse_document(_bytes(source))
    if is_program(document):
        return document, None
    instance = read_document(document)
    return document, dataclasses.replace(instance, read_seconds=time.perf_counter() - start)


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
    raise SystemExit(_exit_code(solution))


def _load(source: str) -> Instance:
    from bondwork.problem.reading import load

    return load(sys.stdin.buffer if source == "-" else source)


def _highs_options(pairs: list[str] | None) -> dict[str, str]:
    options = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"--highs is {pair!r}, expected NAME=VALUE")
        options[name] = value
    return options


def _hand_out(text: str, output: Path | None) -> None:
    if output is None or str(output) == "-":
        console.hand_out(text)
    else:
        console.write(output, text)


def _print_json(document: dict[str, Any]) -> None:
    console.hand_out(json.dumps(document, indent=2, allow_nan=False) + "\n")


def _exit_code(plan: Plan | ProgramSolution) -> int:
    if plan.status == "interrupted":
        return 130
    if plan.is_usable():
        return 0
    if plan.status in ("infeasible", "dual_infeasible", "infeasible_or_unbounded"):
        return 3
    return 5 if plan.status in ("numerical_error", "other_error") else 4
