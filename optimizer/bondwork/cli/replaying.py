"""``bondwork replay`` and ``bondwork market``: backtests, and a simulated market to try them on."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from bondwork import console
from bondwork.cli.app import app
from bondwork.cli.documents import read_bytes
from bondwork.cli.parameters import (
    DecisionLimitOption,
    GapOption,
    JsonOption,
    OutOption,
    ReportOption,
    ThreadsOption,
    check_report,
)


class UnknownOutcomes(StrEnum):
    """What becomes of work whose outcome a log does not know."""

    model = "model"
    skip = "skip"


class BrokerMode(StrEnum):
    """In which order a broker commits."""

    random = "random"
    shortest_expiry = "shortest_expiry"
    price = "price"
    cycle_price = "cycle_price"
    tightest_deadline = "tightest_deadline"


@app.command()
def replay(
    log: Annotated[str, typer.Argument(metavar="LOG.jsonl", help="Rounds and outcomes; - reads them.")],
    output: OutOption = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="planner, broker-MODE or a strategy; repeatable. [default: planner, the broker's modes]",
            show_default=False,
        ),
    ] = None,
    unknown: Annotated[
        UnknownOutcomes,
        typer.Option(help="Outcomes that the log does not know: drawn from the offers' law, or left out."),
    ] = UnknownOutcomes.model,
    reference: Annotated[
        str | None,
        typer.Option(
            help="Policy that the others are compared with. [default: the last]", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn.")] = 0,
    level: Annotated[float, typer.Option(help="Of the CVaR of a round's slashing.")] = 0.95,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    time_limit: DecisionLimitOption = float("inf"),
    mip_rel_gap: GapOption = 1e-4,
    threads: ThreadsOption = 0,
    report: ReportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Play a log of rounds and outcomes (bondwork.log/1) again with other policies.

    Profit, slashing, its CVaR and utilisation of each, with confidence intervals, and round by round against
    a reference.
    """
    from bondwork.replay.log import read_log
    from bondwork.replay.printing import print_replay
    from bondwork.replay.replaying import replay as play

    console.check_writable(output, log)
    check_report(report, log, output)
    policies = policy or ["planner", *(f"broker-{mode.value.replace('_', '-')}" for mode in BrokerMode)]
    found = play(
        read_log(read_bytes(log)),
        policies,
        unknown=unknown.value,
        seed=seed,
        level=level,
        confidence=confidence,
        reference=reference,
        time_limit=time_limit,
        mip_rel_gap=mip_rel_gap,
        threads=threads,
    )
    if output is not None:
        console.write(output, found.to_json())
    if report is not None:
        from bondwork.report.replay_report import report_replay

        console.write(report, report_replay(found))
    if as_json:
        console.hand_out(found.to_json())
    else:
        print_replay(found)


@app.command()
def market(
    output: OutOption = None,
    orders: Annotated[int, typer.Option(min=1, help="How many come.")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
    mode: Annotated[
        BrokerMode, typer.Option(help="What the broker that keeps the log sorts by.")
    ] = BrokerMode.cycle_price,
    potential: Annotated[
        bool, typer.Option("--potential/--no-potential", help="Tell what would have become of the rest.")
    ] = True,
) -> None:
    """Draw a proof market like Boundless, and write the log (bondwork.log/1) of a broker on it."""
    import dataclasses

    from bondwork.replay.market_log import SMALL_FARM, market_log

    console.check_writable(output)
    law = dataclasses.replace(SMALL_FARM, orders=orders)
    text = market_log(law, seed, mode=mode.value, potential=potential)
    if output is None:
        console.hand_out(text)
    else:
        console.write(output, text)
