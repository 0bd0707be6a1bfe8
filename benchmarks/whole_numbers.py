"""Rounds as people write them, by every strategy: none may lose its plan, and none may beat brute force.

    python benchmarks/whole_numbers.py                           2,000 rounds of each kind, a few minutes
    python benchmarks/whole_numbers.py --seconds 1800            as many as half an hour allows
    python benchmarks/whole_numbers.py --kind tails --from 4711 --rounds 1 --strategy lagrangian

Each round has a seed, printed where something is wrong with it: ``--from SEED --rounds 1`` makes it again.
What counts: a plan that is not verified, an exception that is no refusal, commentary that was left out,
numbers that had to be recounted, a plan that does not verify once read back, and on small rounds of one stage
without tail limits, of two stages and of periods an objective above, or a bound below, what trying every plan
or policy finds. The exit code is 1 where any of these happened.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import bondwork
from oracle import Oracle
from people_oracles import Unanswered, best_with_periods, best_with_rescues, is_listed
from people_rounds import KINDS, Document, Kind, counted_whole, decimals_as_text, people_round, sizes

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


def main() -> int:
    """Run, print what is wrong, and the tally."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--strategy", action="append")
    parser.add_argument("--rounds", type=int, default=2000, help="of each kind")
    parser.add_argument("--from", dest="first", type=int, default=0, help="first seed")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--time-limit", type=float, default=float("inf"))
    parser.add_argument("--show", action="store_true", help="print each round before it is solved")
    asked = parser.parse_args()
    ends = time.monotonic() + asked.seconds
    tally: Counter[str] = Counter()
    wrong = 0
    for seed in range(asked.first, asked.first + asked.rounds):
        for kind in asked.kind or KINDS:
            if time.monotonic() > ends:
                break
            rng = random.Random(f"{kind} {seed}")
            more = (10, 20) if kind in ("sums", "tails") else (5, 6)
            document = people_round(rng, kind, tasks=rng.choice([None, None, None, *more]))
            if asked.show:
                print(json.dumps(document, indent=1))
            best = best_of(kind, document)
            tally[f"rounds of {kind}"] += 1
            for strategy in asked.strategy or STRATEGIES[kind]:
                for fault in faults_of(document, strategy, best, tally, asked.time_limit):
                    wrong += 1
                    print(f"{kind} {seed} {strategy}: {fault}", flush=True)
    print(json.dumps(dict(sorted(tally.items())), indent=1))
    print(f"{wrong} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
