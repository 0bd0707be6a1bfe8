"""Certificates of tiny rounds as people write them: recomputed exactly, and against every plan there is.

    python benchmarks/certificates.py                            2,000 rounds of each kind, by each strategy
    python benchmarks/certificates.py --plans 100000 --jobs 2    until there are so many plans
    python benchmarks/certificates.py --seconds 1800             as many as half an hour allows
    python benchmarks/certificates.py --kind tails --from 4711 --rounds 1 --strategy lagrangian

Each round has a seed, printed where something is wrong with it: ``--from SEED --rounds 1`` makes it again. Of
each plan: what `verify` recomputes is what the certificate states; where limits are sums, or there is a
second stage, it is not below what exact fractions of the document give from the same multipliers
(`tests/certificate_oracle.py`, `tests/rescue_certificate_oracle.py`), and above it by no more than 1e-9 of it
(with a second stage by the tolerance of rows); and no plan that keeps every limit earns more (all are tried,
where there are not too many). Nothing is feasible where a certificate says so. The exit code is 1 where any
of this fails. Every half minute a line tells how far it is.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from itertools import islice, product
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import bondwork
from bondwork.base.tolerances import ROW
from bondwork.plan.recount import Recount
from bondwork.plan.recount_loads import LoadRecount
from bondwork.plan.recount_risk import TailRecount
from bondwork.problem.periods import is_staged
from certificate_oracle import Proof
from horizon_certificate_oracle import HorizonProof
from people_oracles import Unanswered, best_with_periods, best_with_rescues, is_listed
from people_rounds import Document, Kind, counted_whole, people_round, sizes
from rescue_certificate_oracle import RescueProof

if TYPE_CHECKING:
    from collections.abc import Iterator

STRATEGIES = ("extensive", "relaxation", "lagrangian", "greedy", "reverse-dutch", "l-shaped", "saa")
STAGED = ("extensive", "l-shaped", "saa", "expected-value")
KINDS: tuple[Kind, ...] = ("sums", "tails", "second stage", "periods")

#: Plans of a round that are tried at most.
MOST_PLANS = 3_000

#: Share of an exact bound by which a certificate's may be above it.
WIDER = Fraction(1, 10**9)

#: Share of the amounts of a round by which its limits are known where decimals stand for them.
ROUNDING = Fraction(1, 10**15)

#: Share of the sizes of its terms that an objective loses to rounding.
ROUNDED = 1e-12


def strategies_of(kind: Kind) -> tuple[str, ...]:
    """Strategies that decide rounds of a kind."""
    return STAGED if kind == "periods" else STRATEGIES


class Everything:
    """Every plan of a round: what the best earns that keeps all limits, tolerances included."""

    def __init__(self, instance: bondwork.Instance, seed: int) -> None:
        self.recount = Recount(instance, seed)
        self.instance = instance
        offers: dict[int, list[int]] = {}
        for offer, can in enumerate(self.recount.eligible):
            if can:
                offers.setdefault(self.recount.task[offer], []).append(offer)
        self.ways = []
        for task in range(len(instance.tasks)):
            if task in self.recount.committed:
                continue
            teams: list[tuple[int, ...]] = list(self.recount.teams.possible(offers.get(task, [])))
            self.ways.append(teams if instance.tasks.required[task] else [*teams, ()])
        self.count = math.prod(map(len, self.ways))
        needs = instance.objective.risk_weight > 0.0 or any(r.measure != "expected" for r in instance.risk)
        self.tails = TailRecount(self.recount, []) if needs else None

    def best(self) -> float | None:
        """What the best plan earns; ``None`` where there is none."""
        found: float | None = None
        for teams in product(*self.ways):
            chosen = [offer for team in teams for offer in team]
            earned = self.earned(chosen)
            if (found is None or earned > found) and self.holds(chosen):
                found = earned
        return found

    def holds(self, chosen: list[int]) -> bool:
        """Whether a choice keeps every limit."""
        if any(each.excess() > each.tolerance() for each in self.recount.accounts(chosen).values()):
            return False
        for limit in self.instance.risk:
            for member in self.recount.members(limit.scope, limit.member):
                if limit.measure == "expected" or self.tails is None:
                    continue
                ceiling = limit.probability if limit.measure in ("chance", "solvency") else limit.budget
                most = max(ceiling, self.tails.committed(limit, member))
                if self.tails.value_of(limit, member, chosen) > most + ROW * abs(most):
                    return False
        return True

    def earned(self, chosen: list[int]) -> float:
        """What a choice earns."""
        recount, instance = self.recount, self.instance
        price = {offer: recount.bid[offer] for offer in chosen}
        terms = [t for team in recount.teams.group(chosen) for t in recount.net_terms(team, price)]
        done = {recount.task[offer] for offer in chosen} | recount.committed
        cost = instance.tasks.unassigned_cost.tolist()
        terms += [-each for task, each in enumerate(cost) if task not in done]
        terms += LoadRecount(recount, chosen).worths()
        weight = instance.objective.risk_weight
        if weight > 0.0 and self.tails is not None:
            tails = TailRecount.__new__(TailRecount)
            tails.__dict__.update(self.tails.__dict__)
            tails.teams = recount.teams.group(chosen)
            return (1.0 - weight) * math.fsum(terms) - weight * tails.network_cvar(
                instance.objective.risk_level
            )
        return math.fsum(terms)


def faults_of(
    document: Document,
    instance: bondwork.Instance,
    strategy: str,
    tally: Counter[str],
    known: dict[int, Any],
) -> list[str]:
    """What is wrong with the certificate of a strategy's plan."""
    try:
        plan = bondwork.solve(instance, strategy=strategy, mip_rel_gap=0.0, threads=1)
    except bondwork.Refusal:
        return []
    tally["plans"] += 1
    verdict = bondwork.verify(instance, json.loads(plan.to_json()))
    if not verdict:
        return [f"read back: {'; '.join(map(str, verdict.violations))[:300]}"]
    certificate = plan.certificate
    if certificate is None:
        tally[f"none: {plan.status}"] += 1
        odd = [note for note in plan.provenance.notes if note.startswith("no certificate")]
        return [] if plan.solution == "none" else [f"no certificate: {odd}"]
    tally[certificate.kind] += 1
    if certificate.vouched_by:
        tally[f"vouched for by {certificate.vouched_by}"] += 1
    calibrated = any(value.calibrated is not None for value in plan.risk)
    if plan.provenance.tree_sha256 is None or is_staged(instance):
        told = _exactly(document, instance, plan, tally)
    else:
        told = [] if calibrated else _exactly_with_rescues(document, instance, plan, tally)
    if calibrated:
        return told
    if plan.provenance.seed not in known:
        known[plan.provenance.seed] = _best(document, instance, plan)
    best = known[plan.provenance.seed]
    if best is False:
        return told
    tally["brute"] += 1
    if certificate.kind == "infeasibility":
        return told if best is None else [*told, f"proven infeasible; a plan is worth {best!r}"]
    slack = ROUNDED * sizes(document)
    if best is not None and certificate.bound is not None and certificate.bound < best - slack:
        told.append(f"proven bound {certificate.bound!r} below {best!r}")
    return told


