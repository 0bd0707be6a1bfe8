"""``bondwork saa``: decide from samples, and say how far from the best the decision may be."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from bondwork import console
from bondwork.cli.app import app
from bondwork.cli.documents import read_either
from bondwork.cli.parameters import (
    GapOption,
    HighsOption,
    JsonOption,
    OutOption,
    ThreadsOption,
    TimeLimitOption,
    highs_options,
)

if TYPE_CHECKING:
    from bondwork.program.resampling import ProgramSampler
    from bondwork.program.saa_report import SaaReport


@app.command("saa")
def saa(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="CORE TIME STOCH | FILE.json",
            help="SMPS files, a program, or a round with second-stage offers; - reads one of the latter.",
        ),
    ],
    output: OutOption = None,
    scenarios: Annotated[int, typer.Option(min=1, help="Scenarios of each sample that is solved.")] = 100,
    candidates: Annotated[int, typer.Option(min=1, help="Samples that propose decisions.")] = 5,
    replications: Annotated[int, typer.Option(min=2, help="Samples that estimate the gap.")] = 10,
    evaluate: Annotated[int, typer.Option(min=2, help="Fresh scenarios that value the decision.")] = 1000,
    confidence: Annotated[float, typer.Option(help="Of the one-sided interval of the gap.")] = 0.95,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Let the samples grow until the interval ends within this.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same result.")] = 0,
    time_limit: TimeLimitOption = float("inf"),
    mip_rel_gap: GapOption = 1e-4,
    threads: ThreadsOption = 0,
    highs: HighsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide by sample average approximation, with a confidence interval of the optimality gap.

    Exit code 4 where samples still had to grow, or a limit was reached first: what was found by then is
    written, with notes of what is missing.
    """
    from bondwork.contracts import Options
    from bondwork.program.optimality_gap import Unfinished
    from bondwork.program.saa import solve_saa
    from bondwork.program.saa_report import report_saa

    console.check_writable(output, *files)
    begun = time.perf_counter()  # the time limit counts reading
    sampler, name = _sampler(files)
    options = Options(time_limit, mip_rel_gap, threads, seed % 2**31, highs_options(highs))
    with console.watching() as watch:
        try:
            found = solve_saa(
                sampler,
                scenarios=scenarios,
                candidates=candidates,
                replications=replications,
                evaluation=evaluate,
                confidence=confidence,
                tolerance=tolerance,
                seed=seed,
                options=options,
                observer=watch,
                begun=begun,
            )
        except Unfinished as reason:
            console.say(str(reason))
            raise SystemExit(_code(reason.status)) from None
        watch.hide()
        report = report_saa(name, found)
        if output is not None and str(output) != "-":
            console.write(output, report.to_json())
        if as_json or str(output) == "-":
            console.hand_out(report.to_json())
        else:
            sys.stdout.write(_told(report))
        for note in found.notes:
            console.say(note)
        if found.status != "optimal":
            raise SystemExit(_code(found.status))
        raise SystemExit(4 if found.within is False else 0)


def _sampler(files: list[str]) -> tuple[ProgramSampler, str]:
    """What draws programs, and the name of what it draws from."""
    if len(files) == 3:
        from bondwork.importers.smps import smps_sampler

        sampler = smps_sampler(*files)
        return sampler, sampler(1, 0).name
    if len(files) == 1:
        from bondwork.program.program_schema import load_program
        from bondwork.program.resampling import sampler_of
        from bondwork.program.round_sampling import round_sampler

        document, instance = read_either(files[0])
        if instance is not None:
            return round_sampler(instance), instance.name
        program = load_program(document)
        return sampler_of(program), program.name
    raise typer.BadParameter("give the three files CORE TIME STOCH, or one program or round")


def _code(status: str) -> int:
    """Exit code of a run that ended early."""
    if status == "interrupted":
        return 130
    if status in ("infeasible", "dual_infeasible", "infeasible_or_unbounded"):
        return 3
    return 5 if status in ("numerical_error", "other_error") else 4


def _told(report: SaaReport) -> str:
    """Write a report for people."""
    gap, value = report.gap, report.value

    missing = "none: a scenario leaves no recourse" if value.infeasible else "none: no time was left for it"

    def amount(number: float | None, error: float | None) -> str:
        if number is None:
            return missing
        return f"{number:.9g}" + ("" if error is None else f" (standard error {error:.3g})")

    word = "above" if report.sense == "max" else "below"
    upper = "infinite" if gap.upper is None else f"{gap.upper:.6g}"
    lines = [
        f"{report.name}: sample average approximation",
        f"value                {amount(value.objective, value.standard_error)}",
        f"statistical bound    {amount(gap.statistical_bound, gap.statistical_bound_error)}",
        f"optimality gap       at most {upper} with {gap.confidence:.6g} confidence: "
        f"{len(gap.replications)} samples of {gap.scenarios} scenarios",
        f"                     (a mean of sample optima, {word} the optimum on average; no proof)",
    ]
    if report.within_tolerance is not None:
        sizes = ", ".join(str(each.scenarios) for each in report.rounds)
        verdict = "within" if report.within_tolerance else "not yet within"
        lines.append(f"sample sizes         {sizes}: {verdict} the tolerance")
    chosen = [(name, x) for name, x in report.first_stage.items() if x != 0.0]
    lines.append(f"first stage          {len(chosen)} of {len(report.first_stage)} columns are not 0")
    lines += [f"  {name} = {x:.9g}" for name, x in chosen[:20]]
    if len(chosen) > 20:
        lines.append(f"  and {len(chosen) - 20} more; --json has them all")
    return "\n".join(console.printable(line) for line in lines) + "\n"
