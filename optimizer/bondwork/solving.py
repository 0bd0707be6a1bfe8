"""The road from a round to a verified plan: what `bondwork.solve` and the command line both walk."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, get_args

from bondwork.contracts import Observer, Options
from bondwork.observing import Silence, interruptible
from bondwork.plan.verify import verify
from bondwork.problem.faults import Fault, InvalidInput, Refusal, Unverified, preview
from bondwork.problem.instance import Instance
from bondwork.problem.support import unsupported
from bondwork.registry import find_formulation, find_strategy
from bondwork.road import RiskForm, Road, draw_scenarios, write_program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.plan.plan import Plan
    from bondwork.program.program import Program

#: HiGHS's ``random_seed`` is a 31-bit number; longer seeds are folded into it.
LARGEST_RANDOM_SEED = 2**31

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
    allow_violations: bool = False,
    observer: Observer | None = None,
) -> Plan:
    """Decide who does what in a round, and verify the plan before handing it out.

    Parameters
    ----------
    instance
        The round, from `bondwork.load` or `bondwork.from_arrays`.
    strategy, formulation
        Names of installed ones; see `bondwork.strategy_names` and `bondwork.formulation_names`.
    time_limit
        Seconds for the strategy. The best plan found by then is returned.
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
    allow_violations
        Hand out what a heuristic chose even where it could not meet every limit, with ``verified`` false and
        the limits it breaks.
    observer
        Told of progress, asked whether to stop.

    Returns
    -------
    Plan
        Whatever happened: infeasible rounds and limits reached are plans with a status, not exceptions.

    Raises
    ------
    Refusal
        The round asks for something that would change the answer and is not honoured.
    InvalidInput
        An unknown strategy, formulation or option.
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
    if not isinstance(instance, Instance):
        raise TypeError(f"solve takes an Instance, from bondwork.load; got {type(instance).__name__}")
    seed = instance.uncertainty.seed if seed is None else seed
    _check_options(time_limit, mip_rel_gap, threads, seed, risk_form)
    options = Options(time_limit, mip_rel_gap, threads, seed % LARGEST_RANDOM_SEED, dict(highs or {}))
    if reasons := unsupported(instance):
        raise Refusal(f"this version cannot honour {reason}" for reason in reasons)
    decide, written = find_strategy(strategy), find_formulation(formulation)
    with interruptible(observer or Silence()) as watch:
        road = Road(instance, decide, written, options, watch, seed=seed, risk_form=risk_form)
        decision = road.decide(allow_partial=allow_violations)
    told = _told(strategy, risk_form, options)
    plan = decision.plan(road, strategy=strategy, formulation=formulation, options=told)
    return _verified(instance, plan, allow_violations=allow_violations)


def build(
    instance: Instance, formulation: str = "highs", *, seed: int | None = None, risk_form: RiskForm = "auto"
) -> Program:
    """Write the model of a round down as matrices, for those who bring their own solver.

    Parameters
    ----------
    instance, formulation, seed, risk_form
        As for `solve`. Convex tail limits that are not in rows are listed as ``program.lazy``.

    Raises
    ------
    InvalidInput
        No formulation of that name is installed.
    Refusal
        The round asks for something that the matrices would not hold.
    """
    if reasons := unsupported(instance):
        raise Refusal(f"this version cannot honour {reason}" for reason in reasons)
    seed = instance.uncertainty.seed if seed is None else seed
    return write_program(instance, find_formulation(formulation), draw_scenarios(instance, seed), risk_form)


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
    return told | dict(options.highs)


def _verified(instance: Instance, plan: Plan, *, allow_violations: bool) -> Plan:
    start = time.perf_counter()
    verdict = verify(instance, plan.model_copy(update={"verified": True}))
    timing = plan.timing.model_copy(update={"verify": time.perf_counter() - start})
    checked = plan.model_copy(
        update={"verified": bool(verdict), "violations": list(verdict.violations), "timing": timing}
    )
    if not verdict and not (allow_violations and plan.status == "locally_infeasible"):
        raise VerificationFailure(checked)
    return checked
