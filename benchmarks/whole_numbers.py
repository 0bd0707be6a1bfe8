"""Rounds as people write them, by every strategy: none may lose its plan, and none may beat brute force.

    python benchmarks/whole_numbers.py                           2,000 rounds of each kind, a few minutes
    python benchmarks/whole_numbers.py --seconds 1800 --jobs 2   as many as half an hour allows, two at a time
    python benchmarks/whole_numbers.py --kind tails --from 4711 --rounds 1 --strategy lagrangian

Each round has a seed, printed where something is wrong with it: ``--from SEED --rounds 1`` makes it again.
``--from new`` begins at a seed that no run had, and prints it. A line on standard error says how far it is.
When the seconds are over, a round that is being solved is left as it is, and named. A process that dies is
a fault.
What counts: a plan that is not verified, an exception that is no refusal, commentary that was left out,
numbers that had to be recounted, a plan that does not verify once read back, and on small rounds of one stage
without tail limits, of two stages and of periods an objective above, or a bound below, what trying every plan
or policy finds. The exit code is 1 where any of these happened.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import bondwork
from many_rounds import ProgressLine, spread
from oracle import Oracle
from people_oracles import Unanswered, best_with_periods, best_with_rescues, is_listed
from people_rounds import KINDS, Document, Kind, counted_whole, decimals_as_text, people_round, sizes

if TYPE_CHECKING:
    from collections.abc import Iterator

AUCTIONS = ("first-price", "second-price", "dutch", "reverse-dutch", "broker")
ONE_STAGE = ("auto", "extensive", "greedy", "relaxation", "lagrangian", "expected-value", *AUCTIONS)
STRATEGIES: dict[Kind, tuple[str, ...]] = {
    "sums": ONE_STAGE,
    "tails": ONE_STAGE,
    "second stage": ("auto", "extensive", "l-shaped", "saa", "greedy", "expected-value"),
    "periods": ("auto", "extensive", "l-shaped", "saa", "expected-value"),
}

#: Strategies that prove what they find to be the best.
EXACT = ("auto", "extensive", "l-shaped")

#: Why a solve of such a round may stop.
SOUND = ("optimal", "locally_solved", "infeasible", "locally_infeasible", "time_limit")

#: Share of the sizes of its terms by which an objective may differ from the exact one.
ROUNDING = 1e-9


def is_summed(document: Document) -> bool:
    """Whether trying every plan in exact numbers answers the round."""
    curves = any(each.get("load_curve", {}).get("weight") for each in document["coprocessors"])
    return len(document["tasks"]) <= 4 and not curves and counted_whole(document)


def best_of(kind: Kind, document: Document) -> Any:
    """What trying every plan or policy finds: ``None`` where there is none, ``False`` where nobody tries."""
    if kind == "sums" and is_summed(document):
        found = Oracle(decimals_as_text(document)).best()
        return None if found is None else found.objective
    try:
        if kind == "second stage":
            return best_with_rescues(document)
        if kind == "periods":
            return best_with_periods(document)
    except Unanswered:
        pass
    return False


def faults_of(document: Document, strategy: str, best: Any, tally: Counter[str], limit: float) -> list[str]:
    """What is wrong with a strategy's answer to a round."""
    instance = bondwork.load(document)
    try:
        plan = bondwork.solve(instance, strategy=strategy, mip_rel_gap=0.0, time_limit=limit)
    except bondwork.Refusal as refusal:
        tally[f"refused by {strategy}: {str(refusal)[:60]}"] += 1
        return []
    except Exception as error:
        return [f"{type(error).__name__}: {str(error)[:300]}"]
    tally[plan.status] += 1
    told = [] if plan.status in SOUND else [f"status {plan.status}"]
    told += [f"note: {n[:300]}" for n in plan.provenance.notes if "does not verify" in n or "recounted" in n]
    told += [f"note: {n[:300]}" for n in plan.provenance.notes if "repaired" in n]
    if not plan.verified:
        told.append("not verified")
    verdict = bondwork.verify(instance, json.loads(plan.to_json()))
    if not verdict:
        told.append(f"read back: {'; '.join(map(str, verdict.violations))[:300]}")
    if best is not False and (is_listed(plan) or not _has_stages(document)):
        tally["compared with brute force"] += 1
        told += _against(best, plan, strategy, ROUNDING * sizes(document))
    return told


