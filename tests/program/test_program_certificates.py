"""What the certificate of a solution proves, against brute force and against whoever claims too much."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from typer.testing import CliRunner

from bondwork.cli import app
from bondwork.contracts import Options
from bondwork.importers.smps import read_smps
from bondwork.plan.certificate import BadCertificate
from bondwork.problem.faults import InvalidInput
from bondwork.program import program_certifying
from bondwork.program.program_bound import ProgramBound
from bondwork.program.program_multipliers import read_multipliers
from bondwork.program.program_solution import ProgramSolution, load_solution
from bondwork.program.program_solving import solve_stochastic
from bondwork.program.program_verify import verify_solution
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate
from program.open_programs import open_program
from program.program_certificate_oracle import ProgramProof
from program.stochastic_programs import best, programs, toy
from rounds_strategy import examples

if TYPE_CHECKING:
    from collections.abc import Callable

EXACT = Options(threads=1, mip_rel_gap=0.0)
SMPS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "smps"


def solved(program: StochasticProgram, **how: Any) -> ProgramSolution:
    return solve_stochastic(program, EXACT, all_nodes=True, **how)


def proven_densely(program: StochasticProgram, solution: ProgramSolution) -> Fraction | None:
    """The bound in fractions from the extensive form's matrix; ``None`` where a column lacks a bound."""
    assert solution.certificate is not None
    return ProgramProof(program, solution.certificate.multipliers).bound


@given(programs(whole=True))
def test_no_decision_beats_the_certified_bound(program: StochasticProgram) -> None:
    optimum, solution = best(program), solved(program)
    verdict = verify_solution(program, solution)
    assert verdict, verdict.violations
    if optimum is None:
        assert solution.certificate is None or solution.certificate.kind == "infeasibility"
        return
    assert solution.certificate is not None and verdict.certified is not None
    sign = 1.0 if program.sense == "max" else -1.0
    assert sign * (verdict.certified - optimum) >= -1e-9 * max(abs(optimum), 1.0)
    densely = proven_densely(program, solution)
    assert densely is not None
    assert sign * (Fraction(verdict.certified) - densely) >= 0
    assert verdict.certified == pytest.approx(float(densely), rel=1e-15, abs=1e-300)


@pytest.mark.parametrize("sound", [True, False])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e9])
@pytest.mark.parametrize("whole", [True, False])
def test_programs_without_bounds_on_columns(scale: float, *, whole: bool, sound: bool) -> None:
    kinds: dict[str, int] = {}
    for seed in range(30):
        program = open_program(seed, scale=scale, whole=whole, sound=sound)
        solution = solved(program)
        verdict = verify_solution(program, solution)
        assert verdict, (seed, verdict.violations)
        kind = solution.certificate.kind if solution.certificate else f"none, {solution.status}"
        kinds[kind] = kinds.get(kind, 0) + 1
        if kind != "bound":
            continue
        assert solution.objective is not None and verdict.certified is not None
        sign = 1.0 if program.sense == "max" else -1.0
        size = abs(solution.objective) + scale
        assert sign * (verdict.certified - solution.objective) >= -1e-6 * size
        if not whole:
            # one of them is certified with a margin only, which costs 2e-6 of its optimum
            assert verdict.certified == pytest.approx(solution.objective, abs=1e-5 * size)
        densely = proven_densely(program, solution)
        if densely is not None:
            assert sign * (Fraction(verdict.certified) - densely) >= 0
    assert kinds["bound"] >= 6 and kinds.get("none, optimal", 0) <= 3, kinds
    assert sound or kinds["infeasibility"] >= 5, kinds


