"""From a document to arrays, checked by hand on a round with every field."""

from __future__ import annotations

import json

import numpy as np
import pytest

import bondwork
from bondwork.problem.instance import NOBODY, Period, RiskLimit
from mutations import full_round

INF = np.inf


@pytest.fixture(scope="module")
def instance():
    return bondwork.load(json.dumps(full_round()).encode())


def faults(document: dict) -> dict[str, str]:
    with pytest.raises(bondwork.InvalidInput) as caught:
        bondwork.load(document)
    assert len({fault.path for fault in caught.value.faults}) == len(caught.value.faults)
    return {fault.path: f"{fault.found} | {fault.expected}" for fault in caught.value.faults}


def smallest(**changes: object) -> dict:
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp"}],
        "tasks": [{"id": "t", "operator": "op", "reward": 5, "slashing": 2}],
        "offers": [{"task": "t", "coprocessor": "cp", "bid": 1, "success_probability": 0.5}],
    } | changes


def test_the_head(instance):
    assert (instance.name, instance.currency, instance.decimals, instance.now) == (
        "every field",
        "ETH",
        18,
        0.0,
    )
    assert instance.resources == ("compute", "gpu hours")
    assert (instance.terms.bid_paid, instance.terms.collateral_rate) == ("on_success", 1.0)
    terms = instance.terms
    assert (terms.burned, terms.operator, terms.rescuer, terms.treasury) == (0.5, 0.125, 0.25, 0.125)
    assert (instance.objective.risk_weight, instance.objective.risk_level) == (0.25, 0.9)
    uncertainty = instance.uncertainty
    assert (uncertainty.common, uncertainty.coprocessor) == (0.05, 0.3)
    assert (uncertainty.sampling, uncertainty.scenarios, uncertainty.seed) == ("sobol", 1024, 0)


def test_operators_and_coprocessors(instance):
    operators, coprocessors = instance.operators, instance.coprocessors
    assert operators.ids == ("op-1", "op-2")
    assert operators.stake.tolist() == [320.0, 120.5]
    assert operators.capacity.tolist() == [[6.0, 2.0], [1.0, INF]]
    assert coprocessors.ids == ("cp-1", "cp-2")
    assert coprocessors.capacity.tolist() == [[10.0, INF], [4.0, INF]]
    assert coprocessors.free_collateral.tolist() == [60.0, 25.0]
    assert coprocessors.outage_probability.tolist() == [0.01, 0.0]
    assert coprocessors.serial.tolist() == [False, True]
    assert coprocessors.free_at.tolist() == [0.0, 120.0]
    curve = coprocessors.load_curve[1]
    assert coprocessors.load_curve[0] is None
    assert (curve.resource, curve.scale, curve.weight) == (0, 1.0, 0.0)
    assert curve.parameters == (1, 0.5, 0.2, 0.8, -0.4, 0.8, -2, 0.8, 0.68)


def test_tasks_and_claims(instance):
    tasks, claims = instance.tasks, instance.claims
    assert tasks.ids == ("t-1", "t-2", "t-0")
    assert tasks.minimum_collateral.tolist() == [5.0, 5.0, 0.0]
    assert tasks.deadline.tolist() == [1800.0, 1800.0, INF]
    assert tasks.required.tolist() == [False, False, False]
    assert tasks.unassigned_cost.tolist() == [0.5, 0.5, 0.0]
    assert tasks.replicas.tolist() == [2, 2, 1]
    assert tasks.quorum.tolist() == [1, 1, 1]
    # task by task, in the order of the input
    assert claims.task.tolist() == [0, 1, 1, 2]
    assert claims.operator.tolist() == [0, 0, 1, 0]
    assert claims.reward.tolist() == [12.0, 5.0, 4.0, 9.0]
    assert claims.slashing.tolist() == [30.0, 8.0, 8.0, 10.0]