def _has_stages(document: Document) -> bool:
    return "periods" in document or any("stage" in each for each in document["offers"])


def _against(best: Any, plan: bondwork.Plan, strategy: str, slack: float) -> list[str]:
    """Compare with the best of all plans; ``None`` where there is none."""
    if best is None:
        return [] if plan.objective is None else [f"a plan of an infeasible round, worth {plan.objective}"]
    if plan.status == "infeasible":
        return [f"infeasible; a plan is worth {float(best)}"]
    told = []
    if plan.objective is not None and plan.objective > best + slack:
        told.append(f"objective {plan.objective!r} above {float(best)!r}")
    proven = strategy in EXACT and plan.status == "optimal" and plan.objective is not None
    if proven and plan.objective < best - slack:
        told.append(f"optimal at {plan.objective!r}; {float(best)!r} is possible")
    if plan.bound is not None and plan.bound < best - slack and strategy not in AUCTIONS:
        told.append(f"bound {plan.bound!r} below {float(best)!r}")
    return told


class Task(NamedTuple):
    """A round to be made, and what is done with it."""

    kind: Kind
    seed: int
    strategies: tuple[str, ...]
    limit: float
    show: bool

    def __str__(self) -> str:
        return f"{self.kind} {self.seed}"


def try_round(task: Task) -> tuple[list[str], Counter[str]]:
    """Solve a round by every strategy: what is wrong, and what is counted."""
    rng = random.Random(f"{task.kind} {task.seed}")
    more = (10, 20) if task.kind in ("sums", "tails") else (5, 6)
    document = people_round(rng, task.kind, tasks=rng.choice([None, None, None, *more]))
    if task.show:
        print(json.dumps(document, indent=1), flush=True)
    best = best_of(task.kind, document)
    tally = Counter({f"rounds of {task.kind}": 1})
    told = []
    for strategy in task.strategies:
        found = faults_of(document, strategy, best, tally, task.limit)
        told += [f"{task} {strategy}: {fault}" for fault in found]
    return told, tally


def tasks(asked: argparse.Namespace, first: int) -> Iterator[Task]:
    """Yield the rounds in the order of their seeds; without end where only the time is limited."""
    rounds = asked.rounds or (None if asked.seconds < float("inf") else 2000)
    for seed in itertools.count(first) if rounds is None else range(first, first + rounds):
        for kind in asked.kind or KINDS:
            strategies = tuple(asked.strategy or STRATEGIES[kind])
            yield Task(kind, seed, strategies, asked.time_limit, asked.show)


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--strategy", action="append")
    parser.add_argument("--rounds", type=int, help="of each kind; 2,000 where --seconds sets no end")
    parser.add_argument("--from", dest="first", default="0", metavar="SEED|new", help="first seed")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--time-limit", type=float, default=float("inf"))
    parser.add_argument("--show", action="store_true", help="print each round before it is solved")
    return parser.parse_args()


def main() -> int:
    """Run, print what is wrong, and the tally."""
    asked = read_arguments()
    begun = time.monotonic()
    first = random.SystemRandom().randrange(10**6, 10**9) if asked.first == "new" else int(asked.first)
    print(f"seeds from {first} on", flush=True)
    tally: Counter[str] = Counter()
    line = ProgressLine()
    wrong = rounds = 0
    busy: list[Task] = []

    def tell(at_work: list[Task]) -> None:
        busy[:] = at_work
        names = ", ".join(map(str, at_work))
        line.show(f"{time.monotonic() - begun:.0f} s, {rounds} rounds, {wrong} faults; now {names}")

    for done in spread(try_round, tasks(asked, first), max(asked.jobs, 1), begun + asked.seconds, tell):
        if done.died is not None:
            told, counted = [f"{done.item}: its process ended with code {done.died}"], Counter[str]()
        else:
            told, counted = done.result
        rounds, wrong, tally = rounds + 1, wrong + len(told), tally + counted
        for fault in told:
            line.clear()
            print(fault, flush=True)
    line.clear()
    if time.monotonic() - begun >= asked.seconds and busy:
        print(f"unfinished when the time was up: {', '.join(map(str, busy))}")
    print(json.dumps(dict(sorted(tally.items())), indent=1))
    print(f"{wrong} faults in {rounds} rounds")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
