"""How often 1.96 standard errors cover the exact value: limits of fixed choices on fresh scenarios.

    python benchmarks/errors.py [--seeds 1000] [--only LAW]

Outcomes are independent, so that the exact values are known; every seed measures the same choice on 20,000
fresh scenarios, as plans do whose losses cannot be listed. Printed is the covered share by law and measure.

Laws that begin with "history" are about averages over the rounds of one: every seed is another history of the
same law, and what is to be covered comes of 100,000 rounds.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np

import bondwork
from bondwork.problem.teams import team_benefit, team_slashing, teams_of_offers
from bondwork.risk.assessment import FRESH_SCENARIOS, fresh_seed
from bondwork.risk.exact_tails import ExactTails
from bondwork.risk.history_errors import HistoryErrors
from bondwork.risk.limits import members, tail_measures
from bondwork.uncertainty.history import OutcomeHistory
from bondwork.uncertainty.sampling import sample_round

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.problem.instance import Instance

LAWS: dict[str, tuple[list[float], list[int], float]] = {
    "twelve tasks": ([0.98, 0.95, 0.9, 0.97, 0.92, 0.99, 0.96, 0.88, 0.94, 0.98, 0.93, 0.91],
                     [10, 20, 13, 8, 30, 50, 17, 22, 9, 41, 28, 15], 0.0),
    "twelve tasks, outages": ([0.9] * 12, [10, 20, 13, 8, 30, 50, 17, 22, 9, 41, 28, 15], 0.03),
    "three alike": ([0.9] * 3, [30] * 3, 0.0),
    "one rare one": ([0.9996], [100], 0.0),
}  # fmt: skip


#: Rounds of a history, share of bad ones, and failure rates in good and in bad ones.
HISTORIES: dict[str, tuple[int, float, float, float]] = {
    "history of 100, bad days": (100, 0.3, 0.15, 0.5),
    "history of 300, bad days": (300, 0.3, 0.15, 0.5),
    "history of 300, rare bad days": (300, 0.1, 0.05, 0.5),
}


def make_round(p: list[float], slashing: list[int], outage: float) -> dict[str, Any]:
    """Make a round of one offer a task, on three coprocessors."""
    tasks = [
        {"id": f"t{n}", "operator": "op", "reward": 1, "slashing": amount}
        for n, amount in enumerate(slashing)
    ]
    offers = [
        {"task": f"t{n}", "coprocessor": f"c{n % 3}", "bid": 0, "collateral": 10, "success_probability": each}
        for n, each in enumerate(p)
    ]
    budget = sum(slashing) // 4
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [
            {"id": f"c{c}", "free_collateral": 15, "outage_probability": outage} for c in range(3)
        ],
        "tasks": tasks,
        "offers": offers,
        "risk": [
            {"measure": "cvar", "level": 0.95, "budget": budget},
            {"measure": "cvar", "level": 0.99, "budget": budget},
            {"measure": "chance", "budget": budget, "probability": 0.05},
            {"measure": "solvency", "probability": 0.05, "of": {"coprocessor": "c0"}},
        ],
    }


def replicated(quorum: int) -> dict[str, Any]:
    """Make a round of one task with three executors, whose expected loss is limited."""
    task = {"id": "t", "operator": "op", "reward": 8, "slashing": 5, "replicas": 3, "quorum": quorum}
    offers = [
        {"task": "t", "coprocessor": c, "bid": 0, "success_probability": p}
        for c, p in zip("abc", (0.75, 0.8, 0.9), strict=True)
    ]
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": c} for c in "abc"],
        "tasks": [task],
        "offers": offers,
        "risk": [{"measure": "expected", "budget": 5}],
    }


def measure_history(name: str, seeds: int, quorum: int) -> None:
    """Measure how often errors under a history cover what very many rounds would tell."""
    rounds, share, good, bad = HISTORIES[name]
    instance = bondwork.load(replicated(quorum))
    chosen = np.arange(3)

    def beside(seed: int, rounds: int) -> Instance:
        rng = np.random.default_rng(seed)
        rate = np.where(rng.random((rounds, 1)) < share, bad, good)
        failed = rng.binomial(20, np.repeat(rate, 3, axis=1))
        done = np.full(failed.shape, 20)
        return bondwork.with_history(instance, OutcomeHistory(("a", "b", "c"), done, failed))

    def values(of: Instance) -> FloatArray:
        teams = teams_of_offers(of, chosen)
        return np.array([team_benefit(of, teams).sum(), team_slashing(of, teams).sum()])

    truth = values(beside(10**6, 100_000))
    covered = np.zeros(2)
    for seed in range(seeds):
        one = beside(seed, rounds)
        errors = HistoryErrors(one, chosen)
        spread = np.array([errors.objective or 0.0, errors.expected(one.risk[0], -1) or 0.0])
        covered += np.abs(values(one) - truth) <= 1.96 * spread
    for what, part in zip(("objective", "expected loss"), covered / seeds, strict=True):
        print(f"{name}, {quorum} of 3: {what}: {100 * part:.1f}%", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--only", default="", help="laws whose name begins so")
    asked = parser.parse_args()
    seeds: int = asked.seeds
    for name in HISTORIES:
        for quorum in (1, 2):
            if name.startswith(asked.only):
                measure_history(name, seeds, quorum)
    for name, law in LAWS.items():
        if not name.startswith(asked.only):
            continue
        instance = bondwork.load(make_round(*law))
        chosen = np.arange(len(instance.offers))
        teams = teams_of_offers(instance, chosen)
        whom = [(limit, *who) for limit in instance.risk for who in members(instance, limit)]
        known = ExactTails(instance, teams)
        exact = np.array([known.value(limit, scope, member) for limit, scope, member, _ in whom], float)
        covered = np.zeros(len(whom))
        for seed in range(seeds):
            fresh = sample_round(
                instance, scenarios=FRESH_SCENARIOS, seed=fresh_seed(seed), method="monte_carlo"
            )
            for n, measure in enumerate(tail_measures(instance, fresh, teams)):
                x = np.ones(len(teams))
                covered[n] += abs(measure.value(x) - exact[n]) <= 1.96 * measure.standard_error(x) + 1e-12
        for (limit, _, _, of), share, value in zip(whom, covered / seeds, exact, strict=True):
            level = f" {limit.level}" if limit.measure == "cvar" else ""
            print(f"{name}: {limit.measure}{level} of {of} ({value:.6g}): {100 * share:.1f}%", flush=True)


if __name__ == "__main__":
    main()
