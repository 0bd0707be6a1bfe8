"""No two proofs contradict each other: every strategy on rounds whose amounts differ by thirty orders.

Money as people and chains write it, limits at, just above and just below what some offers come to. Small
rounds are decided by trying everything, with amounts as a ledger counts them.
"""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bondwork
from bondwork.problem.limits import LimitKind
from rounds_strategy import examples

Document = dict[str, Any]

#: Strategies that say optimal where they are, and those that never do.
PROVING = ("extensive", "lagrangian", "auto")
OTHERS = ("relaxation", "greedy", "broker", "dutch", "reverse-dutch", "first-price", "second-price")

#: A row that is no money may be exceeded by this share of its largest term.
ROW = Fraction(1, 10**9)

#: What an objective of doubles may differ by from the exact one, as a share of the sizes of its terms.
NOISE = Fraction(2, 10**9)

PLAIN = st.sampled_from([0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 20.0, 0.1, 0.2, 0.3, 0.7, 0.1234567])
CHAIN = st.sampled_from([0.0, 1.0, 400.0, 900.0, 1e-9, 5e17, 1e18, 2e18, 1e18 + 4096])
MIXED = st.builds(
    lambda base, power: float(f"{base}e{power}"),
    st.sampled_from([0, 1, 2, 3, 5, 9, 11, 33, 99.99, 0.123456789012345]),
    st.integers(-9, 18),
)


def near(draw: st.DrawFn, amounts: list[float]) -> float:
    """A limit that some of the amounts come to, or miss by a little."""
    some = draw(st.lists(st.sampled_from(amounts), max_size=4)) if amounts else []
    change = draw(
        st.sampled_from(["0", "0", "0", "1e-18", "-1e-18", "1e-9", "-1e-6", "0.00011", "-0.9", "1"])
    )
    return max(float(sum(map(_decimal, some), Decimal(change))), 0.0)


@st.composite
def hostile_rounds(draw: st.DrawFn) -> Document:
    """Draw a round of up to five tasks and two coprocessors."""
    amount = draw(st.sampled_from([PLAIN, CHAIN, MIXED, MIXED]))
    tasks: list[Document] = []
    offers: list[Document] = []
    for t in range(draw(st.integers(1, 5))):
        task = {"id": f"t{t}", "operator": draw(st.sampled_from(["v0", "v1"])), "reward": draw(amount)}
        task["slashing"] = draw(st.just(0.0) | amount)
        task["work"] = {"gpu": draw(st.just(0.0) | amount)}
        task["required"] = draw(st.integers(0, 7)) == 7
        tasks.append(task)
        for c in sorted(draw(st.sets(st.sampled_from(["c0", "c1"])))):
            bid, collateral = draw(st.just(0.0) | amount), draw(amount)
            p = draw(st.sampled_from([1, 0.99, 0.95, 0.9, 0.5]))
            offers.append(
                {"task": task["id"], "coprocessor": c, "bid": bid, "collateral": collateral}
                | {"success_probability": p}
            )
    coprocessors = []
    for c in ("c0", "c1"):
        coprocessor: Document = {"id": c}
        if draw(st.integers(0, 4)):
            coprocessor["free_collateral"] = near(draw, [o["collateral"] for o in offers])
        if draw(st.booleans()):
            coprocessor["capacity"] = {"gpu": near(draw, [t["work"]["gpu"] for t in tasks])}
        coprocessors.append(coprocessor)
    operators: list[Document] = [{"id": "v0"}, {"id": "v1"}]
    for operator in operators:
        if draw(st.booleans()):
            operator["stake"] = near(draw, [t["slashing"] for t in tasks])
    return {
        "format": "bondwork.round/1",
        "decimals": draw(st.sampled_from([18, 18, 6, 2, 0])),
        "operators": operators,
        "coprocessors": coprocessors,
        "tasks": tasks,
        "offers": offers,
    }


class Best(NamedTuple):
    """The best value of a round, and what doubles may miss it by."""

    value: Fraction
    noise: Fraction


def _decimal(amount: float) -> Decimal:
    return Decimal(repr(float(amount)))


def units(amount: float, decimals: int) -> int:
    return round(Fraction(_decimal(amount)) * 10**decimals)


def fits(document: Document, chosen: list[tuple[Document, Document]]) -> bool:
    """Whether pairs of task and offer keep every limit."""
    decimals = document["decimals"]
    for c in document["coprocessors"]:
        mine = [(task, offer) for task, offer in chosen if offer["coprocessor"] == c["id"]]
        if "free_collateral" in c:
            posted = sum(units(offer["collateral"], decimals) for _, offer in mine)
            if posted > units(c["free_collateral"], decimals):
                return False
        if c.get("capacity"):
            work = [Fraction(task["work"]["gpu"]) for task, _ in mine]
            room = Fraction(c["capacity"]["gpu"])
            if sum(work) - room > ROW * max([room, *work]):
                return False
    for v in document["operators"]:
        if "stake" in v:
            exposed = [units(task["slashing"], decimals) for task, _ in chosen if task["operator"] == v["id"]]
            if sum(exposed) > units(v["stake"], decimals):
                return False
    return True


