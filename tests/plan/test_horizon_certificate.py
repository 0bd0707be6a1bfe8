"""Certificates of rounds with later periods: what multipliers at nodes prove, and what is refused."""

from __future__ import annotations

import json
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bondwork
from bondwork.plan.certificate import BadCertificate, Entry, read_entries, write_entries
from bondwork.plan.recount_horizon_bound import HorizonBound
from bondwork.uncertainty.horizon import ENDED, HorizonTree, horizon_tree
from horizon_certificate_oracle import HorizonProof
from horizon_oracle import best_policy, staged_rounds

ROOT = Path(__file__).parents[2]

#: Share of the size of its terms by which the tolerance of rows widens a bound at most.
WIDER = Fraction(2, 10**9)

FEW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def every_limit(instance: bondwork.Instance, tree: HorizonTree) -> list[Entry]:
    """An entry for each limit that there is at any node."""
    rooms = HorizonBound(instance, tree, instance.uncertainty.seed).rooms
    tasks = [instance.tasks, *(period.tasks for period in instance.periods)]
    times = sorted({time for each in tasks for time in each.deadline.tolist() if time < float("inf")})
    owners = range(max(len(instance.coprocessors), len(instance.operators)))
    some: list[tuple[str, tuple[int | float, ...]]] = []
    for who in owners:
        for k in range(len(instance.resources)):
            some += [("capacity", (who, k)), ("own_capacity", (who, k))]
        some += [("collateral", (who,)), ("stake", (who,))]
        for due in times:
            some += [("deadline", (who, due)), ("window", (who, 0, due)), ("window", (who, 1, due))]
        some += [("expected", (number, who)) for number in range(len(instance.risk))]
    found = []
    for node, point in enumerate(tree.period.tolist()):
        for word, about in some if point != ENDED else []:
            entry = Entry(word, about, 1.0, node=node)
            try:
                rooms.limit_of(entry, point)
            except BadCertificate:
                continue
            found.append(entry)
    return found


def some_of(entries: list[Entry], rng: random.Random) -> list[Entry]:
    """Multipliers as somebody may put them there: any that are not below 0 prove something."""
    share, size = rng.choice([0.1, 0.5, 1.0]), rng.choice([0.01, 0.2, 1.0, 5.0])
    kept = [each for each in entries if rng.random() < share]
    return [Entry(e.word, e.about, rng.choice([0.0, 1.0, rng.random()]) * size, node=e.node) for e in kept]


@FEW
@given(staged_rounds(), st.integers(0, 2**16))
def test_no_policy_earns_more_than_any_multipliers_prove(document, seed):
    instance = bondwork.load(document)
    tree = horizon_tree(instance)
    best = best_policy(document)
    proof = HorizonBound(instance, tree, instance.uncertainty.seed)
    entries = every_limit(instance, tree)
    rng = random.Random(seed)
    for _ in range(8):
        some = some_of(entries, rng)
        bound = proof.bound(some)
        exact = HorizonProof(document, instance.uncertainty.seed, write_entries(some))
        other = exact.bound()
        assert (bound is None) == (other is None)
        if best is not None:
            assert bound is not None and not proof.refutes(some)
            assert float(bound) >= best - 1e-9
        if bound is not None and other is not None:
            assert other <= bound <= other + WIDER * max(exact.size, 1)


@FEW
@given(staged_rounds())
def test_the_certificate_of_a_plan_is_what_fractions_give_and_as_good_as_the_linear_relaxation(document):
    instance = bondwork.load(document)
    plan = bondwork.solve(instance, mip_rel_gap=0.0)
    best = best_policy(document)
    certificate = plan.certificate
    verdict = bondwork.verify(instance, json.loads(plan.to_json()))
    assert verdict
    if best is None:
        assert plan.status == "infeasible"
        if certificate is not None:
            assert certificate.kind == "infeasibility" and verdict.refuted
            below = HorizonProof(document, plan.provenance.seed, certificate.multipliers).bound(earning=False)
            assert below is None or below < 0
        return
    assert certificate is not None and certificate.bound is not None, plan.provenance.notes
    exact = HorizonProof(document, plan.provenance.seed, certificate.multipliers)
    bound = exact.bound()
    assert bound is not None
    assert bound <= Fraction(certificate.bound) <= bound + WIDER * max(exact.size, 1)
    assert certificate.bound >= best - 1e-9
    assert verdict.certified is not None and verdict.certified <= certificate.bound
    relaxed = relaxation(instance)
    assert certificate.bound <= relaxed + 1e-6 * max(abs(relaxed), sizes_of(document))