def _best(document: Document, instance: bondwork.Instance, plan: bondwork.Plan) -> float | bool | None:
    """What the best of all plans is worth; ``None`` where there is none, false where nobody can say."""
    if plan.provenance.tree_sha256 is None:
        every = Everything(instance, plan.provenance.seed)
        return every.best() if every.count <= MOST_PLANS else False
    best = best_with_periods if is_staged(instance) else best_with_rescues
    try:
        return best(document) if is_listed(plan) else False
    except Unanswered:
        return False


def _exactly_with_rescues(
    document: Document, instance: bondwork.Instance, plan: bondwork.Plan, tally: Counter[str]
) -> list[str]:
    """Compare with every choice of every task at every outcome, in exact fractions."""
    certificate = plan.certificate
    assert certificate is not None
    if not counted_whole(document):
        return []
    proof = RescueProof(instance, plan.provenance.seed, certificate.multipliers)
    if certificate.bound is None:
        exact = proof.bound(earning=False)
        return [] if exact is None or exact < 0 else [f"multipliers of infeasibility give {float(exact)!r}"]
    exact = proof.bound()
    if exact is None:
        return ["a bound although a required task has nobody"]
    tally["exact"] += 1
    above = Fraction(certificate.bound) - exact
    if above > WIDER * abs(exact) + Fraction(ROUNDED) * Fraction(sizes(document)):
        tally["above by more than 1e-9 of the bound"] += 1
    if above < 0:
        return [f"proven bound {certificate.bound!r} below the exact one by {float(-above)!r}"]
    size = max(abs(exact), proof.constant, Fraction(sizes(document)))
    return (
        [] if above <= 2 * WIDER * size else [f"above the exact bound {float(exact)!r} by {float(above)!r}"]
    )


