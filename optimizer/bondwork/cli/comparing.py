"""``bondwork compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bondwork import console
from bondwork.cli.app import app
from bondwork.cli.documents import read_bytes
from bondwork.cli.parameters import (
    GapOption,
    HighsOption,
    HistoryOption,
    JsonOption,
    OutOption,
    ReportOption,
    RiskForm,
    RiskFormOption,
    SeedOption,
    SolveLimitOption,
    ThreadsOption,
    check_report,
    highs_options,
)

if TYPE_CHECKING:
    from bondwork.comparison.study import Study


@app.command()
def compare(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE.json...", help="Rounds and stochastic programs, or one study; - reads one."
        ),
    ],
    output: OutOption = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(help="Strategy to run; repeatable. [default: all but auto and HiGHS's presets]"),
    ] = None,
    formulation: Annotated[
        list[str] | None, typer.Option(help="Formulation to run; repeatable. [default: highs]")
    ] = None,
    time_limit: SolveLimitOption = float("inf"),
    mip_rel_gap: GapOption = 1e-4,
    threads: ThreadsOption = 0,
    seed: SeedOption = None,
    risk_form: RiskFormOption = RiskForm.auto,
    highs: HighsOption = None,
    history: HistoryOption = None,
    replications: Annotated[
        int, typer.Option(min=1, help="Times that all is solved, each time with other scenarios.")
    ] = 1,
    scenarios: Annotated[
        int, typer.Option(min=0, help="Fresh scenarios on which every plan is measured; 0: none.")
    ] = 5000,
    value: Annotated[
        bool, typer.Option("--value", help="WS, EEV, EVPI and VSS where there is recourse.")
    ] = False,
    reference: Annotated[
        str | None,
        typer.Option(
            help="Strategy that the others are compared with. [default: the first]", show_default=False
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    journal: Annotated[
        Path | None,
        typer.Option(
            help="File that gets each row at once; an existing one is gone on with.", show_default=False
        ),
    ] = None,
    report: ReportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare strategies and formulations: objective, bound, gap, seconds, memory, fresh scenarios.

    A study (bondwork.study/1) says all of this in one file; only --jobs, --journal, --reference, --report
    and the output are given beside it.
    """
    from bondwork.comparison.comparison import compare_study
    from bondwork.comparison.printing import print_comparison
    from bondwork.comparison.study import make_study

    console.check_writable(output, *files, history, journal)
    check_report(report, *files, history, journal, output)
    if journal is not None:
        console.check_writable(journal, *files, history)
    sources = [_source(each) for each in files]
    study = _study(sources)
    if study is None:
        study = make_study(
            sources,
            strategies=strategy,
            formulations=formulation or ["highs"],
            time_limit=time_limit,
            mip_rel_gap=mip_rel_gap,
            threads=threads,
            highs=highs_options(highs),
            replications=replications,
            seed=seed,
            risk_form=risk_form.value,
            scenarios=scenarios,
            value=value,
        )
    if history is not None:
        from bondwork.uncertainty.history import read_history

        study = study.beside(read_history(history))
    names = [each.name for each in study.contenders]
    if reference is not None and reference not in names:
        raise typer.BadParameter(f"--reference is {reference!r}, expected one of {', '.join(names)}")
    with console.watching() as watch:
        comparison = compare_study(study, jobs=jobs, journal=journal, observer=watch, tally=watch.tally)
        interrupted = watch.should_stop()
        watch.hide()
        if output is not None:
            console.write(output, comparison.to_json())
        if report is not None:
            from bondwork.report.comparison_report import report_comparison

            name = Path(files[0]).stem if len(files) == 1 and files[0] != "-" else ""
            html = report_comparison(comparison, name=name, unit=_unit(study), reference=reference)
            console.write(report, html)
        if as_json:
            console.hand_out(comparison.to_json())
        else:
            print_comparison(comparison, unit=_unit(study), reference=reference)
        wrong = [f"disagreement: {each}" for each in comparison.disagreements()] + comparison.failures()
        for each in wrong:
            console.say(each)
        raise SystemExit(130 if interrupted else 5 if wrong else 0)


def _source(file: str) -> str | bytes:
    """A file's name, or at once what is in it where it can be read only once: standard input, a pipe."""
    return read_bytes(file) if file == "-" or Path(file).is_fifo() else file


def _study(sources: list[str | bytes]) -> Study | None:
    """The study that the one source holds; ``None`` where they are rounds and programs."""
    from bondwork.comparison.study import read_study
    from bondwork.comparison.study_schema import is_study
    from bondwork.problem.document import parse_document

    if len(sources) != 1:
        return None
    source = sources[0]
    document = parse_document(source if isinstance(source, bytes) else read_bytes(source))
    folder = Path() if isinstance(source, bytes) else Path(source).parent
    return read_study(document, folder) if is_study(document) else None


def _unit(study: Study) -> str:
    """The currency of the rounds, where they all have the same."""
    currencies = {getattr(each.problem, "currency", "") for each in study.subjects}
    return currencies.pop() if len(currencies) == 1 else ""
