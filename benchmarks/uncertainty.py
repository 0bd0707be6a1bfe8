"""Time and peak memory of sampling and reduction at the sizes that issue 3 names.

    python benchmarks/uncertainty.py [sample|uncertain|forward|backward|medoids|nested ...]

Each case runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import numpy as np


def sample(*, concentration: float = np.inf, scenarios: int = 10_000, offers: int = 100_000) -> str:
    from bondwork.uncertainty.dependence import Dependence
    from bondwork.uncertainty.outcomes import OutcomeLaw
    from bondwork.uncertainty.sampling import sample_outcomes

    rng = np.random.default_rng(0)
    law = OutcomeLaw.of(
        rng.integers(0, 1000, offers),
        rng.uniform(0.92, 0.98, offers),
        concentration=concentration,
        outage_probability=np.full(1000, 0.01),
        dependence=Dependence(0.05, 0.3),
    )
    start = time.perf_counter()
    drawn = sample_outcomes(law, scenarios, seed=1, threads=2)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    drawn.loss(rng.random(offers) < 0.05, rng.random(offers))
    loss = time.perf_counter() - start
    share = len(drawn.scenario) / (scenarios * offers)
    return (
        f"{scenarios} scenarios x {offers} offers, {share:.2%} failures: {seconds:.1f} s; "
        f"loss of a plan of 5% of them: {loss:.2f} s"
    )


def uncertain() -> str:
    return "p uncertain, " + sample(concentration=40.0)


def _reduce(method: str) -> str:
    from bondwork.uncertainty.reduction import reduce_scenarios

    rng = np.random.default_rng(0)
    points = rng.standard_normal((10_000, 20)) @ rng.standard_normal((20, 1000))
    points += rng.standard_normal((10_000, 1000))
    start = time.perf_counter()
    reduction = reduce_scenarios(points, size=100, method=method)  # type: ignore[arg-type]
    seconds = time.perf_counter() - start
    return f"10000 scenarios of 1000 numbers to 100: {seconds:.1f} s, distance {reduction.distance:.4f}"


def forward() -> str:
    return _reduce("forward")


def backward() -> str:
    return _reduce("backward")


def medoids() -> str:
    return _reduce("medoids")


def nested() -> str:
    from bondwork.uncertainty.distance import nested_distance
    from bondwork.uncertainty.laws import Normal
    from bondwork.uncertainty.tree_reduction import reduce_tree
    from bondwork.uncertainty.tree_sampling import sample_tree

    tree = sample_tree([{"x": Normal()}] * 3, [10, 6, 5], seed=0)
    small = reduce_tree(tree, branching=[4, 3, 2])
    start = time.perf_counter()
    distance = nested_distance(tree, small.tree)
    seconds = time.perf_counter() - start
    return (
        f"trees of {len(tree.leaves)} and {len(small.tree.leaves)} scenarios: {seconds:.2f} s, {distance:.4f}"
    )


CASES = {case.__name__: case for case in (sample, uncertain, forward, backward, medoids, nested)}


def main(names: list[str]) -> None:
    if len(names) == 1:
        text = CASES[names[0]]()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{names[0]:10} {text}; peak {peak:.0f} MiB", flush=True)
        return
    for name in names or list(CASES):
        subprocess.run([sys.executable, __file__, name], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
