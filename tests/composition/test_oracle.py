"""Brute force itself, by hand: what features mean together where no solve says it yet."""

from __future__ import annotations

import math
from typing import Any

import pytest

from composition.features import HUMP
from composition.oracle import best_value

Document = dict[str, Any]


def round_of(*offers: Document, **more: Any) -> Document:
    """Make a round of one operator, whose task `t` brings 9 or loses 4."""
    task = {"id": "t", "operator": "op", "reward": 9, "slashing": 4} | more.pop("task", {})
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": name} for name in "abc"],
        "tasks": [task],
        "offers": [{"task": "t", **each} for each in offers],
    } | more


def offer(coprocessor: str, p: float, **more: Any) -> Document:
    return {"coprocessor": coprocessor, "success_probability": p} | more


def period(*offers: Document, reward: int = 10) -> list[Document]:
    task = {"id": "n", "operator": "op", "reward": reward, "slashing": 4}
    return [{"id": "next", "at": 60, "tasks": [task], "offers": [{"task": "n", **each} for each in offers]}]


STAKE = [{"id": "op", "stake": 4}]


@pytest.mark.parametrize(("duration", "best"), [(0, 4.5), (90, 3.0)])
def test_cvar_over_a_horizon_lets_a_later_decision_use_what_was_seen(duration: int, best: float) -> None:
    # each is worth 3; both may not fail together: the second is done where the first was seen to succeed
    first = offer("a", 0.5, duration=duration)
    document = round_of(first, task={"reward": 10}, periods=period(offer("b", 0.5)))
    limit = {"measure": "cvar", "level": 0.75, "budget": 4}
    assert best_value(document) == 6
    assert best_value(document | {"risk": [limit]}) == best


@pytest.mark.parametrize(
    ("measure", "best"),
    [
        ({"measure": "worst_case", "budget": 4}, 4.5),
        ({"measure": "chance", "budget": 4, "probability": 0.2}, 4.5),
        ({"measure": "chance", "budget": 4, "probability": 0.25}, 6),
        # one of them is lost 0.5 of the time; a failure more in every tenth round costs 0.4
        ({"measure": "ambiguous", "budget": 2.4, "radius": 0.1}, 3),
        ({"measure": "ambiguous", "budget": 3.4, "radius": 0.1}, 4.5),
        ({"measure": "ambiguous", "budget": 4.4, "radius": 0.1}, 6),
    ],
)
def test_tails_are_about_the_whole_path(measure: Document, best: float) -> None:
    document = round_of(offer("a", 0.5), task={"reward": 10}, periods=period(offer("b", 0.5)))
    assert best_value(document | {"risk": [measure]}) == best


def test_mean_risk_over_a_horizon() -> None:
    # half of 6 less half of a CVaR of 8 is -1; half of 4.5 less half of 4 is 0.25, and nothing is 0
    document = round_of(offer("a", 0.5), task={"reward": 10}, periods=period(offer("b", 0.5)))
    assert best_value(document | {"objective": {"risk_weight": 0.5, "risk_level": 0.75}}) == 0.25


def test_a_team_frees_its_stake_as_soon_as_a_quorum_was_released() -> None:
    # 0.75*9 - 0.25*4 = 5.75 for the team; only its first member is back in time, which frees the stake
    team = offer("a", 0.5, duration=30), offer("b", 0.5, duration=90)
    document = round_of(*team, task={"replicas": 2}, operators=STAKE, periods=period(offer("c", 1)))
    assert best_value(document) == 5.75 + 0.5 * 10


@pytest.mark.parametrize(("duration", "freed"), [(0, 0.75), (90, 0.5)])
def test_a_rescue_that_succeeds_frees_the_stake_when_it_is_released(duration: int, freed: float) -> None:
    late = offer("c", 0.5, stage=2, duration=duration)
    document = round_of(offer("a", 0.5), late, operators=STAKE, periods=period(offer("b", 1)))
    assert best_value(document) == 2.5 + 0.5 * 0.5 * 13 + freed * 10


def test_a_team_that_missed_its_quorum_is_rescued_by_one_who_is_no_member() -> None:
    members = offer("a", 0.5), offer("b", 0.5)
    task = {"replicas": 2, "quorum": 2, "required": True}
    late = {"stage": 2, "bid": 3}
    # the team is worth 0.25*9 - 0.75*4; a rescue after three of four outcomes adds 13 - 3
    assert best_value(round_of(*members, offer("c", 1, **late), task=task)) == -0.75 + 0.75 * 10
    assert best_value(round_of(*members, offer("b", 1, **late), task=task)) == -0.75


def test_after_a_rescue_nobody_is_slashed() -> None:
    # a fails half of the time, and c then delivers half of the time: both are to blame for 0.25*4
    document = round_of(offer("a", 0.5), offer("c", 0.5, stage=2, bid=8))
    limit = {"measure": "expected", "of": "coprocessor", "budget": 1}
    assert best_value(document) == 2.5
    assert best_value(document | {"risk": [limit]}) == 2.5 + 0.5 * (0.5 * 13 - 8)
    assert best_value(document | {"risk": [limit | {"budget": 0.5}]}) == 0


def test_solvency_counts_forfeits_of_all_periods() -> None:
    posted = {"collateral": 2}
    document = round_of(
        offer("a", 0.5, **posted), task={"reward": 10}, periods=period(offer("a", 0.5, **posted))
    )
    document["coprocessors"][0]["free_collateral"] = 2
    # by the collateral's own row the second is possible where the first came back; so it is by this limit
    assert best_value(document) == 4.5
    limit = {"measure": "solvency", "of": "coprocessor", "probability": 0.2}
    assert best_value(document | {"risk": [limit]}) == 4.5
    assert best_value(document | {"risk": [limit | {"probability": 0.25}]}) == 6


def test_commitments_of_one_claim_are_decided_by_their_quorum() -> None:
    held = [
        {"id": f"k{k}", "task": "t", "operator": "op", "executor": name, "success_probability": 0.5,
         "release_at": at}
        for k, (name, at) in enumerate([("a", 30), ("b", 200)])
    ]  # fmt: skip
    document = round_of(commitments=held, operators=STAKE, periods=period(offer("c", 1)))
    # one of two must deliver: the first is back by then, and frees the stake half of the time
    assert best_value(document | {"tasks": [document["tasks"][0] | {"replicas": 2}]}) == 5
    # both must: nothing frees it before the end
    assert best_value(document | {"tasks": [document["tasks"][0] | {"replicas": 2, "quorum": 2}]}) == 0


def test_loads_count_at_the_last_moment_of_every_period() -> None:
    document = round_of(periods=period(offer("a", 0.5, bid=10, work={"gpu": 1})))
    curve = HUMP | {"resource": "gpu", "weight": 1, "scale": 2}
    document["coprocessors"][0] |= {"capacity": {"gpu": 4}, "load_curve": curve}
    idle = 2 * (math.exp(-1) - 0.2)
    assert best_value(document) == pytest.approx(2 * idle)
    # a quarter of its capacity earns more than being idle, until the next period releases it
    document["offers"] = [{"task": "t", **offer("a", 1, work={"gpu": 1})}]
    busy = 2 * (math.exp(-0.25) - 0.2)
    assert best_value(document) == pytest.approx(9 + busy + idle)
    document["offers"][0]["duration"] = 90
    assert best_value(document) == pytest.approx(9 + 2 * busy)
