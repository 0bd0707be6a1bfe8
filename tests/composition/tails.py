"""Losses of whole paths, and limits on their tails as sums over leaves.

Once its threshold t is fixed, a limit is a bound on the expectation of something that a leaf says:

    cvar         E[max(L - t, 0)]                                  <= (budget - t) * (1 - level)
    ambiguous    E[L + sum over claims that end well of max(s - t, 0)]  <= budget - radius * t
    chance       P(L > budget)                                     <= probability
    worst_case   P(L > budget)                                     <= 0
    solvency     P(what is forfeited > free collateral)            <= probability

and the limit holds if it does for one t: a loss that may occur, or for `ambiguous` 0 or an amount that
may be slashed. The ball of `ambiguous` is one around how claims end, as it is around failures in one
stage: of every claim that ends well, the worst law lets a share end badly, `radius` of them on average.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from composition.records import ONE, ZERO, Deal, Document, Work, exact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from fractions import Fraction

    from composition.laws import Joint

#: What is measured: of the network, an operator, or a coprocessor.
Scope = tuple[str, str]

NETWORK: Scope = ("network", "network")


def members(of: str | Document, document: Document) -> list[Scope]:
    """List whom a limit is about."""
    if isinstance(of, dict):
        return [(kind, name) for kind, name in of.items()]
    if of == "network":
        return [NETWORK]
    return [(of, each["id"]) for each in document.get(f"{of}s", [])]


def ends_well(deal: Deal, outcome: Mapping[Work, bool]) -> bool:
    """Whether a quorum of a claim's team succeeded, or who rescued it did."""
    good = sum(outcome[work] for work in deal.team) >= deal.quorum
    return good or (deal.rescue is not None and outcome[deal.rescue])


def is_in(deal: Deal, scope: Scope) -> bool:
    """Whether a claim can lose something in a scope."""
    kind, name = scope
    if kind == "coprocessor":
        return any(work.executor == name for work in deal.works)
    return kind == "network" or deal.operator == name


def is_lost(deal: Deal, scope: Scope, outcome: Mapping[Work, bool]) -> bool:
    """Whether a claim's slashing is lost in a scope: it ends badly, and the coprocessor had failed in it."""
    if ends_well(deal, outcome) or not is_in(deal, scope):
        return False
    kind, name = scope
    return kind != "coprocessor" or any(w.executor == name and not outcome[w] for w in deal.works)


@dataclass(frozen=True)
class Leaf:
    """What a limit may ask about one way in which everything ended."""

    probability: Fraction
    losses: tuple[Fraction, ...]
    well: tuple[tuple[Fraction, ...], ...]
    forfeited: tuple[Fraction, ...]


@dataclass(frozen=True)
class Tail:
    """A limit on the tail of one scope's loss; ``number`` is the place of its scope in a leaf."""

    measure: str
    number: int
    budget: Fraction
    allowed: Fraction = ZERO  # a share of losses, a probability, a radius
    alone: Fraction = ZERO  # what the measure comes to for commitments alone

    def thresholds(self, losses: Iterable[Fraction], slashings: Iterable[Fraction]) -> list[Fraction]:
        """Return values of t of which one is best."""
        if self.measure == "cvar":
            return [t for t in sorted(set(losses)) if t <= max(self.budget, self.alone)]
        if self.measure == "ambiguous":
            return sorted({ZERO, *slashings})
        return [ZERO]

    def room(self, t: Fraction) -> Fraction:
        """Return what the sum over leaves may come to."""
        match self.measure:
            case "cvar":
                return (max(self.budget, self.alone) - t) * self.allowed
            case "ambiguous":
                return max(self.budget, self.alone) - self.allowed * t
            case "worst_case":
                return ZERO
        return max(self.allowed, self.alone)

    def part(self, leaf: Leaf, t: Fraction) -> Fraction:
        """Return what a leaf adds, its probability aside."""
        loss = leaf.losses[self.number] if self.measure != "solvency" else ZERO
        match self.measure:
            case "cvar":
                return max(loss - t, ZERO)
            case "ambiguous":
                return loss + sum((max(s - t, ZERO) for s in leaf.well[self.number]), ZERO)
            case "solvency":
                return ONE if leaf.forfeited[self.number] > self.budget else ZERO
        return ONE if loss > self.ceiling else ZERO

    @property
    def ceiling(self) -> Fraction:
        """What a loss may be without being counted."""
        return max(self.budget, self.alone) if self.measure == "worst_case" else self.budget

    def value(self, leaves: Sequence[Leaf]) -> Fraction:
        """Return the measure itself."""
        if self.measure == "worst_case":
            return max(leaf.losses[self.number] for leaf in leaves)
        if self.measure in ("chance", "solvency"):
            return _mean(leaves, self, ZERO)
        losses = {leaf.losses[self.number] for leaf in leaves}
        slashings = {s for leaf in leaves for s in leaf.well[self.number]} | losses
        if self.measure == "cvar":
            return min(t + _mean(leaves, self, t) / self.allowed for t in losses)
        return min(self.allowed * t + _mean(leaves, self, t) for t in {ZERO, *slashings})


