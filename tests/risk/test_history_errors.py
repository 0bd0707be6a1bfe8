"""Standard errors of averages over the rounds of a history: by hand, in plans, and how often they cover."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import bondwork
from bondwork.problem.teams import team_benefit, teams_of_offers
from bondwork.risk.history_errors import HistoryErrors
from bondwork.risk.limits import members
from bondwork.uncertainty.history import OutcomeHistory

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.problem.instance import Instance

CHOSEN = np.arange(2)


def replicated(**more: Any) -> dict[str, Any]:
    """Return a round of one task that two executors may do together."""
    task = {"id": "t", "operator": "op", "reward": 8, "slashing": 4, "replicas": 2}
    offers = [{"task": "t", "coprocessor": c, "bid": 0, "success_probability": 0.75} for c in "ab"]
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "a"}, {"id": "b"}],
        "tasks": [task],
        "offers": offers,
        **more,
    }


def history(failed: list[tuple[int, int]], done: int = 4) -> OutcomeHistory:
    rows = [(str(t), c, done, k) for t, pair in enumerate(failed) for c, k in zip("ab", pair, strict=True)]
    return OutcomeHistory.from_rows(rows)


def both_fail(rates: FloatArray) -> float:
    """How often both fail, each a quarter of the time on average, as `docs/uncertainty.md` says."""
    failing = []
    for rate in rates.T:
        mean = rate.mean()
        failing.append(0.25 * rate / mean if mean >= 0.25 else 1.0 - 0.75 * (1.0 - rate) / (1.0 - mean))
    return float(np.mean(failing[0] * failing[1]))


FAILED = [(0, 1), (4, 3), (1, 0), (2, 2), (0, 0), (3, 4), (1, 1)]


def test_one_round_left_out_at_a_time_by_hand() -> None:
    rates = np.array(FAILED) / 4.0
    whole = 12.0 * both_fail(rates)
    without = [12.0 * both_fail(np.delete(rates, t, axis=0)) for t in range(7)]
    pseudo = np.array([7.0 * whole - 6.0 * each for each in without])
    variance = float(np.sum((pseudo - pseudo.mean()) ** 2)) / (7.0 * 6.0)
    expected = np.sqrt(variance + ((pseudo.max() - pseudo.min()) / 7.0) ** 2)
    beside = bondwork.with_history(bondwork.load(replicated()), history(FAILED))
    assert HistoryErrors(beside, CHOSEN).objective == pytest.approx(expected, rel=1e-12)


def test_a_plan_tells_the_errors_and_they_are_checked() -> None:
    instance = bondwork.load(replicated(risk=[{"measure": "expected", "budget": 3}]))
    past = history(FAILED)
    plan = bondwork.solve(instance, history=past)
    error = plan.objective_standard_error
    limit = plan.risk[0]
    assert len(plan.assignments) == 2
    assert error is not None and error > 0.1
    assert limit.standard_error == pytest.approx(error / 3.0)  # 4 of the 12 that the chance decides about
    assert limit.holds
    assert bondwork.verify(instance, plan, history=past)
    wrong = plan.model_copy(update={"objective_standard_error": error / 2.0})
    assert not bondwork.verify(instance, wrong, history=past)
    assert limit.standard_error is not None
    flattering = limit.model_copy(update={"standard_error": limit.standard_error * 2.0})
    assert not bondwork.verify(instance, plan.model_copy(update={"risk": [flattering]}), history=past)


def test_plans_of_before_told_no_errors() -> None:
    instance = bondwork.load(replicated(risk=[{"measure": "expected", "budget": 3}]))
    plan = bondwork.solve(instance, history=history(FAILED))
    limit = plan.risk[0].model_copy(update={"standard_error": None})
    earlier = plan.model_copy(update={"objective_standard_error": None, "risk": [limit]})
    assert bondwork.verify(instance, earlier, history=history(FAILED))


def test_what_is_exact_has_no_error() -> None:
    document = replicated(risk=[{"measure": "expected", "budget": 3}])
    document["tasks"][0]["replicas"] = 1
    instance = bondwork.load(document)
    alone = bondwork.solve(instance, history=history(FAILED))
    assert alone.objective_standard_error is None
    assert alone.risk[0].standard_error is None
    without = bondwork.solve(bondwork.load(replicated()))
    assert without.objective_standard_error is None
    claimed = without.model_copy(update={"objective_standard_error": 0.5})
    assert not bondwork.verify(bondwork.load(replicated()), claimed)


@pytest.mark.parametrize("member", ["network", {"operator": "op"}, {"coprocessor": "a"}])
def test_commitments_count_too(member: Any) -> None:
    held = [
        {"id": f"h{c}", "task": "old", "operator": "op", "executor": c, "success_probability": 0.75}
        for c in "ab"
    ]
    document = replicated(commitments=held, risk=[{"measure": "expected", "budget": 9, "of": member}])
    document["tasks"].append({"id": "old", "operator": "op", "reward": 1, "slashing": 40, "replicas": 2})
    instance = bondwork.load(document)
    plan = bondwork.solve(instance, history=history(FAILED))
    alone = bondwork.with_history(instance, history(FAILED))
    nothing = HistoryErrors(alone, np.zeros(0, dtype=np.int64))
    assert nothing.objective is None
    limit, told = alone.risk[0], plan.risk[0].standard_error
    ((_, number, _),) = members(alone, limit)
    assert told is not None  # of 44 that are slashed where both fail, 40 are committed
    assert nothing.expected(limit, number) == pytest.approx(told * 40.0 / 44.0, rel=1e-9)
    assert bondwork.verify(instance, plan, history=history(FAILED))


def test_more_rounds_than_blocks_and_rounds_without_work() -> None:
    rows = []
    for t in range(230):
        rows.append((str(t), "a", 5, t % 3))
        if t % 4:
            rows.append((str(t), "b", 4, (t // 7) % 4))
    past = OutcomeHistory.from_rows(rows)
    instance = bondwork.load(replicated())
    plan = bondwork.solve(instance, history=past)
    assert plan.objective_standard_error is not None
    assert bondwork.verify(instance, plan, history=past)


def test_the_error_covers_what_many_rounds_would_tell() -> None:
    instance = bondwork.load(replicated())

    def beside(seed: int, rounds: int) -> Instance:
        rng = np.random.default_rng(seed)
        bad = np.where(rng.random((rounds, 1)) < 0.3, 0.5, 0.15)
        failed = rng.binomial(20, np.repeat(bad, 2, axis=1))
        return bondwork.with_history(instance, history([(int(a), int(b)) for a, b in failed], done=20))

    def value(of: Instance) -> float:
        return float(team_benefit(of, teams_of_offers(of, CHOSEN)).sum())

    truth = value(beside(1, 100_000))
    covered = 0
    for seed in range(60):
        one = beside(1000 + seed, 60)
        error = HistoryErrors(one, CHOSEN).objective
        assert error is not None
        covered += abs(value(one) - truth) <= 1.96 * error
    assert covered >= 53
