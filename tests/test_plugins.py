"""Plug-ins: names that other packages register, and packages that are broken."""

from __future__ import annotations

import json

import numpy as np
import pytest

import bondwork
from bondwork import registry
from bondwork.problem.faults import InvalidInput
from bondwork.schemas import json_schema
from bondwork.uncertainty import sample_round
from plugins import installed

HALTON = '''
"""Halton points, shifted at random."""

import numpy as np
from scipy.stats import qmc


class Points:
    def __init__(self, points):
        self.points = points

    def coordinate(self, dimension):
        return self.points[:, dimension]


class Halton:
    summary = "Halton points, shifted at random"

    def points(self, n, dimensions, seed):
        placed = qmc.Halton(max(dimensions, 1), scramble=False).random(n)
        shift = np.random.default_rng(seed).random(placed.shape[1])
        return Points(((placed + shift) % 1.0).clip(1e-12, 1 - 1e-12))
'''

GROUPS = ("strategies", "formulations", "samplers", "reductions")


def round_with(sampling: str) -> dict:
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp"}],
        "tasks": [{"id": f"t{i}", "operator": "op", "reward": 5, "slashing": 2} for i in range(3)],
        "offers": [
            {"task": f"t{i}", "coprocessor": "cp", "bid": 1, "success_probability": 0.9} for i in range(3)
        ],
        "risk": [{"measure": "cvar", "budget": 4, "level": 0.9}],
        "uncertainty": {"sampling": sampling, "scenarios": 256, "dependence": {"common": 0.5}},
    }


def test_a_round_names_a_sampler_of_another_package(tmp_path, monkeypatch) -> None:
    with installed(tmp_path, monkeypatch, "far_points", HALTON, {"bondwork.samplers:halton": "Halton"}):
        instance = bondwork.load(round_with("halton"))
        plan = bondwork.solve(instance)
        assert bondwork.verify(instance, plan)
        drawn = [sample_round(bondwork.load(round_with(each))).offers for each in ("halton", "sobol")]
        assert drawn[0].scenario.tolist() != drawn[1].scenario.tolist()
        assert np.allclose(drawn[0].failure_share(), 0.1, atol=0.06)
    with pytest.raises(InvalidInput, match="halton"):
        bondwork.load(round_with("halton"))


@pytest.mark.parametrize(("name", "meant"), [("sobel", "sobol"), ("bootstrp", "bootstrap"), ("zzz", None)])
def test_an_unknown_sampler_is_a_fault_with_what_there_is(name, meant) -> None:
    with pytest.raises(InvalidInput) as refused:
        bondwork.load(round_with(name))
    (fault,) = refused.value.faults
    assert (fault.path, fault.found) == ("$.uncertainty.sampling", f'"{name}"')
    assert fault.expected.startswith("one of antithetic, bootstrap, latin_hypercube, monte_carlo, sobol")
    assert fault.expected.partition("did you mean ")[2] == ("" if meant is None else f"'{meant}'?")


@pytest.mark.parametrize("name", ["", 3, None])
def test_what_is_no_name_is_no_sampler(name) -> None:
    with pytest.raises(InvalidInput, match=r"\$.uncertainty.sampling"):
        bondwork.load(round_with(name))


def test_the_published_schema_lists_ours_and_takes_other_names() -> None:
    ours, others = json_schema("round")["$defs"]["Uncertainty"]["properties"]["sampling"]["anyOf"]
    assert {*ours["enum"]} == {*registry._installed("bondwork.samplers").names, "bootstrap"}
    assert others["type"] == "string"


@pytest.mark.parametrize(
    "source", ["import nowhere_to_be_found", "def (", "raise SystemExit(3)", "1 / 0", ""]
)
def test_a_broken_plugin_is_named_once_and_left_out(source, tmp_path, monkeypatch, capsys) -> None:
    module = f"broken_{abs(hash(source))}"
    entries = {f"bondwork.{group}:broken": "Kind" for group in GROUPS}
    with installed(tmp_path, monkeypatch, module, source, entries):
        described = registry.describe_strategies()
        assert "greedy" in described
        assert "broken" not in described
        assert "broken" not in registry.strategy_names("rounds")
        said = capsys.readouterr().err
        assert said.count("bondwork.strategies: broken") == 1
        assert "Traceback" not in said
        assert sorted(registry.broken_plugins()) == sorted(f"bondwork.{group}:broken" for group in GROUPS)
        assert capsys.readouterr().err.count("is left out") == len(GROUPS) - 1
        with pytest.raises(InvalidInput, match="a plug-in that cannot be imported"):
            bondwork.load(round_with("broken"))
        with pytest.raises(InvalidInput, match="a plug-in that cannot be imported"):
            bondwork.solve(bondwork.load(round_with("sobol")), strategy="broken")
        assert bondwork.solve(bondwork.load(round_with("sobol"))).status == "optimal"
        assert module not in registry.plugin_modules()
    assert registry.broken_plugins() == {}


def test_the_command_lists_what_is_broken(tmp_path, monkeypatch, capsys) -> None:
    from bondwork.cli.listing import strategies

    entries = {"bondwork.strategies:broken": "Kind"}
    with installed(tmp_path, monkeypatch, "broken_for_the_list", "1 / 0", entries):
        strategies(as_json=True)
        listed = json.loads(capsys.readouterr().out)
        assert listed["broken"] == {"bondwork.strategies:broken": "ZeroDivisionError: division by zero"}
        assert "broken" not in listed["strategies"]
        strategies(as_json=False)
        assert "bondwork.strategies:broken: ZeroDivisionError" in capsys.readouterr().out


def test_a_strategy_with_a_slip_in_its_name_is_answered_with_the_right_one() -> None:
    with pytest.raises(InvalidInput, match="did you mean 'greedy'"):
        bondwork.solve(bondwork.load(round_with("sobol")), strategy="gredy")