def test_offers_are_expanded_over_claims(instance):
    offers = instance.offers
    assert offers.ids == ("first", "second", "t-2/cp-2", "t-2/cp-2", "t-2/cp-1/op-2", "t-2/op-1")
    assert offers.task.tolist() == [0, 0, 1, 1, 1, 1]
    assert offers.operator.tolist() == [0, 0, 0, 1, 1, 0]
    assert offers.claim.tolist() == [0, 0, 1, 2, 2, 1]
    assert offers.coprocessor.tolist() == [0, 1, 1, 1, 0, NOBODY]
    assert offers.is_self.tolist() == [False] * 5 + [True]
    assert offers.stage.tolist() == [1, 2, 1, 1, 1, 1]
    assert offers.bid.tolist() == [5.0, 4.0, 1.0, 1.0, 0.0, 0.6]
    assert offers.collateral.tolist() == [25.0, 20.0, 5.0, 5.0, 0.0, 0.0]
    assert offers.success_probability.tolist() == [0.97, 0.9, 0.95, 0.95, 0.5, 0.999]
    assert offers.concentration.tolist() == [INF, 40.0, INF, INF, INF, INF]
    assert offers.duration.tolist() == [900.0, 600.5, 0.0, 0.0, 0.0, 0.0]
    # the first offer's own work, else its task's
    assert offers.work.tolist() == [[3.5, 0.0]] + [[1.0, 0.0]] * 5
    assert [instance.executor_id(v, c) for v, c in zip(offers.operator, offers.coprocessor, strict=True)] == [
        "cp-1", "cp-2", "cp-2", "cp-2", "cp-1", "op-1",
    ]  # fmt: skip


def test_commitments_risk_and_periods(instance):
    held = instance.commitments
    assert held.ids == ("k-17",)
    assert (held.task.tolist(), held.operator.tolist(), held.claim.tolist()) == ([2], [0], [3])
    assert held.coprocessor.tolist() == [0]
    assert held.collateral.tolist() == [10.0]
    assert held.work.tolist() == [[1.0, 0.0]]
    assert held.success_probability.tolist() == [0.95]
    assert held.release_at.tolist() == [600.0]
    measures = [(r.measure, r.scope, r.member, r.budget, r.calibrate) for r in instance.risk]
    assert measures == [
        ("expected", "coprocessor", 0, 10.0, False),
        ("cvar", "network", None, 25.0, True),
        ("chance", "operator", None, 30.0, False),
        ("worst_case", "operator", 1, 90.0, False),
        ("solvency", "coprocessor", None, INF, False),
        ("ambiguous", "network", None, 90.0, False),
    ]
    assert instance.risk[1].level == 0.95
    assert (instance.risk[2].probability, instance.risk[4].probability) == (0.05, 0.05)
    assert instance.risk[5].radius == 0.5
    assert isinstance(instance.risk[0], RiskLimit)
    assert [(p.id, p.parent, p.above, p.at, p.probability) for p in instance.periods[:2]] == [
        ("next", None, -1, 600.0, 1.0),
        ("good", "next", 0, 900.0, 0.25),
    ]
    assert [(len(p.tasks), len(p.offers)) for p in instance.periods[:2]] == [(2, 2), (0, 0)]
    assert isinstance(instance.periods[0], Period)


def test_everything_absent_is_not_limited_or_the_default():
    instance = bondwork.load(smallest())
    assert instance.operators.stake.tolist() == [INF]
    assert instance.coprocessors.free_collateral.tolist() == [INF]
    assert instance.coprocessors.capacity.shape == (1, 0)
    assert instance.tasks.deadline.tolist() == [INF]
    assert (instance.decimals, instance.now, instance.resources) == (18, 0.0, ())
    assert (instance.terms.bid_paid, instance.terms.burned, instance.terms.collateral_rate) == (
        "always",
        1.0,
        1.0,
    )
    assert (instance.uncertainty.sampling, instance.uncertainty.scenarios) == ("sobol", 1024)
    assert instance.offers.work.shape == (1, 0)
    empty = bondwork.load({"format": "bondwork.round/1", "tasks": []})
    assert (len(empty.tasks), len(empty.offers), len(empty.claims)) == (0, 0, 0)


def test_null_is_as_good_as_absent():
    plain = bondwork.load(smallest())
    nulls = smallest()
    nulls["operators"][0]["stake"] = None
    nulls["coprocessors"][0] |= {"free_collateral": None, "free_at": None, "load_curve": None}
    nulls["tasks"][0] |= {"deadline": None, "claims": None}
    nulls["offers"][0] |= {"id": None, "operator": None, "work": None}
    assert bondwork.load(nulls).sha256 == plain.sha256


def test_arrays_are_read_only(instance):
    for part in (instance.operators, instance.coprocessors, instance.tasks, instance.claims, instance.offers,
                 instance.commitments):  # fmt: skip
        for name in part.__slots__:
            value = getattr(part, name)
            if isinstance(value, np.ndarray):
                assert not value.flags.writeable, name


