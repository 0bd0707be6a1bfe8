"""Faults: paths, previews, and pydantic's errors in our words."""

from __future__ import annotations

import json

import pytest

import bondwork
from bondwork.problem import faults as faults_module
from bondwork.problem.faults import Fault, InvalidInput, LongNumber, Refusal, json_path, preview
from mutations import full_round


def faults(**changes: object) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        bondwork.load(full_round() | changes)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ((), "$"),
        (("offers", 3, "bid"), "$.offers[3].bid"),
        (("work", "gpu hours"), '$.work["gpu hours"]'),
        (("", "a.b", "é", 'say "x"'), '$[""]["a.b"]["\\u00e9"]["say \\"x\\""]'),
        (("line\nbreak",), '$["line\\nbreak"]'),
        (("\ud800",), '$["\\ud800"]'),
    ],
)
def test_paths(steps, text):
    assert json_path(steps) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (-1.5, "-1.5"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        ("é\n", '"é\\n"'),
        ("\u202e\x1b\ud800\xa0", '"\\u202e\\u001b\\ud800\\u00a0"'),
        ("0x" + "f" * 64, f'"0x{"f" * 64}"'),
        ({}, "an empty object"),
        ({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}, 'an object ("a", "b", "c", "d", ...)'),
        ([1, 2], "an array of 2"),
        (10**100, "1" + "0" * 56 + "..."),
        (LongNumber("-" + "7" * 5000), "-" + "7" * 56 + "... (5001 characters)"),
        ("x" * 10**6, '"' + "x" * 56 + "..."),
        (b"bytes", "bytes"),
    ],
)
def test_previews_are_short_and_printable(value, text):
    assert preview(value) == text
    assert preview(value).isprintable()


def test_a_preview_of_a_number_that_python_does_not_write():
    assert preview(10**5000) == "a whole number of 16610 bits"


def test_a_fault_reads_as_a_sentence():
    assert str(Fault("$.a", "1", "a string")) == "$.a: found 1, expected a string"
    error = InvalidInput([Fault("$.a", "1", "2"), Fault("$.b", "3", "4")])
    assert str(error) == "$.a: found 1, expected 2\n$.b: found 3, expected 4"
    assert str(Refusal(["one", "two"])) == "one; two"


def test_hints_name_the_field_that_was_meant():
    assert faults(risks=[]) == [
        "$.risks: found an array of 0, expected no field of this name; did you mean 'risk'?"
    ]
    assert faults(zzz=1) == ["$.zzz: found 1, expected no field of this name"]


def test_hints_are_not_sought_for_ever(monkeypatch):
    monkeypatch.setattr(faults_module, "_MOST_HINTS", 3)
    texts = faults(risk1=1, risk2=1, risk3=1, risk4=1)
    assert [text.endswith("did you mean 'risk'?") for text in texts] == [True, True, True, False]
    assert faults(**{"risk" * 10_000: 1})[0].endswith("no field of this name")


def test_there_is_an_end_to_faults(monkeypatch):
    monkeypatch.setattr(faults_module, "MOST_FAULTS", 10)
    texts = faults(self_execution=[1] * 25)
    assert len(texts) == 11
    assert texts[-1] == "$: found 15 more faults, expected none"


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (
            {"measure": "cvarr", "budget": 1},
            "$.risk[0].measure: found \"cvarr\", expected one of 'expected', ",
        ),
        ({"budget": 1}, "$.risk[0].measure: found nothing, expected a value: the field is required"),
        ({"measure": ["cvar"]}, "$.risk[0].measure: found an array of 1, expected one of 'expected', "),
        (1, "$.risk[0]: found 1, expected an object"),
        (
            {"measure": "cvar", "budget": 1, "of": {"operator": 1}},
            "$.risk[0].of.operator: found 1, expected a string",
        ),
        (
            {"measure": "cvar", "budget": 1, "of": {}},
            '$.risk[0].of: found an empty object, expected "network", ',
        ),
        (
            {"measure": "cvar", "budget": 1, "of": "all"},
            "$.risk[0].of: found \"all\", expected one of 'network', ",
        ),
        (
            {"measure": "cvar", "budget": 1, "of": {"operator": "op-1", "task": "t"}},
            '$.risk[0].of.task: found "t", expected no field of this name',
        ),
        (
            {"measure": "solvency", "probability": 0, "of": "operator"},
            "$.risk[0].of: found \"operator\", expected one of 'coprocessor'",
        ),
    ],
)
def test_forms_of_a_risk_limit(entry, text):
    (fault,) = faults(risk=[entry])
    assert fault.startswith(text)


@pytest.mark.parametrize(
    ("amount", "texts"),
    [
        ({"law": "normal"}, ['reward.law: found "normal", expected one of ']),
        ({"mean": 1}, ["reward.law: found nothing, expected a value"]),
        (
            {"law": "values", "values": [1, -1], "probabilities": [2, 0]},
            [
                "reward.values[1]: found -1, expected an amount",
                "reward.probabilities[0]: found 2, expected a number <= 1",
            ],
        ),
        (
            {"law": "values", "values": [], "probability": [1]},
            [
                "reward.values: found an array of 0, expected an array that is not empty",
                "reward.probabilities: found nothing, expected a value",
                "reward.probability: found an array of 1, expected no field of this name",
            ],
        ),
        (
            {"law": "lognormal", "mean": -1},
            ["reward.mean: ", "reward.cv: "],
        ),
        ("-1", ['reward: found "-1", expected an amount from 0 to 1e+150']),
    ],
)
def test_forms_of_an_amount(amount, texts):
    periods = full_round()["periods"]
    periods[0]["tasks"][0]["reward"] = amount
    found = faults(periods=periods)
    assert len(found) == len(texts)
    for fault, text in zip(found, texts, strict=True):
        assert fault.startswith(f"$.periods[0].tasks[0].{text}")


def test_a_probability_of_neither_form():
    offers = full_round()["offers"]
    offers[0]["success_probability"] = "0.5"
    offers[1]["success_probability"] = {"mean": 2, "concentration": 0}
    assert faults(offers=offers) == [
        '$.offers[0].success_probability: found "0.5", expected a number or an object',
        "$.offers[1].success_probability.mean: found 2, expected a number <= 1",
        "$.offers[1].success_probability.concentration: found 0, expected a number > 0",
    ]


@pytest.mark.parametrize("document", [[], None, 1, "x", [{}]])
def test_what_is_no_object_at_all(document):
    with pytest.raises(InvalidInput) as caught:
        bondwork.load(json.dumps(document).encode())
    (fault,) = caught.value.faults
    assert (fault.path, fault.expected) == ("$", "an object")