def chained(sense: str = "max") -> StochasticProgram:
    """x <= 10 bounds y, and y bounds z, neither of which has a bound of its own; duals are thirds."""
    sign = 1.0 if sense == "max" else -1.0
    root = NodeTemplate.make(0, ["x"], ["most"], cost=-0.1 * sign, row_upper=10.0, entries=[(0, 0, 0, 3.0)])
    later = NodeTemplate.make(
        1,
        ["y", "z"],
        ["first", "then"],
        cost=[0.0, 0.7 * sign],
        row_upper=0.0,
        entries=[(0, 0, 0, -1.0), (0, 1, 0, 3.0), (1, 1, 0, -1.0), (1, 1, 1, 0.3)],
    )
    return StochasticProgram.from_changes(
        "chain",
        sense,
        [root, later],
        parent=[-1, 0, 0],
        template=[0, 1, 1],
        conditional=[1.0, 0.3, 0.7],
        changes=[{}, {}, {}],
    )


@pytest.mark.parametrize("sense", ["max", "min"])
def test_bounds_of_columns_follow_from_rows(sense: str) -> None:
    program = chained(sense)
    found = ProgramBound(program)
    # nothing multiplied: x is at 0, and z at what the rows leave it, (10/3) / 3 / 0.3
    bound = found.proven({}).bound
    assert bound is not None
    z = Fraction(10, 3) / 3 / Fraction(0.3)
    cost = sum(Fraction(each) for each in (0.3, 0.7)) * Fraction(0.7)
    assert bound == cost * z
    solution = solved(program)
    verdict = verify_solution(program, solution)
    assert verdict and not verdict.unchecked
    assert verdict.certified == pytest.approx(solution.objective, rel=1e-12)


def test_multipliers_are_moved_where_no_row_bounds_a_column() -> None:
    # buy at 238 or sell at 170, as much as one likes: only the right signs prove anything
    buy = NodeTemplate.make(
        0,
        ["grown", "bought", "sold"],
        ["needed", "land"],
        cost=[150.0, 238.0, -170.0],
        row_lower=[200.0, -math.inf],
        row_upper=[math.inf, 500.0],
        entries=[(0, 0, 0, 2.7), (0, 0, 1, 1.0), (0, 0, 2, -1.0), (1, 0, 0, 1.0)],
    )
    program = StochasticProgram.from_changes(
        "farm", "min", [buy], parent=[-1], template=[0], conditional=[1.0], changes=[{}]
    )
    solution = solved(program)
    assert solution.objective == pytest.approx(150 * 500 - 170 * (2.7 * 500 - 200))
    verdict = verify_solution(program, solution)
    assert verdict and verdict.certified == pytest.approx(solution.objective, rel=1e-12)
    wrong = {(0, 0): 169.0, (0, 1): -300.0}  # what is sold would earn 1 each, without end
    assert ProgramBound(program).proven(wrong).loose == [2]


def needing(least: float, *, whole: bool = False) -> StochasticProgram:
    """y of the second stage: 2 y at most 2 and at least so much."""
    root = NodeTemplate.make(0, ["x"], cost=1.0, upper=1.0)
    later = NodeTemplate.make(
        1,
        ["y"],
        ["most", "least"],
        cost=1.0,
        integer=whole,
        row_lower=[-math.inf, least],
        row_upper=[2.0, math.inf],
        entries=[(0, 1, 0, 2.0), (1, 1, 0, 1.0)],
    )
    return StochasticProgram.from_changes(
        "needing",
        "max",
        [root, later],
        parent=[-1, 0],
        template=[0, 1],
        conditional=[1.0, 1.0],
        changes=[{}, {}],
    )


def test_infeasibility_is_proven() -> None:
    program = needing(1.5)
    solution = solved(program)
    assert solution.status == "infeasible"
    assert solution.certificate is not None and solution.certificate.kind == "infeasibility"
    verdict = verify_solution(program, solution)
    assert verdict and not verdict.unchecked
    feasible = needing(0.5)
    sha = solution.provenance.model_copy(update={"input_sha256": feasible.sha256})
    claim = solution.model_copy(update={"provenance": sha})
    refused = verify_solution(feasible, claim)
    assert [each.what for each in refused.violations] == ["certificate", "status"]
    # without its proof it is somebody's word
    silent = verify_solution(program, solution.model_copy(update={"certificate": None}))
    assert silent and silent.unchecked == ("infeasibility: not proven",)


