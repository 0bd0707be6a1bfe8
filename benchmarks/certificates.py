"""Certificates of tiny rounds as people write them: recomputed exactly, and against every plan there is.

    python benchmarks/certificates.py                            2,000 seeds
    python benchmarks/certificates.py --plans 100000 --jobs 2    until there are so many plans
    python benchmarks/certificates.py --seconds 1800             as many as half an hour allows
    python benchmarks/certificates.py --kind tails --from 4711 --rounds 1 --strategy lagrangian

Each round has a seed, printed where something is wrong with it: ``--from SEED --rounds 1`` makes it again. Of
each plan: the multipliers are as good after a trip through JSON (every few rounds); where limits are sums, in
rounds with a second stage, with later periods and in programs, the bound is not below (of a minimisation not
above) what exact fractions of the document give from the same multipliers, by a second program of each kind
(`tests/*certificate_oracle.py`), and above that by at most 1e-9 of what the bound is made of, which is the
tolerance of rows; and no plan that keeps every limit earns more (all are tried, where there are not too
many). Nothing is feasible where a certificate says so. The exit code is 1 where any of this fails.

How far above is counted by two measures besides: more than 1e-9 of the bound itself, and of the largest term
of the bound. Where prices of what is left and worth of work cancel to nearly nothing, the first says nothing:
a limit's tolerance is a share of the limit. Every half minute a line tells how far it is.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice, product
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import bondwork
from bondwork.base.tolerances import ROW
from bondwork.contracts import Options
from bondwork.plan.recount import Recount
from bondwork.plan.recount_loads import LoadRecount
from bondwork.plan.recount_risk import TailRecount
from bondwork.problem.periods import is_staged
from bondwork.program.program_solving import solve_stochastic
from bondwork.program.program_verify import verify_solution
from certificate_oracle import Proof
from horizon_certificate_oracle import HorizonProof
from people_oracles import Unanswered, best_with_periods, best_with_rescues, is_listed
from people_rounds import Document, Kind, counted_whole, people_round, sizes
from program.hostile_programs import exact_optimum
from program.program_certificate_oracle import ProgramProof, people_program
from rescue_certificate_oracle import RescueProof

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.program.program_solution import ProgramSolution

#: Kinds of rounds, and programs; and every how many seeds there is one of each: a plan of a round with later
#: stages takes as long as five of others.
KINDS: dict[str, int] = {"sums": 1, "tails": 2, "programs": 2, "second stage": 8, "periods": 6}

#: Strategies that decide each kind.
STRATEGIES = {
    "sums": (
        *("extensive", "relaxation", "lagrangian", "greedy", "reverse-dutch", "dutch", "first-price"),
        *("second-price", "broker", "highs-ipm", "highs-primal-simplex"),
    ),
    "tails": ("extensive", "relaxation", "lagrangian", "greedy", "reverse-dutch", "first-price", "highs-ipm"),
    "second stage": ("extensive", "relaxation", "lagrangian", "greedy", "reverse-dutch", "l-shaped", "saa"),
    "periods": ("extensive", "l-shaped", "saa", "expected-value"),
    "programs": ("extensive", "highs-ipm", "l-shaped"),
}

#: Every how many rounds all tasks are required, which is often infeasible; tail limits are cuts; and plans
#: are written to JSON and verified once more.
REQUIRED, CUTS, READ_BACK = 8, 4, 8

#: How programs are solved.
EXACT = Options(threads=1, mip_rel_gap=0.0)

#: Rounds that wait for each process.
AHEAD = 8

#: Plans of a round that are tried at most.
MOST_PLANS = 1_000

#: Share of what a bound is made of by which a certificate's may be above what fractions give.
WIDER = Fraction(1, 10**9)

#: Share of the amounts of a round by which its limits are known where decimals stand for them.
ROUNDING = Fraction(1, 10**15)

#: Share of the sizes of its terms that an objective loses to rounding.
ROUNDED = 1e-12

#: A second program that works out what multipliers prove.
Oracle: TypeAlias = Proof | HorizonProof | RescueProof | ProgramProof


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
        needs = any(limit.measure != "expected" for limit in instance.risk)
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
        if weight > 0.0:
            risk = TailRecount(recount, chosen).network_cvar(instance.objective.risk_level)
            return (1.0 - weight) * math.fsum(terms) - weight * risk
        return math.fsum(terms)


def faults_of(document: Document, instance: bondwork.Instance, task: Task, known: _Known) -> list[str]:
    """What is wrong with the certificate of a strategy's plan."""
    form: Any = "cuts" if task.kind == "tails" and task.seed % CUTS == 0 else "auto"
    try:
        plan = bondwork.solve(instance, strategy=task.strategy, mip_rel_gap=0.0, threads=1, risk_form=form)
    except bondwork.Refusal:
        return []
    tally = known.tally
    tally["plans"] += 1
    if task.seed % READ_BACK == 0:
        verdict = bondwork.verify(instance, json.loads(plan.to_json()))
        if not verdict:
            return [f"read back: {'; '.join(map(str, verdict.violations))[:300]}"]
    if not plan.verified:
        return ["not verified"]
    certificate = plan.certificate
    if certificate is None:
        tally[f"none: {plan.status}"] += 1
        odd = [note for note in plan.provenance.notes if note.startswith("no certificate")]
        return [] if plan.solution == "none" else [f"no certificate: {odd}"]
    tally[certificate.kind] += 1
    if certificate.vouched_by:
        tally[f"vouched for by {certificate.vouched_by}"] += 1
    calibrated = any(value.calibrated is not None for value in plan.risk)
    proof = None if calibrated else _oracle(document, instance, plan)
    told = [] if proof is None else _exactly(plan, proof, Fraction(sizes(document)), tally)
    if calibrated:
        return told
    if plan.provenance.seed not in known.best:
        known.best[plan.provenance.seed] = _best(document, instance, plan)
    best = known.best[plan.provenance.seed]
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


