"""What a solve refuses: only what would change the answer. Each feature where it does and where not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import bondwork
from bondwork.problem.support import unsupported
from hand_made import Document, make_round, offer
from oracle import Oracle

if TYPE_CHECKING:
    from collections.abc import Callable

TASK = {"id": "t", "operator": "op", "reward": 8, "slashing": 4}
HELD = {"id": "k", "task": "t", "operator": "op", "executor": "cp", "success_probability": 1}
CURVE = {"resource": "gpu", "A": 1, "B": 0.5, "C": 0, "D": 1, "E": 0, "F": 0.75, "G": 0, "H": 0, "I": 1}


def one_task(**task: Any) -> Document:
    """Return a round with one task that two coprocessors offer to do."""
    return make_round(
        coprocessors=[{"id": "cp", "capacity": {"gpu": 4}}, {"id": "other"}],
        tasks=[TASK | task],
        offers=[
            offer("t", "cp", 1, success_probability=0.75, collateral=2),
            offer("t", "other", 2, success_probability=0.875, collateral=2),
        ],
    )


def with_(document: Document, **fields: Any) -> Document:
    return document | fields


def rescue(document: Document, **terms: Any) -> Document:
    second = offer("t", "cp", 1, id="second", stage=2, success_probability=0.5) | terms
    return document | {"offers": [*document["offers"], second]}


def committed(document: Document) -> Document:
    return document | {"commitments": [HELD]}


def tail(measure: str, budget: float, **other: Any) -> Document:
    return {"measure": measure, "budget": budget, "of": "network"} | other


def risk(*limits: Document) -> Document:
    return with_(one_task(), risk=list(limits))


def with_curve(**curve: Any) -> Document:
    document = one_task()
    document["coprocessors"][0]["load_curve"] = CURVE | curve
    return document


def with_collateral(free: float) -> Document:
    document = one_task()
    document["coprocessors"][0]["free_collateral"] = free
    return with_(document, risk=[{"measure": "solvency", "probability": 0.05}])


def period(*offers: Document) -> Document:
    later = {"id": "next", "at": 600, "tasks": [TASK | {"id": "later"}], "offers": list(offers)}
    return with_(one_task(), periods=[later])


REFUSED: dict[str, tuple[str, Document]] = {
    "replicas with too many teams": (
        "replicas with more than 1,000,000 teams",
        make_round(
            coprocessors=[{"id": f"cp-{c}"} for c in range(24)],
            tasks=[TASK | {"replicas": 12}],
            offers=[offer("t", f"cp-{c}", 1) for c in range(24)],
        ),
    ),
    "a rescue beside a limit on solvency": (
        "a limit on solvency beside second-stage offers",
        rescue(with_collateral(2)),
    ),
    "a rescue beside replicas": ("replicas beside second-stage offers", rescue(one_task(replicas=2))),
    "a load curve with a weight and a rescue": (
        "a load curve with a weight",
        rescue(with_curve(weight=1), bid=100),
    ),
    "calibrated limits beside later periods": (
        "limits that are calibrated beside later periods",
        period({"task": "later", "coprocessor": "cp", "success_probability": 1})
        | {"risk": [{"measure": "cvar", "level": 0.9, "budget": 1, "of": "network", "calibrate": True}]},
    ),
}

ACCEPTED: dict[str, Document] = {
    "tied outcomes of several commitments": make_round(
        coprocessors=[{"id": "cp"}, {"id": "other"}],
        tasks=[TASK | {"replicas": 2}],
        commitments=[HELD, HELD | {"id": "k-2", "executor": "other"}],
        risk=[{"measure": "expected", "budget": 100, "of": "network"}],
        uncertainty={"dependence": {"common": 0.5}},
    ),
    "replicas with one executor": make_round(tasks=[TASK | {"replicas": 3}], offers=[offer("t", "cp", 1)]),
    "replicas with one that is eligible": make_round(
        coprocessors=[{"id": "cp"}, {"id": "other"}],
        tasks=[TASK | {"replicas": 2, "minimum_collateral": 2}],
        offers=[offer("t", "cp", 1, collateral=2), offer("t", "other", 1, collateral=1)],
    ),
    "replicas with one executor for each operator": make_round(
        operators=[{"id": "op"}, {"id": "op-2"}],
        tasks=[{"id": "t", "replicas": 2, "claims": [{"operator": v, "reward": 4} for v in ("op", "op-2")]}],
        offers=[offer("t", "cp", 1)],
    ),
    "a quorum that nobody can reach": make_round(
        tasks=[TASK | {"replicas": 3, "quorum": 2}], offers=[offer("t", "cp", 1)]
    ),
    "replicas with a choice": one_task(replicas=2),
    "a quorum": one_task(replicas=2, quorum=2),
    "replicas that include oneself": make_round(
        tasks=[TASK | {"replicas": 2}],
        offers=[offer("t", "cp", 1)],
        self_execution=[{"task": "t", "operator": "op", "success_probability": 1}],
    ),
    "replicas of a held task": committed(one_task(replicas=2)),
    "a rescue that never pays": rescue(one_task(), bid=100),
    "a rescue of a held task": rescue(committed(one_task())),
    "a rescue with too little collateral": rescue(one_task(minimum_collateral=2), collateral=1),
    "a load curve without a weight": with_curve(scale=5),
    "a load curve without a scale": with_curve(weight=1, scale=0),
    "cvar out of reach": risk(tail("cvar", 4)),
    "chance out of reach": risk(tail("chance", 4, probability=0.1)),
    "worst case out of reach": risk(tail("worst_case", 4)),
    "ambiguous out of reach": risk(tail("ambiguous", 4, radius=0.5)),
    "cvar of another": risk(tail("cvar", 0, of={"operator": "idle"}))
    | {"operators": [{"id": "op"}, {"id": "idle"}]},
    "solvency with collateral for all": with_collateral(2),
    "a weight of 0": with_(one_task(), objective={"risk_weight": 0, "risk_level": 0.5}),
    "periods without offers": period(),
    "uncertainty alone": with_(
        one_task(),
        uncertainty={
            "dependence": {"common": 0.5, "coprocessor": 0.25},
            "sampling": "monte_carlo",
            "seed": 9,
        },
    ),
    "an outage": one_task() | {"coprocessors": [{"id": "cp", "outage_probability": 0.25}, {"id": "other"}]},
    "an uncertain probability": make_round(
        tasks=[TASK],
        offers=[offer("t", "cp", 1, success_probability={"mean": 0.75, "concentration": 2})],
    ),
}


@pytest.mark.parametrize(("reason", "document"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(reason: str, document: Document):
    instance = bondwork.load(document)
    assert len(unsupported(instance)) == 1
    road: Callable[..., Any]
    for road in (bondwork.solve, bondwork.build):
        with pytest.raises(bondwork.Refusal, match=f"this version cannot honour .*{reason}"):
            road(instance)


@pytest.mark.parametrize("document", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted_where_it_changes_nothing(document: Document):
    instance = bondwork.load(document)
    assert unsupported(instance) == []
    plan = bondwork.solve(instance, mip_rel_gap=0.0)
    assert plan.objective == float(Oracle(document).best().objective)  # type: ignore[union-attr]
    assert bondwork.verify(instance, plan)


def test_every_reason_is_told_at_once():
    calibrated = REFUSED["calibrated limits beside later periods"][1]
    document = rescue(one_task()) | {name: calibrated[name] for name in ("periods", "risk")}
    document["coprocessors"] = with_curve(weight=1)["coprocessors"]
    with pytest.raises(bondwork.Refusal) as caught:
        bondwork.solve(bondwork.load(document))
    assert len(caught.value.reasons) == 3
