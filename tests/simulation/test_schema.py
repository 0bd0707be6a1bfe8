from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bondwork.problem.faults import InvalidInput
from bondwork.simulation.rules import Rules
from bondwork.simulation.schema import change, read_experiment, rules_to_document
from conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = {"format": "bondwork.simulation/1"}


def faults(document) -> list[str]:
    with pytest.raises(InvalidInput) as refused:
        read_experiment(document)
    return [str(each) for each in refused.value.faults]


def test_an_empty_network_is_the_defaults():
    experiment = read_experiment(FORMAT)
    assert experiment.variants == {"network": Rules()}
    written = {k: v for k, v in rules_to_document(Rules()).items() if v is not None}
    for section in written.values():
        if isinstance(section, dict):
            for name in [name for name, value in section.items() if value is None]:
                del section[name]
    assert read_experiment({**FORMAT, "network": written}).variants == experiment.variants


@pytest.mark.parametrize("path", sorted((ROOT / "data" / "simulations").glob("*.json")), ids=lambda p: p.name)
def test_the_simulations_of_the_project_are_sound(path: Path):
    assert read_experiment(path).variants


def test_every_fault_is_told_at_its_place():
    told = faults(
        {
            **FORMAT,
            "network": {
                "periods": "10",
                "operatrs": {},
                "operators": {"stake": -1, "capcity": 1},
                "load_curve": {"parameters": {"Z": 1}, "adaptive": {"beta": 1.0}},
                "policy": {"ticks": True, "time_limit": float("nan")},
            },
            "replications": 0,
        }
    )
    for place in (
        "$.network.periods",
        "$.network.operatrs: found an empty object, expected no field of this name; did you mean 'operator",
        "$.network.operators.stake",
        "$.network.operators.capcity",
        "$.network.load_curve.parameters.Z",
        "$.network.load_curve.adaptive.beta",
        "$.network.policy.ticks",
        "$.network.policy.time_limit",
        "$.replications",
    ):
        assert any(each.startswith(place) for each in told), place
    assert len(told) == 9


def test_what_types_cannot_say_is_told_too():
    told = faults(
        {
            **FORMAT,
            "network": {
                "operators": {"number": 3, "slots": 2},
                "coprocessors": {"number": 4},
                "collateral": {"burned": 0.3},
                "dependence": {"common": 0.7, "coprocessor": 0.7},
                "tasks": {"offers": 5, "replicas": 2, "quorum": 3},
                "reputation": {"model": "ewma"},
                "load_curve": {"parameters": {"B": 0.9}},
            },
            "variants": [
                {"name": "a/b", "changes": {"slashing.fctor": 1}},
                {"name": "c", "changes": {"slashing": 3}},
                {"name": "c", "changes": {"slashing.factor.more": 3}},
            ],
        }
    )
    for text in (
        "operators.slots", "network.collateral", "network.dependence", "tasks.quorum", "tasks.offers",
        "reputation.parameters", "load_curve.parameters", "variants[0].name", "variants[2].name",
        "slashing.fctor", "$.network.slashing: found 3", "$.network.slashing.factor: found",
    ):  # fmt: skip
        assert any(text in each for each in told), text


def test_shares_in_more_than_millionths_are_refused():
    told = faults({**FORMAT, "network": {"collateral": {"burned": 1 / 3, "operator": 2 / 3}}})
    assert "whole millionths" in told[0]


def test_changes_leave_the_document_alone():
    document = {**FORMAT, "network": {"periods": 5}}
    rules = change(document, {"slashing.factor": 0.5, "periods": 6})
    assert (rules.slashing.factor, rules.periods) == (0.5, 6)
    assert document == {**FORMAT, "network": {"periods": 5}}
