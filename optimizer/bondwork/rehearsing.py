"""What a time limit leaves for the strategy: what follows it is estimated, or tried on a greedy plan.

Whoever needs less than half of the limit for reading, building and verifying has it verified once more behind
what the strategy found, within the limit; everybody else has the greedy plan, which is verified already.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from bondwork.risk.assessment import FRESH_SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.base.clock import Clock
    from bondwork.plan.plan import Plan
    from bondwork.problem.instance import Instance
    from bondwork.uncertainty.sampling import RoundSample

#: What follows is tried where it may leave solving less than this share of the time limit.
LEAST_SOLVING = 0.2

#: What is kept for what follows, times what it took on a greedy plan, and seconds besides.
_AGAIN, _BESIDES = 1.3, 0.03

#: Seconds for each offer, and times the seconds of reading and building, that explaining and verifying a plan
#: take at most.
_OFFER, _READING = 2e-5, 2.0

#: Of what scenarios take, in seconds on some machine: drawing those of the solve, at all and for each outcome
#: of an offer; measuring a plan on them, in planner and verifier together; and on fresh ones, per outcome
#: of an offer that may be chosen.
_DRAWN, _OUTCOME, _MEASURED, _FRESH_OUTCOME = 0.03, 2e-8, 1.2e-8, 5e-8

#: Seconds for each offer that a greedy choice takes, and the share of the time limit that it may take where
#: it is only there for a strategy that is cut short.
_GREEDY, _GREEDY_SHARE = 3e-5, 0.1

#: Seconds for each offer, and in all, that the proof of a bound takes (by knapsacks, the dearest), and the
#: share of the time limit that is kept for it.
_PROOF, _MOST_PROOF, _PROOF_SHARE = 8e-5, 1.0, 0.1

#: Where a first stage is followed by a second: seconds of deciding it anew on fresh outcomes, times those of
#: the greedy plan's second stage; of writing the plan and verifying it, times those of building, and besides.
_FRESH, _WRITING, _FIRST_WRITING = 4.0, 4.0, 0.1

TOO_SHORT = (
    "reading, building and verifying need more than half of the time limit: a greedy plan, as soon as it was "
    "verified"
)


class Later(NamedTuple):
    """Seconds of what follows the strategy: second stage, fresh scenarios, writing the plan and verifying."""

    second: float = 0.0
    evaluation: float = 0.0
    after: float = 0.0

    def with_room(self) -> Later:
        """What to keep for what took so long on a greedy plan."""
        return Later(_AGAIN * self.second, _AGAIN * self.evaluation, _AGAIN * self.after + _BESIDES)


def expected_seconds(
    instance: Instance, sample: RoundSample | None, sampling: float, building: float
) -> float:
    """Seconds that what follows the strategy may take, judged by the seconds of what came before it."""
    offers = max(len(instance.offers.task), 1)
    expected = _BESIDES + _OFFER * offers + _READING * (instance.read_seconds + building)
    if sample is not None:
        outcomes = float(offers) * instance.uncertainty.scenarios
        fresh = float(min(len(instance.tasks.ids), offers)) * FRESH_SCENARIOS
        # what drawing took says how fast this machine is today
        slowness = sampling / (_DRAWN + _OUTCOME * outcomes)
        expected += slowness * (_MEASURED * outcomes + _FRESH_OUTCOME * fresh)
    return expected


def expected_with_rescues(clock: Clock, second: float, building: float, *, measured: bool) -> Later | None:
    """Seconds that what follows a first stage may take; ``None`` where only a rehearsal tells.

    Parameters
    ----------
    clock
        Of the call: a strategy is to have a share of its limit.
    second
        Seconds that the second stage behind a greedy first one took.
    building
        Seconds that writing the program of all outcomes down took.
    measured
        Whether losses are limited, and so measured on many fresh scenarios.
    """
    if measured:
        return None
    later = Later(
        _AGAIN * second,
        _FRESH * second,
        _WRITING * building + _FIRST_WRITING,
    )
    return later if clock.elapsed + sum(later) <= (1.0 - LEAST_SOLVING) * clock.limit else None


def proof_seconds(instance: Instance, clock: Clock) -> float:
    """Seconds to keep for the proof of a bound, which a greedy plan does not show."""
    seconds = min(_PROOF * len(instance.offers.task), _MOST_PROOF)
    return min(seconds, _PROOF_SHARE * clock.limit)


def can_begin_greedily(instance: Instance, clock: Clock) -> bool:
    """Whether a greedy choice takes so little that it is made before a strategy that may be cut short."""
    return clock.limited and _GREEDY * len(instance.offers.task) <= _GREEDY_SHARE * clock.limit


def rehearse(
    clock: Clock, expected: float, quickly: Callable[[], tuple[Plan | None, float]]
) -> tuple[Plan | None, float]:
    """Say what to hand out at once, if anything, and how many seconds to keep for what follows the strategy.

    Parameters
    ----------
    clock
        Of the call.
    expected
        Seconds that what follows may take.
    quickly
        Makes a verified greedy plan, if it can, and says how many seconds it took to decide that.
    """
    if not clock.limited:
        return None, 0.0
    if clock.elapsed + expected <= (1.0 - LEAST_SOLVING) * clock.limit:
        return None, expected
    began = time.perf_counter()
    plan, deciding = quickly()
    reserve = _AGAIN * (time.perf_counter() - began - deciding) + _BESIDES
    if plan is None:
        return None, expected
    return (plan if is_too_short(clock, deciding, reserve) else None), reserve


def is_too_short(clock: Clock, deciding: float, reserve: float) -> bool:
    """Whether a strategy has no time once a greedy plan, decided in so many seconds, is verified."""
    return clock.elapsed - deciding > 0.5 * clock.limit or clock.left(reserve) <= 0.0
