"""The breaker: after too large a loss, or too many failures, a planner makes no new commitments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bondwork.problem.faults import Fault, InvalidInput, preview

if TYPE_CHECKING:
    from bondwork.market.settlement import Amount


@dataclass(frozen=True, slots=True)
class Breaker:
    """When to stop.

    Parameters
    ----------
    loss
        Stop when the last ``over`` outcomes slashed at least this much stake, in currency.
    failures
        Stop when at least so many of them failed.
    over
        How many of the last outcomes count.

    Raises
    ------
    InvalidInput
        Nothing would open it, or a number is out of range.

    Notes
    -----
    What is slashed counts, not what a coprocessor's collateral loses: the latter is others' money. Where
    both are yours, as in an imported Boundless round, the slashing is the collateral's worth.

    Examples
    --------
    >>> Breaker(failures=3, over=20)
    Breaker(loss=None, failures=3, over=20)
    """

    loss: Amount | None = None
    failures: int | None = None
    over: int = 100

    def __post_init__(self) -> None:
        faults = []
        if self.loss is None and self.failures is None:
            faults.append(Fault("breaker", "neither loss nor failures", "at least one of them"))
        if self.loss is not None and not _is_positive(self.loss):
            faults.append(Fault("breaker.loss", preview(self.loss), "an amount > 0"))
        for name, value in (("failures", self.failures), ("over", self.over)):
            if value is not None and (type(value) is not int or value < 1):
                faults.append(Fault(f"breaker.{name}", preview(value), "a whole number >= 1"))
        if faults:
            raise InvalidInput(faults)


@dataclass(slots=True)
class Watch:
    """A breaker at work: its limits in smallest units, what it saw last, and why it is open, if it is.

    Attributes
    ----------
    loss, failures, over
        As in `Breaker`; ``loss`` in smallest units.
    recent
        The last outcomes: whether each failed, and what it slashed.
    reason
        Why it is open; ``None`` while it is closed.
    """

    loss: int | None = None
    failures: int | None = None
    over: int = 1
    recent: list[tuple[bool, int]] = field(default_factory=list)
    reason: str | None = None

    def note(self, *, failed: bool, slashed: int, show: str) -> None:
        """Take an outcome in, and open where it is one too many; ``show`` names the currency."""
        self.recent.append((failed, slashed))
        del self.recent[: -self.over]
        failures = sum(each for each, _ in self.recent)
        loss = sum(each for _, each in self.recent)
        if self.reason is not None:
            return
        if self.failures is not None and failures >= self.failures:
            self.reason = f"{failures} of the last {len(self.recent)} outcomes failed"
        elif self.loss is not None and loss >= self.loss:
            self.reason = f"the last {len(self.recent)} outcomes slashed {loss} units{show}"

    def reset(self) -> None:
        """Close it, and forget what it saw."""
        self.recent.clear()
        self.reason = None


def _is_positive(amount: Amount) -> bool:
    from decimal import Decimal, InvalidOperation

    try:
        number = Decimal(repr(amount) if isinstance(amount, float) else amount)
    except (InvalidOperation, TypeError, ValueError):
        return False
    return number.is_finite() and number > 0