def test_no_whole_number_between_bounds_needs_no_multipliers() -> None:
    column = NodeTemplate.make(0, ["x"], cost=1.0, lower=0.2, upper=0.8, integer=True)
    program = StochasticProgram.from_changes(
        "between", "max", [column], parent=[-1], template=[0], conditional=[1.0], changes=[{}]
    )
    solution = solved(program)
    assert solution.certificate is not None and solution.certificate.multipliers == []
    assert verify_solution(program, solution).unchecked == ()


def test_rows_within_their_tolerance_refute_nothing() -> None:
    # 1e-7 is less than a row may be exceeded by: a proof would contradict solutions that verify
    assert not ProgramBound(needing(1.0 + 1e-7)).is_refuted({(1, 0): 0.5, (1, 1): -1.0})
    assert ProgramBound(needing(1.0 + 1e-4)).is_refuted({(1, 0): 0.5, (1, 1): -1.0})


def _set(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *path, last = name.split(".")
        for each in path:
            document = document[each]
        document[last] = value

    return change


FALSE_CLAIMS = {
    "a bound too good": (_set("certificate.bound", 6.0 - 1e-6), "certificate.bound"),
    "a bound too bad": (_set("certificate.bound", 7.0), "certificate.bound"),
    "no bound": (_set("certificate.bound", None), "certificate.bound"),
    "other multipliers": (_set("certificate.multipliers", ["rows", 1, 0, 0.5]), "certificate.bound"),
    "a limit that is not there": (
        _set("certificate.multipliers", ["rows", 1, 0, -0.5]),
        "certificate.multipliers",
    ),
    "a row that is not there": (
        _set("certificate.multipliers", ["rows", 1, 2, 1.0]),
        "certificate.multipliers",
    ),
    "a node that is not there": (
        _set("certificate.multipliers", ["rows", 9, 0, 1.0]),
        "certificate.multipliers",
    ),
    "no linking rows": (_set("certificate.multipliers", ["linking", 0, 1.0]), "certificate.multipliers"),
    "a row twice": (
        _set("certificate.multipliers", ["rows", 1, 0, 1.0, "rows", 1, 0, 1.0]),
        "certificate.multipliers",
    ),
    "half a pair": (_set("certificate.multipliers", ["rows", 1, 0]), "certificate.multipliers"),
    "another word": (_set("certificate.multipliers", ["capacity", 1, 0, 1.0]), "certificate.multipliers"),
    "a number first": (_set("certificate.multipliers", [1.0]), "certificate.multipliers"),
    "a row by a fraction": (
        _set("certificate.multipliers", ["rows", 1, 0.5, 1.0]),
        "certificate.multipliers",
    ),
    "a number of 400 digits": (
        _set("certificate.multipliers", ["rows", 1, 0, 10**400]),
        "certificate.multipliers",
    ),
    "infeasible beside a solution": (_set("certificate.kind", "infeasibility"), "certificate"),
    "a better bound by nobody": (_set("certificate.vouched_by", None), "certificate.vouched_by"),
    "a better objective": (_set("objective", 6.5), "objective"),
    "another gap": (_set("gap", 0.5), "gap"),
    "a bound below the objective": (_set("bound", 5.0), "bound"),
    "no solution": (_set("solution", "none"), "objective"),
    "no optimum": (_set("solution", "feasible"), "solution"),
    "another sense": (_set("sense", "min"), "sense"),
    "another program": (_set("provenance.input_sha256", "0" * 64), "provenance.input_sha256"),
    "a decision outside": (_set("first_stage.x", 11.0), "column x of node 0"),
    "a column too many": (_set("first_stage.u", 1.0), "first_stage"),
}


@pytest.mark.parametrize("name", FALSE_CLAIMS)
def test_false_claims_are_refused(name: str) -> None:
    program = toy()
    change, what = FALSE_CLAIMS[name]
    document = json.loads(solve_stochastic(program, EXACT).to_json())
    if name == "a better bound by nobody":
        # nothing multiplied proves 12, three units at most for each of the two demands
        document["certificate"] |= {"multipliers": [], "bound": None}
        weak = ProgramBound(program).proven({}).bound
        assert weak is not None
        document["certificate"]["bound"] = float(weak)
    change(document)
    verdict = verify_solution(program, document)
    assert what in [each.what for each in verdict.violations], verdict.violations


def test_fields_of_newer_versions_are_left_aside() -> None:
    program = toy()
    document = json.loads(solved(program, value=True).to_json())
    places = [document, document["nodes"][0], document["stochastic"], document["certificate"]]
    for each in (*places, document["timing"], document["provenance"]):
        each["of_a_newer_version"] = {"deep": [1]}
    assert load_solution(document) == load_solution(
        json.loads(solved(program, value=True).to_json())
    ).model_copy(update={"timing": load_solution(document).timing})
    assert verify_solution(program, document)


def test_only_those_whom_readers_know_vouch() -> None:
    document = json.loads(solved(toy()).to_json())
    for word in ("branch_and_bound", "knapsack", "linear_relaxation", "strategy", None):
        document["certificate"]["vouched_by"] = word
        found = [each.what for each in verify_solution(toy(), document).violations]
        # known words are read; but nobody vouches for what the multipliers prove
        assert found == ([] if word is None else ["certificate.vouched_by"])
    document["certificate"]["vouched_by"] = "me"
    with pytest.raises(InvalidInput) as caught:
        load_solution(document)
    assert [each.path for each in caught.value.faults] == ["$.certificate.vouched_by"]


def sites(seed: int, *, overflow: bool = True) -> StochasticProgram:
    """Sites to open, whole; who comes is served there, up to a capacity that is dear to exceed."""
    rng = np.random.default_rng(seed)
    sites, clients, scenarios = 3, 4, 3
    first = NodeTemplate.make(0, [f"x{j}" for j in range(sites)], cost=30.0, upper=1.0, integer=True)
    entries = [(i, 1, i * sites + j, 1.0) for i in range(clients) for j in range(sites)]
    for j in range(sites):
        entries += [(clients + j, 1, i * sites + j, float(rng.integers(1, 9))) for i in range(clients)]
        entries += [(clients + j, 1, sites * clients + j, -1.0)] * overflow + [(clients + j, 0, j, -20.0)]
    second = NodeTemplate.make(
        1,
        [f"y{k}" for k in range(sites * clients)] + [f"over{j}" for j in range(sites)],
        [f"r{k}" for k in range(sites + clients)],
        cost=[-float(each) for each in rng.integers(5, 25, sites * clients)] + [100.0] * sites,
        upper=[1.0] * (sites * clients) + [math.inf] * sites,
        integer=[True] * (sites * clients) + [False] * sites,
        row_lower=[1.0] * clients + [-math.inf] * sites,
        row_upper=[1.0] * clients + [0.0] * sites,
        entries=entries,
    )
    changes: list[dict[tuple[str, int], float]] = [{}]
    for _ in range(scenarios):
        away = np.flatnonzero(rng.integers(0, 2, clients)).tolist()
        changes.append({(name, i): 0.0 for i in away for name in ("row_lower", "row_upper")})
    return StochasticProgram.from_changes(
        "sites",
        "min",
        [first, second],
        parent=[-1] + [0] * scenarios,
        template=[0] + [1] * scenarios,
        conditional=[1.0] + [1.0 / scenarios] * scenarios,
        changes=changes,
    )


def test_rows_that_strengthen_are_in_the_certificate() -> None:
    for seed in range(6):
        program = sites(seed)
        solution = solved(program)
        assert solution.certificate is not None and solution.objective is not None
        assert "opens" in solution.certificate.multipliers
        verdict = verify_solution(program, load_solution(json.loads(solution.to_json())))
        assert verdict and verdict.certified is not None, verdict.violations
        densely = proven_densely(program, solution)
        assert densely is not None and Fraction(verdict.certified) <= densely
        assert verdict.certified <= solution.objective + 1e-9 * abs(solution.objective)
        plain = {
            at: y for at, y in read_multipliers(solution.certificate.multipliers).items() if len(at) == 2
        }
        weak = ProgramBound(program).proven(plain).bound
        assert weak is None or -weak < Fraction(verdict.certified)


@pytest.mark.parametrize(
    "place",
    [(1, 4, 0), (1, 4, 15), (1, 0, 3), (1, 4, 99), (0, 0, 0), (1, 4, 4)],
    ids=["an opener", "an overflow", "another limit", "no column", "no row", "of another row"],
)
def test_rows_that_open_nothing_are_refused(place: tuple[int, int, int]) -> None:
    with pytest.raises(BadCertificate):
        ProgramBound(sites(0)).proven({place: -1.0})


def test_where_a_column_may_be_negative_nothing_is_opened() -> None:
    program = sites(0)
    first = program.templates[0]
    values = first.values.copy()
    values[first.spans["lower"]] = -1.0
    first = dataclasses.replace(first, values=values)
    shifted = dataclasses.replace(program, templates=(first, program.templates[1]))
    ProgramBound(program).proven({(1, 4, 3): -1.0})
    with pytest.raises(BadCertificate):
        ProgramBound(shifted).proven({(1, 4, 3): -1.0})


def balances(seed: int, count: int) -> StochasticProgram:
    """Free balances that carry over with interest: each must be worth exactly nothing at the multipliers."""
    draw = random.Random(seed)
    entries, floor = [], []
    for k in range(count):
        entries += [(k, 0, count + k, 1.0), (k, 0, k, -draw.choice((0.3, 0.7, 1.1, 1 / 3)))]
        if k:
            entries.append((k, 0, count + k - 1, -draw.choice((1.07, 0.93, 1.1))))
        floor.append(draw.choice((0.0, 0.0, -math.inf)))
    entries += [(count, 0, count + k, draw.choice((0.1, 0.2, 1.0))) for k in range(count)]
    buys = [draw.choice((1.0, 0.99, 1.3)) for _ in range(count)]
    holds = [draw.choice((0.0, 0.013, -0.01)) for _ in range(count)]
    root = NodeTemplate.make(
        0,
        [f"x{k}" for k in range(count)] + [f"f{k}" for k in range(count)],
        [f"r{k}" for k in range(count + 1)],
        cost=buys + holds,
        lower=[0.0] * count + [-math.inf] * count,
        upper=[1000.0 if seed % 2 else math.inf] * count + [math.inf] * count,
        row_lower=[*floor, 0.55],
        row_upper=[0.0] * count + [math.inf],
        entries=entries,
    )
    return StochasticProgram.from_changes(
        "balances", "min", [root], parent=[-1], template=[0], conditional=[1.0], changes=[{}]
    )


def with_threshold(seed: int, scenarios: int) -> StochasticProgram:
    """Shares of two funds, and the CVaR of the loss with its free threshold."""
    draw = random.Random(seed)
    first = NodeTemplate.make(
        0,
        ["a", "b", "threshold"],
        ["all"],
        cost=[-draw.choice((0.1, 0.05, 0.3)), -0.07, -0.5],
        lower=[0.0, 0.0, -math.inf],
        row_lower=1.0,
        row_upper=1.0,
        entries=[(0, 0, 0, 1.0), (0, 0, 1, 1.0)],
    )
    second = NodeTemplate.make(
        1, ["above"], ["tail"], cost=-5.0, row_lower=0.0,
        entries=[(0, 1, 0, 1.0), (0, 0, 2, 1.0), (0, 0, 0, 0.0), (0, 0, 1, 0.0)],
    )  # fmt: skip
    changes: list[dict[tuple[str, int], float]] = [
        {
            ("entries", 2): draw.choice((-0.1, 0.25, -1.0, 0.33)),
            ("entries", 3): draw.choice((-0.1, 0.2, 0.05)),
        }
        for _ in range(scenarios)
    ]
    return StochasticProgram.from_changes(
        "threshold",
        "max",
        [first, second],
        parent=[-1] + [0] * scenarios,
        template=[0] + [1] * scenarios,
        conditional=[1.0] + [1.0 / scenarios] * scenarios,
        changes=[{}, *changes],
    )


@pytest.mark.parametrize("make", [balances, with_threshold])
@pytest.mark.parametrize("size", [1, 3, 8])
def test_columns_free_on_both_sides(make: Callable[[int, int], StochasticProgram], size: int) -> None:
    for seed in range(8):
        program = make(seed, size)
        solution = solved(program)
        assert solution.status == "optimal" and solution.objective is not None
        verdict = verify_solution(program, load_solution(json.loads(solution.to_json())))
        assert verdict and verdict.certified is not None, (seed, solution.provenance.notes)
        assert verdict.certified == pytest.approx(solution.objective, rel=1e-6, abs=1e-6)


def test_some_multipliers_are_fractions() -> None:
    tokens: list[object] = []
    for seed in range(8):
        certificate = solved(balances(seed, 5)).certificate
        assert certificate is not None
        tokens += certificate.multipliers
    assert any(isinstance(each, str) and "/" in each for each in tokens)


@pytest.mark.parametrize("token", ["1/0", "1/-3", "1.5/2", "/3", "9" * 5000 + "/7"])
def test_what_is_no_fraction_is_refused(token: str) -> None:
    with pytest.raises(BadCertificate):
        read_multipliers(["rows", 0, 0, token])


@pytest.mark.parametrize("sense", ["max", "min"])
def test_no_weights_of_the_toy_prove_less_than_its_optimum(sense: str) -> None:
    program, sign = toy(sense), 1 if sense == "max" else -1
    rng = np.random.default_rng(7)
    for _ in range(200):
        y = {(node, row): sign * float(rng.exponential()) for node in (1, 2) for row in (0, 1)}
        bound = ProgramBound(program).proven(y).bound
        assert bound is not None and bound >= 6


def test_wait_and_see_bounds_another_program() -> None:
    seen = solve_stochastic(toy(), EXACT, strategy="wait-and-see")
    assert (seen.bound, seen.certificate) == (8.0, None)
    assert verify_solution(toy(), seen).unchecked == ("bound: no certificate",)


def test_values_of_all_nodes_are_recounted() -> None:
    program = toy()
    document = json.loads(solved(program).to_json())
    assert verify_solution(program, document).objective == 6.0
    document["nodes"][2]["values"]["y"] = 7.0
    found = {each.what for each in verify_solution(program, document).violations}
    assert {"row stock of node 2", "row demand of node 2", "objective"} <= found
    del document["nodes"][1]
    assert "nodes" in {each.what for each in verify_solution(program, document).violations}


def test_what_the_model_is_worth_adds_up() -> None:
    program = toy("min")
    solution = solved(program, value=True)
    assert solution.stochastic is not None and verify_solution(program, solution)
    # WS -8, RP -6, EEV -5
    for false in (
        {"evpi": 3.0},
        {"rp_bound": -5.0},
        {"rp_bound": -7.0},
        {"ws_bound": -7.0},
        {"ws_bound": 8.0},
    ):
        other = solution.stochastic.model_copy(update=false)
        verdict = verify_solution(program, solution.model_copy(update={"stochastic": other}))
        found = {(each.what, each.kind) for each in verdict.violations}
        assert found == {(f"stochastic.{name}", "commentary") for name in false}
    other = solution.stochastic.model_copy(update={"rp": -6.5, "evpi": 1.5, "vss": 1.5})
    verdict = verify_solution(program, solution.model_copy(update={"stochastic": other}))
    assert {each.what for each in verdict.violations} >= {"stochastic.rp"}
    other = solution.stochastic.model_copy(update={"ws": None})
    verdict = verify_solution(program, solution.model_copy(update={"stochastic": other}))
    assert [each.what for each in verdict.violations] == ["stochastic.evpi"]


@examples(0.3)
@given(program=programs())
def test_values_of_any_program_check_out(program: StochasticProgram) -> None:
    solution = solve_stochastic(program, EXACT, value=True)
    verdict = verify_solution(program, solution)
    assert verdict, verdict.violations


def test_large_programs_have_one_only_where_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_certifying, "MOST_CERTIFIED", 1)
    program = toy()
    silent = solved(program)
    assert silent.certificate is None
    assert "bound: no certificate" in verify_solution(program, silent).unchecked
    assert solved(program, certificate="full").certificate is not None
    assert solved(program, certificate="none").certificate is None