def sizes_of(document: dict[str, Any]) -> float:
    return 10.0 * len(document["periods"]) + 10.0


def relaxation(instance: bondwork.Instance) -> float:
    """Value of the linear relaxation of the extensive form."""
    from bondwork.contracts import Options
    from bondwork.observing import Silence
    from bondwork.program.extensive import extensive_form
    from bondwork.program.horizon import horizon_program
    from bondwork.solver.solving import solve_program

    made = horizon_program(horizon_tree(instance))
    form = extensive_form(made.program).matrices
    answer = solve_program(form, Options(), Silence(), relaxed=True, phase="test")
    assert answer.x is not None
    return (float(form.objective @ answer.x) + form.offset) * made.unit


# by hand


def offer(**fields: Any) -> dict[str, Any]:
    return {"task": "t", "coprocessor": "cp", "collateral": 2, "success_probability": 0.75} | fields


def document(**fields: Any) -> dict[str, Any]:
    """A failure now costs the collateral that the next period needs."""
    task = {"id": "t", "operator": "op", "reward": 4}
    later = {"id": "next", "at": 60, "tasks": [task | {"reward": 8}], "offers": [offer()]}
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp", "free_collateral": 3}],
        "tasks": [task],
        "offers": [offer()],
        "periods": [later],
    } | fields


def checked(plan: bondwork.Plan, change: dict[str, Any], given: dict[str, Any] | None = None) -> Any:
    told = json.loads(plan.to_json())
    told["certificate"] |= change
    return bondwork.verify(bondwork.load(given or document()), told)


def test_a_failure_on_the_way_is_paid_for_where_it_is_missed():
    """Taking both earns 3 + 0.75 * 6, as a failure leaves 1 of 3; leaving the first earns 6."""
    instance = bondwork.load(document())
    plan = bondwork.solve(instance, mip_rel_gap=0.0)
    assert plan.objective == plan.bound == 7.5
    assert plan.certificate is not None and plan.certificate.kind == "bound"
    tree = horizon_tree(instance)
    failed = tree.tree.nodes(1).start  # where the first did not succeed
    proof = HorizonBound(instance, tree, 0)
    # by nothing: 3 now and 6 later
    assert proof.bound([]) == 9
    # y on collateral at the node of failure: 3 y for the room; both pay 2 y, the later one earns 1.5 there
    y = Fraction(1, 2)
    assert proof.bound([Entry("collateral", (0,), 0.5, node=failed)]) == (
        3 * y + (3 - 2 * y) + Fraction(3, 4) * 6 + (Fraction(3, 2) - 2 * y)
    )


def test_a_bound_that_is_not_what_the_multipliers_prove_is_refused():
    plan = bondwork.solve(bondwork.load(document()), mip_rel_gap=0.0)
    assert plan.certificate is not None and plan.certificate.bound is not None
    for bound in (plan.certificate.bound - 0.001, plan.certificate.bound + 1.0, None):
        assert [each.what for each in checked(plan, {"bound": bound}).violations] == ["certificate.bound"]
    assert checked(plan, {"kind": "infeasibility", "bound": None}).violations
    told = checked(plan, {"multipliers": [], "bound": 9.0, "vouched_by": "branch_and_bound"})
    assert told and told.certified == 9.0
    assert not checked(plan, {"multipliers": [], "bound": 9.0, "vouched_by": None})


@pytest.mark.parametrize(
    "multipliers",
    [
        ["node", 3, "collateral", 0, 1.0],
        ["node", 10**400, "collateral", 0, 1.0],
        ["node", -1, "collateral", 0, 1.0],
        ["node", 1, "collateral", 1, 1.0],
        ["node", 1, "collateral", 0, -1.0],
        ["node", 1, "stake", 0, 1.0],
        ["node", 1, "capacity", 0, 0, 1.0],
        ["node", 1, "deadline", 0, 60.0, 1.0],
        ["node", 1, "window", 0, 2, 60.0, 1.0],
        ["node", 1, "window", 0, 0.5, 60.0, 1.0],
        ["node", 1, "expected", 0, 0, 1.0],
        ["node", 1, "cvar", 0, 0, 1.0, 0, 1.0],
        ["node", 1, "load", 0, 1.0],
        ["node", 1, "mean_risk", 0.0],
        ["task", 0, 1.0],
        ["task", 0, 0.0],
        ["task", 99, 1.0],
        ["node", 1, "task", 0, 1.0],
        ["collateral", 0, 1.0, "task", 0, 1.0],
    ],
)
def test_multipliers_of_nothing_are_refused_and_raise_nothing(multipliers):
    plan = bondwork.solve(bondwork.load(document()))
    verdict = checked(plan, {"multipliers": multipliers})
    assert [each.what for each in verdict.violations] == ["certificate.multipliers"]


