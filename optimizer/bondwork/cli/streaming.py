"""``bondwork stream``: a planner for programs that are not Python."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bondwork import console
from bondwork.cli.app import app
from bondwork.cli.parameters import (
    FormulationOption,
    GapOption,
    HighsOption,
    RequestLimitOption,
    SeedOption,
    SetOption,
    StrategyOption,
    ThreadsOption,
    highs_options,
    strategy_settings,
)

if TYPE_CHECKING:
    from types import FrameType

    from bondwork.contracts import Progress
    from bondwork.planner.breaker import Breaker

StateOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.sqlite", help="Remember everything here. [default: nothing]", show_default=False
    ),
]
ReputationOption = Annotated[
    str | None,
    typer.Option(
        help="Learn from outcomes: forgetting, ewma, smoothed, gas, or what `bondwork reputation fit` wrote.",
        show_default=False,
    ),
]
LossOption = Annotated[
    str | None,
    typer.Option(help="Stop when the last outcomes slashed this much, in currency.", show_default=False),
]
FailuresOption = Annotated[
    int | None,
    typer.Option(min=1, help="Stop when so many of the last outcomes failed.", show_default=False),
]
OverOption = Annotated[int, typer.Option(min=1, help="How many outcomes the breaker looks back on.")]


@app.command()
def stream(
    state: StateOption = None,
    strategy: StrategyOption = "auto",
    formulation: FormulationOption = "highs",
    time_limit: RequestLimitOption = float("inf"),
    mip_rel_gap: GapOption = 1e-4,
    threads: ThreadsOption = 0,
    seed: SeedOption = None,
    highs: HighsOption = None,
    set_: SetOption = None,
    reputation: ReputationOption = None,
    breaker_loss: LossOption = None,
    breaker_failures: FailuresOption = None,
    breaker_over: OverOption = 100,
) -> None:
    """Plan round after round: requests in JSON lines on standard input, replies on standard output.

    A line that is not well-formed is answered with its faults, and the stream goes on. The end of the input
    ends it; so does a signal, after the answer to the request at work.
    """
    from bondwork.planner.planner import Planner
    from bondwork.planner.stream import answer

    options: dict[str, Any] = {
        "strategy": strategy,
        "formulation": formulation,
        "time_limit": time_limit,
        "mip_rel_gap": mip_rel_gap,
        "threads": threads,
        "seed": seed,
        "highs": highs_options(highs),
        "settings": strategy_settings(set_),
    }
    breaker = _breaker(breaker_loss, breaker_failures, breaker_over)
    with (
        Planner(state, breaker=breaker, reputation=reputation, **options) as planner,
        _Signals() as signals,
    ):
        for line in iter(sys.stdin.buffer.readline, b""):
            if not line.strip():
                continue
            signals.is_busy = True
            console.hand_out(answer(planner, line, signals))
            sys.stdout.flush()
            signals.is_busy = False
            if signals.should_stop():
                raise SystemExit(INTERRUPTED)


def _breaker(loss: str | None, failures: int | None, over: int) -> Breaker | None:
    if loss is None and failures is None:
        return None
    from bondwork.planner.breaker import Breaker

    return Breaker(loss=loss, failures=failures, over=over)


#: How a stream ends at a signal: as it should, and with nothing to say about it.
INTERRUPTED = 130


class _Signals:
    """Ends the stream at a signal: at once while it waits, after the answer while it works."""

    def __init__(self) -> None:
        self.is_busy = False
        self._is_asked = False

    def __enter__(self) -> _Signals:
        self._before = {each: signal.signal(each, self._note) for each in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_error: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def _note(self, _signal: int, _frame: FrameType | None) -> None:
        if not self.is_busy or self._is_asked:
            raise SystemExit(INTERRUPTED)
        self._is_asked = True

    def report(self, progress: Progress) -> None:
        """Show nothing: standard error is for messages."""

    def should_stop(self) -> bool:
        """Whether a signal came while a request was at work."""
        return self._is_asked