def _exactly(
    document: Document, instance: bondwork.Instance, plan: bondwork.Plan, tally: Counter[str]
) -> list[str]:
    """Compare with exact fractions, where the round has no scenarios and no curves."""
    curves = any(each.get("load_curve", {}).get("weight") for each in document["coprocessors"])
    tails = any(each["measure"] != "expected" for each in document["risk"]) or document.get("objective")
    tied = "dependence" in document["uncertainty"] and any("replicas" in each for each in document["tasks"])
    later = any(each.get("stage") == 2 for each in document["offers"])
    whole = all(counted_whole(document | period) for period in ({}, *document.get("periods", [])))
    certificate = plan.certificate
    if certificate is None or curves or tails or tied or later or not whole:
        return []
    proof: Proof | HorizonProof
    if is_staged(instance):
        proof = HorizonProof(document, plan.provenance.seed, certificate.multipliers)
    else:
        proof = Proof(document, certificate.multipliers)
    if certificate.bound is None:
        exact = proof.bound(earning=False)
        return [] if exact is None or exact < 0 else [f"multipliers of infeasibility give {float(exact)!r}"]
    exact = proof.bound()
    if exact is None:
        return ["a bound although a required task has nobody"]
    tally["exact"] += 1
    above = Fraction(certificate.bound) - exact
    if above < 0:
        return [f"proven bound {certificate.bound!r} below the exact one by {float(-above)!r}"]
    if above > WIDER * abs(exact):
        # where worth and prices cancel to nothing but the rounding of amounts that are no doubles
        if above > ROUNDING * Fraction(sizes(document)):
            return [f"above the exact bound {float(exact)!r} by {float(above)!r}"]
        tally["above by more than 1e-9, and less than 1e-15 of the amounts"] += 1
    return []


class Task(NamedTuple):
    """A round to look at: its kind, its seed, by which strategies, until when."""

    kind: Kind
    seed: int
    strategies: tuple[str, ...]
    ends: float


def look_at(task: Task) -> tuple[Counter[str], list[str]]:
    """Tally and faults of the plans of one round."""
    document = people_round(random.Random(f"{task.kind} {task.seed}"), task.kind)
    instance = bondwork.load(document)
    tally: Counter[str] = Counter({f"rounds of {task.kind}": 1})
    known: dict[int, Any] = {}
    faults = []
    for strategy in task.strategies:
        if time.time() > task.ends:
            break
        found = faults_of(document, instance, strategy, tally, known)
        faults += [f"{task.kind} {task.seed} {strategy}: {fault}" for fault in found]
    return tally, faults


def tasks_of(asked: argparse.Namespace, ends: float) -> Iterator[Task]:
    """Rounds to look at, until time is up."""
    for seed in range(asked.first, asked.first + asked.rounds):
        for kind in asked.kind or KINDS:
            if time.time() > ends:
                return
            yield Task(kind, seed, tuple(asked.strategy or strategies_of(kind)), ends)


def results_of(tasks: Iterator[Task], jobs: int) -> Iterator[tuple[Task, Counter[str], list[str]]]:
    """Look at rounds, some at a time in processes of their own."""
    if jobs <= 1:
        for task in tasks:
            yield task, *look_at(task)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        while batch := list(islice(tasks, 16 * jobs)):
            for task, told in zip(batch, pool.map(look_at, batch, chunksize=4), strict=True):
                yield task, *told


def main() -> int:
    """Run, print what is wrong, and the tally."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--strategy", action="append")
    parser.add_argument("--rounds", type=int, help="of each kind; 2,000 where --plans does not say")
    parser.add_argument("--plans", type=int, default=sys.maxsize, help="stop after so many")
    parser.add_argument("--from", dest="first", type=int, default=0, help="first seed")
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--jobs", type=int, default=1, help="rounds that are looked at side by side")
    asked = parser.parse_args()
    asked.rounds = asked.rounds or (2000 if asked.plans == sys.maxsize else asked.plans)
    begun = told = time.time()
    tally: Counter[str] = Counter()
    wrong = 0
    for task, more, faults in results_of(tasks_of(asked, begun + asked.seconds), asked.jobs):
        tally += more
        wrong += len(faults)
        for fault in faults:
            print(fault, flush=True)
        now = time.time()
        if now > told + 30.0:
            told = now
            print(
                f"{now - begun:.0f} s: {tally['plans']} plans, {tally['exact']} against exact fractions, "
                f"{tally['brute']} against every plan, {wrong} faults; at seed {task.seed}",
                flush=True,
            )
        if tally["plans"] >= asked.plans:
            break
    print(json.dumps(dict(sorted(tally.items())), indent=1))
    print(f"{wrong} faults, {time.time() - begun:.0f} s, {time.process_time():.0f} s of this process")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
