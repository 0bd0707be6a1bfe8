"""The published schemas: what the code generates, and what it reads."""

from __future__ import annotations

import json
import random
from pathlib import Path

import jsonschema
import pydantic
import pytest

import bondwork
from bondwork.problem import schema
from bondwork.schemas import DIALECT, json_schema, schema_names
from mutations import full_round, missing_and_extra, wrong_values

DATA = Path(__file__).resolve().parents[1] / "data"
ROUNDS = sorted((DATA / "rounds").glob("*.json"))

NAMES = schema_names()
PYDANTIC = tuple(int(part) for part in pydantic.VERSION.split(".")[:2])


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json_schema(name))


def test_the_published_files_are_what_the_code_generates():
    published = {path.name: json.loads(path.read_bytes()) for path in (DATA / "schema").glob("*.json")}
    by_id = {document["$id"]: (name, document) for name, document in published.items()}
    assert len(by_id) == len(published) == len(NAMES)
    for name in NAMES:
        generated = json_schema(name)
        file, document = by_id[generated["$id"]]
        if name not in ("round", "plan", "program") and PYDANTIC < (2, 14):
            continue  # pydantic then says less of dataclasses
        assert document == generated, f"run: bondwork schema {name} -o data/schema/{file}"


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_schema_of_its_dialect(name):
    document = json_schema(name)
    jsonschema.Draft202012Validator.check_schema(document)
    assert document["$schema"] == DIALECT == jsonschema.Draft202012Validator.META_SCHEMA["$id"]
    assert document["$id"] == f"urn:bondwork:schema:{name}:1"
    # whoever reads a schema alone finds everything in it
    references = set(_values(document, "$ref"))
    assert references or name == "tree"  # a tree is lists of numbers and nothing else
    assert all(each.startswith("#/$defs/") for each in references)
    assert {each.removeprefix("#/$defs/") for each in references} <= set(document.get("$defs", {}))


def _values(document: object, name: str) -> list[str]:
    found = []
    if isinstance(document, dict):
        if isinstance(document.get(name), str):
            found.append(document[name])
        for value in document.values():
            found += _values(value, name)
    elif isinstance(document, list):
        for value in document:
            found += _values(value, name)
    return found


def test_no_object_of_the_round_takes_unknown_fields():
    document = json_schema("round")
    for each in (document, *document["$defs"].values()):
        if each.get("type") == "object":
            assert each["additionalProperties"] is False, each.get("title")


@pytest.mark.parametrize("path", ROUNDS, ids=lambda path: path.stem)
def test_example_rounds_are_valid_and_so_are_their_plans(path):
    document = json.loads(path.read_bytes())
    validator("round").validate(document)
    plan = json.loads(bondwork.solve(bondwork.load(document)).to_json())
    validator("plan").validate(plan)


def test_plans_without_a_solution_are_valid_too():
    document = json.loads((DATA / "rounds" / "three-tasks.json").read_bytes())
    for task in document["tasks"]:
        task["required"] = True
    for coprocessor in document["coprocessors"]:
        coprocessor["capacity"] = {"compute": 0}
    plan = bondwork.solve(bondwork.load(document))
    assert plan.solution == "none"
    validator("plan").validate(json.loads(plan.to_json()))


def test_the_full_round_has_every_field_of_the_schema():
    """The mutations start from it: a field that it lacks would never be mutated."""
    document = full_round()
    validator("round").validate(document)
    bondwork.load(document)
    used: dict[str, set[str]] = {}
    parsed = schema.Round.model_validate(document)
    pending: list[object] = [parsed]
    while pending:
        each = pending.pop()
        if isinstance(each, schema.Round.__mro__[1]):
            fields = each.model_fields_set
            used.setdefault(type(each).__name__, set()).update(fields)
            pending += [getattr(each, name) for name in fields]
        elif isinstance(each, list):
            pending += each
    for name, definition in json_schema("round")["$defs"].items():
        assert used.get(name) == set(definition["properties"]), name
    assert used["Round"] == set(json_schema("round")["properties"])


#: What is no JSON, or beyond what Python's own reader takes.
NO_JSON = ("NaN", "Infinity", "1e400", "7777777", "1111111", "\\ud800", "\\udc00")


def structural_mutations() -> list[tuple[str, object]]:
    """Documents, faulty in their form, that JSON itself can hold."""
    found = []
    rng = random.Random(11)
    for case in (*wrong_values(rng), *missing_and_extra()):
        text = case.data.decode()
        if any(word in text for word in NO_JSON):
            continue
        found.append((str(case), json.loads(text)))
    return rng.sample(found, 700)


#: What a schema cannot say: how large a decimal string is. And to this validator, Python's, "$" also fits
#: before a line break, as it does not in JSON Schema. Nor can it know which plug-ins are installed.
BEYOND = ("99999999999", r'= "1\n"', "$.uncertainty.sampling = ")


def test_what_the_schema_rejects_is_rejected_and_the_other_way_round():
    rejects = validator("round")
    wrong = []
    for name, document in structural_mutations():
        by_schema = not rejects.is_valid(document)
        try:
            bondwork.load(document)
        except bondwork.InvalidInput:
            by_load = True
        else:
            by_load = False
        if by_schema != by_load and not any(word in name for word in BEYOND):
            wrong.append(f"{name}: schema {by_schema}, load {by_load}")
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:40])


@pytest.mark.parametrize(
    ("steps", "value"),
    [
        (("decimals",), 18.0),
        (("uncertainty", "scenarios"), 64.0),
        (("uncertainty", "seed"), 2.0),
        (("tasks", 0, "replicas"), 2.0),
        (("offers", 0, "stage"), 1.0),
        (("offers", 0, "bid"), "0.5"),
        (("offers", 0, "bid"), 0),
        (("offers", 0, "bid"), -0.0),
        (("offers", 0, "bid"), 1e150),
        (("tasks", 0, "deadline"), None),
        (("tasks", 0, "operator"), "op-1"),
        (("now",), -5),
        (("name",), ""),
        (("terms",), {}),
        (("periods",), []),
    ],
)
def test_what_both_take(steps, value):
    document = full_round()
    at = document
    for step in steps[:-1]:
        at = at[step]
    at[steps[-1]] = value
    validator("round").validate(document)
    bondwork.load(document)


def test_an_unknown_name():
    with pytest.raises(bondwork.InvalidInput) as caught:
        json_schema("rounds")
    assert "one of round, plan" in str(caught.value)


def test_every_call_makes_a_document_of_its_own():
    json_schema("round")["properties"].clear()
    assert json_schema("round")["properties"]
