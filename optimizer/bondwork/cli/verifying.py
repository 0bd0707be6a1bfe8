"""Whether a round is sound, and a plan what it says: ``bondwork check`` and ``bondwork verify``."""

from __future__ import annotations

from typing import Annotated

import typer

from bondwork import tables
from bondwork.cli.app import app
from bondwork.cli.documents import beside_history, load_round, print_json, read_bytes, read_either
from bondwork.cli.parameters import HistoryOption, JsonOption, RoundArgument


@app.command()
def check(round_: RoundArgument, as_json: JsonOption = False) -> None:
    """Check a round: every fault at once, with its path; or what it holds and what a solve would refuse."""
    from bondwork.problem.faults import InvalidInput
    from bondwork.problem.summary import summarise

    try:
        summary = summarise(load_round(round_))
    except InvalidInput as error:
        if as_json:
            faults = [{"path": f.path, "found": f.found, "expected": f.expected} for f in error.faults]
            print_json({"format": "bondwork.check/1", "valid": False, "faults": faults})
        raise
    if as_json:
        print_json({"format": "bondwork.check/1", "valid": True, "faults": [], **summary})
    else:
        tables.print_summary(summary)


@app.command()
def verify(
    round_: RoundArgument,
    plan: Annotated[
        str,
        typer.Argument(metavar="PLAN.json", help="A plan, or a program's solution; - reads standard input."),
    ],
    history: HistoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a plan against its round, or a solution against its program: exit code 2 where it is not so."""
    from bondwork.plan.plan import load_plan
    from bondwork.plan.verify import verify as verify_plan

    if round_ == plan == "-":
        raise typer.BadParameter("only one of the two can come from standard input")
    document, instance = read_either(round_)
    if instance is None:
        from bondwork.program.program_schema import load_program
        from bondwork.program.program_verify import verify_solution

        if history is not None:
            raise typer.BadParameter("--history is for rounds: a program holds its scenarios itself")
        program = load_program(document)
        verdict, sense = verify_solution(program, read_bytes(plan)), program.sense
    else:
        verdict, sense = verify_plan(beside_history(instance, history), load_plan(read_bytes(plan))), None
    if as_json:
        violations = [each.model_dump() for each in verdict.violations]
        print_json(
            {
                "format": "bondwork.verification/1",
                "verified": bool(verdict),
                "objective": verdict.objective,
                "certified": verdict.certified,
                "violations": violations,
                "unchecked": list(verdict.unchecked),
            }
        )
    else:
        tables.print_verdict(verdict, sense)
    raise SystemExit(0 if verdict else 2)
