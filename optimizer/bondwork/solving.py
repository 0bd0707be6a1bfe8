"""The road from a round to a verified plan: what `bondwork.solve` and the command line both walk."""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from bondwork.base.clock import Clock
from bondwork.base.tolerances import LARGEST_GAP
from bondwork.contracts import Observer, Options
from bondwork.observing import Silence, Told, interruptible
from bondwork.plan.certifying import certify
from bondwork.problem.constraints import fixed, with_constraints
from bondwork.problem.faults import Fault, InvalidInput, Refusal, preview
from bondwork.problem.instance import Instance
from bondwork.problem.periods import is_staged, states_later
from bondwork.problem.rescues import has_rescues, limits_losses
from bondwork.problem.support import unsupported
from bondwork.registry import find_formulation, find_strategy, load_strategy
from bondwork.rehearsing import (
    TOO_SHORT,
    Later,
    can_begin_greedily,
    expected_seconds,
    expected_with_rescues,
    is_too_short,
    proof_seconds,
    rehearse,
)
from bondwork.repairing import Apart, KeptApart, check, hand_out
from bondwork.road import RiskForm, Road, draw_scenarios, write_program
from bondwork.settings import read_settings
from bondwork.strategies.one_stage import OneStage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import TypeAlias

    from bondwork.contracts import Formulation, Strategy
    from bondwork.plan.plan import Plan
    from bondwork.problem.constraints import Given
    from bondwork.program.program import Program
    from bondwork.road import Decision
    from bondwork.two_stages import TwoStageDecision, TwoStageRoad
    from bondwork.uncertainty.history import OutcomeHistory

    #: A history of outcomes, or where to read it.
    History: TypeAlias = OutcomeHistory | str | Path | bytes | Mapping[str, Any]

#: HiGHS's ``random_seed`` is a 31-bit number; longer seeds are folded into it.
LARGEST_RANDOM_SEED = 2**31

#: Share of a time limit that is kept for the proof of a bound with later stages; and the share that
#: recounting it may take, where anything is kept for it.
PROOF_SHARE, RECOUNT_SHARE = 0.05, 0.1

#: What is said of the value of the stochastic model where nothing that is decided later can matter.
NO_VALUE = "nothing that is decided later can matter: WS, RP and EEV are the objective, EVPI and VSS are 0"

#: Offers from which on plans have a certificate only where it is asked for.
MOST_CERTIFIED = 100_000


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
    constraints: Sequence[Given] = (),
    fix: Sequence[str] = (),
    forbid: Sequence[str] = (),
    value: bool = False,
    certificate: Literal["full", "none"] | None = None,
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
        Of HiGHS; 0: half of the CPUs that this process may use, rounded up.
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
    constraints
        Linear conditions on what is chosen, beside those of the round and of the same form: see
        docs/constraints.md. The plan holds them, and is checked with them.
    fix, forbid
        Ids of offers that are chosen whatever it costs, and that are not. An offer that is open to several
        operators is chosen for one of them.
    value
        Work out WS, EEV, EVPI and VSS as well (`bondwork.program.stochastic_value`); for rounds with a second
        stage.
    certificate
        ``full`` puts the proof of the bound into the plan, ``none`` leaves it out; left out, rounds of fewer
        than 100,000 offers get one.
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
        No plan passed the independent check, repaired ones included: a bug. It holds the best of them.

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
    asked_for = [*constraints, *fixed(instance, fix, forbid)]
    if asked_for:
        instance = with_constraints(instance, asked_for)
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
    later = is_staged(instance) or has_rescues(instance)
    if warm_start is not None and not is_staged(instance) and has_rescues(instance):
        raise Refusal(["a warm start for a round with second-stage offers"])
    if value and not later and not states_later(instance):
        raise Refusal(
            ["the value of the stochastic model of a round of one stage: nothing is decided after it is seen"]
        )
    told = _told(strategy, risk_form, options)
    asked = _Asked(
        strategy,
        formulation,
        options,
        seed,
        risk_form,
        warm_start,
        observer,
        clock,
        told,
        value=value,
        allow_violations=allow_violations,
        proven=certificate == "full" or (certificate is None and len(instance.offers) < MOST_CERTIFIED),
    )

    def again(other: str | None, apart: Sequence[Apart]) -> Plan:
        if other is None:
            return _decide(instance, asked, apart)
        plain = dataclasses.replace(options, settings={})
        return _decide(instance, dataclasses.replace(asked, options=plain, strategy=other), apart)

    return hand_out(instance, _decide(instance, asked), again, allow_violations=allow_violations)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What `solve` was asked for, checked; ``told`` is what the plan's provenance tells of it."""

    strategy: str
    formulation: str
    options: Options
    seed: int
    risk_form: RiskForm
    warm_start: Plan | None
    observer: Observer | None
    clock: Clock
    told: Mapping[str, bool | int | float | str | None]
    value: bool
    allow_violations: bool
    proven: bool


