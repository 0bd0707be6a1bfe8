"""Claims that are not so, each in a solution of a program that is otherwise right: every one is refused."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from bondwork.contracts import Options
from bondwork.program.program_solving import solve_stochastic
from bondwork.program.program_verify import verify_solution
from program.hostile_programs import hostile_program
from program.stochastic_programs import toy

if TYPE_CHECKING:
    from bondwork.program.stochastic import StochasticProgram

#: Programs, and how they are solved; the last one is infeasible.
KINDS: dict[str, tuple[StochasticProgram, dict[str, Any]]] = {
    "max": (toy(), {"all_nodes": True, "value": True}),
    "min": (toy("min"), {"all_nodes": True, "value": True}),
    "infeasible": (hostile_program(3, least=-1, most=2), {"all_nodes": True}),
}


@cache
def text_of(kind: str) -> str:
    program, how = KINDS[kind]
    return solve_stochastic(program, Options(threads=1, mip_rel_gap=0.0), **how).to_json()


def refusals(kind: str, *steps: str, value: Any) -> list[str]:
    """What is wrong with a solution that says something else at a place."""
    document = json.loads(text_of(kind))
    assert verify_solution(KINDS[kind][0], document)
    place = document
    for step in steps[:-1]:
        place = place[step]
    assert place[steps[-1]] != value
    place[steps[-1]] = value
    return [each.what for each in verify_solution(KINDS[kind][0], document).violations]


@pytest.mark.parametrize("kind", ["max", "min"])
@pytest.mark.parametrize(
    ("steps", "value"),
    [
        (("certificate", "vouched_by"), "branch_and_bound"),
        (("provenance", "tree_sha256"), "x"),
        (("provenance", "history_sha256"), "x"),
        (("provenance", "seed"), 7),
        (("provenance", "options", "threads"), -1),
        (("provenance", "options", "mip_rel_gap"), "small"),
        (("violations",), [{"what": "row", "found": "1", "expected": "2"}]),
    ],
)
def test_claims_beside_a_decision(kind: str, steps: tuple[str, ...], value: Any):
    found = refusals(kind, *steps, value=value)
    assert ".".join(steps) in found


@pytest.mark.parametrize("kind", ["max", "min"])
def test_multipliers_beyond_all_others_prove_nothing(kind: str):
    given = json.loads(text_of(kind))["certificate"]["multipliers"]
    for n, token in enumerate(given):
        if isinstance(token, float):
            huge = [*given[:n], 1e308 if token > 0 else -1e308, *given[n + 1 :]]
            assert refusals(kind, "certificate", "multipliers", value=huge)


@pytest.mark.parametrize("told", [{"bound": 0.0}, {"bound": 1.0}, {"vouched_by": "strategy"}])
def test_a_refutation_has_no_bound(told: dict[str, Any]):
    given = json.loads(text_of("infeasible"))["certificate"]
    assert given["kind"] == "infeasibility"
    assert refusals("infeasible", "certificate", value=given | told) == ["certificate.bound"]


def test_nothing_is_verified_where_there_is_nothing():
    assert refusals("infeasible", "verified", value=True) == ["verified"]


@pytest.mark.parametrize("kind", ["max", "min"])
def test_an_optimum_far_from_its_bound_is_none(kind: str):
    program, document = KINDS[kind][0], json.loads(text_of(kind))
    sign = 1.0 if kind == "max" else -1.0
    document |= {"bound": document["objective"] + 6.0 * sign, "gap": 0.5 if kind == "max" else 1.0}
    document |= {"certificate": None, "stochastic": None}
    if kind == "min":
        document |= {"bound": document["objective"] * 2, "gap": 0.5}
    found = [each.what for each in verify_solution(program, document).violations]
    assert found == ["solution"]
    document |= {"status": "time_limit", "solution": "feasible"}
    assert verify_solution(program, document)


@pytest.mark.parametrize("kind", ["max", "min"])
def test_nobody_who_plans_with_means_beats_the_bound(kind: str):
    worth = json.loads(text_of(kind))["stochastic"]
    sign = 1.0 if kind == "max" else -1.0
    better = worth["rp_bound"] + sign
    told = worth | {"eev": better, "vss": sign * (worth["rp"] - better)}
    assert "stochastic.rp_bound" in refusals(kind, "stochastic", value=told)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [1e308, -1e308])
def test_values_beyond_all_others_are_refused_and_raise_nothing(value: float):
    for kind in ("max", "min"):
        for nodes in (True, False):
            document = json.loads(text_of(kind))
            document["first_stage"] = dict.fromkeys(document["first_stage"], value)
            if nodes:
                for sign, node in zip((1, -1, 1, -1), document["nodes"], strict=False):
                    node["values"] = dict.fromkeys(node["values"], sign * value)
            else:
                document["nodes"] = None
            assert not verify_solution(KINDS[kind][0], document)
