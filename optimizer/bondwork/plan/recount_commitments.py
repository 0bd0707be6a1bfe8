"""What commitments alone take of the limits of a round once more, for `verify`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bondwork.plan.recount import SUM_TOLERANCE, Account, label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bondwork.plan.plan import Overcommitted
    from bondwork.plan.recount import Recount
    from bondwork.problem.instance import RiskLimit

#: A limit as plans name it, with its budget and what the commitments alone take of it.
Named = tuple[str, float, Account]


def committed_accounts(recount: Recount, tail: Callable[[RiskLimit, str], float]) -> Iterator[Named]:
    """Every limit of a round with what the commitments alone take of it.

    Parameters
    ----------
    recount
        The round.
    tail
        What a tail limit measures of them for one member of its scope.
    """
    for key, account in recount.accounts([]).items():
        if key[0] != "expected loss":  # may be limited twice
            yield label(key), account.bound, account
    for limit in recount.instance.risk:
        ceiling = limit.probability if limit.measure in ("chance", "solvency") else limit.budget
        if not math.isfinite(ceiling):
            continue
        for name in recount.members(limit.scope, limit.member):
            if limit.measure == "expected":
                held = recount.held_losses.get(name, [])
                yield f"expected loss of {name}", ceiling, Account(ceiling, held=held)
            else:
                yield f"{limit.measure} of {name}", ceiling, Account(ceiling, held=[tail(limit, name)])


def stated_overcommitments(accounts: Iterable[Named]) -> list[dict[str, object]]:
    """What a plan should state of limits."""
    return [
        {"limit": name, "budget": budget, "committed": account.committed()}
        for name, budget, account in accounts
        if account.overcommitment()[0]
    ]


def doubtful_overcommitments(
    given: Iterable[Overcommitted], accounts: Iterable[Named]
) -> Iterator[tuple[str, str, str]]:
    """What is missing and what is made up: name, what is found, what is expected."""
    left = list(given)
    for name, budget, account in accounts:
        surely, perhaps = account.overcommitment()
        taken, noise = account.committed(), SUM_TOLERANCE * math.fsum(map(abs, account.held))
        same = [each for each in left if (each.limit, each.budget) == (name, budget)]
        stated = next((each for each in same if abs(each.committed - taken) <= noise), None)
        if stated is not None and perhaps:
            left.remove(stated)
        elif surely:
            yield f"overcommitted: {name}", "nothing", f"{taken:.12g} of {budget:.12g}"
    for each in left:
        found = f"{each.committed:.12g} of {each.budget:.12g}"
        yield f"overcommitted: {each.limit}", found, "only what commitments alone exceed, and by what"
