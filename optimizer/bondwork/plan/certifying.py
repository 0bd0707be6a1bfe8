"""From the multipliers of a strategy to the certificate of a plan."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.tolerances import SUM
from bondwork.plan.certificate import BadCertificate, Entry, read_entries, write_entries
from bondwork.plan.plan import Certificate
from bondwork.plan.recount import Recount
from bondwork.plan.recount_bound import BoundRecount
from bondwork.plan.recount_columns import Uncheckable
from bondwork.plan.recount_exact import round_up
from bondwork.plan.refuting import refute
from bondwork.problem.limits import LimitKind
from bondwork.program.bounds import gap
from bondwork.risk.limits import is_tail_limit, members

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from fractions import Fraction

    from bondwork.contracts import Options, Solution, Voucher
    from bondwork.plan.plan import Plan
    from bondwork.plan.recount_bound import BoundProof
    from bondwork.problem.instance import Instance
    from bondwork.program.program import Program
    from bondwork.program.proof import Proof, TailProof

#: Words of limits in certificates.
WORDS = {
    LimitKind.CAPACITY: "capacity",
    LimitKind.OPERATOR_CAPACITY: "own_capacity",
    LimitKind.COLLATERAL: "collateral",
    LimitKind.STAKE: "stake",
    LimitKind.DEADLINE: "deadline",
    LimitKind.EXPECTED_LOSS_NETWORK: "expected",
    LimitKind.EXPECTED_LOSS_OPERATOR: "expected",
    LimitKind.EXPECTED_LOSS_COPROCESSOR: "expected",
}


def certify(instance: Instance, plan: Plan, program: Program, solution: Solution, options: Options) -> Plan:
    """Return a plan with the best certificate that a solution's multipliers give.

    What the certificate proves is what `bondwork.verify` will recompute. Where it is better than the bound
    that the solver told, it becomes the plan's. Whatever goes wrong costs the certificate, not the plan.
    """
    try:
        if plan.status == "infeasible":
            return _refuted(instance, plan, program, options)
        return _certified(instance, plan, program, solution, options)
    except Exception as reason:
        return without_certificate(plan, reason)


def without_certificate(plan: Plan, reason: Exception) -> Plan:
    """Return a plan with a note why it has no certificate."""
    said = f"{reason}" if isinstance(reason, Uncheckable) else f"{type(reason).__name__}: {reason}"
    notes = [*plan.provenance.notes, f"no certificate: {said}"]
    return plan.model_copy(update={"provenance": plan.provenance.model_copy(update={"notes": notes})})


def _certified(
    instance: Instance, plan: Plan, program: Program, solution: Solution, options: Options
) -> Plan:
    ends = time.perf_counter() + options.time_limit
    recount = BoundRecount(Recount(instance, plan.provenance.seed), ceilings_of(instance, plan))
    proofs = solution.proofs or (None,)
    known = [[] if proof is None else list(entries_of(instance, program, proof)) for proof in proofs]
    return with_bound(plan, recount, known, solution.vouched_by, ends)


def with_bound(
    plan: Plan,
    recount: BoundProof,
    known: Iterable[Sequence[Entry]],
    by: Voucher,
    ends: float = math.inf,
) -> Plan:
    """Return a plan with the best certificate that some multipliers give.

    Parameters
    ----------
    recount
        What recomputes the bound, of the plan's round.
    known
        Entries of each way to prove a bound.
    by
        Who vouches for the plan's bound where none of them proves all of it.
    ends
        Moment, of `time.perf_counter`, from which on the best of those recomputed by then has to do.

    Raises
    ------
    Uncheckable
        There is none.
    """
    best, bound = _best(recount, known, ends)
    if bound is None:  # a required task that nobody may do: nothing else is needed
        refuted = Certificate(kind="infeasibility", bound=None)
        return plan.model_copy(update={"certificate": refuted, "bound": None, "gap": None})
    proven = round_up(bound)
    if not np.isfinite(proven):
        raise Uncheckable("the bound is beyond the range of numbers")
    update: dict[str, object] = {}
    stated = plan.bound
    # the plan's own sum, rounded, may be a hair above what is proven of it without rounding
    most = proven if plan.objective is None else max(proven, plan.objective)
    if stated is None or most < stated:
        stated = most
        update["bound"] = stated
        update["gap"] = None if plan.objective is None else gap(plan.objective, stated)
        if plan.stochastic is not None:
            update["stochastic"] = plan.stochastic | {"rp_bound": stated}
    alike = proven - stated <= SUM * max(abs(proven), abs(stated))
    update["certificate"] = Certificate(
        kind="bound",
        bound=proven,
        vouched_by=None if alike else by,
        multipliers=write_entries(best),
    )
    return plan.model_copy(update=update)


def _refuted(instance: Instance, plan: Plan, program: Program, options: Options) -> Plan:
    """Return a plan with a proof that nothing is feasible, where the linear relaxation has one."""
    recount = BoundRecount(Recount(instance, plan.provenance.seed))
    entries: list[Entry] = []
    if not recount.refutes(entries):
        proof = refute(program, options)
        if proof is None:
            raise Uncheckable("the linear relaxation is feasible, or was not solved")
        entries = list(entries_of(instance, program, proof))
        if not recount.refutes(entries):
            raise Uncheckable("the multipliers of the linear relaxation prove nothing when recomputed")
    return with_refutation(plan, entries)


def with_refutation(plan: Plan, entries: Iterable[Entry]) -> Plan:
    """Return a plan with a proof that nothing is feasible."""
    proven = Certificate(kind="infeasibility", bound=None, multipliers=write_entries(entries))
    return plan.model_copy(update={"certificate": proven})


def _best(
    recount: BoundProof, known: Iterable[Sequence[Entry]], ends: float
) -> tuple[list[Entry], Fraction | None]:
    """Entries with the least bound; the last resort is no entry at all: the best choice for each task."""
    found: list[tuple[Fraction, list[Entry]]] = []
    for each in known:
        if found and time.perf_counter() > ends:
            break
        entries = _read_back(each)
        bound = recount.bound(entries)
        if bound is None:
            return [], None
        found.append((bound, entries))
    bound, entries = min(found, key=lambda each: each[0])
    return entries, bound


def _read_back(entries: Sequence[Entry]) -> list[Entry]:
    """Entries as whoever verifies reads them."""
    try:
        return read_entries(write_entries(entries))
    except BadCertificate as reason:
        raise Uncheckable(f"{reason}") from None


def ceilings_of(instance: Instance, plan: Plan) -> dict[tuple[int, int], float]:
    """Budgets that calibration moved, by number of the limit and member."""
    whom = [
        (number, max(member, 0))
        for number, limit in enumerate(instance.risk)
        for _, member, _ in members(instance, limit)
    ]
    if len(whom) != len(plan.risk):
        return {}
    return {
        key: value.calibrated
        for key, value in zip(whom, plan.risk, strict=True)
        if value.calibrated is not None
    }


def entries_of(instance: Instance, program: Program, proof: Proof) -> Iterator[Entry]:
    """Multipliers of a program in the words of its round."""
    limits = program.limits
    for row in np.flatnonzero(proof.limits[: len(limits)]).tolist():
        kind, y = LimitKind(limits.kind[row]), float(proof.limits[row])
        if kind == LimitKind.TASK:
            if proof.knapsacks:
                yield Entry("task", (int(limits.owner[row]),), y)
            continue
        if not y > 0.0:
            continue
        owner, detail = int(limits.owner[row]), int(limits.detail[row])
        about: tuple[int | float, ...] = (owner,)
        if kind in (LimitKind.CAPACITY, LimitKind.OPERATOR_CAPACITY):
            about = (owner, detail)
        elif kind == LimitKind.DEADLINE:
            about = (owner, float(limits.deadline[row]))
        elif WORDS[kind] == "expected":
            about = (detail, max(owner, 0))
        yield Entry(WORDS[kind], about, y)
    if proof.loads is not None:
        for term, y in zip(program.loads, proof.loads.tolist(), strict=True):
            if y:
                yield Entry("load", (int(limits.owner[term.row]),), y)
    yield from _tail_entries(instance, program, proof)


def _tail_entries(instance: Instance, program: Program, proof: Proof) -> Iterator[Entry]:
    """One entry for each measure: those of several cuts are added up."""
    places = _tail_limits(instance)
    found: dict[tuple[str, tuple[int, ...]], Entry] = {}
    for tail in proof.tails:
        if tail.number < 0:
            entry = Entry("mean_risk", (), 0.0, _pairs(tail))
        elif tail.y or len(tail.places):
            word, about = places[tail.number]
            ball = word == "ambiguous"
            entry = _ball(program, tail, about) if ball else Entry(word, about, tail.y, _pairs(tail))
        else:
            continue
        key = entry.word, tuple(map(int, entry.about))
        found[key] = _sum_of(found[key], entry) if key in found else entry
    yield from found.values()


def _sum_of(one: Entry, other: Entry) -> Entry:
    """One entry in place of two about the same: what it adds to a bound is no more than what they do."""
    weights = dict(one.weights)
    for place, weight in other.weights:
        weights[place] = weights.get(place, 0.0) + weight
    return dataclasses.replace(one, y=one.y + other.y, weights=tuple(sorted(weights.items())))


def _tail_limits(instance: Instance) -> list[tuple[str, tuple[int, int]]]:
    """Word and place of each of a program's measures."""
    return [
        (limit.measure, (number, max(member, 0)))
        for number, limit in enumerate(instance.risk)
        if is_tail_limit(limit)
        for _, member, _ in members(instance, limit)
    ]


def _pairs(tail: TailProof) -> tuple[tuple[int, float], ...]:
    return tuple(zip(map(int, tail.places.tolist()), tail.weights.tolist(), strict=True))


def _ball(program: Program, tail: TailProof, about: tuple[int, int]) -> Entry:
    """A Wasserstein ball's entry speaks of offers; teams of several say nothing there."""
    teams = program.teams
    alone = np.ones(len(tail.places), dtype=bool) if teams is None else teams.sizes[tail.places] == 1
    alone &= tail.weights > 0.0
    kept = dataclasses.replace(tail, places=program.columns[tail.places[alone]], weights=tail.weights[alone])
    return Entry("ambiguous", about, tail.y, _pairs(kept))
