"""The report of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from bondwork.console import count, printable
from bondwork.problem.faults import Fault, InvalidInput
from bondwork.report.figures_plan import draw_loss, draw_usage
from bondwork.report.page import (
    Facts,
    Gallery,
    Page,
    Section,
    Text,
    in_unit,
    make_table,
    number,
    render,
    share,
    uncertain,
    words,
)
from bondwork.report.plan_numbers import collateral_usage, fresh_loss, resource_usage, stake_usage
from bondwork.report.plan_reasons import (
    tell_explanations,
    tell_incentives,
    tell_left,
    tell_overcommitted,
    tell_prices,
    tell_replicas,
)
from bondwork.report.plan_stages import later_sections
from bondwork.tables import show_number, show_percent

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.plan.plan import Plan
    from bondwork.problem.instance import Instance
    from bondwork.report.page import Drawing, Part

#: Resources whose loads are drawn.
MOST_RESOURCES = 4

#: Scenarios on which the loss is drawn: as many as a plan's limits are measured on.
SCENARIOS = 20_000


def report_plan(instance: Instance, plan: Plan, *, scenarios: int = SCENARIOS) -> str:
    """Write a plan as one HTML page that needs nothing else. The same plan gives the same bytes.

    Parameters
    ----------
    instance
        The round that the plan answers.
    plan
        From `bondwork.solve` or `bondwork.load_plan`; one without a solution is told as such.
    scenarios
        Fresh ones on which the slashing loss is drawn. The default is that of the plan's own risk limits,
        with the same scenarios: the numbers agree.

    Raises
    ------
    InvalidInput
        The plan is one of another round.
    ModuleNotFoundError
        The extra ``report`` is not installed.

    Examples
    --------
    >>> import bondwork
    >>> instance = bondwork.load({"format": "bondwork.round/1", "name": "nothing to do", "tasks": []})
    >>> "<h1>nothing to do</h1>" in report_plan(instance, bondwork.solve(instance))
    True
    """
    if plan.provenance.input_sha256 != instance.sha256:
        raise InvalidInput(
            [
                Fault(
                    "$.provenance.input_sha256",
                    plan.provenance.input_sha256,
                    f"{instance.sha256}, the round's",
                )
            ]
        )
    if plan.operators and [each.id for each in plan.operators] != list(instance.operators.ids):
        found = f"{len(plan.operators)} operators"
        raise InvalidInput([Fault("$.operators", found, "the operators of the round, in its order")])
    unit = printable(instance.currency)
    sections = [
        Section("Why there is no plan", _conflict(plan, unit)),
        Section("What is wrong with it", _violations(plan)),
        Section("Who does what", _assignments(plan, unit)),
        Section("Loads and collateral", _usage(instance, plan, unit)),
        Section("Operators", _operators(instance, plan, unit)),
        Section("Risk", _risk(instance, plan, unit, scenarios)),
        Section("What commitments exceed", tell_overcommitted(plan)),
        *later_sections(plan, unit),
        Section("Tasks that are left", tell_left(plan)),
        Section("Shadow prices", tell_prices(plan, unit)),
        Section("Why each task went where it went", tell_explanations(plan, unit)),
        Section("Load incentives", tell_incentives(plan, unit)),
        Section("One more executor", tell_replicas(plan, unit)),
        Section("Where it comes from", _provenance(plan)),
    ]
    page = Page(
        title=printable(instance.name) or "Plan",
        subtitle=printable(f"A plan of {plan.strategy} with {plan.formulation}: {plan.status}"),
        facts=_facts(instance, plan, unit),
        sections=tuple(each for each in sections if each.parts),
        footer="Made by bondwork. Expected values, unless the page says otherwise.",
    )
    return render(page)


def _facts(instance: Instance, plan: Plan, unit: str) -> Facts:
    done = len({each.task for each in plan.assignments})
    held = len(set(instance.commitments.task.tolist()))
    before = f", {held} given away before" if held else ""

    def amount(value: float | None) -> str:
        return "none" if value is None else f"{show_number(value)}{f' {unit}' if unit else ''}"

    usable = plan.is_usable()
    return Facts(
        (
            ("status", plan.status.replace("_", " "), "" if usable else "bad"),
            ("solution", plan.solution, "" if usable else "bad"),
            ("objective", _with_error(amount(plan.objective), plan.objective_standard_error), ""),
            *_room(plan, amount),
            ("bound: no plan earns more", amount(plan.bound), ""),
            ("bound that its certificate proves", _proven(plan, amount), ""),
            ("gap", "none" if plan.gap is None else show_percent(plan.gap), ""),
            ("tasks done", f"{done} of {len(instance.tasks)}{before}", ""),
            ("seconds of the solve", f"{plan.timing.solve:.3f}", ""),
            ("checked by independent code", "verified", "good")
            if plan.verified
            else ("checked by independent code", "not verified", "bad"),
        )
    )


def _room(plan: Plan, amount: Callable[[float | None], str]) -> tuple[tuple[str, str, Literal[""]], ...]:
    """What was taken off for the room that the plan takes, where anybody says what it is worth."""
    if plan.worth_taken is None:
        return ()
    return (("taken off: worth of the room taken to the end", amount(plan.worth_taken), ""),)


def _with_error(text: str, error: float | None) -> str:
    """An amount with its standard error, where it has one."""
    return text if error is None else f"{text}, standard error {show_number(error)}"


def _proven(plan: Plan, amount: Callable[[float | None], str]) -> str:
    """What anybody can recompute of the bound, and who vouches for the rest."""
    certificate = plan.certificate
    if certificate is None:
        return "none"
    if certificate.kind == "infeasibility":
        return "nothing is feasible"
    by = "" if certificate.vouched_by is None else f"; the rest by {certificate.vouched_by.replace('_', ' ')}"
    return amount(certificate.bound) + by


def _conflict(plan: Plan, unit: str) -> tuple[Part, ...]:
    if plan.conflict is None:
        return () if plan.is_usable() else (Text(f"The solve ended without one: {plan.status}."),)
    kind = "cannot hold together" if plan.conflict.minimal else "contain limits that cannot hold together"
    least = plan.conflict.least
    table = make_table(
        f"These limits {kind}",
        ["limit", (in_unit("least that the other limits allow", unit),)],
        [(words(each), number(least.get(each))) for each in plan.conflict.limits],
    )
    return (table,)


def _violations(plan: Plan) -> tuple[Part, ...]:
    if not plan.violations:
        return ()
    rows = [(words(each.what), words(each.found, "bad"), words(each.expected)) for each in plan.violations]
    return (make_table("Limits and fields that are not so", ["what", "found", "expected"], rows),)


def _assignments(plan: Plan, unit: str) -> tuple[Part, ...]:
    if not plan.assignments:
        return (Text("Nobody does anything."),) if plan.is_usable() else ()
    groups: dict[str, list[float]] = {}
    for each in plan.assignments:
        total = groups.setdefault(each.executor, [0.0] * 5)
        for k, value in enumerate(
            (1, each.price, each.collateral, each.expected_net_reward, each.expected_slashing)
        ):
            total[k] += value
    by_executor = make_table(
        f"{count(len(groups), 'executor')}; {in_unit('amounts', unit)}, collateral in its own unit",
        ["executor", ("tasks",), ("price",), ("collateral",), ("net reward",), ("slashing",)],
        [(words(name), *(number(value) for value in total)) for name, total in groups.items()],
    )
    one_by_one = make_table(
        f"{count(len(plan.assignments), 'assignment')}; {in_unit('amounts', unit)}, collateral in its unit",
        [
            "task",
            "executor",
            "operator",
            ("price",),
            ("collateral",),
            ("success",),
            ("net reward",),
            ("slashing",),
        ],
        [
            (
                words(each.task),
                words(each.executor + (" (self)" if each.kind == "self" else "")),
                words(each.operator),
                number(each.price),
                number(each.collateral),
                share(each.success_probability),
                number(each.expected_net_reward),
                number(each.expected_slashing),
            )
            for each in plan.assignments
        ],
    )
    return by_executor, one_by_one


def _usage(instance: Instance, plan: Plan, unit: str) -> tuple[Part, ...]:
    if not plan.is_usable() or not len(instance.coprocessors):
        return ()
    collateral = collateral_usage(instance, plan)
    loads = [resource_usage(instance, plan, k) for k in range(len(instance.resources))]
    drawings: list[Drawing | None] = [
        draw_usage(
            collateral, key="collateral", title="Collateral", what="the collateral", members="coprocessors"
        )
    ]
    for k, usage in enumerate(loads[:MOST_RESOURCES]):
        name = printable(instance.resources[k])
        drawings.append(
            draw_usage(usage, key=f"load-{k}", title=f"Load: {name}", what=name, members="coprocessors")
        )
    shown = tuple(each for each in drawings if each is not None)
    rows = []
    for number_, name in enumerate(instance.coprocessors.ids):
        cells = [
            number(float(values[number_]))
            for usage in (collateral, *loads)
            for values in (usage.used, usage.committed, usage.free)
        ]
        rows.append((words(name), *cells))
    heads = ["collateral", *(printable(each) for each in instance.resources)]
    columns: list[str | tuple[str]] = ["coprocessor"]
    columns += [(f"{head} {what}",) for head in heads for what in ("used", "committed", "left")]
    table = make_table("Every coprocessor: used by this plan, committed before, and left", columns, rows)
    return (Gallery(shown), table) if shown else (table,)


def _operators(instance: Instance, plan: Plan, unit: str) -> tuple[Part, ...]:
    if not plan.operators:
        return ()
    stake = stake_usage(instance, plan)
    drawing = draw_usage(stake, key="stake", title="Stake at risk", what="the stake", members="operators")
    table = make_table(
        f"{count(len(plan.operators), 'operator')}; {in_unit('amounts', unit)}, benefit before bids",
        ["operator", ("benefit",), ("slashing",), ("stake at risk",), ("at risk before",), ("stake left",)],
        [
            (
                words(each.id),
                number(each.expected_benefit),
                number(each.expected_slashing),
                number(float(stake.used[k])),
                number(float(stake.committed[k])),
                number(float(stake.free[k])),
            )
            for k, each in enumerate(plan.operators)
        ],
    )
    return (drawing, table) if drawing is not None else (table,)


def _risk(instance: Instance, plan: Plan, unit: str, scenarios: int) -> tuple[Part, ...]:
    parts: list[Part] = []
    loss = fresh_loss(instance, plan, scenarios)
    if loss is not None:
        parts.append(draw_loss(loss, key="loss", unit=unit))
    if plan.risk:
        calibrated = any(each.calibrated is not None for each in plan.risk)
        parts.append(
            make_table(
                f"{count(len(plan.risk), 'limit')}; {in_unit('losses', unit)}, "
                "chance and solvency as probabilities; fresh values with their standard errors",
                [
                    "measure", "of", ("in sample",), ("fresh",), ("limit",),
                    *([("moved to",)] if calibrated else []), "holds",
                ],
                [
                    (
                        words(each.measure),
                        words(each.of),
                        uncertain(each.in_sample, each.standard_error)
                        if each.out_of_sample is None and each.standard_error
                        else number(each.in_sample),
                        uncertain(each.out_of_sample, each.standard_error),
                        number(each.budget),
                        *([number(each.calibrated)] if calibrated else []),
                        words("yes", "good") if each.holds else words("no", "bad"),
                    )
                    for each in plan.risk
                ],
            )
        )  # fmt: skip
    return tuple(parts)


def _provenance(plan: Plan) -> tuple[Part, ...]:
    source, timing = plan.provenance, plan.timing
    ineligible = plan.ineligible_offers
    entries = [
        ("bondwork", source.bondwork),
        ("HiGHS", source.highs),
        ("seed", str(source.seed)),
        ("sha256 of the round", source.input_sha256),
        ("sha256 of the tree", source.tree_sha256),
        ("sha256 of the history", source.history_sha256),
        *((f"option {name}", "default" if value is None else str(value)) for name, value in
        source.options.items()), ("seconds to read, sample, build, solve, verify", " + ".join(
            f"{each:.3f}" for each in (timing.read, timing.sample, timing.build, timing.solve, timing.verify)
        )),
        ("offers below the minimum collateral", str(ineligible.minimum_collateral)),
        ("offers too late for the deadline", str(ineligible.deadline)),
    ]  # fmt: skip
    facts = Facts(
        tuple((printable(name), printable(value), "") for name, value in entries if value is not None)
    )
    return facts, *(Text(printable(note)) for note in source.notes)
