"""The road from a round to a verified plan: what `bondwork.solve` and the command line both walk."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, get_args

from bondwork.base.clock import Clock
from bondwork.contracts import Observer, Options
from bondwork.observing import Silence, Told, interruptible
from bondwork.plan.amending import amended
from bondwork.plan.verify import verify
from bondwork.problem.faults import Fault, InvalidInput, Refusal, Unverified, preview
from bondwork.problem.instance import Instance
from bondwork.problem.periods import is_staged
from bondwork.problem.rescues import has_rescues
from bondwork.problem.support import unsupported
from bondwork.registry import find_formulation, find_strategy
from bondwork.rehearsing import TOO_SHORT, Later, expected_seconds, is_too_short, rehearse
from bondwork.road import RiskForm, Road, draw_scenarios, write_program
from bondwork.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import TypeAlias

    from bondwork.plan.plan import Plan
    from bondwork.program.program import Program
    from bondwork.two_stages import TwoStageRoad
    from bondwork.uncertainty.history import OutcomeHistory

    #: A history of outcomes, or where to read it.
    History: TypeAlias = OutcomeHistory | str | Path | bytes | Mapping[str, Any]

#: HiGHS's ``random_seed`` is a 31-bit number; longer seeds are folded into it.
LARGEST_RANDOM_SEED = 2**31

#: Times that a plan is put right: one number may be reckoned from another.
MOST_AMENDMENTS = 3

#: A gap of this size asks for nothing.
LARGEST_GAP = 1e6


class VerificationFailure(Unverified):
    """A strategy's plan did not pass the check: a bug. ``plan`` holds the plan with its violations."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        super().__init__("the plan does not verify: " + "; ".join(map(str, plan.violations)))


def solve(
    instance: Instance,
    *,
    strategy: str = "auto",
    formulation: str = "highs",
    time_limit: float = math.inf,
    mip_rel_gap: float = 1e-4,
    threads: int = 0,
    seed: int | None = None,
    risk_form: RiskForm = "auto",
    highs: Mapping[str, bool | int | float | str] | None = None,
    settings: Mapping[str, str] | None = None,
    warm_start: Plan | None = None,
    allow_violations: bool = False,
    history: History | None = None,
    value: bool = False,
    observer: Observer | None = None,
    begun: float | None = None,
) -> Plan:
    """Decide who does what in a round, and verify the plan before handing it out.

    Parameters
    ----------
    instance
        The round, from `bondwork.load` or `bondwork.from_arrays`.
    strategy, formulation
        Names of installed ones; see `bondwork.strategy_names` and `bondwork.formulation_names`.
    time_limit
        Seconds for all of it, from the call on: scenarios, program, strategy, compiling, fresh scenarios and
        verification. The best plan found by then is returned. Where what must be done needs more than half
        of it, that is a greedy plan, as soon as it is verified, and the notes say so.
    mip_rel_gap
        Stop at this relative gap; 0 proves optimality.
    threads
        0 lets HiGHS choose.
    seed
        Seed of the scenarios, of HiGHS's ``random_seed`` and of a strategy's own random choices; the round's
        own seed where left out.
    risk_form
        How tail limits enter the program: ``rows`` of the extensive form, ``cuts`` (convex limits only), or
        ``auto``: rows for few scenarios and where nothing else will do.
    highs
        Further HiGHS options by name.
    settings
        Settings of the strategy by name; see `bondwork strategies`.
    warm_start
        Plan of an earlier round: its assignments and prices are where the solve starts, as far as this round
        has them; `lagrangian` and `extensive` use them. The notes say what was found again.
    allow_violations
        Hand out what a heuristic chose even where it could not meet every limit, with ``verified`` false and
        the limits it breaks.
    history
        Outcomes of past rounds, or where to read them: scenarios are resampled from them instead of modelled;
        see `bondwork.with_history`. The same history is needed to verify the plan.
    value
        Work out WS, EEV, EVPI and VSS as well (`bondwork.program.stochastic_value`); for rounds with a second
        stage.
    observer
        Told of progress, asked whether to stop.
    begun
        Moment, of `time.perf_counter`, from which the time limit counts, for those who have worked for the
        same answer before: the command line counts reading. The call's own where left out.

    Returns
    -------
    Plan
        Whatever happened: infeasible rounds and limits reached are plans with a status, not exceptions.

    Raises
    ------
    Refusal
        The round asks for something that would change the answer and is not honoured.
    InvalidInput
        An unknown strategy, formulation, option or setting; a history that does not fit the round.
    VerificationFailure
        The plan did not pass the independent check: a bug.

    Examples
    --------
    >>> import bondwork
    >>> instance = bondwork.load({
    ...     "format": "bondwork.round/1",
    ...     "operators": [{"id": "op"}],
    ...     "coprocessors": [{"id": "cp"}],
    ...     "tasks": [{"id": "t", "operator": "op", "reward": 8, "slashing": 4}],
    ...     "offers": [{"task": "t", "coprocessor": "cp", "bid": 1, "success_probability": 0.75}],
    ... })
    >>> bondwork.solve(instance).objective
    4.0
    """
    begun = time.perf_counter() if begun is None else begun
    if not isinstance(instance, Instance):
        raise TypeError(f"solve takes an Instance, from bondwork.load; got {type(instance).__name__}")
    instance = _beside(instance, history)
    seed = instance.uncertainty.seed if seed is None else seed
    _check_options(time_limit, mip_rel_gap, threads, seed, risk_form)
    options = Options(
        time_limit,
        mip_rel_gap,
        threads,
        seed % LARGEST_RANDOM_SEED,
        dict(highs or {}),
        dict(settings or {}),
    )
    clock = Clock(time_limit, begun)
    if reasons := unsupported(instance):
        raise Refusal(f"this version cannot honour {reason}" for reason in reasons)
    if warm_start is not None and (is_staged(instance) or has_rescues(instance)):
        raise Refusal(["a warm start for a round with later stages"])
    if is_staged(instance):
        asked, told = (strategy, formulation), _told(strategy, risk_form, options)
        return _solved_with_periods(instance, options, observer, asked, seed, told, clock, value=value)
    if has_rescues(instance):
        how = (strategy, formulation)
        told = _told(strategy, risk_form, options)
        return _solved_with_rescues(instance, options, observer, how, seed, told, clock, value=value)
    if value:
        raise Refusal(
            ["the value of the stochastic model of a round of one stage: nothing is decided after it is seen"]
        )
    decide, written = find_strategy(strategy), find_formulation(formulation)
    read_settings(decide, options.settings, f"strategy {strategy}")
    with interruptible(Told(observer or Silence())) as watch:
        road = Road(
            instance,
            decide,
            written,
            options,
            watch,
            seed=seed,
            risk_form=risk_form,
            earlier=warm_start,
            clock=clock,
        )
        written_as: dict[str, Any] = {
            "formulation": formulation,
            "options": _told(strategy, risk_form, options),
        }
        early, reserve = _rehearsed(road, strategy, written_as)
        if early is not None:
            return early
        decision = road.decide(allow_partial=allow_violations, reserve=reserve)
    plan = decision.plan(road, strategy=strategy, **written_as)
    return _verified(instance, plan, allow_violations=allow_violations)


