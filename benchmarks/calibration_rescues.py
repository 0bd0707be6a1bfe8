"""Rounds with rescues and a CVaR limit whose best policy is found by trying (`calibration.py`).

Every first stage is tried. Once its failures are seen, each pattern of them may be answered by rescues that
fit; which answers keep the CVaR within its budget together is, for a fixed edge of the tail, a choice of one
answer for each pattern with a sum to keep: the answers of the patterns are merged one after another, and
what is dominated is left out. The edge is one of the losses. No code of the project takes part.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TASKS, COPROCESSORS, OFFERS, ROOM = 3, 5, 4, 4

LEVEL = 0.95


def make_rescue_round(seed: int, scenarios: int) -> dict[str, Any]:
    """Draw a round: every task has four offers and one rescue, at five coprocessors."""
    draw = np.random.default_rng(seed)
    tasks, offers = [], []
    for a in range(TASKS):
        reward = int(draw.integers(8, 20))
        slashing = int(reward * draw.integers(1, 5))
        tasks.append({"id": f"t{a}", "operator": "op", "reward": reward, "slashing": slashing})
        for n, c in enumerate(draw.permutation(COPROCESSORS).tolist()):
            late = n == OFFERS
            p = int(draw.integers(94, 100)) / 100
            dear = reward + slashing / 2 if late else reward
            offers.append(
                {"task": f"t{a}", "coprocessor": f"c{c}", "stage": 2 if late else 1,
                 "bid": round(dear * float(draw.uniform(0.3, 0.8)) * (0.6 + 0.4 * p), 2),
                 "success_probability": p, "work": {"gpu": int(draw.integers(1, 4))}}
            )  # fmt: skip
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": f"c{c}", "capacity": {"gpu": ROOM}} for c in range(COPROCESSORS)],
        "tasks": tasks,
        "offers": offers,
        "risk": [{"measure": "cvar", "level": LEVEL, "budget": 0, "calibrate": True}],
        "uncertainty": {"scenarios": scenarios, "seed": seed},
    }


class Answer(NamedTuple):
    """A second stage: what it earns, and the law of the loss behind it."""

    gain: float
    loss: Floats
    chance: Floats


class First(NamedTuple):
    """A first stage: what it earns, probabilities of what may be seen of it, and the answers to each."""

    earned: float
    seen: list[float]
    answers: list[list[Answer]]

    @property
    def most(self) -> float:
        """What it earns where no loss is limited."""
        return self.earned + sum(
            q * max(each.gain for each in some) for q, some in zip(self.seen, self.answers, strict=True)
        )


class Policies:
    """All policies of such a round."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.limit = document["risk"][0]
        self.tasks = {task["id"]: task for task in document["tasks"]}
        self.late = {o["task"]: o for o in document["offers"] if o["stage"] == 2}
        ways = [[None, *(o for o in document["offers"] if o["task"] == name and o["stage"] == 1)]
                for name in self.tasks]  # fmt: skip
        made = [self._first(way) for way in itertools.product(*ways) if _fits([o for o in way if o])]
        self.firsts = sorted(made, key=lambda first: -first.most)
        slashing = [task["slashing"] for task in self.tasks.values()]
        self.edges = sorted(
            {sum(some) for k in range(TASKS + 1) for some in itertools.combinations(slashing, k)}
        )

    def bind(self, share: float) -> None:
        """Set the budget to a share of what the best policy needs that nothing limits."""
        first = self.firsts[0]
        best = [max(some, key=lambda each: each.gain) for some in first.answers]
        loss = np.concatenate([each.loss for each in best])
        chance = np.concatenate([q * each.chance for q, each in zip(first.seen, best, strict=True)])
        cvar = min(e + float(np.maximum(loss - e, 0.0) @ chance) / (1.0 - LEVEL) for e in self.edges)
        self.limit["budget"] = round(share * cvar, 1)

    def best(self) -> float:
        """What the best policy earns that keeps the limit."""
        found = 0.0  # doing nothing
        for first in self.firsts:
            if first.most <= found:
                break
            for edge in self.edges:
                if edge <= self.limit["budget"]:
                    found = max(found, self._best_after(first, float(edge), found))
        return found

    def _best_after(self, first: First, edge: float, found: float) -> float:
        """The best after a first stage where the tail begins at ``edge``; ``found`` where none is better."""
        room = (self.limit["budget"] - edge) * (1.0 - LEVEL) * (1.0 + 1e-9)
        fronts = []
        for q, some in zip(first.seen, first.answers, strict=True):
            over = np.array([q * float(np.maximum(each.loss - edge, 0.0) @ each.chance) for each in some])
            fronts.append(_front(over, np.array([q * each.gain for each in some])))
        least = sum(float(over[0]) for over, _ in fronts)
        most = first.earned + sum(float(gain[-1]) for _, gain in fronts)
        over, gain = np.zeros(1), np.full(1, first.earned)
        for more, earns in sorted(fronts, key=lambda front: len(front[0])):
            least -= float(more[0])
            most -= float(earns[-1])
            over, gain = np.add.outer(over, more).ravel(), np.add.outer(gain, earns).ravel()
            may = (over + least <= room) & (gain + most - first.earned > found)
            if not may.any():
                return found
            over, gain = _front(over[may], gain[may])
        return float(gain[-1])

    def _first(self, way: tuple[dict[str, Any] | None, ...]) -> First:
        """What may be seen after a first stage, and done."""
        chosen = [offer for offer in way if offer is not None]
        earned = sum(self._worth(offer) - offer["bid"] for offer in chosen)
        seen, answers = [], []
        for fails in itertools.product([False, True], repeat=len(chosen)):
            p = [o["success_probability"] for o in chosen]
            seen.append(float(np.prod([1.0 - q if fail else q for q, fail in zip(p, fails, strict=True)])))
            failed = {o["task"] for o, fail in zip(chosen, fails, strict=True) if fail}
            answers.append(self._answers(chosen, failed))
        return First(earned, seen, answers)

    def _answers(self, chosen: list[dict[str, Any]], failed: set[str]) -> list[Answer]:
        """All that may be done once some of the chosen offers failed."""
        undone = [name for name in self.tasks if name in failed or name not in {o["task"] for o in chosen}]
        found = []
        for take in itertools.product([False, True], repeat=len(undone)):
            taken = [self.late[name] for name, yes in zip(undone, take, strict=True) if yes]
            if not _fits([*chosen, *taken]):
                continue
            # an unanswered failure is slashed; a rescue takes that back, and may fail itself
            gain = sum(
                self._worth(o) - o["bid"] + self.tasks[o["task"]]["slashing"] * (o["task"] in failed)
                for o in taken
            )
            loss, chance = np.zeros(1), np.ones(1)
            for o in taken:
                q, s = o["success_probability"], self.tasks[o["task"]]["slashing"]
                loss = np.concatenate([loss, loss + s])
                chance = np.concatenate([chance * q, chance * (1.0 - q)])
            left = failed - {o["task"] for o in taken}
            found.append(Answer(gain, loss + sum(self.tasks[name]["slashing"] for name in left), chance))
        return found

    def _worth(self, offer: dict[str, Any]) -> float:
        """Reward and slashing of an offer, expected."""
        task, p = self.tasks[offer["task"]], offer["success_probability"]
        return float(task["reward"] * p - task["slashing"] * (1.0 - p))


def _fits(offers: list[dict[str, Any]]) -> bool:
    """Whether coprocessors have room for offers of both stages."""
    used = [0] * COPROCESSORS
    for offer in offers:
        used[int(offer["coprocessor"][1:])] += offer["work"]["gpu"]
    return max(used) <= ROOM


def _front(over: Floats, gain: Floats) -> tuple[Floats, Floats]:
    """What no other of the pairs dominates: less over the edge, and more gain."""
    order = np.lexsort((-gain, over))
    over, gain = over[order], gain[order]
    best = np.maximum.accumulate(gain)
    new = np.concatenate([[True], gain[1:] > best[:-1]])
    return over[new], gain[new]