def _decide(instance: Instance, asked: _Asked, apart: Sequence[Apart] = ()) -> Plan:
    """Decide a round; the plan is verified where it had to be quick, else not yet.

    ``apart`` are sets of offers that cannot all be chosen.
    """
    if is_staged(instance):
        return _with_periods(instance, asked, apart)
    written: Formulation = find_formulation(asked.formulation)
    if apart:
        written = KeptApart(written, apart)
    if has_rescues(instance):
        return _with_rescues(instance, asked, written)
    decide = _strategy_for(instance, asked.strategy)
    read_settings(decide, asked.options.settings, f"strategy {asked.strategy}")
    with interruptible(Told(asked.observer or Silence())) as watch:
        road = Road(
            instance,
            decide,
            written,
            asked.options,
            watch,
            seed=asked.seed,
            risk_form=asked.risk_form,
            earlier=asked.warm_start,
            clock=asked.clock,
        )
        written_as: dict[str, Any] = {"formulation": asked.formulation, "options": asked.told}
        worthless = (NO_VALUE,) if asked.value else ()
        write = partial(_written, road, asked.strategy, written_as, worthless, proven=asked.proven)
        early, reserve = _rehearsed(road, write)
        if early is not None:
            return early
        if asked.proven and asked.clock.limited:
            reserve += proof_seconds(instance, asked.clock)
        decision = road.decide(allow_partial=asked.allow_violations, reserve=reserve)
    return write(decision)


def _strategy_for(instance: Instance, name: str) -> Strategy:
    """Make the strategy that decides a round of one stage: any will do, of programs as well."""
    kind = load_strategy(name)
    if not hasattr(kind, "solve") and hasattr(kind, "solve_program"):
        return OneStage(name, kind, states_later=states_later(instance))
    return find_strategy(name)


def _written(
    road: Road,
    strategy: str,
    how: dict[str, Any],
    notes: tuple[str, ...],
    decision: Decision,
    *,
    proven: bool,
) -> Plan:
    """Write a decision down as a plan, with the proof of its bound where that is wanted."""
    if notes:
        solution = dataclasses.replace(decision.solution, notes=(*decision.solution.notes, *notes))
        decision = dataclasses.replace(decision, solution=solution)
    plan = decision.plan(road, strategy=strategy, **how)
    if not proven:
        return plan
    options = dataclasses.replace(road.options, time_limit=road.clock.left())
    return certify(road.instance, plan, decision.program, decision.solution, options)