def _rehearsed(road: Road, strategy: str, how: dict[str, Any]) -> tuple[Plan | None, float]:
    """Return a plan to hand out at once, if any, and seconds to keep for what follows the strategy."""
    if not road.clock.limited:
        return None, 0.0
    made = road.prepare()
    expected = expected_seconds(road.instance, made.sample, made.sampling, made.building)

    def quickly() -> tuple[Plan | None, float]:
        decision, deciding = road.greedy(TOO_SHORT)
        plan = decision.plan(road, strategy=strategy, **how)
        try:
            plan = _verified(road.instance, plan, allow_violations=False)
        except VerificationFailure:
            return None, deciding
        return plan if plan.solution != "none" else None, deciding

    return rehearse(road.clock, expected, quickly)


def _solved_with_rescues(
    instance: Instance,
    options: Options,
    observer: Observer | None,
    how: tuple[str, str],
    seed: int,
    told: Mapping[str, bool | int | float | str | None],
    clock: Clock,
    *,
    value: bool,
) -> Plan:
    """Decide a round whose failed tasks can be given away again (MODEL 4, two stages)."""
    from bondwork.two_stages import TwoStageRoad, write_two_stages  # what most rounds do not need

    strategy, formulation = how
    written = find_formulation(formulation)
    with interruptible(Told(observer or Silence())) as watch:
        road = TwoStageRoad(instance, strategy, written, options, watch, seed=seed, value=value, clock=clock)
        early = _rehearsed_with_rescues(road, formulation, told)
        if early is not None:
            return early
        plan = write_two_stages(road.decide(), road, formulation=formulation, options=told)
    return _verified(instance, plan, allow_violations=False)


def _rehearsed_with_rescues(
    road: TwoStageRoad, formulation: str, told: Mapping[str, bool | int | float | str | None]
) -> Plan | None:
    """Return a plan to hand out at once, if any; the road learns what to keep for what follows."""
    from bondwork.two_stages import write_two_stages

    if not road.clock.limited:
        return None
    decision, took = road.greedy(TOO_SHORT)
    began = time.perf_counter()
    plan = write_two_stages(decision, road, formulation=formulation, options=told)
    try:
        plan = _verified(road.instance, plan, allow_violations=False)
    except VerificationFailure:
        return None
    road.later = Later(took.second, took.evaluation, time.perf_counter() - began).with_room()
    early = plan.solution != "none" and is_too_short(road.clock, 0.0, sum(road.later))
    if early:
        return plan
    return None


