"""``bondwork market`` and ``bondwork replay``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jsonschema

from bondwork.schemas import json_schema
from commands import bond

if TYPE_CHECKING:
    from pathlib import Path


def test_a_market_is_drawn_and_played_again(tmp_path: Path):
    log, page = tmp_path / "log.jsonl", tmp_path / "page.html"
    assert bond("market", "--orders", "30", "--seed", "3", "-o", str(log)).returncode == 0
    for line in log.read_text().splitlines():
        jsonschema.validate(json.loads(line), json_schema("log"))
    done = bond(
        "replay", str(log), "--policy", "greedy", "--policy", "broker-price", "--json", "--report", str(page)
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, json_schema("replay"))
    assert [each["name"] for each in document["policies"]] == ["greedy", "broker-price"]
    assert page.read_text().startswith("<!DOCTYPE html>")
    told = bond("replay", str(log), "--policy", "broker-price")
    assert "broker-price" in told.stdout


def test_faults_are_told(tmp_path: Path):
    log = tmp_path / "log.jsonl"
    log.write_text('{"format": "bondwork.log/1"}\n{\n')
    refused = bond("replay", str(log))
    assert refused.returncode == 2
    assert "line 1 $.round" in refused.stderr
    assert "line 2" in refused.stderr
    assert "Traceback" not in refused.stderr
    log.write_text("")
    assert bond("replay", str(log), "--policy", "best").returncode == 2
