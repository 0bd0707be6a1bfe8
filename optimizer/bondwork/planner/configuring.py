"""What a planner is asked to be, against what it is: unit, breaker, reputation model."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from bondwork.planner.composing import text_of
from bondwork.planner.events import Configured
from bondwork.planner.reputations import reputation_to_dict
from bondwork.problem.faults import Fault, InvalidInput, Refusal, preview

if TYPE_CHECKING:
    from bondwork.market.settlement import Amount
    from bondwork.planner.books import Books
    from bondwork.planner.breaker import Breaker


def configured(
    books: Books,
    decimals: int | None,
    currency: str | None,
    breaker: Breaker | None,
    fitted: dict[str, Any] | None,
) -> Configured:
    """Write down what is asked for; ``None`` is what there is.

    Raises
    ------
    Refusal
        The books count in another unit.
    """
    held = books.ledger.decimals
    reasons = []
    if books.is_configured and decimals not in (None, held):
        reasons.append(f"{decimals} decimals: the ledger counts in 10^-{held}")
    if books.is_configured and currency is not None and currency != books.currency:
        reasons.append(f"the currency {currency}: the ledger is in {books.currency or 'none'}")
    if reasons:
        raise Refusal(reasons)
    return Configured(
        decimals=held if decimals is None else decimals,
        currency=books.currency if currency is None else currency,
        breaker=_breaker_of(books) if breaker is None else _told(breaker),
        reputation=_reputation_of(books) if fitted is None else fitted,
    )


def _told(breaker: Breaker) -> dict[str, Any]:
    loss = breaker.loss
    exact = None if loss is None else text_of(str(loss) if isinstance(loss, Decimal) else loss)
    return {"loss": exact, "failures": breaker.failures, "over": breaker.over}


def _breaker_of(books: Books) -> dict[str, Any] | None:
    watch = books.watch
    if watch is None:
        return None
    loss = None if watch.loss is None else format(books.ledger.amount(watch.loss), "f")
    return {"loss": loss, "failures": watch.failures, "over": watch.over}


def _reputation_of(books: Books) -> dict[str, Any] | None:
    return None if books.reputation is None else reputation_to_dict(books.reputation)


def exact_amount(amount: Amount) -> str:
    """Write an amount as an exact text.

    Raises
    ------
    InvalidInput
        It is no number >= 0.
    """
    try:
        number = Decimal(repr(amount)) if isinstance(amount, float) else Decimal(amount)
    except (InvalidOperation, TypeError, ValueError):
        number = Decimal("nan")
    if not number.is_finite() or number < 0 or isinstance(amount, bool):
        raise InvalidInput([Fault("amount", preview(amount), "a number >= 0")])
    return format(number, "f")