def test_an_offers_work_replaces_the_tasks_and_does_not_add_to_it():
    document = smallest()
    document["tasks"][0]["work"] = {"compute": 4, "memory": 8}
    document["offers"][0]["work"] = {"compute": 3, "disk": 1}
    document["offers"].append(document["offers"][0] | {"id": "none", "work": {}})
    document["offers"].append({"id": "tasks", "task": "t", "coprocessor": "cp", "success_probability": 1})
    instance = bondwork.load(document)
    assert instance.resources == ("compute", "memory", "disk")
    assert instance.offers.work.tolist() == [[3, 0, 1], [0, 0, 0], [4, 8, 0]]


@pytest.mark.parametrize(
    ("amount", "value"),
    [
        ("0.1", 0.1),
        ("000.10", 0.1),
        ("115792089237316195423570985008687907853269984665640564039457584007913129639935", 2.0**256),
        ("1234567890123456789.000000000000000001", 1234567890123456789.0),
        ("9007199254740993", float(2**53)),  # nearest, ties to even
        (10**150, 1e150),
        (10**60, 1e60),
        (0, 0.0),
    ],
)
def test_amounts_are_the_nearest_numbers(amount, value):
    document = smallest()
    document["tasks"][0]["reward"] = amount
    assert bondwork.load(json.dumps(document).encode()).claims.reward.tolist() == [value]
    assert bondwork.load(document).claims.reward.tolist() == [value]


@pytest.mark.parametrize(
    "amount", ["1\n", "1e3", "+1", "-1", ".5", "5.", "1,5", " 1", "0x1", "١", "", "9" * 151, 1e151, -0.5]
)
def test_what_is_no_amount(amount):
    document = smallest()
    document["tasks"][0]["reward"] = amount
    assert list(faults(document)) == ["$.tasks[0].reward"]


def test_the_digest_is_of_the_content_not_of_the_layout():
    document = full_round()
    digest = bondwork.load(document).sha256
    assert bondwork.load(json.dumps(document, indent=4).encode()).sha256 == digest
    turned = {name: document[name] for name in reversed(document)}
    assert bondwork.load(turned).sha256 == digest
    for steps in (("now",), ("tasks", 0, "deadline"), ("offers", 1, "duration"), ("risk", 1, "budget")):
        other = full_round()
        at = other
        for step in steps[:-1]:
            at = at[step]
        at[steps[-1]] = at[steps[-1]] + 0.5 if steps != ("now",) else 0.5
        assert bondwork.load(other).sha256 != digest, steps


def test_the_same_pair_needs_ids_of_its_own():
    document = smallest()
    document["offers"].append(dict(document["offers"][0]))
    assert "t/cp" in faults(document)["$.offers[1]"]
    document["offers"][1]["id"] = "other"
    assert bondwork.load(document).offers.ids == ("t/cp", "other")
    document["offers"].append(document["offers"][0] | {"id": "t/cp"})
    assert list(faults(document)) == ["$.offers[2]"]


def test_commitments_of_operators_themselves():
    document = smallest(
        commitments=[{"id": "k", "task": "t", "operator": "op", "executor": "op", "success_probability": 1}]
    )
    assert bondwork.load(document).commitments.coprocessor.tolist() == [NOBODY]
    document["operators"].append({"id": "op-2"})
    document["commitments"][0]["executor"] = "op-2"
    assert faults(document) == {
        "$.commitments[0].executor": '"op-2" | a coprocessor, or "op" for self-execution'
    }
    document["commitments"][0]["executor"] = "nobody"
    assert faults(document) == {"$.commitments[0].executor": '"nobody" | the id of a coprocessor'}


def test_probabilities_and_outages():
    document = smallest()
    document["coprocessors"][0]["outage_probability"] = 0.1
    document["offers"][0]["success_probability"] = 0.9
    assert bondwork.load(document).offers.success_probability.tolist() == [
        0.9
    ]  # 1 - 0.1 in binary, or nearly
    document["offers"][0]["success_probability"] = 0.9000001
    assert list(faults(document)) == ["$.offers[0].success_probability"]
    # an operator's own execution knows no outage of a coprocessor
    document["offers"] = []
    document["self_execution"] = [{"task": "t", "operator": "op", "success_probability": 1.0}]
    bondwork.load(document)


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ({}, []),
        ({"weight": 1.0}, []),
        ({"weight": 1.0, "D": 0.81}, ["B", "F"]),
        ({"weight": 1.0, "I": 0.7}, ["F"]),
        ({"weight": 1.0, "F": 0.4}, [""]),
        ({"weight": 1.0, "B": 0.0}, [""]),
        ({"D": 99}, []),  # a jump that nobody follows
        ({"resource": "disk"}, ["resource"]),
    ],
)
def test_load_curves_must_not_jump_where_they_count(changes, places):
    document = full_round()
    document["coprocessors"][1]["load_curve"] |= changes
    expected = ["$.coprocessors[1].load_curve" + (f".{place}" if place else "") for place in places]
    if expected:
        assert list(faults(document)) == expected
    else:
        bondwork.load(document)