def build(
    instance: Instance,
    formulation: str = "highs",
    *,
    seed: int | None = None,
    risk_form: RiskForm = "auto",
    history: History | None = None,
) -> Program:
    """Write the model of a round down as matrices, for those who bring their own solver.

    Parameters
    ----------
    instance, formulation, seed, risk_form, history
        As for `solve`. Convex tail limits that are not in rows are listed as ``program.lazy``.

    Raises
    ------
    InvalidInput
        No formulation of that name is installed.
    Refusal
        The round asks for something that the matrices would not hold.
    """
    instance = _beside(instance, history)
    if reasons := unsupported(instance):
        raise Refusal(f"this version cannot honour {reason}" for reason in reasons)
    if is_staged(instance):
        raise Refusal(
            ["the matrices hold one stage; bondwork.program.horizon writes a round with later periods down"]
        )
    if has_rescues(instance):
        raise Refusal(
            [
                "the matrices hold one stage, and the round has second-stage offers that could pay; "
                "bondwork.program.redelegation writes both down"
            ]
        )
    seed = instance.uncertainty.seed if seed is None else seed
    return write_program(instance, find_formulation(formulation), draw_scenarios(instance, seed), risk_form)


def _solved_with_periods(
    instance: Instance,
    options: Options,
    observer: Observer | None,
    asked: tuple[str, str],
    seed: int,
    told: Mapping[str, bool | int | float | str | None],
    clock: Clock,
    *,
    value: bool,
) -> Plan:
    """Decide a round together with its later periods (MODEL 4, many stages)."""
    from bondwork.horizon_solving import solve_horizon  # what most rounds do not need

    with interruptible(observer or Silence()) as watch:
        strategy, formulation = asked
        plan = solve_horizon(
            instance,
            options,
            watch,
            strategy=strategy,
            formulation=formulation,
            seed=seed,
            told=told,
            value=value,
            clock=clock,
        )
    return _verified(instance, plan, allow_violations=False)


def _beside(instance: Instance, history: History | None) -> Instance:
    """Put a history beside a round, where there is one."""
    if history is None:
        return instance
    from bondwork.uncertainty.bootstrap import with_history  # what most rounds do not need

    return with_history(instance, history)


def _check_options(
    time_limit: object, mip_rel_gap: object, threads: object, seed: object, risk_form: str
) -> None:
    """Check what the caller chose; options of HiGHS are checked where HiGHS reads them."""
    faults = []
    for name, value, kinds, most in (
        ("time_limit", time_limit, (int, float), math.inf),
        ("mip_rel_gap", mip_rel_gap, (int, float), LARGEST_GAP),
        ("threads", threads, (int,), 2**31 - 1),
        ("seed", seed, (int,), math.inf),
    ):
        fits = isinstance(value, kinds) and not isinstance(value, bool) and 0 <= value <= most
        if not fits:
            kind = "a whole number" if kinds == (int,) else "a number"
            upper = f" and <= {most:g}" if math.isfinite(most) else ""
            faults.append(Fault(name, preview(value), f"{kind} >= 0{upper}"))
    if risk_form not in get_args(RiskForm):
        faults.append(Fault("risk_form", preview(risk_form), f"one of {', '.join(get_args(RiskForm))}"))
    if faults:
        raise InvalidInput(faults)


def _told(strategy: str, risk_form: str, options: Options) -> dict[str, bool | int | float | str | None]:
    """Options as the plan's provenance tells them; an unlimited time is null."""
    told: dict[str, bool | int | float | str | None] = {
        "strategy": strategy,
        "time_limit": options.time_limit if math.isfinite(options.time_limit) else None,
        "mip_rel_gap": options.mip_rel_gap,
        "threads": options.threads,
        "random_seed": options.random_seed,
        "risk_form": risk_form,
    }
    chosen = {f"settings.{name}": text for name, text in options.settings.items()}
    return told | dict(options.highs) | chosen


def _verified(instance: Instance, plan: Plan, *, allow_violations: bool) -> Plan:
    """Check a plan; commentary that does not stand it is put right or left out, and decides nothing."""
    start = time.perf_counter()
    plan = plan.model_copy(update={"verified": True})
    verdict = verify(instance, plan)
    for _ in range(MOST_AMENDMENTS):
        if not any(each.amendment for each in verdict.findings):
            break
        plan = amended(plan, verdict.findings)
        verdict = verify(instance, plan)
    timing = plan.timing.model_copy(update={"verify": time.perf_counter() - start})
    checked = plan.model_copy(
        update={"verified": bool(verdict), "violations": list(verdict.violations), "timing": timing}
    )
    if not verdict and not (allow_violations and plan.status == "locally_infeasible"):
        raise VerificationFailure(checked)
    return checked