def worth(chosen: list[tuple[Document, Document]]) -> Best:
    terms: list[Fraction] = []
    for task, offer in chosen:
        p = Fraction(offer["success_probability"])
        terms += [
            Fraction(task["reward"]) * p,
            -Fraction(offer["bid"]),
            -Fraction(task["slashing"]) * (1 - p),
        ]
    return Best(sum(terms, Fraction(0)), NOISE * sum(map(abs, terms)))


def best_of(document: Document) -> Best | None:
    """Try every choice."""
    ways = []
    for task in document["tasks"]:
        mine: list[Document | None] = [o for o in document["offers"] if o["task"] == task["id"]]
        ways.append(mine if task["required"] else [None, *mine])
    found = None
    for pick in itertools.product(*ways):
        chosen = [(t, o) for t, o in zip(document["tasks"], pick, strict=True) if o is not None]
        if fits(document, chosen):
            value = worth(chosen)
            found = value if found is None or value.value > found.value else found
    return found


@examples(0.6)
@given(document=hostile_rounds())
def test_no_proof_contradicts_another(document: Document):
    best = best_of(document)
    instance = bondwork.load(document)
    for strategy in PROVING + OTHERS:
        plan = bondwork.solve(instance, strategy=strategy, mip_rel_gap=0.0)
        if best is None:
            assert plan.solution == "none"
            continue
        assert plan.status != "infeasible"
        if strategy in PROVING:
            assert plan.status == "optimal"
        if plan.bound is not None:
            assert Fraction(plan.bound) >= best.value - best.noise
        if plan.objective is None:
            continue
        tasks = {task["id"]: task for task in document["tasks"]}
        offers = {(o["task"], o["coprocessor"]): o for o in document["offers"]}
        chosen = [(tasks[a.task], offers[a.task, a.executor]) for a in plan.assignments]
        assert fits(document, chosen)
        assert Fraction(plan.objective) <= best.value + best.noise
        if plan.status == "optimal":
            assert worth(chosen).value >= best.value - best.noise


@examples(0.2)
@given(document=hostile_rounds())
def test_formulations_agree_on_hostile_magnitudes(document: Document):
    instance = bondwork.load(document)
    plans = [
        bondwork.solve(instance, strategy="extensive", formulation=each, mip_rel_gap=0.0)
        for each in ("highs", "cvxpy", "pyomo")
    ]
    assert len({plan.status for plan in plans}) == 1
    if plans[0].objective is not None:
        best = best_of(document)
        assert best is not None
        for plan in plans:
            assert abs(Fraction(plan.objective or 0.0) - best.value) <= best.noise


@pytest.mark.parametrize("formulation", ["highs", "cvxpy", "pyomo"])
@examples(0.2)
@given(document=hostile_rounds())
def test_built_rows_say_of_money_what_the_ledger_says(formulation: str, document: Document):
    """Whoever hands the matrices to another solver, or adds up their texts, solves the same round."""
    program = bondwork.build(bondwork.load(document), formulation)
    money = np.flatnonzero(np.isin(program.limits.kind, [LimitKind.COLLATERAL, LimitKind.STAKE]))
    rows = [[Fraction(_decimal(each)) for each in row] for row in program.matrix.toarray()[money]]
    room = [Fraction(_decimal(each)) for each in program.row_upper[money]]
    tasks = {task["id"]: task for task in document["tasks"]}
    pairs = [(tasks[offer["task"]], offer) for offer in (document["offers"][k] for k in program.columns)]
    plenty = document | {"coprocessors": [each | {"capacity": {}} for each in document["coprocessors"]]}
    for size in range(min(len(pairs), 4) + 1):
        for some in itertools.combinations(range(len(pairs)), size):
            kept = all(sum(row[k] for k in some) <= left for row, left in zip(rows, room, strict=True))
            assert kept == fits(plenty, [pairs[k] for k in some])


