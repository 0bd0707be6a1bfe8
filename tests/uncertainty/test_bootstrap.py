"""A round beside a history: joint outcomes of the past, marginals of the round, and plans that say so."""

from __future__ import annotations

import json

import numpy as np
import pytest

import bondwork
from bondwork.uncertainty.history import OutcomeHistory
from bondwork.uncertainty.sampling import sample_round


def round_of(tasks: int = 6, **more) -> dict:
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "a"}, {"id": "b"}],
        "tasks": [{"id": f"t{k}", "operator": "op", "reward": 10, "slashing": 20} for k in range(tasks)],
        "offers": [
            {"task": f"t{k}", "coprocessor": name, "bid": bid, "success_probability": 0.9}
            for k in range(tasks)
            for name, bid in (("a", 2.0), ("b", 2.5))
        ],
        "uncertainty": {"scenarios": 4000, "seed": 3},
        **more,
    }


def together(failing: int, rounds: int) -> OutcomeHistory:
    """Both executors lose everything in the same few rounds, and nothing else."""
    rows = []
    for label in range(rounds):
        rows += [(str(label), name, 5, 5 if label < failing else 0) for name in ("a", "b")]
    return OutcomeHistory.from_rows(rows)


def test_outcomes_come_together_as_they_did_with_the_marginals_of_the_round() -> None:
    instance = bondwork.with_history(bondwork.load(round_of()), together(2, 20))
    table = sample_round(instance, scenarios=20_000, seed=1).offers.dense()
    # marginals: 5 standard errors of 20,000 draws of 20 equally likely rounds
    assert table.mean(axis=0) == pytest.approx(np.full(12, 0.1), abs=5 * np.sqrt(0.09 / 20_000))
    assert np.all(table.all(axis=1) == table.any(axis=1))  # the whole round fails, or nothing does


def test_tails_are_those_of_the_history() -> None:
    instance = bondwork.load(round_of(risk=[{"measure": "cvar", "level": 0.9, "budget": 1000.0}]))
    beside = bondwork.with_history(instance, together(2, 20))
    plan = bondwork.solve(beside)
    assert plan.risk[0].in_sample == pytest.approx(120.0, rel=0.1)  # all six tasks in the worst tenth
    assert plan.risk[0].out_of_sample == pytest.approx(120.0, rel=0.03)
    independent = bondwork.solve(instance)
    assert independent.risk[0].in_sample < 60.0


def test_a_limit_binds_by_the_history_and_the_plan_is_checked_with_it() -> None:
    instance = bondwork.load(round_of(risk=[{"measure": "cvar", "level": 0.9, "budget": 50.0}]))
    history = together(2, 20)
    plan = bondwork.solve(instance, history=history)
    assert len(bondwork.solve(instance).assignments) > len(plan.assignments) == 2
    assert plan.verified
    assert plan.provenance.history_sha256 == history.sha256
    assert plan.provenance.input_sha256 == instance.sha256
    assert bondwork.verify(instance, plan, history=history)
    with pytest.raises(bondwork.Refusal, match="needs the history"):
        bondwork.verify(instance, plan)
    other = bondwork.verify(instance, plan, history=together(3, 20))
    assert "provenance.history_sha256" in {each.what for each in other.violations}
    without = bondwork.solve(instance)
    assert without.provenance.history_sha256 is None
    assert not bondwork.verify(instance, without, history=history)


def test_a_round_that_asks_for_bootstrap_needs_a_history() -> None:
    risk = [{"measure": "chance", "probability": 0.2, "budget": 5.0}]
    instance = bondwork.load(round_of(risk=risk, uncertainty={"sampling": "bootstrap", "scenarios": 200}))
    with pytest.raises(bondwork.Refusal, match="needs a history"):
        bondwork.solve(instance)
    assert bondwork.solve(instance, history=together(1, 10)).solution == "optimal"
    assert bondwork.build(instance, history=together(1, 10)).choices == 12
    # where no scenario is needed, no history is
    calm = bondwork.load(round_of(uncertainty={"sampling": "bootstrap"}))
    assert bondwork.verify(calm, bondwork.solve(calm))


def test_every_executor_without_a_past_is_a_fault() -> None:
    document = round_of()
    document["coprocessors"] += [{"id": "idle"}]
    document["self_execution"] = [{"task": "t0", "operator": "op", "cost": 1, "success_probability": 0.9}]
    with pytest.raises(bondwork.InvalidInput) as error:
        bondwork.with_history(bondwork.load(document), OutcomeHistory.from_rows([("1", "a", 2, 1)]))
    assert [fault.path for fault in error.value.faults] == ["history.b", "history.op"]


def test_both_forms_of_a_file_say_the_same(tmp_path) -> None:
    rows = [("1", "a", 4, 1), ("2", "a", 5, 0), ("2", "b", 5, 0), ("1", "b", 1, 1)]
    table = tmp_path / "history.csv"
    lines = ["round,executor,done,failed", *(",".join(map(str, row)) for row in rows)]
    table.write_text("\n".join(lines))
    names = ("round", "executor", "done", "failed")
    document = {
        "format": "bondwork.history/1",
        "outcomes": [dict(zip(names, row, strict=True)) for row in rows],
    }
    instance = bondwork.load(round_of())
    digests = {
        bondwork.with_history(instance, source).uncertainty.history.sha256
        for source in (table, table.read_bytes(), document, json.dumps(document).encode())
    }
    assert digests == {OutcomeHistory.from_rows(rows).sha256}


def test_later_stages_are_refused() -> None:
    document = round_of()
    document["offers"].append(
        {"id": "rescue", "stage": 2, "task": "t0", "coprocessor": "b", "bid": 1, "success_probability": 0.9}
    )
    with pytest.raises(bondwork.Refusal, match="later stages"):
        bondwork.solve(bondwork.load(document), history=together(2, 20))
