"""``bondwork solve --warm-start`` and ``--explain``."""

from __future__ import annotations

import json
from pathlib import Path

from commands import bond

ROUND = str(Path(__file__).resolve().parents[2] / "data" / "rounds" / "prover-market.json")


def test_a_plan_is_where_the_next_solve_begins(tmp_path):
    plan = tmp_path / "plan.json"
    assert bond("solve", ROUND, "-o", str(plan)).returncode == 0
    again = bond("solve", ROUND, "--warm-start", str(plan), "--json")
    assert again.returncode == 0
    document, earlier = json.loads(again.stdout), json.loads(plan.read_text())
    assert document["objective"] == earlier["objective"]
    assert document["provenance"]["notes"][0].startswith("warm start from plan ")


def test_explain_shows_the_next_best():
    shown = bond("solve", ROUND, "--explain")
    assert shown.returncode == 0
    assert "worth at the shadow prices" in shown.stdout
    assert "next best" in shown.stdout
    assert "worth at the shadow prices" not in bond("solve", ROUND).stdout


def test_what_is_no_plan_is_refused_with_its_faults(tmp_path):
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"format": "bondwork.plan/1"}')
    refused = bond("solve", ROUND, "--warm-start", str(wrong))
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert "status" in refused.stderr
    assert bond("solve", ROUND, "--warm-start", str(tmp_path / "none.json")).returncode == 2