def with_later(first: Any, second: Any, free: Any, *, stage: bool) -> Document:
    """Two tasks for one coprocessor; the second offer comes later, or a rescue of a third task does."""
    tasks = [{"id": t, "operator": "op", "reward": 5, "slashing": 1} for t in "abc"]
    offers = [
        {"task": "a", "coprocessor": "cp", "bid": 1, "collateral": first, "success_probability": 0.9},
        {"task": "b", "coprocessor": "cp", "bid": 1, "collateral": second, "success_probability": 0.9},
    ]
    document: Document = {"format": "bondwork.round/1", "operators": [{"id": "op"}]}
    document["coprocessors"] = [{"id": "cp", "free_collateral": free}, {"id": "cq"}]
    if stage:
        offers.append({"task": "c", "coprocessor": "cq", "bid": 1, "success_probability": 0.5})
        rescue = {"task": "c", "coprocessor": "cp", "stage": 2, "id": "r", "bid": 0.5, "collateral": second}
        offers.append(rescue | {"success_probability": 0.9})
        return document | {"tasks": tasks, "offers": offers}
    period = {"id": "p", "at": 10, "probability": 1, "tasks": tasks[1:2], "offers": offers[1:]}
    return document | {"tasks": tasks[:1], "offers": offers[:1], "periods": [period]}


@pytest.mark.parametrize("strategy", ["auto", "extensive", "l-shaped"])
@pytest.mark.parametrize("stage", [True, False])
@pytest.mark.parametrize(
    ("first", "second", "free", "both"),
    [
        (200, 0.00023, 200, False),
        ("3000000", "0.7", "3000000", False),
        (3e12, 800, 3e12, False),
        (0.1, 0.2, 0.3, True),
        (0.7, 0.1, 0.8, True),
        (3e18, 3e18, 6e18, True),
    ],
)
def test_later_stages_count_as_the_first_does(
    first: Any, second: Any, free: Any, both: bool, stage: bool, strategy: str
):
    instance = bondwork.load(with_later(first, second, free, stage=stage))
    plan = bondwork.solve(instance, strategy=strategy, mip_rel_gap=0.0)
    # both tasks, and the third by the first offer for it; or one of the two, and the third later
    alone, early, late = 5 * 0.9 - 0.1 - 1, 5 * 0.5 - 0.5 - 1, 5 * 0.9 - 0.1 - 0.5
    if stage:
        best = 2 * alone + early if both else alone + late
    else:
        best = 2 * alone if both else alone + 0.9 * alone
    assert plan.status == "optimal"
    assert plan.objective == pytest.approx(best, rel=1e-9)
    assert plan.bound is not None
    assert plan.bound >= best - 1e-9


@pytest.mark.parametrize("stage", [True, False])
@examples(0.3)
@given(
    amounts=st.lists(
        st.sampled_from([0.1234567, 0.5, 1.5, 2.5, 0.15, 1e-7, 3, "0.30000049"]), min_size=3, max_size=3
    ),
    decimals=st.sampled_from([0, 1, 6]),
)
def test_amounts_finer_than_the_ledger_are_what_they_are_counted_as(
    amounts: list[Any], decimals: int, stage: bool
):
    counted = [str(Decimal(units(float(each), decimals)).scaleb(-decimals)) for each in amounts]
    found, known = set(), set()
    for first, second, free in (amounts, counted):
        document = with_later(first, second, free, stage=stage) | {"decimals": decimals}
        instance = bondwork.load(document)
        if instance.sha256 in known:
            continue  # no amount was finer: it is the same round
        known.add(instance.sha256)
        for strategy in ("extensive", "l-shaped"):
            plan = bondwork.solve(instance, strategy=strategy, mip_rel_gap=0.0)
            assert plan.status == "optimal" and plan.objective is not None
            assert bondwork.verify(instance, json.loads(plan.to_json()))
            found.add(round(plan.objective, 9))
    assert len(found) == 1


@pytest.mark.parametrize("strategy", ["extensive", "l-shaped"])
def test_later_stages_round_as_the_ledger_does(strategy: str):
    # half a cent is no cent: both fit where nothing is free, and so do stakes of half a cent
    offer = {"coprocessor": "c", "collateral": 0.005, "success_probability": 0.5}
    document: Document = {
        "format": "bondwork.round/1",
        "decimals": 2,
        "operators": [{"id": "o", "stake": 0}],
        "coprocessors": [{"id": "c", "free_collateral": 0}, {"id": "d", "free_collateral": 0}],
        "tasks": [{"id": "t", "operator": "o", "reward": 10, "slashing": 0.005}],
        "offers": [offer | {"task": "t"}],
    }
    later = {"id": "p", "at": 60, "tasks": [document["tasks"][0] | {"id": "u"}]}
    periods = document | {"periods": [later | {"offers": [offer | {"task": "u"}]}]}
    late = offer | {"task": "t", "coprocessor": "d", "stage": 2, "id": "late"}
    rescue = document | {"offers": [*document["offers"], late]}
    for made, best in ((periods, 2 * 4.9975), (rescue, 4.9975 + 0.5 * 0.5 * 10.005)):
        instance = bondwork.load(made)
        plan = bondwork.solve(instance, strategy=strategy, mip_rel_gap=0.0)
        assert (plan.objective, plan.bound) == (pytest.approx(best), pytest.approx(best))
        assert bondwork.verify(instance, plan.to_json().encode())