def _mean(leaves: Sequence[Leaf], tail: Tail, t: Fraction) -> Fraction:
    return sum((leaf.probability * tail.part(leaf, t) for leaf in leaves), ZERO)


class Losses:
    """Makes leaves of what a path decided.

    Parameters
    ----------
    scopes
        Whose losses are asked for.
    posting
        Coprocessors whose forfeited collateral is asked for.
    """

    def __init__(self, scopes: Sequence[Scope], posting: Sequence[str]) -> None:
        self.scopes = scopes
        self.posting = posting

    def leaves(
        self, deals: Sequence[Deal], seen: Mapping[Work, bool], unseen: Sequence[Work], joint: Joint
    ) -> list[Leaf]:
        found: dict[tuple[object, ...], Fraction] = {}
        for chance, outcome in joint:
            known = {**seen, **dict(zip(unseen, outcome, strict=True))}
            lost = [[d.slashing for d in deals if is_lost(d, scope, known)] for scope in self.scopes]
            well = tuple(
                tuple(sorted(d.slashing for d in deals if is_in(d, scope) and not is_lost(d, scope, known)))
                for scope in self.scopes
            )
            forfeited = tuple(
                sum(
                    (
                        w.collateral
                        for d in deals
                        for w in d.works
                        if w.executor == name and not w.committed and not known[w]
                    ),
                    ZERO,
                )
                for name in self.posting
            )
            kind = (tuple(sum(each, ZERO) for each in lost), well, forfeited)
            found[kind] = found.get(kind, ZERO) + chance
        return [Leaf(q, *kind) for kind, q in found.items()]  # type: ignore[arg-type]


def read_tails(
    document: Document, ceilings: Mapping[tuple[str, str], Fraction]
) -> tuple[list[Tail], list[Scope], list[str]]:
    """Read tail limits, whose losses they ask for, and whose forfeits.

    ``ceilings`` replace the budget of a limit (of `chance` and `solvency` the probability), by its measure
    and the name of the member.
    """
    tails: list[Tail] = []
    scopes: list[Scope] = []
    posting: list[str] = []
    free = {c["id"]: c.get("free_collateral") for c in document.get("coprocessors", [])}
    for limit in document.get("risk", []):
        measure = limit["measure"]
        if measure == "expected":
            continue
        for scope in members(
            limit.get("of", "coprocessor" if measure == "solvency" else "network"), document
        ):
            moved = ceilings.get((measure, scope[1]))
            if measure == "solvency":
                posting.append(scope[1])
                if free[scope[1]] is None:
                    continue
                budget, allowed = exact(free[scope[1]]), exact(limit["probability"])
                tails.append(Tail(measure, len(posting) - 1, budget, allowed if moved is None else moved))
                continue
            if scope not in scopes:
                scopes.append(scope)
            budget, allowed = exact(limit["budget"]), ZERO
            match measure:
                case "cvar":
                    allowed = 1 - exact(limit.get("level", 0.95))
                case "chance":
                    allowed = exact(limit["probability"])
                case "ambiguous":
                    allowed = exact(limit["radius"])
            if moved is not None and measure == "chance":
                allowed = moved
            elif moved is not None:
                budget = moved
            tails.append(Tail(measure, scopes.index(scope), budget, allowed))
    return tails, scopes, posting