def _rehearsed(road: Road, write: Callable[[Decision], Plan]) -> tuple[Plan | None, float]:
    """Return a plan to hand out at once, if any, and seconds to keep for what follows the strategy."""
    if not road.clock.limited:
        return None, 0.0
    made = road.prepare()
    expected = expected_seconds(road.instance, made.sample, made.sampling, made.building)

    def quickly() -> tuple[Plan | None, float]:
        decision, deciding = road.greedy(TOO_SHORT)
        road.known = decision.solution.x
        plan, _ = check(road.instance, write(decision))
        return plan if plan.verified and plan.solution != "none" else None, deciding

    early, reserve = rehearse(road.clock, expected, quickly)
    if early is None and road.known is None and can_begin_greedily(road.instance, road.clock):
        road.begin()
    return early, reserve


def _with_rescues(instance: Instance, asked: _Asked, written: Formulation) -> Plan:
    """Decide a round whose failed tasks can be given away again (MODEL 4, two stages)."""
    from bondwork.two_stages import TwoStageRoad  # what most rounds do not need

    with interruptible(Told(asked.observer or Silence())) as watch:
        road = TwoStageRoad(
            instance,
            asked.strategy,
            written,
            asked.options,
            watch,
            seed=asked.seed,
            value=asked.value,
            clock=asked.clock,
        )
        early = _rehearsed_with_rescues(road, asked)
        if early is not None:
            return early
        return _written_with_rescues(road, asked, road.decide())


def _written_with_rescues(
    road: TwoStageRoad, asked: _Asked, decision: TwoStageDecision, *, quickly: bool = False
) -> Plan:
    """Write a decision down as a plan, with the proof of its bound where that is wanted."""
    from bondwork.plan.two_stage_building import build_two_stage_plan
    from bondwork.plan.two_stage_certifying import certify_two_stages

    plan = build_two_stage_plan(decision, road, formulation=asked.formulation, options=asked.told)
    if not asked.proven:
        return plan
    left = 0.0 if quickly else road.clock.left(road.after)
    return certify_two_stages(
        road.instance, plan, decision, dataclasses.replace(road.options, time_limit=left)
    )


def _rehearsed_with_rescues(road: TwoStageRoad, asked: _Asked) -> Plan | None:
    """Return a plan to hand out at once, if any; the road learns what to keep for what follows."""
    if not road.clock.limited:
        return None
    second = road.begin().second
    building = road.prepare()[2]
    expected = expected_with_rescues(
        asked.clock, second, building, measured=limits_losses(road.instance) or asked.value
    )
    if expected is not None:
        _keep(road, asked, expected)
        return None
    decision, took = road.greedy(TOO_SHORT)
    began = time.perf_counter()
    plan = _written_with_rescues(road, asked, decision, quickly=True)
    plan, _ = check(road.instance, plan)
    if not plan.verified:
        return None
    _keep(road, asked, Later(took.second, took.evaluation, time.perf_counter() - began).with_room())
    early = plan.solution != "none" and is_too_short(road.clock, 0.0, sum(road.later))
    return plan if early else None


def _keep(road: TwoStageRoad, asked: _Asked, later: Later) -> None:
    """Have a road keep time for what follows its strategy, and for the proof of its bound."""
    from bondwork.plan.two_stage_certifying import proof_rows, proving_seconds

    road.later, road.after = later, later.after
    recounting = proving_seconds(proof_rows(road.prepare()[0]))
    if asked.proven and recounting <= RECOUNT_SHARE * road.clock.limit:
        proof = recounting + PROOF_SHARE * road.clock.limit
        road.later = later._replace(after=later.after + proof)


def _with_periods(instance: Instance, asked: _Asked, apart: Sequence[Apart]) -> Plan:
    """Decide a round together with its later periods (MODEL 4, many stages)."""
    from bondwork.horizon_solving import solve_horizon  # what most rounds do not need

    with interruptible(asked.observer or Silence()) as watch:
        return solve_horizon(
            instance,
            asked.options,
            watch,
            strategy=asked.strategy,
            formulation=asked.formulation,
            seed=asked.seed,
            told=asked.told,
            value=asked.value,
            clock=asked.clock,
            apart=apart,
            proven=asked.proven,
            earlier=asked.warm_start,
        )


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
