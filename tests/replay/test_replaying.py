"""Backtests: what policies earn on logs whose outcomes are known, drawn or left out."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bondwork
from bondwork.planner.planner import Planner
from bondwork.replay.log import read_log
from bondwork.replay.replay_schema import load_replay
from bondwork.replay.replaying import replay
from bondwork.replay.running import policy_names, run_policy

Document = dict[str, Any]


def make_line(number: int, *, now: float | None = None, tasks: int = 2, **more: Any) -> Document:
    """Two coprocessors, one cheap and one good, and tasks of 10 that cost 30 when they fail."""
    names = [f"t{number}-{k}" for k in range(tasks)]
    round_: Document = {
        "format": "bondwork.round/1",
        "currency": "ETH",
        "operators": [{"id": "op", "stake": 10_000}],
        "coprocessors": [
            {"id": "cheap", "free_collateral": 20},
            {"id": "good", "free_collateral": 20, "serial": True},
        ],
        "tasks": [{"id": name, "operator": "op", "reward": 10, "slashing": 30} for name in names],
        "offers": [
            {"task": name, "coprocessor": "cheap", "bid": 1, "collateral": 5, "success_probability": 0.7,
             "duration": 10}
            for name in names
        ] + [
            {"task": name, "coprocessor": "good", "bid": 3, "collateral": 5, "success_probability": 0.95,
             "duration": 20}
            for name in names
        ],
        "terms": {"collateral_split": {"burned": 0.5, "operator": 0.5}},
    }  # fmt: skip
    if now is not None:
        round_["now"] = now
    return {"format": "bondwork.log/1", "id": f"r{number}", "round": round_, **more}


def make_log(*lines: Document) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def test_known_outcomes_are_what_counts():
    known = [
        {"offer": "t0-0/cheap", "outcome": "failed"},
        {"offer": "t0-1/cheap", "outcome": "succeeded"},
    ]
    other = [{"offer": f"t0-{k}/good", "outcome": "succeeded"} for k in range(2)]
    log = make_log(make_line(0, outcomes=known, potential=other))
    found = replay(log, ["extensive", "broker-price"])
    careful, broker = found.policies
    assert (careful.profit.value, careful.slashed.value) == (2 * (10 - 3), 0.0)
    # the cheap one is quicker; of the collateral that it forfeits, half is the operator's
    assert (broker.profit.value, broker.slashed.value) == (-1 - 30 + 2.5 + 10 - 1, 30.0)
    assert (broker.failed, broker.succeeded, broker.known, broker.forfeited) == (1, 1, 1.0, 5.0)
    assert found.differences[0].profit.value == careful.profit.value - broker.profit.value
    assert load_replay(found.to_json().encode()) == found


def test_unknown_outcomes_are_drawn_once_for_all_or_left_out():
    log = read_log(make_log(*(make_line(k, now=60.0 * k) for k in range(30))))
    one, two = (run_policy(log, name) for name in ("extensive", "lagrangian"))
    assert one.accounts == two.accounts  # the same choices have the same outcomes
    assert one.accounts != run_policy(log, "extensive", seed=1).accounts
    drawn = sum(each.succeeded for each in one.accounts)
    assert drawn + sum(each.failed for each in one.accounts) == 60
    assert 50 <= drawn <= 60  # 95% of 60
    skipped = run_policy(log, "extensive", unknown="skip")
    assert {(each.profit, each.released) for each in skipped.accounts} == {(0.0, 2)}
    assert skipped.tasks == 0


def test_collateral_is_locked_until_the_outcome_is_known():
    # 20 of collateral are 4 tasks at once; outcomes come after 1,000 s, rounds every 100 s
    late = [{"offer": f"t{r}-{k}/cheap", "outcome": "succeeded", "at": 100.0 * r + 1000.0}
            for r in range(3) for k in range(4)]  # fmt: skip
    lines = [
        make_line(r, now=100.0 * r, tasks=4, outcomes=[each for each in late if each["offer"][1] == str(r)])
        for r in range(3)
    ]
    for line in lines:
        line["round"]["coprocessors"].pop()
        line["round"]["offers"] = line["round"]["offers"][:4]
        line["round"]["offers"] = [each | {"success_probability": 0.9} for each in line["round"]["offers"]]
    run = run_policy(read_log(make_log(*lines)), "greedy")
    assert [each.succeeded for each in run.accounts] == [4, 0, 0]


def test_a_task_is_done_once():
    first, second = make_line(0, now=0.0), make_line(0, now=500.0) | {"id": "r1"}
    run = run_policy(read_log(make_log(first, second)), "extensive")
    assert [each.succeeded + each.failed for each in run.accounts] == [2, 0]
    # one that somebody else took may come again
    gone = [{"offer": f"t0-{k}/good", "outcome": "released"} for k in range(2)]
    run = run_policy(read_log(make_log(first | {"outcomes": gone}, second)), "extensive")
    assert [each.released for each in run.accounts] == [2, 0]
    assert sum(each.succeeded + each.failed for each in run.accounts) == 2


def test_a_planner_learns_who_fails():
    lines = []
    for k in range(25):
        cheap = [{"offer": f"t{k}-{t}/cheap", "outcome": "failed"} for t in range(2)]
        good = [{"offer": f"t{k}-{t}/good", "outcome": "succeeded"} for t in range(2)]
        line = make_line(k, now=100.0 * k, outcomes=cheap, potential=good)
        for each in line["round"]["offers"]:
            each["success_probability"] = 0.99  # the log's belief, which is wrong
        for each in line["round"]["coprocessors"]:
            each["free_collateral"] = 1000
        lines.append(line)
    found = replay(make_log(*lines), ["planner", "extensive"])
    planner, believer = found.policies
    assert believer.failed == 50
    assert planner.failed < 20
    assert planner.profit.value > believer.profit.value
    assert found.differences[0].profit.low > 0.0
    assert all(one <= two for one, two in
               zip(planner.slashed_by_round[-10:], believer.slashed_by_round[-10:], strict=True))  # fmt: skip


@settings(max_examples=15)
@given(st.data())
def test_accounts_are_those_of_a_ledger(data: st.DataObject):
    lines = [make_line(k, now=1000.0 * k) for k in range(3)]
    endings = {}
    for k, line in enumerate(lines):
        line["round"]["terms"]["bid_paid"] = data.draw(st.sampled_from(["always", "on_success"]))
        line["outcomes"] = [
            {"offer": each["task"] + "/" + each["coprocessor"],
             "outcome": data.draw(st.sampled_from(["succeeded", "failed", "released"]))}
            for each in line["round"]["offers"]
        ]  # fmt: skip
        endings |= {f"r{k}/{each['offer']}": each["outcome"] for each in line["outcomes"]}
    run = run_policy(read_log(make_log(*lines)), "extensive")
    planner = Planner(strategy="extensive")
    for line in lines:
        planner.plan(line["round"], line["id"])
        planner.observe([{"commitment": c.id, "outcome": endings[c.id]} for c in planner.commitments])
    totals = planner.state.totals
    back = 0.5 * float(totals.forfeited)
    profit = float(totals.reward) - float(totals.price) - float(totals.slashed) + back
    assert sum(each.profit for each in run.accounts) == pytest.approx(profit)
    assert sum(each.slashed for each in run.accounts) == pytest.approx(float(totals.slashed))
    assert sum(each.forfeited for each in run.accounts) == pytest.approx(float(totals.forfeited))


def test_every_fault_of_a_log_is_told():
    bad = make_line(1, now=5.0)
    bad["round"]["tasks"][0]["reward"] = -1
    lines = make_log(
        make_line(0, now=10.0, outcomes=[{"offer": "t0-0/nobody", "outcome": "failed"}]),
        bad,
        make_line(2, now=20.0, potential=[{"offer": "t2-0/cheap", "outcome": "lost"}]),
        make_line(3, now=30.0),
        make_line(4, now=25.0) | {"id": "r3"},
    )
    with pytest.raises(bondwork.InvalidInput) as caught:
        read_log(lines + b"{")
    assert [fault.path for fault in caught.value.faults] == [
        "line 1 $.outcomes[0].offer",
        "line 2 $.round.tasks[0].reward",
        "line 3 $.potential[0].outcome",
        "line 5 $.id",
        "line 5 $.round.now",
        "line 6 line 1, column 2",
    ]
    with pytest.raises(bondwork.InvalidInput, match="at least one"):
        read_log(b"\n")


def test_what_is_asked_is_checked():
    log = make_log(make_line(0))
    with pytest.raises(bondwork.InvalidInput) as caught:
        replay(log, ["best", "planner", "planner"], level=1.0, reference="greedy")
    assert [f.path for f in caught.value.faults] == ["policies[0]", "policies", "level", "reference"]
    with pytest.raises(bondwork.InvalidInput):
        replay(log, ["planner"], unknown="hope")  # type: ignore[arg-type]
    assert {"planner", "greedy", "broker-shortest-expiry"} <= set(policy_names())


def test_without_a_clock_outcomes_are_known_before_the_next_round():
    run = run_policy(read_log(make_log(*(make_line(k) for k in range(8)))), "extensive")
    assert sum(each.succeeded + each.failed for each in run.accounts) >= 8
    assert run.utilisation is None
    assert not np.isnan(sum(each.profit for each in run.accounts))