def _oracle(document: Document, instance: bondwork.Instance, plan: bondwork.Plan) -> Oracle | None:
    """What works the bound out once more; ``None`` where curves or scenarios of one stage are in it."""
    certificate, seed = plan.certificate, plan.provenance.seed
    assert certificate is not None
    curves = any(each.get("load_curve", {}).get("weight") for each in document["coprocessors"])
    tails = any(each["measure"] != "expected" for each in document["risk"]) or document.get("objective")
    tied = "dependence" in document["uncertainty"] and any("replicas" in each for each in document["tasks"])
    later = any(each.get("stage") == 2 for each in document["offers"])
    if not all(counted_whole(document | period) for period in ({}, *document.get("periods", []))):
        return None
    if is_staged(instance):
        return None if tails else HorizonProof(document, seed, certificate.multipliers)
    if plan.provenance.tree_sha256 is not None:
        return RescueProof(instance, seed, certificate.multipliers)
    return None if curves or tails or tied or later else Proof(document, certificate.multipliers)


def _exactly(
    plan: bondwork.Plan | ProgramSolution, proof: Oracle, amounts: Fraction, tally: Counter[str]
) -> list[str]:
    """Compare with exact fractions; ``amounts`` are what the rounding of decimals is measured by."""
    certificate, sign = plan.certificate, 1
    assert certificate is not None
    if isinstance(proof, ProgramProof):
        exact, sign = proof.bound, proof.sign
    elif certificate.kind == "infeasibility":
        exact = proof.bound(earning=False)
        return [] if exact is None or exact < 0 else [f"multipliers of infeasibility give {float(exact)!r}"]
    else:
        exact = proof.bound()
    if exact is None or certificate.bound is None:
        return ["a bound although a required task has nobody"]
    tally["exact"] += 1
    above = sign * (Fraction(certificate.bound) - exact)
    if above > WIDER * abs(exact):
        tally["above by more than 1e-9 of the bound"] += 1
    if above > WIDER * proof.largest:
        tally["above by more than 1e-9 of the largest term"] += 1
    if above < 0:
        return [f"proven bound {certificate.bound!r} below the exact one by {float(-above)!r}"]
    if above > WIDER * proof.size + ROUNDING * amounts:
        share = float(above / proof.size) if proof.size else math.inf
        return [f"above the exact bound {float(exact)!r} by {float(above)!r}, {share:g} of its terms"]
    return []