def test_a_window_is_a_word_of_later_periods():
    plan = bondwork.solve(bondwork.load(document(periods=[])))
    verdict = checked(plan, {"multipliers": ["window", 0, 0, 60.0, 1.0]}, document(periods=[]))
    assert [each.what for each in verdict.violations] == ["certificate.multipliers"]


def test_huge_multipliers_prove_something_huge_and_raise_nothing():
    plan = bondwork.solve(bondwork.load(document()))
    for y, field in ((1e308, "multipliers"), (5e-324, "bound"), (1e200, "bound")):
        verdict = checked(
            plan, {"multipliers": ["node", 1, "collateral", 0, y, "node", 2, "collateral", 0, y]}
        )
        assert [each.what for each in verdict.violations] == [f"certificate.{field}"]


def test_what_is_required_later_and_cannot_be_is_proven():
    task = {"id": "t", "operator": "op", "reward": 4, "required": True}
    later = {"id": "next", "at": 60, "tasks": [task], "offers": [offer(collateral=3)]}
    given = document(periods=[later], tasks=[task], offers=[offer()])
    instance = bondwork.load(given)
    plan = bondwork.solve(instance)
    assert plan.status == "infeasible"
    assert plan.certificate is not None and plan.certificate.kind == "infeasibility"
    verdict = bondwork.verify(instance, plan)
    assert verdict and verdict.refuted
    assert not any(each.startswith("infeasibility") for each in verdict.unchecked)
    # where the first task succeeds for sure, nothing is proven
    sure = document(periods=[later], tasks=[task], offers=[offer(success_probability=1.0)])
    tree = horizon_tree(bondwork.load(sure))
    proof = HorizonBound(bondwork.load(sure), tree, 0)
    assert not proof.refutes(read_entries(["node", 1, "collateral", 0, 1.0]))
    assert [each.what for each in checked(plan, {"multipliers": []}, given).violations] == ["certificate"]


def test_commitments_that_return_a_deficit_leave_room_at_the_nodes_where_they_do():
    held = {"id": "k", "task": "old", "operator": "op", "executor": "cp", "collateral": 4,
            "success_probability": 0.5, "release_at": 60}  # fmt: skip
    given = document(
        coprocessors=[{"id": "cp", "free_collateral": -1}],
        tasks=[{"id": "t", "operator": "op", "reward": 4}, {"id": "old", "operator": "op"}],
        commitments=[held],
    )
    instance = bondwork.load(given)
    plan = bondwork.solve(instance, mip_rel_gap=0.0)
    # nothing fits now, nor where it is lost; where it came back, 3 is free
    assert plan.objective == pytest.approx(0.5 * 6)
    assert plan.certificate is not None and plan.certificate.bound == pytest.approx(3.0)
    assert plan.certificate.vouched_by is None
    assert bondwork.verify(instance, plan).certified == plan.certificate.bound


def test_money_in_its_smallest_units_proves_the_same():
    scaled = json.loads(json.dumps(document()), parse_int=lambda text: int(text) * 10**18)
    for part in (scaled, *scaled["periods"]):
        for each in part["offers"]:
            each["success_probability"] = 0.75
    scaled["periods"][0]["at"] = 60
    plan = bondwork.solve(bondwork.load(scaled), mip_rel_gap=0.0)
    assert plan.objective == 7.5e18
    assert plan.certificate is not None and plan.certificate.bound == 8.25e18
    assert bondwork.verify(bondwork.load(scaled), plan)


@pytest.mark.parametrize("strategy", ["l-shaped", "saa", "expected-value", "auto", "highs-simplex"])
def test_strategies_that_decide_periods_carry_a_certificate(strategy):
    instance = bondwork.load(document())
    plan = bondwork.solve(instance, strategy=strategy)
    assert plan.certificate is not None, plan.provenance.notes
    verdict = bondwork.verify(instance, plan)
    assert verdict and verdict.certified is not None and verdict.certified >= 7.5 - 1e-9


def test_what_has_none_says_why():
    instance = bondwork.load(document())
    plan = bondwork.solve(instance, strategy="wait-and-see")
    assert plan.certificate is None
    reason = "bound: no certificate: the bound is that of deciding with what nobody knows"
    assert reason in bondwork.verify(instance, plan).unchecked
    plain = bondwork.solve(instance, certificate="none")
    assert plain.certificate is None
    assert "bound: no certificate" in bondwork.verify(instance, plain).unchecked
