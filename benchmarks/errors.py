"""How often 1.96 standard errors cover the exact value: limits of fixed choices on fresh scenarios.

    python benchmarks/errors.py [--seeds 1000]

Outcomes are independent, so that the exact values are known; every seed measures the same choice on 20,000
fresh scenarios, as plans do whose losses cannot be listed. Printed is the covered share by law and measure.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import bondwork
from bondwork.problem.teams import teams_of_offers
from bondwork.risk.assessment import FRESH_SCENARIOS, fresh_seed
from bondwork.risk.exact_tails import ExactTails
from bondwork.risk.limits import members, tail_measures
from bondwork.uncertainty.sampling import sample_round

LAWS: dict[str, tuple[list[float], list[int], float]] = {
    "twelve tasks": ([0.98, 0.95, 0.9, 0.97, 0.92, 0.99, 0.96, 0.88, 0.94, 0.98, 0.93, 0.91],
                     [10, 20, 13, 8, 30, 50, 17, 22, 9, 41, 28, 15], 0.0),
    "twelve tasks, outages": ([0.9] * 12, [10, 20, 13, 8, 30, 50, 17, 22, 9, 41, 28, 15], 0.03),
    "three alike": ([0.9] * 3, [30] * 3, 0.0),
    "one rare one": ([0.9996], [100], 0.0),
}  # fmt: skip


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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    seeds = parser.parse_args().seeds
    for name, law in LAWS.items():
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