def test_whatever_breaks_costs_the_certificate_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("of a test")

    monkeypatch.setattr(ProgramBound, "proven", broken)
    solution = solved(toy())
    assert solution.objective == 6.0 and solution.certificate is None
    assert "no certificate: ZeroDivisionError: of a test" in solution.provenance.notes


def test_a_better_bound_than_the_strategys_is_taken() -> None:
    program = toy()
    plain = solved(program, certificate="none")
    loose = plain.model_copy(
        update={"bound": 9.0, "gap": 1 / 3, "status": "time_limit", "solution": "feasible"}
    )
    better = program_certifying.certify_solution(program, loose, EXACT)
    assert better.bound == pytest.approx(6.0, rel=1e-12) and better.bound >= 6.0
    assert better.gap == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("strategy", ["extensive", "l-shaped", "auto", "highs-simplex"])
def test_every_strategys_solution_carries_one(strategy: str) -> None:
    program = dataclasses.replace(open_program(0), name="by any means")
    solution = solve_stochastic(program, EXACT, strategy=strategy)
    verdict = verify_solution(program, solution)
    assert verdict and verdict.certified is not None


def test_command_line(tmp_path: Path) -> None:
    program, answer = tmp_path / "program.json", tmp_path / "solution.json"
    program.write_text(toy("min").to_json())
    run = CliRunner().invoke
    assert run(app, ["solve", str(program), "-o", str(answer)]).exit_code == 0
    told = run(app, ["verify", str(program), str(answer)])
    assert told.exit_code == 0 and "no solution below -6" in told.stdout
    assert '"multipliers": ["rows"' in answer.read_text().replace("\n", "")
    assert load_solution(answer).certificate is not None
    document = json.loads(answer.read_text())
    document["certificate"]["bound"] = -5.9
    answer.write_text(json.dumps(document))
    told = run(app, ["verify", str(program), str(answer), "--json"])
    assert told.exit_code == 2
    assert [each["what"] for each in json.loads(told.stdout)["violations"]] == ["certificate.bound"]
    assert run(app, ["solve", str(program), "-o", str(answer), "--certificate", "none"]).exit_code == 0
    assert load_solution(answer).certificate is None


@pytest.mark.skipif(not SMPS.exists(), reason="published instances are not there")
def test_published_farmer() -> None:
    folder = SMPS / "farmer"
    stem = next(folder.glob("*.cor"), None)
    if stem is None:
        pytest.skip("the farmer's problem is not there")
    program = read_smps(*(stem.with_suffix(f".{end}") for end in ("cor", "tim", "sto")))
    solution = solved(program)
    verdict = verify_solution(program, solution)
    assert verdict and verdict.certified is not None and solution.objective is not None
    sign = 1.0 if program.sense == "max" else -1.0
    assert sign * (verdict.certified - solution.objective) >= -1e-9 * abs(solution.objective)