def faults_of_program(task: Task, tally: Counter[str]) -> list[str]:
    """What is wrong with the certificate of a program's solution."""
    try:
        program = people_program(task.seed)
    except bondwork.InvalidInput:  # bounds that cross
        return []
    try:
        solution = solve_stochastic(program, EXACT, strategy=task.strategy)
    except bondwork.Refusal:
        return []
    tally["plans"] += 1
    tally[f"programs, {program.sense}"] += 1
    if not (verdict := verify_solution(program, json.loads(solution.to_json()))):
        return [f"read back: {'; '.join(map(str, verdict.violations))[:300]}"]
    certificate = solution.certificate
    if certificate is None:
        tally[f"none of a program: {solution.status}"] += 1
        return []
    tally[certificate.kind] += 1
    optimum = exact_optimum(program) if task.seed % 3 == 0 else None
    tally["brute"] += task.seed % 3 == 0
    if certificate.kind == "infeasibility":
        return [] if optimum is None else [f"proven infeasible; the optimum is {float(optimum)!r}"]
    proof = ProgramProof(program, certificate.multipliers)
    told = [] if proof.bound is None else _exactly(solution, proof, Fraction(0), tally)
    assert certificate.bound is not None
    if optimum is not None and proof.sign * (Fraction(certificate.bound) - optimum) < 0:
        told.append(f"proven bound {certificate.bound!r} beaten by {float(optimum)!r}")
    return told


class Task(NamedTuple):
    """A round or program to look at: its kind, its seed, by which strategy."""

    kind: str
    seed: int
    strategy: str


class Work(NamedTuple):
    """The tasks of one round or program, and when time is up."""

    tasks: tuple[Task, ...]
    ends: float


@dataclass
class _Known:
    """What is known of a round, whatever the strategy: what the best of all plans is worth, by seed."""

    tally: Counter[str]
    best: dict[int, Any] = field(default_factory=dict)


def look_at(work: Work) -> tuple[Counter[str], list[str]]:
    """Tally and faults of the plans of one round or program."""
    kind, seed, _ = work.tasks[0]
    tally: Counter[str] = Counter({f"rounds of {kind}": 1})
    document, instance = {}, None
    if kind != "programs":
        document = people_round(random.Random(f"{kind} {seed}"), cast("Kind", kind))
        if seed % REQUIRED == 0:
            document["tasks"] = [each | {"required": True} for each in document["tasks"]]
        instance = bondwork.load(document)
    known, faults = _Known(tally), []
    for task in work.tasks:
        if time.time() > work.ends:
            break
        if instance is None:
            found = faults_of_program(task, tally)
        else:
            found = faults_of(document, instance, task, known)
        faults += [f"{kind} {seed} {task.strategy}: {fault}" for fault in found]
    return tally, faults


def work_of(asked: argparse.Namespace, ends: float) -> Iterator[Work]:
    """Rounds to look at, until time is up."""
    for seed in range(asked.first, asked.first + asked.rounds):
        for kind, every in KINDS.items():
            if kind not in asked.kind if asked.kind else seed % every:
                continue
            if time.time() > ends:
                return
            yield Work(tuple(Task(kind, seed, each) for each in asked.strategy or STRATEGIES[kind]), ends)


def results_of(works: Iterator[Work], jobs: int) -> Iterator[tuple[Work, Counter[str], list[str]]]:
    """Look at rounds, some at a time in processes of their own."""
    if jobs <= 1:
        for work in works:
            yield work, *look_at(work)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting: dict[Future[tuple[Counter[str], list[str]]], Work] = {}
        while True:
            waiting |= {
                pool.submit(look_at, work): work for work in islice(works, AHEAD * jobs - len(waiting))
            }
            if not waiting:
                return
            for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(done), *done.result()


def main() -> int:
    """Run, print what is wrong, and the tally."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--strategy", action="append")
    parser.add_argument("--rounds", type=int, help="seeds; 2,000 where --plans does not say")
    parser.add_argument("--plans", type=int, default=sys.maxsize, help="stop after so many")
    parser.add_argument("--from", dest="first", type=int, default=0, help="first seed")
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--jobs", type=int, default=1, help="rounds that are looked at side by side")
    asked = parser.parse_args()
    asked.rounds = asked.rounds or (2000 if asked.plans == sys.maxsize else asked.plans)
    begun = told = time.time()
    tally: Counter[str] = Counter()
    wrong = 0
    for work, more, faults in results_of(work_of(asked, begun + asked.seconds), asked.jobs):
        tally += more
        wrong += len(faults)
        for fault in faults:
            print(fault, flush=True)
        now = time.time()
        if now > told + 30.0:
            told = now
            print(
                f"{now - begun:.0f} s: {tally['plans']} plans, {tally['exact']} against exact fractions, "
                f"{tally['brute']} against every plan, {wrong} faults; at seed {work.tasks[0].seed}",
                flush=True,
            )
        if tally["plans"] >= asked.plans:
            break
    print(json.dumps(dict(sorted(tally.items())), indent=1))
    print(f"{wrong} faults, {time.time() - begun:.0f} s, {time.process_time():.0f} s of this process")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
