"""How fast reputations are filtered and fitted, and who forecasts best.

    python benchmarks/reputation.py
    python benchmarks/reputation.py --units 10000 --times 100 --repeat 3

Counts are drawn from a score-driven model: 1,000 units, 1,000 times, 5 trials each unless told otherwise.
Times are the best of the repeats, in wall-clock and processor seconds, compiled code loaded before.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    from bondwork.reputation.fitting import fit_pooled
    from bondwork.reputation.models import MODELS, one_step_forecasts
    from bondwork.reputation.score_driven import make_model
    from bondwork.reputation.scoring import log_score

    model = make_model("binomial", 0.08, 0.98, 0.05)
    drawn = model.simulate(given.units, given.times, seed=1, trials=float(given.trials))
    trials = np.full(drawn.y.shape, float(given.trials))
    small = drawn.y[:5, :5], trials[:5, :5]
    model.filter(*small)
    fit_pooled("binomial", *small)
    print(f"{os.cpu_count()} processors, load before: {os.getloadavg()[0]:.1f}")
    print(f"{given.units:,} units x {given.times:,} times                wall s   processor s")
    filtered = best(lambda: model.filter(drawn.y, trials), given.repeat)
    print(f"filter                              {filtered[0]:9.3f}     {filtered[1]:9.3f}")
    fitted = best(lambda: fit_pooled("binomial", drawn.y, trials), given.repeat)
    print(f"pooled fit                          {fitted[0]:9.3f}     {fitted[1]:9.3f}")
    fit = fitted[2].model
    told = ", ".join(f"{name} {float(getattr(fit, name)[0]):.4f}" for name in ("omega", "beta", "alpha"))
    print(f"true omega 0.0800, beta 0.9800, alpha 0.0500; fitted {told}")
    half = given.times // 2
    few = min(given.units, 200)
    y, n = drawn.y[:few], trials[:few]
    print(f"\nfitted on the first half of {few} units, mean log score of the second half (smaller is better)")
    for name, fit_model in MODELS.items():
        found = fit_model(y[:, :half], n[:, :half])
        forecast, _ = one_step_forecasts(found, y, n)
        arrays = y[:, half:], n[:, half:], forecast.mean[:, half:], forecast.concentration[:, half:]
        print(f"{name:12s} {float(log_score(*arrays).mean()):.5f}")


def best(call: Callable[[], Any], repeat: int) -> tuple[float, float, Any]:
    """Least wall-clock and processor seconds, and what the last call returned."""
    wall, processor, found = np.inf, np.inf, None
    for _ in range(repeat):
        started, busy = time.perf_counter(), time.process_time()
        found = call()
        wall = min(wall, time.perf_counter() - started)
        processor = min(processor, time.process_time() - busy)
    return wall, processor, found


if __name__ == "__main__":
    main()
