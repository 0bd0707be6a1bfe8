"""What calibration costs: calibrated plans against the optimum under the exact limit, on small rounds.

    python benchmarks/calibration.py [--rounds 20] [--scenarios 128 1024]

Rounds have whole slashing and whole per cents, independent outcomes and one calibrated limit. All choices are
listed; the exact law of the network's loss is a convolution, so that the best choice within the limit is
known. Printed are the mean and largest share of that optimum which the plan misses, how many plans hold on
fresh scenarios (as the plan says) and exactly, and seconds.
"""

from __future__ import annotations

import argparse
import itertools
import time
from typing import Any

import numpy as np

import bondwork

TASKS, COPROCESSORS, OFFERS = 7, 4, 3


def make_round(seed: int, measure: str, scenarios: int) -> dict[str, Any]:
    """Draw a round without its limit's budget."""
    draw = np.random.default_rng(seed)
    tasks, offers = [], []
    for a in range(TASKS):
        reward = int(draw.integers(8, 20))
        tasks.append(
            {"id": f"t{a}", "operator": "op", "reward": reward, "slashing": int(reward * draw.integers(1, 5))}
        )
        for c in draw.choice(COPROCESSORS, OFFERS, replace=False).tolist():
            p = int(draw.integers(86, 100)) / 100
            bid = round(reward * float(draw.uniform(0.3, 0.8)) * (0.6 + 0.4 * p), 2)
            offers.append(
                {"task": f"t{a}", "coprocessor": f"c{c}", "bid": bid, "success_probability": p,
                 "work": {"gpu": int(draw.integers(1, 4))}}
            )  # fmt: skip
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": f"c{c}", "capacity": {"gpu": 5}} for c in range(COPROCESSORS)],
        "tasks": tasks,
        "offers": offers,
        "risk": [{"measure": measure, "level": 0.95, "budget": 0, "calibrate": True}]
        if measure == "cvar"
        else [{"measure": measure, "probability": 0.05, "budget": 0, "calibrate": True}],
        "uncertainty": {"scenarios": scenarios, "seed": seed},
    }


class Choices:
    """All choices of a round within its capacities: what each earns, and the exact law of its loss."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        tasks = {task["id"]: task for task in document["tasks"]}
        ways = [[None, *(o for o in document["offers"] if o["task"] == name)] for name in tasks]
        self.slashing = [task["slashing"] for task in tasks.values()]
        rows = np.array(list(itertools.product(*(range(len(way)) for way in ways))))
        earned = np.zeros(len(rows))
        used = np.zeros((len(rows), COPROCESSORS))
        fails = np.zeros(rows.shape)
        for a, (way, task) in enumerate(zip(ways, tasks.values(), strict=True)):
            p = np.array([1.0 if o is None else o["success_probability"] for o in way])
            gain = [
                0.0 if o is None else task["reward"] * o["success_probability"]
                - task["slashing"] * (1 - o["success_probability"]) - o["bid"]
                for o in way
            ]  # fmt: skip
            work = np.zeros((len(way), COPROCESSORS))
            for k, o in enumerate(way):
                if o is not None:
                    work[k, int(o["coprocessor"][1:])] = o["work"]["gpu"]
            earned += np.array(gain)[rows[:, a]]
            used += work[rows[:, a]]
            fails[:, a] = 1.0 - p[rows[:, a]]
        fits = (used <= 5).all(axis=1)
        order = np.argsort(-earned[fits], kind="stable")
        self.earned, self.fails = earned[fits][order], fails[fits][order]

    def losses(self, rows: slice | np.ndarray) -> np.ndarray:
        """Law of the loss of some choices: probability of 0, 1, 2, ..."""
        fails = self.fails[rows]
        law = np.zeros((len(fails), sum(self.slashing) + 1))
        law[:, 0] = 1.0
        for a, s in enumerate(self.slashing):
            f = fails[:, a, np.newaxis]
            moved = np.zeros_like(law)
            moved[:, s:] = law[:, : law.shape[1] - s]
            law = (1.0 - f) * law + f * moved
        return law

    def measure(self, rows: slice | np.ndarray, limit: dict[str, Any]) -> np.ndarray:
        """Exact value of the limit's measure."""
        law = self.losses(rows)
        size = np.arange(law.shape[1])
        if limit["measure"] == "chance":
            return np.asarray(law[:, size > limit["budget"]].sum(axis=1))
        share = 1.0 - limit["level"]
        above = np.cumsum(law[:, ::-1], axis=1)[:, ::-1]  # probability of this much or more
        inside = np.minimum(above, share) - np.minimum(above - law, share)
        return np.asarray((inside @ size) / share)

    def best(self, limit: dict[str, Any]) -> float:
        """Best value within the limit."""
        ceiling = limit["budget"] if limit["measure"] == "cvar" else limit["probability"]
        for first in range(0, len(self.earned), 500):
            rows = slice(first, first + 500)
            holds = np.flatnonzero(self.measure(rows, limit) <= ceiling * (1 + 1e-12))
            if len(holds):
                return float(self.earned[rows][holds[0]])
        raise AssertionError("doing nothing is a choice")


def binding(document: dict[str, Any], choices: Choices) -> dict[str, Any]:
    """Set the budget between what the best choice needs and nothing."""
    (limit,) = document["risk"]
    best = slice(0, 1)
    if limit["measure"] == "cvar":
        limit["budget"] = int(0.6 * choices.measure(best, limit)[0])
    else:
        law = choices.losses(best)[0]
        limit["budget"] = max(int(np.flatnonzero(np.cumsum(law[::-1])[::-1] > 0.12)[-1]) - 1, 0)
    return document


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--scenarios", type=int, nargs="+", default=[128, 1024])
    parser.add_argument("--measures", nargs="+", default=["cvar", "chance"])
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    for measure, scenarios in itertools.product(given.measures, given.scenarios):
        missed, holds, exactly, seconds = [], 0, 0, 0.0
        for seed in range(given.first, given.first + given.rounds):
            document = make_round(seed, measure, scenarios)
            choices = Choices(document)
            binding(document, choices)
            (limit,) = document["risk"]
            best = choices.best(limit)
            instance = bondwork.load(document)
            began = time.perf_counter()
            plan = bondwork.solve(instance, mip_rel_gap=0.0)
            seconds += time.perf_counter() - began
            assert plan.objective is not None
            missed.append((best - plan.objective) / best if best > 0 else 0.0)
            holds += all(each.holds for each in plan.risk)
            row = np.flatnonzero(np.abs(choices.earned - plan.objective) < 1e-9)
            ceiling = limit["budget"] if measure == "cvar" else limit["probability"]
            exactly += bool(len(row) and choices.measure(row[:1], limit)[0] <= ceiling * (1 + 1e-9))
        print(
            f"{measure} {scenarios} scenarios: {100 * np.mean(missed):.1f}% of the optimum missed on "
            f"average, {100 * np.max(missed):.1f}% at most; {holds} of {given.rounds} hold as they say, "
            f"{exactly} exactly; {seconds / given.rounds:.2f} s a round",
            flush=True,
        )


if __name__ == "__main__":
    main()
