"""Arguments and options that several commands share, so that each means the same everywhere."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class RiskForm(StrEnum):
    """How tail limits enter the program."""

    auto = "auto"
    rows = "rows"
    cuts = "cuts"


RiskFormOption = Annotated[RiskForm, typer.Option(help="How tail limits enter the program.")]
RoundArgument = Annotated[str, typer.Argument(metavar="ROUND.json", help="A round; - reads standard input.")]
StrategyOption = Annotated[str, typer.Option(help="Name of a strategy; see `bondwork strategies`.")]
FormulationOption = Annotated[str, typer.Option(help="pyomo, cvxpy, highs or another installed one.")]


class CertificateForm(StrEnum):
    """What a plan carries as the proof of its bound."""

    full = "full"
    none = "none"


CertificateOption = Annotated[
    CertificateForm | None,
    typer.Option(
        help="Proof of the bound in the plan. [default: full below 100,000 offers, or entries of a program]",
        show_default=False,
    ),
]
TimeLimitOption = Annotated[
    float, typer.Option(min=0.0, help="Seconds for all of it, reading included.", show_default="none")
]
DecisionLimitOption = Annotated[
    float, typer.Option("--time-limit", min=0.0, help="Seconds for each decision.", show_default="none")
]
SolveLimitOption = Annotated[
    float,
    typer.Option(
        "--time-limit",
        min=0.0,
        help="Seconds for each solve; reading and fresh scenarios besides.",
        show_default="none",
    ),
]
RequestLimitOption = Annotated[
    float, typer.Option("--time-limit", min=0.0, help="Seconds for each round planned.", show_default="none")
]
GapOption = Annotated[float, typer.Option(min=0.0, help="Stop at this relative gap.")]
ThreadsOption = Annotated[int, typer.Option(min=0, help="Threads of HiGHS; 0: one for every two CPUs.")]
SeedOption = Annotated[
    int | None,
    typer.Option(min=0, help="Seed of every random choice. [default: the round's]", show_default=False),
]
HighsOption = Annotated[
    list[str] | None, typer.Option("--highs", metavar="NAME=VALUE", help="Any HiGHS option; repeatable.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Setting of the strategy; see `bondwork strategies`; repeatable."
    ),
]
HistoryOption = Annotated[
    Path | None,
    typer.Option(
        help="Outcomes of past rounds, CSV or JSON: scenarios are resampled from them.", show_default=False
    ),
]
FixOption = Annotated[
    list[str] | None,
    typer.Option("--fix", metavar="OFFER", help="Choose this offer, whatever it costs; repeatable."),
]
ForbidOption = Annotated[
    list[str] | None,
    typer.Option("--forbid", metavar="OFFER", help="Leave this offer out; repeatable."),
]
AlternativesOption = Annotated[
    int | None,
    typer.Option(
        "--alternatives",
        metavar="N",
        min=1,
        help="Find the N best plans, and what each costs beside the best.",
        show_default=False,
    ),
]
WarmStartOption = Annotated[
    Path | None,
    typer.Option("--warm-start", metavar="PLAN.json", help="Start from an earlier plan.", show_default=False),
]
ExplainOption = Annotated[
    bool, typer.Option("--explain", help="Show why each task went where it went, at the shadow prices.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
OutOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="File to write; whole or not at all.", show_default=False),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="PAGE.html",
        help="Also write a page for people, one HTML file; extra `report`.",
        show_default=False,
    ),
]


def check_report(page: Path | None, *others: str | Path | None) -> None:
    """Refuse a report that could not be made or written, before hours of work are done for it."""
    if page is None:
        return
    if str(page) == "-":
        raise typer.BadParameter("a page goes to a file: standard output has the results")
    from bondwork import console
    from bondwork.report.extra import require_extra

    try:
        require_extra()
    except ModuleNotFoundError as error:
        raise typer.BadParameter(str(error)) from None
    console.check_writable(page, *others)


def highs_options(pairs: list[str] | None) -> dict[str, str]:
    """Split the pairs of ``--highs NAME=VALUE``."""
    return _pairs("--highs", pairs)


def strategy_settings(pairs: list[str] | None) -> dict[str, str]:
    """Split the pairs of ``--set NAME=VALUE``."""
    return _pairs("--set", pairs)


def _pairs(option: str, pairs: list[str] | None) -> dict[str, str]:
    options = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{option} is {pair!r}, expected NAME=VALUE")
        options[name] = value
    return options
