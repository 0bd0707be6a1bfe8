"""The report of a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bondwork.comparison.row import FAILED, REFUSED, problems
from bondwork.console import count, printable
from bondwork.report.drawing import line_legend
from bondwork.report.figures_comparison import draw_forest, draw_profiles, draw_progress, draw_sizes
from bondwork.report.page import (
    Facts,
    Gallery,
    Page,
    Section,
    Text,
    fact,
    in_unit,
    make_table,
    number,
    render,
    seconds,
    share,
    uncertain,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.comparison.comparison import Comparison
    from bondwork.comparison.row import Row
    from bondwork.comparison.statistics import Difference
    from bondwork.report.figures_comparison import Followed
    from bondwork.report.page import Cell, Drawing, Mark, Part

#: Problems whose progress is drawn.
MOST_PROBLEMS = 12

#: Distances from the best plan that profiles are drawn for.
TARGETS = (0.01, 0.05)


def report_comparison(
    comparison: Comparison,
    *,
    name: str = "",
    unit: str = "",
    reference: str | None = None,
    confidence: float = 0.95,
) -> str:
    """Write a comparison as one HTML page that needs nothing else. The same rows give the same bytes.

    Parameters
    ----------
    comparison
        From `bondwork.compare` or `Comparison.from_json`.
    name
        Heading of the page.
    unit
        The currency where all rounds share one.
    reference
        Contender that the others are compared with; the first where left out.
    confidence
        Of the intervals.

    Raises
    ------
    ModuleNotFoundError
        The extra ``report`` is not installed.
    ValueError
        No contender is called ``reference``.

    Examples
    --------
    >>> import bondwork
    >>> comparison = bondwork.compare([{"format": "bondwork.round/1", "tasks": []}], strategies=["greedy"])
    >>> html = report_comparison(comparison, name="one round")
    >>> html.startswith("<!DOCTYPE html>"), "greedy" in html
    (True, True)
    """
    rows = comparison.rows
    names = list(dict.fromkeys(row.contender for row in rows))
    found = comparison.differences(reference, confidence=confidence)
    sections = [
        Section("Strategies over all problems", _summary(comparison)),
        Section("Paired differences", _differences(found, confidence, unit)),
        Section("Performance profiles", _profiles(comparison)),
        Section("Progress over the time", _progress(rows, names)),
        Section("Time and memory", _sizes(comparison)),
        Section("Value of the stochastic model", _worth(rows)),
        Section("Refusals and failures", _refusals(rows)),
        Section("Every solve", _rows(rows, unit)),
    ]
    page = Page(
        title=printable(name) or "Comparison",
        subtitle=f"{len(names)} {'strategy' if len(names) == 1 else 'strategies'} on common random numbers",
        facts=_facts(comparison, names),
        sections=tuple(each for each in sections if each.parts),
        footer="Made by bondwork. The comparison's JSON holds more than fits on a page.",
    )
    return render(page)


def _facts(comparison: Comparison, names: Sequence[str]) -> Facts:
    rows = comparison.rows
    every = list(problems(rows))
    refused = sum(row.status == REFUSED for row in rows)
    failed = sum(row.status == FAILED for row in rows)
    plans = [row for row in rows if row.solution != "none"]
    unverified = sum(not row.verified for row in plans)
    wrong = len(comparison.disagreements())
    return Facts(
        (
            ("rounds and programs", str(len({row.round for row in rows})), ""),
            *([fact("with replications", str(len(every)))] if any(row.replication for row in rows) else []),
            ("strategies", str(len(names)), ""),
            ("solves", str(len(rows)), ""),
            ("plans, all verified" if not unverified else "plans", str(len(plans)), ""),
            *([fact("plans that do not verify", str(unverified), "bad")] if unverified else []),
            ("refusals", str(refused), ""),
            ("failures", str(failed), _bad(failed)),
            ("proofs that contradict each other", str(wrong), _bad(wrong)),
        )
    )


def _summary(comparison: Comparison) -> tuple[Part, ...]:
    found = comparison.summaries()
    targets = [gap for gap, _ in next((each.proved for each in found if each.proved), ())]
    columns: list[str | tuple[str]] = [
        "strategy",
        ("solves",),
        ("plans",),
        ("refused",),
        ("failed",),
        ("best plan",),
        ("mean gap",),
        ("mean shortfall",),
        ("seconds, geometric mean",),
        ("MiB, largest",),
        *((f"proved {gap:.3g}",) for gap in targets),
    ]
    rows = [
        (
            words(each.contender),
            number(each.solves),
            number(each.plans),
            number(each.refused),
            number(each.failed, _bad(each.failed)),
            share(each.best),
            share(each.mean_gap),
            share(each.mean_shortfall),
            seconds(each.seconds),
            seconds(each.memory),
            *(share(proved) for _, proved in each.proved),
            *(share(None) for _ in range(len(targets) - len(each.proved))),
        )
        for each in found
    ]
    text = (
        "Best plan: on how many problems no other strategy found a better one. Gap: what the strategy "
        "itself proved. Shortfall: from the best plan of any strategy. Proved: on how many problems it "
        "proved that gap."
    )
    return make_table("Each strategy over all problems", columns, rows), Text(text)


def _differences(found: Sequence[Difference], confidence: float, unit: str) -> tuple[Part, ...]:
    overall = [each for each in found if each.round is None]
    drawings = [
        draw_forest(
            [each for each in overall if each.of == of],
            key=f"forest-{of.replace('_', '-')}",
            title=title,
            confidence=confidence,
        )
        for of, title in (("objective", "Objective"), ("out_of_sample", "Mean on fresh scenarios"))
    ]
    shown = tuple(each for each in drawings if each is not None)
    if not shown:
        return ()
    columns: list[str | tuple[str]] = [
        "strategy", "of", "round", ("mean",), ("from",), ("to",), ("pairs",), ("better",), ("worse",)
    ]  # fmt: skip
    rows = [
        (
            words(each.contender),
            words("objective" if each.of == "objective" else "fresh scenarios"),
            words(each.round or "all together"),
            *((share if each.relative else number)(value) for value in (each.mean, each.low, each.high)),
            number(each.pairs),
            number(each.wins),
            number(each.losses),
        )
        for each in sorted(found, key=lambda each: each.round is not None)
    ]
    caption = (
        f"Differences from {printable(found[0].reference)}, better counted positive; all together as a "
        f"share of the larger, single rounds {in_unit('as amounts', unit)}"
    )
    return Gallery(shown), make_table(caption, columns, rows)


def _profiles(comparison: Comparison) -> tuple[Part, ...]:
    drawings = [
        draw_profiles(comparison.profiles(target), target, key=f"profile-{number}")
        for number, target in enumerate(TARGETS)
    ]
    shown = tuple(each for each in drawings if each is not None)
    text = Text(
        "Performance profiles of E. D. Dolan & J. J. Moré, Mathematical Programming 91 (2002) 201-213."
    )
    return (Gallery(shown), text) if shown else ()


def _progress(rows: tuple[Row, ...], names: Sequence[str]) -> tuple[Part, ...]:
    first = [(name, found) for (name, replication), found in problems(rows) if replication == 0]
    parts: list[Part] = []
    kinds: list[tuple[Followed, str]] = [
        ("gap", "The gap that each strategy had proved by then. One that proves nothing has no line."),
        (
            "shortfall",
            "How far each strategy's plan was from the best bound that any of them proved in the end.",
        ),
    ]
    for followed, text in kinds:
        drawings: list[Drawing] = []
        for place, (name, found) in enumerate(first[:MOST_PROBLEMS]):
            drawing = draw_progress(
                found,
                names,
                followed,
                key=f"{followed}-{place}",
                title=f"{_KINDS[followed]}: {printable(name)}",
            )
            if drawing is not None:
                drawings.append(drawing)
        if drawings:
            parts += [Text(text), Gallery(tuple(drawings), line_legend(names))]
    if parts and len(first) > MOST_PROBLEMS:
        parts.append(Text(f"The first {MOST_PROBLEMS} of {len(first)} rounds and programs are drawn."))
    return tuple(parts)


_KINDS: dict[Followed, str] = {"gap": "Gap", "shortfall": "Plan"}


def _sizes(comparison: Comparison) -> tuple[Part, ...]:
    found = comparison.summaries()
    names = [each.contender for each in found]
    drawings = (
        draw_sizes(
            names, [each.seconds for each in found],
            key="seconds", title="Seconds of a solve", axis="geometric mean", unit="s",
        ),
        draw_sizes(
            names, [each.memory for each in found],
            key="memory", title="Memory of a solve", axis="largest, above what the process held", unit="MiB",
        ),
    )  # fmt: skip
    shown = tuple(each for each in drawings if each is not None)
    return (Gallery(shown),) if shown else ()


def _worth(rows: tuple[Row, ...]) -> tuple[Part, ...]:
    known = [row for row in rows if row.worth is not None]
    if not known:
        return ()
    table = make_table(
        "Wait-and-see, recourse problem, expected result of the expected-value plan, and what lies between",
        ["round", "strategy", ("WS",), ("RP",), ("EEV",), ("EVPI",), ("VSS",)],
        [
            (
                words(row.round),
                words(row.contender),
                *(
                    number(each)
                    for each in (row.worth.ws, row.worth.rp, row.worth.eev, row.worth.evpi, row.worth.vss)
                ),
            )
            for row in known
            if row.worth is not None
        ],
    )
    return (table,)


def _refusals(rows: tuple[Row, ...]) -> tuple[Part, ...]:
    told = [row for row in rows if row.refusal is not None or row.status == FAILED]
    if not told:
        return ()
    table = make_table(
        f"{count(len(told), 'solve')} without a plan, and why",
        ["round", "strategy", "outcome", "why"],
        [
            (
                words(row.round),
                words(row.contender),
                words(row.status, _bad(row.status == FAILED)),
                words(row.refusal or ""),
            )
            for row in told
        ],
    )
    return (table,)


def _rows(rows: tuple[Row, ...], unit: str) -> tuple[Part, ...]:
    repeated = any(row.replication for row in rows)
    written = len({row.formulation for row in rows}) > 1
    measured = any(row.out_of_sample is not None for row in rows)
    columns: list[str | tuple[str]] = ["round", "strategy"]
    columns += ["formulation"] if written else []
    columns += [("replication",)] if repeated else []
    columns += ["status", (in_unit("objective", unit),), ("bound",), ("gap",)]
    columns += [(in_unit("fresh mean", unit),), ("CVaR of loss",)] if measured else []
    columns += [("build s",), ("solve s",), ("MiB",)]
    table = make_table(
        f"{count(len(rows), 'solve')}; fresh values with their standard errors",
        columns,
        [_row(row, written=written, repeated=repeated, measured=measured) for row in rows],
    )
    return (table,)


def _row(row: Row, *, written: bool, repeated: bool, measured: bool) -> tuple[Cell, ...]:
    out = row.out_of_sample
    fresh = (
        (uncertain(out.mean, out.mean_error), uncertain(out.cvar, out.cvar_error))
        if out
        else (number(None),) * 2
    )
    unverified = row.solution != "none" and not row.verified
    status = words(f"{row.status}, not verified" if unverified else row.status, _bad(unverified))
    return (
        words(row.round),
        words(row.contender),
        *([words(row.formulation)] if written else []),
        *([number(row.replication)] if repeated else []),
        words(row.status, "bad") if row.status == FAILED else status,
        number(row.objective),
        number(row.bound),
        share(row.gap),
        *(fresh if measured else ()),
        seconds(row.build),
        seconds(row.solve),
        seconds(row.memory),
    )


def _bad(wrong: object) -> Mark:
    return "bad" if wrong else ""