@pytest.mark.parametrize(("weight", "valid"), [(1.0, False), (0.0, True)])
def test_a_load_that_counts_needs_a_capacity(weight, valid):
    document = full_round()
    coprocessor = document["coprocessors"][1]
    coprocessor["capacity"][coprocessor["load_curve"]["resource"]] = 0
    coprocessor["load_curve"]["weight"] = weight
    if valid:
        bondwork.load(document)
    else:
        assert list(faults(document)) == ["$.coprocessors[1].load_curve.resource"]


@pytest.mark.parametrize(
    ("shares", "valid"),
    [
        ({"burned": 1}, True),
        ({"burned": 0.1, "operator": 0.2, "rescuer": 0.3, "treasury": 0.4}, True),
        ({"burned": 1 / 3, "operator": 1 / 3, "treasury": 1 / 3}, True),
        ({"operator": 1, "burned": 0}, True),
        ({"operator": 1, "burned": 1}, False),
        ({}, False),
        ({"burned": 0.999}, False),
    ],
)
def test_shares_add_up_to_one(shares, valid):
    document = smallest(terms={"collateral_split": shares})
    if valid:
        bondwork.load(document)
    else:
        assert list(faults(document)) == ["$.terms.collateral_split"]


def test_a_quorum_that_cannot_be_reached():
    document = smallest()
    document["tasks"][0] |= {"replicas": 2, "quorum": 3}
    assert faults(document) == {"$.tasks[0].quorum": "3 | at most replicas, 2"}


def test_ids_are_unique_across_operators_and_coprocessors_and_elsewhere_may_meet():
    document = smallest()
    document["coprocessors"][0]["id"] = document["offers"][0]["coprocessor"] = "op"
    assert list(faults(document)) == ["$.coprocessors[0].id"]
    document = smallest()
    document["tasks"][0]["id"] = document["offers"][0]["task"] = "op"
    bondwork.load(document)


def test_the_sources_of_a_round(tmp_path):
    document = full_round()
    data = json.dumps(document).encode()
    path = tmp_path / "round.json"
    path.write_bytes(data)
    with path.open("rb") as stream:
        digests = {bondwork.load(each).sha256 for each in (document, data, path, str(path), stream)}
    assert len(digests) == 1
    with pytest.raises(FileNotFoundError):
        bondwork.load(tmp_path / "nowhere.json")
    with pytest.raises(IsADirectoryError):
        bondwork.load(tmp_path)


def test_the_document_is_left_as_it_was():
    document = full_round()
    before = json.dumps(document)
    bondwork.load(document)
    assert json.dumps(document) == before
    document["offers"][0]["bid"] = -1
    faults(document)


def test_entries_before_and_after_malformed_ones_keep_their_places():
    document = full_round()
    document["offers"][0]["bid"] = -1
    document["offers"][2]["task"] = "nowhere"
    document["tasks"].insert(0, 5)
    assert list(faults(document)) == ["$.tasks[0]", "$.offers[0].bid", "$.offers[2].task"]


def test_what_refers_to_a_malformed_entry_is_no_fault():
    document = full_round()
    for name in ("operators", "coprocessors", "tasks", "periods"):
        document[name][0]["nonsense"] = 1
    assert set(faults(document)) == {
        "$.operators[0].nonsense",
        "$.coprocessors[0].nonsense",
        "$.tasks[0].nonsense",
        "$.periods[0].nonsense",
    }


def test_ids_that_meet_those_of_malformed_entries():
    document = full_round()
    document["tasks"].append({"id": "t-1", "reward": -1})
    document["operators"].insert(0, {"id": "op-1", "stake": -1})
    assert set(faults(document)) == {
        "$.tasks[3].id",
        "$.tasks[3].reward",
        "$.operators[0].stake",
        "$.operators[1].id",
    }
