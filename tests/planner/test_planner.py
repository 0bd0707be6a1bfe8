"""The planner: what it remembers, what it refuses, and that it never counts anything twice."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bondwork
from bondwork import Breaker, InvalidInput, Planner, Refusal
from bondwork.planner import deciding, journal
from bondwork.planner import planner as planner_module
from bondwork.schemas import json_schema
from planner.rounds import accounts, make_round

ROOT = Path(__file__).resolve().parents[2]


def tasks_of(plan: bondwork.Plan) -> list[str]:
    return sorted(each.task for each in plan.assignments)


# --- locks ------------------------------------------------------------------------------------------------


def test_a_plan_locks_and_an_outcome_releases():
    planner = Planner(strategy="extensive")
    plan = planner.plan(make_round("a", "b", "c"), "r-1")
    assert len(plan.assignments) == 2  # 3 x 4 do not fit into 10
    told = accounts(planner.state)
    assert [Decimal(each) for each in told["cp"]] == [2, 8, 0]
    first, second = (each.id for each in planner.commitments)
    planner.observe([{"commitment": first, "outcome": "succeeded"}])
    told = accounts(planner.state)
    assert [Decimal(each) for each in told["cp"]] == [6, 4, 1]
    assert [Decimal(each) for each in told["op"]] == [100, 7]
    planner.observe([{"commitment": second, "outcome": "failed", "rescuer": "other"}])
    told = accounts(planner.state)
    assert [Decimal(each) for each in told["cp"]] == [6, 0, 2]  # the bid is due always
    assert [Decimal(each) for each in told["op"]] == [95, 6]
    assert [Decimal(each) for each in told["other"]] == [0, 0, 2]
    state = planner.audit()
    assert (Decimal(state.totals.burned), state.imbalance) == (7, 0)


def test_what_is_committed_is_fixed_in_the_next_round():
    planner = Planner()
    planner.plan(make_round("a", "b"), "r-1")
    composed = planner.prepare(make_round("b", "c", now=60))
    assert [each["id"] for each in composed["commitments"]] == ["r-1/a/cp", "r-1/b/cp"]
    assert [each["id"] for each in composed["tasks"]] == ["c", "a", "b"]
    assert Decimal(composed["coprocessors"][0]["free_collateral"]) == 2
    plan = planner.plan(make_round("b", "c", now=60), "r-2")
    assert plan.assignments == []  # 2 of 10 are free
    assert any("given away already" in note and "b" in note for note in plan.provenance.notes)
    assert len(planner.commitments) == 2


def test_plans_verify_against_the_prepared_round():
    planner = Planner()
    planner.plan(make_round("a"), "r-1")
    following = make_round("b", "c", now=60)
    instance = bondwork.load(planner.prepare(following))
    plan = planner.plan(following, "r-2")
    assert tasks_of(plan) == ["b"] or tasks_of(plan) == ["c"]
    verdict = bondwork.verify(instance, plan)
    assert verdict, verdict.violations


def test_a_released_commitment_costs_nothing():
    planner = Planner()
    planner.plan(make_round("a"), "r-1")
    planner.observe([{"commitment": "r-1/a/cp", "outcome": "released"}])
    told = accounts(planner.audit())
    assert [Decimal(each) for each in (*told["op"], *told["cp"])] == [100, 0, 10, 0, 0]
    assert tasks_of(planner.plan(make_round("a"), "r-2")) == ["a"]  # it can be given away again


def test_collateral_can_stay_locked_after_the_work():
    planner = Planner()
    planner.plan(make_round("a", "b"), "r-1")
    with pytest.raises(InvalidInput, match="forfeited"):
        planner.observe([{"commitment": "r-1/a/cp", "outcome": "failed", "held_until": 60}])
    planner.observe([{"commitment": "r-1/a/cp", "outcome": "succeeded", "held_until": 60}])
    planner.observe([{"commitment": "r-1/b/cp", "outcome": "released", "held_until": 90}])
    assert [Decimal(each) for each in accounts(planner.audit())["cp"]] == [2, 8, 1]
    assert planner.plan(make_round("c", now=59), "r-2").assignments == []
    assert tasks_of(planner.plan(make_round("c", "d", now=60), "r-3")) in (["c"], ["d"])
    assert [each.commitment for each in planner.audit().held] == ["r-1/b/cp"]
    assert len(planner.plan(make_round("c", "d", now=90), "r-4").assignments) == 1
    assert planner.audit().held == []


def test_amounts_are_exact_to_the_last_unit():
    planner = Planner()
    document = make_round("a", coprocessors=[{"id": "cp", "free_collateral": "0.3"}])
    document["offers"][0]["collateral"] = "0.100000000000000001"
    planner.plan(document, "r-1")
    assert accounts(planner.state)["cp"][:2] == ("0.199999999999999999", "0.100000000000000001")


def test_large_amounts_are_exact_too():
    total = "123456789012345678901234567890.123456789012345678"
    planner = Planner(currency="SHIB")
    planner.deposit("d", "cp", total, "collateral")
    assert accounts(planner.withdraw("w", "cp", "0.000000000000000001"))["cp"][0] == total[:-1] + "7"
    document = make_round(
        "a", currency="SHIB", operators=[{"id": "op"}], coprocessors=[{"id": "cp"}, {"id": "other"}]
    )
    document["tasks"][0] |= {"slashing": "1234567890123456789.123456789012345678", "reward": total}
    document["offers"][0] |= {"coprocessor": "other", "collateral": total}
    planner.plan(document, "r")
    assert accounts(planner.state)["other"] == (None, total, "0.000000000000000000")
    planner.observe([{"commitment": "r/a/other", "outcome": "failed"}])
    totals = planner.audit().totals
    assert (totals.slashed, totals.forfeited) == ("1234567890123456789.123456789012345678", total)
    assert Decimal(totals.shortfall) == 0


def test_a_plan_never_overdraws_by_a_solvers_tolerance():
    planner = Planner(strategy="extensive", mip_rel_gap=0.0)
    document = make_round("a", "b", coprocessors=[{"id": "cp", "free_collateral": "9.9999999"}])
    for offer in document["offers"]:
        offer["collateral"] = 5
    plan = planner.plan(document, "r-1")
    assert len(plan.assignments) == 1
    assert planner.audit().imbalance == 0


def test_members_without_limits_stay_without_limits():
    planner = Planner()
    open_ended = {"operators": [{"id": "op"}], "coprocessors": [{"id": "cp"}]}
    planner.plan(make_round("a", "b", "c", **open_ended), "r-1")
    assert len(planner.commitments) == 3
    planner.observe(
        [
            {"commitment": "r-1/a/cp", "outcome": "failed"},
            {"commitment": "r-1/b/cp", "outcome": "succeeded"},
        ]
    )
    state = planner.audit()
    assert (state.operators[0].stake, state.coprocessors[0].free) == (None, None)
    assert Decimal(state.totals.slashed) == 5
    assert Decimal(state.totals.shortfall) == 0
    document = planner.prepare(make_round("d", **open_ended))
    assert "free_collateral" not in document["coprocessors"][0]


def test_self_execution_locks_nothing():
    document = make_round(
        "a",
        offers=[],
        self_execution=[{"task": "a", "operator": "op", "cost": 2, "success_probability": 0.99}],
    )
    planner = Planner()
    (assignment,) = planner.plan(document, "r-1").assignments
    assert assignment.kind == "self"
    planner.plan(make_round("b"), "r-2")
    planner.observe([{"commitment": "r-1/a/op", "outcome": "succeeded"}])
    assert Decimal(accounts(planner.audit())["op"][1]) == 6


def test_a_serial_coprocessor_is_busy_with_what_it_was_given():
    def timed(*tasks: str, now: float) -> dict:
        document = make_round(*tasks, now=now, coprocessors=[{"id": "cp", "serial": True}])
        for task in document["tasks"]:
            task["deadline"] = 100
        for offer in document["offers"]:
            offer["duration"] = 40
        return document

    planner = Planner()
    assert tasks_of(planner.plan(timed("a", now=0), "r-1")) == ["a"]
    assert planner.prepare(timed("b", now=10))["coprocessors"][0]["free_at"] == 40
    assert tasks_of(planner.plan(timed("b", "c", now=10), "r-2")) in (["b"], ["c"])  # both: till 120
    planner.observe([{"commitment": "r-1/a/cp", "outcome": "succeeded"}])
    assert planner.prepare(timed("d", now=20))["coprocessors"][0]["free_at"] == 60  # one left, at most 40


def test_replicas_earn_and_lose_once():
    document = make_round("a", coprocessors=[{"id": f"cp-{i}", "free_collateral": 10} for i in range(3)])
    document["tasks"][0] |= {"replicas": 3, "quorum": 2, "required": True, "reward": 80, "slashing": 50}
    document["offers"] = [
        {"task": "a", "coprocessor": f"cp-{i}", "bid": 1, "collateral": 4, "success_probability": 0.7}
        for i in range(3)
    ]
    for endings, earned, slashed in (
        (("failed", "succeeded", "succeeded"), 80, 0),
        (("failed", "failed", "succeeded"), 0, 50),
        (("failed", "failed", "failed"), 0, 50),
        (("succeeded", "succeeded", "succeeded"), 80, 0),
        (("released", "succeeded", "succeeded"), 80, 0),
        (("released", "failed", "succeeded"), 0, 50),
        (("succeeded", "released", "released"), 80, 0),
        (("failed", "released", "released"), 0, 50),
        (("succeeded", "failed", "released"), 0, 50),
        (("released", "released", "released"), 0, 0),
        (("succeeded", "succeeded", "released"), 80, 0),
    ):
        planner = Planner(strategy="extensive", mip_rel_gap=0)
        assert len(planner.plan(document, "r").assignments) == 3
        for number, ending in enumerate(endings):
            planner.observe([{"commitment": f"r/a/cp-{number}", "outcome": ending}])
            planner.prepare(make_round("b"))  # what is left of the task is a round that reads
        totals = planner.audit().totals
        assert (Decimal(totals.reward), Decimal(totals.slashed)) == (earned, slashed)
        assert Decimal(totals.forfeited) == 4 * endings.count("failed")


# --- ids --------------------------------------------------------------------------------------------------


def test_planning_the_same_round_again_gives_the_same_plan_and_locks_once():
    planner = Planner()
    first = planner.plan(make_round("a"))
    again = planner.plan(json.dumps(make_round("a")).encode())
    assert first.to_json() == again.to_json()
    assert len(planner.commitments) == 1
    with pytest.raises(InvalidInput, match="other content"):
        planner.plan(make_round("b"), planner.state.last_round)


def test_observing_the_same_again_counts_once():
    planner = Planner()
    planner.plan(make_round("a", "b"), "r")
    outcome = {"id": "o-1", "task": "a", "outcome": "succeeded"}
    assert planner.observe([outcome]).new == 1
    before = planner.state
    assert planner.observe([outcome]).repeated == 1
    assert planner.observe([{"commitment": "r/a/cp", "outcome": "succeeded"}]).repeated == 1
    assert planner.state == before


def test_every_fault_of_observations_is_listed_and_none_is_taken_in():
    planner = Planner()
    planner.plan(make_round("a", "b"), "r")
    planner.observe([{"id": "o-1", "task": "a", "outcome": "succeeded"}])
    before = planner.state
    with pytest.raises(InvalidInput) as caught:
        planner.observe(
            [
                {"id": "o-2", "task": "b", "outcome": "succeeded"},
                {"id": "o-1", "task": "a", "outcome": "failed"},
                {"commitment": "r/a/cp", "outcome": "failed"},
                {"commitment": "r/z/cp", "outcome": "failed"},
                {"outcome": "failed"},
                {"task": "b", "outcome": "failed"},
                {"id": "o-3", "task": "z", "outcome": "failed"},
            ]
        )
    paths = [each.path for each in caught.value.faults]
    assert paths == ["$[1].id", "$[2].outcome", "$[3].commitment", "$[4]", "$[5]", "$[6].task"]
    assert planner.state == before
    with pytest.raises(InvalidInput) as caught:
        planner.observe([{"commitment": "x", "outcome": "lost", "at": 3}])
    assert [each.path for each in caught.value.faults] == ["$[0].outcome", "$[0].at"]


def test_commitments_of_others_are_adopted_once():
    held = {
        "id": "k-1",
        "task": "old",
        "operator": "op",
        "executor": "cp",
        "collateral": "3",
        "success_probability": 0.9,
    }
    document = make_round("a", commitments=[held])
    document["tasks"].append({"id": "old", "operator": "op", "reward": 2, "slashing": 1})
    planner = Planner()
    planner.plan(document, "r-1")
    told = accounts(planner.state)
    assert [Decimal(each) for each in told["cp"]] == [6, 7, 0]  # 10 were free besides the 3
    planner.plan(document | {"now": 5}, "r-2")
    renamed = document | {"now": 6, "commitments": [held | {"id": "another name"}]}
    planner.plan(renamed, "r-3")
    assert [each.id for each in planner.commitments] == ["k-1", "r-1/a/cp"]
    planner.observe([{"commitment": "k-1", "outcome": "succeeded"}])
    planner.plan(document | {"now": 7}, "r-4")  # its author has not heard yet
    assert "k-1" not in [each.id for each in planner.commitments]
    assert planner.audit().imbalance == 0


# --- files ------------------------------------------------------------------------------------------------


def test_a_file_remembers(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "SNAPSHOT_EVERY", 3)
    path = tmp_path / "state.sqlite"
    with Planner(path, breaker=Breaker(failures=2, over=10), reputation="forgetting") as planner:
        planner.plan(make_round("a", "b"), "r-1")
        planner.observe([{"commitment": "r-1/a/cp", "outcome": "failed"}])
        plan = planner.plan(make_round("c"), "r-2")
        planner.deposit("d-1", "cp", "5")
        before = planner.audit()
    with Planner(path) as planner:
        assert planner.audit() == before
        assert planner.plan(make_round("c"), "r-2").to_json() == plan.to_json()
        assert planner.state == before
    assert before.reputation[0].mean < 0.95
    assert (before.breaker.recent_failures, before.breaker.failures) == (1, 2)


def test_two_planners_on_one_file_see_each_other(tmp_path):
    path = tmp_path / "state.sqlite"
    with Planner(path) as one, Planner(path) as two:
        one.plan(make_round("a", "b"), "r-1")
        assert tasks_of(two.plan(make_round("a", "c"), "r-2")) == []
        two.observe([{"commitment": "r-1/a/cp", "outcome": "succeeded"}])
        assert one.observe([{"commitment": "r-1/a/cp", "outcome": "succeeded"}]).repeated == 1
        assert one.audit() == two.audit()


def test_whoever_was_overtaken_plans_again(tmp_path, monkeypatch):
    path = tmp_path / "state.sqlite"
    with Planner(path) as one, Planner(path) as two:
        rivals = ["r-1"]

        def decide_late(*arguments):
            decided = deciding.decide(*arguments)
            if rivals:
                two.plan(make_round("a", "x"), rivals.pop())
            return decided

        monkeypatch.setattr(planner_module, "decide", decide_late)
        plan = one.plan(make_round("a", "b"), "r-2")
        assert plan.assignments == []  # 8 of 10 were gone by then
        assert [each.id for each in one.commitments] == ["r-1/a/cp", "r-1/x/cp"]
        rivals.append("r-3")
        assert (
            one.plan(make_round("a", "x"), "r-3").to_json() == two.plan(make_round("a", "x"), "r-3").to_json()
        )
        assert one.audit() == two.audit()


def test_threads_share_a_planner(tmp_path):
    with Planner(tmp_path / "state.sqlite", strategy="greedy") as planner:
        errors = []

        def plan(number: int) -> None:
            try:
                planner.plan(make_round(f"t-{number}"), f"r-{number}")
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=plan, args=(n,)) for n in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert not errors
        assert len(planner.commitments) == 2
        planner.audit()


def test_many_may_make_the_file_at_once(tmp_path):
    for attempt in range(10):
        together, errors = threading.Barrier(6), []

        def make(path: Path, together=together, errors=errors) -> None:
            together.wait()
            try:
                Planner(path, decimals=6).close()
            except Exception as error:
                errors.append(error)

        path = tmp_path / f"{attempt}.sqlite"
        threads = [threading.Thread(target=make, args=(path,)) for _ in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert not errors
        with Planner(path) as planner:
            assert planner.audit().events == 1


def test_events_cannot_be_changed(tmp_path):
    path = tmp_path / "state.sqlite"
    Planner(path, decimals=6).close()
    connection = sqlite3.connect(path)
    for statement in ("UPDATE events SET body = '{}'", "DELETE FROM events"):
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_failed_transaction_leaves_nothing(tmp_path, monkeypatch):
    with Planner(tmp_path / "state.sqlite") as planner:
        planner.plan(make_round("a"), "r-1")
        before = planner.state
        monkeypatch.setattr(
            planner._journal.store, "keep_plan", lambda *_: (_ for _ in ()).throw(OSError("full"))
        )
        with pytest.raises(OSError, match="full"):
            planner.plan(make_round("b"), "r-2")
        monkeypatch.undo()
        assert planner.audit() == before
        assert planner.plan(make_round("b"), "r-2").assignments


def test_other_files_are_refused(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no database, but long enough to have a header " * 10)
    other = tmp_path / "other.sqlite"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE t(a)")
    connection.commit()
    connection.close()
    for path in (text, other):
        with pytest.raises(InvalidInput, match="a planner's state"):
            Planner(path)
    with pytest.raises(OSError, match="unable to open"):
        Planner(tmp_path / "nowhere" / "state.sqlite")


def test_units_cannot_change():
    planner = Planner(decimals=6, currency="USDC")
    with pytest.raises(Refusal, match="10\\^-18"):
        planner.plan(make_round("a", currency="USDC"))
    with pytest.raises(Refusal, match="in ETH"):
        planner.plan(make_round("a", decimals=6))


def test_options_that_are_the_planners_own():
    with pytest.raises(InvalidInput, match="warm_start"):
        Planner(warm_start=None)
    with pytest.raises(InvalidInput, match="reputation"):
        Planner(reputation="oracle")


# --- breaker, reputation, money ---------------------------------------------------------------------------


def test_failures_open_the_breaker_and_reset_closes_it():
    planner = Planner(breaker=Breaker(failures=2, over=3))
    planner.plan(make_round("a", "b"), "r-1")
    planner.observe([{"commitment": f"r-1/{each}/cp", "outcome": "failed"} for each in "ab"])
    planner.deposit("d", "cp", 20)
    plan = planner.plan(make_round("c"), "r-2")
    assert (plan.status, plan.assignments) == ("interrupted", [])
    assert plan.unassigned[0].reason == "kept_for_later"
    assert "2 of the last 2 outcomes failed" in plan.provenance.notes[-1]
    assert planner.state.breaker.open
    planner.reset("x")
    assert planner.plan(make_round("c"), "r-2").assignments  # the round was not remembered
    planner.observe([{"commitment": "r-2/c/cp", "outcome": "failed"}])
    planner.reset("x")  # the same reset again resets nothing
    assert planner.state.breaker.recent_failures == 1
    planner.audit()


def test_losses_open_the_breaker():
    planner = Planner(breaker=Breaker(loss="5", over=1))
    planner.plan(make_round("a"), "r-1")
    assert not planner.state.breaker.open
    planner.observe([{"commitment": "r-1/a/cp", "outcome": "failed"}])
    assert planner.state.breaker.open
    with pytest.raises(InvalidInput) as caught:
        Breaker(loss=-1, failures=0, over=True)
    assert len(caught.value.faults) == 3


def test_reputations_replace_what_offers_claim_once_something_was_seen():
    planner = Planner(reputation="smoothed")
    document = make_round("a", coprocessors=[{"id": "cp"}, {"id": "new"}])
    document["offers"].append(document["offers"][0] | {"coprocessor": "new", "bid": 2})
    planner.plan(document, "r-1")
    assert planner.prepare(document | {"now": 1})["offers"] == []
    planner.observe([{"commitment": "r-1/a/cp", "outcome": "failed"}])
    offers = planner.prepare(document | {"now": 1})["offers"]
    assert offers[0]["success_probability"]["mean"] == pytest.approx(1 / 3)
    assert offers[1]["success_probability"] == 0.9
    (assignment,) = planner.plan(document | {"now": 1}, "r-2").assignments
    assert assignment.executor == "new"


def test_deposits_and_withdrawals_count_once():
    planner = Planner()
    planner.deposit("d-1", "cp", "10", "collateral")
    planner.deposit("d-1", "cp", "10", "collateral")
    assert Decimal(planner.withdraw("w-1", "cp", 99).coprocessors[0].free) == 0
    planner.deposit("d-2", "cp", 0.1)
    with pytest.raises(InvalidInput, match="another movement"):
        planner.deposit("d-2", "cp", 0.2)
    with pytest.raises(InvalidInput, match="stake or collateral"):
        planner.deposit("d-3", "who", 1)
    with pytest.raises(InvalidInput, match="number >= 0"):
        planner.deposit("d-4", "cp", "-1")
    assert Decimal(accounts(planner.audit())["cp"][0]) == Decimal("0.1")
    planner.plan(make_round("a"), "r")  # what the round says of cp does not count
    assert planner.commitments == ()


def test_what_has_no_plan_is_not_remembered():
    planner = Planner()
    document = make_round("a")
    document["tasks"][0]["required"] = True
    document["coprocessors"][0]["free_collateral"] = 1
    assert planner.plan(document, "r").status == "infeasible"
    assert planner.state.events == 0
    planner.deposit("d", "cp", 9, "collateral")
    assert planner.plan(document, "r").assignments  # the ledger's 9, not the round's 1


def test_the_state_fits_its_schema():
    import jsonschema

    planner = Planner(breaker=Breaker(failures=3), reputation="gas")
    planner.plan(make_round("a", "b"), "r")
    planner.observe([{"commitment": "r/a/cp", "outcome": "succeeded", "reward": "8.5"}])
    jsonschema.Draft202012Validator(json_schema("planner")).validate(json.loads(planner.state.to_json()))


# --- anything at all --------------------------------------------------------------------------------------

steps = st.lists(
    st.tuples(
        st.sampled_from(["plan", "observe", "again", "deposit", "withdraw", "reset"]), st.integers(0, 5)
    ),
    max_size=14,
)


@given(steps)
@settings(max_examples=25)
def test_whatever_happens_it_balances_and_folds(story):
    planner = Planner(strategy="greedy", breaker=Breaker(failures=2, over=4), reputation="ewma")
    for number, (step, choice) in enumerate(story):
        match step:
            case "plan":
                names = [f"t-{(number + i) % 7}" for i in range(choice)]
                planner.plan(make_round(*names, now=number), f"r-{number}")
            case "observe" | "again" if planner.commitments:
                work = planner.commitments[choice % len(planner.commitments)]
                outcome = ("succeeded", "failed", "released")[choice % 3]
                told = {"commitment": work.id, "outcome": outcome}
                if outcome != "failed" and choice > 2:
                    told["held_until"] = number + choice
                for _ in range(1 + (step == "again")):
                    planner.observe([told])
            case "deposit":
                planner.deposit(f"d-{choice}", "cp", "3.5", "collateral")
            case "withdraw":
                planner.withdraw(f"w-{number}", "cp", choice, "collateral")
            case "reset":
                planner.reset(f"x-{choice}")
        tasks = [each.task for each in planner.commitments]
        assert len(tasks) == len(set(tasks))
        planner.audit()


def test_killed_at_random_instants_nothing_is_lost_or_locked_twice():
    script = ROOT / "benchmarks" / "planner_kills.py"
    if not script.exists() or os.name != "posix":
        pytest.skip("the script is not here, or processes cannot be forked")
    done = subprocess.run(
        [sys.executable, str(script), "--kills", "10", "--lines", "9"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "nothing lost" in done.stdout


@pytest.mark.parametrize("own", [False, True])
def test_a_round_may_leave_out_what_it_does_not_have(own: bool):
    task = {"id": "t", "operator": "op", "reward": 1}
    document = {"format": "bondwork.round/1", "operators": [{"id": "op"}], "tasks": [task] if own else []}
    if own:
        document["self_execution"] = [{"task": "t", "operator": "op", "success_probability": 1}]
    with Planner() as planner:
        assert len(planner.plan(document, "alone").assignments) == own
