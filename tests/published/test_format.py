"""The documents that FORMAT.md shows."""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

import bondwork

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def shown(shared: Path) -> dict[str, Any]:
    """Return the JSON documents of FORMAT.md by their format."""
    text = (shared / "FORMAT.md").read_text(encoding="utf-8")
    documents = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    return {document["format"]: document for document in documents}


def test_the_example_round_loads(shown: dict[str, Any]):
    instance = bondwork.load(shown["bondwork.round/1"])
    assert instance.tasks.ids == ("t-1", "t-2", "t-0")
    assert instance.offers.ids == ("t-1/cp-1", "cheap", "rescue", "t-2/cp-2/op-1", "t-2/op-1")
    assert instance.offers.stage.tolist() == [1, 1, 2, 1, 1]
    assert instance.commitments.ids == ("k-17",)
    assert [limit.measure for limit in instance.risk] == ["cvar", "chance", "expected"]
    assert [each.id for each in instance.periods] == ["next"]
    assert instance.coprocessors.serial.tolist() == [False, True]
    assert instance.offers.work[1].tolist() == [3.5]


def test_defaults_are_those_shown(shown: dict[str, Any]):
    """Leave out what is said to be the default: the round is the same."""
    document = shown["bondwork.round/1"]
    shorter = copy.deepcopy(document)
    del shorter["now"], shorter["decimals"], shorter["objective"]
    del shorter["terms"]["bid_paid"], shorter["terms"]["collateral_rate"]
    for name in ("sampling", "scenarios", "seed"):
        del shorter["uncertainty"][name]
    del shorter["tasks"][0]["required"], shorter["tasks"][0]["unassigned_cost"]
    del shorter["periods"][0]["parent"], shorter["periods"][0]["probability"]
    assert bondwork.load(shorter).sha256 == bondwork.load(document).sha256


def test_the_example_plan_is_readable(shown: dict[str, Any]):
    document = shown["bondwork.plan/1"]
    plan = bondwork.load_plan(document)
    assert [each.offer for each in plan.assignments] == ["t-1/cp-1"]
    # and nothing that it shows is missing from what is written
    written = json.loads(plan.to_json())
    assert set(document) <= set(written)
    for name in ("timing", "provenance"):
        assert set(document[name]) <= set(written[name])


@pytest.mark.parametrize("place", [("offers", 0), ("offers", 1), ("commitments", 0)])
def test_nothing_succeeds_more_often_than_its_coprocessor_is_there(
    place: tuple[str, int], shown: dict[str, Any]
):
    document = copy.deepcopy(shown["bondwork.round/1"])
    name, number = place
    document["coprocessors"][1]["outage_probability"] = 0.01
    document[name][number]["success_probability"] = 0.995
    with pytest.raises(bondwork.InvalidInput) as caught:
        bondwork.load(document)
    assert [fault.path for fault in caught.value.faults] == [f"$.{name}[{number}].success_probability"]
