"""No plan makes the verifier, or the report, raise anything but a refusal; and none takes it long."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

import bondwork
from plan_kinds import KINDS, instance_of, plan_of
from plan_mutations import one_wrong, put, several_wrong

if TYPE_CHECKING:
    from pathlib import Path

#: Plans of each kind with one thing wrong, with several, and that are reported.
ONE, SEVERAL, REPORTED = 200, 30, 8

#: Seconds that no check of so small a plan takes, however busy the machine is.
SECONDS = 20.0


def checked(kind: str, plan: Any) -> bool | None:
    """Whether a plan is accepted; ``None`` where it cannot be read."""
    begun = time.perf_counter()
    try:
        verdict = bondwork.verify(instance_of(kind), plan)
    except (bondwork.InvalidInput, bondwork.Refusal) as refusal:
        assert str(refusal)
        return None
    finally:
        assert time.perf_counter() - begun < SECONDS
    assert all(each.what for each in verdict.violations)
    return bool(verdict)


@pytest.mark.parametrize("kind", KINDS)
def test_plans_with_one_thing_wrong(kind: str):
    plan = json.loads(plan_of(kind).to_json())
    every = list(one_wrong(plan, seed=1))
    some = random.Random(kind).sample(every, ONE)
    answers = [checked(kind, bad) for _, bad in some]
    # most are faults of the document or claims that are not so; few change nothing that is claimed
    assert answers.count(None) > ONE // 4
    assert answers.count(True) < ONE // 2


@pytest.mark.parametrize("kind", KINDS)
def test_plans_with_several_things_wrong(kind: str):
    plan = json.loads(plan_of(kind).to_json())
    for _, bad in several_wrong(plan, seed=2, count=SEVERAL):
        assert checked(kind, bad) in (True, False, None)


@pytest.mark.parametrize("kind", ["market", "two stages", "periods", "impossible"])
def test_reports_of_such_plans(kind: str):
    pytest.importorskip("matplotlib")
    from bondwork.report.plan_report import report_plan

    plan = json.loads(plan_of(kind).to_json())
    readable = 0
    every = [bad for _, bad in one_wrong(plan, seed=3)]
    for bad in [*random.Random(kind).sample(every, 4 * REPORTED), plan]:
        if readable == REPORTED:
            break
        try:
            loaded = bondwork.load_plan(bad)
            assert report_plan(instance_of(kind), loaded, scenarios=64).startswith("<!DOCTYPE html>")
            readable += 1
        except (bondwork.InvalidInput, bondwork.Refusal):
            continue
    assert readable


HOSTILE = {
    "seed": ("provenance", "seed", 10**400),
    "negative seed": ("provenance", "seed", -1),
    "objective": ("objective", 10**400),
    "tolerated gap": ("provenance", "options", "mip_rel_gap", "nan"),
    "certificate": ("certificate", "multipliers", ["capacity", 10**300, 0, 1e308]),
    "long certificate": ("certificate", "multipliers", ["capacity", 0, 0, 1e308] * 5_000),
    "prices": ("prices", [{"limit": "capacity compute of cp-1", "price": 1e308}]),
    "many prices": ("prices", [{"limit": f"capacity {n}", "price": 1.0} for n in range(20_000)]),
    "deep": ("provenance", "options", "[[[...]]]"),
    "notes": ("provenance", "notes", ["x" * 100_000] * 20),
}


def hostile(name: str) -> str:
    """A plan's text with one hostile value in it."""
    *steps, value = HOSTILE[name]
    marked = put(json.loads(plan_of("market").to_json()), tuple(steps), "put it here")
    written = "[" * 100_000 + "]" * 100_000 if name == "deep" else json.dumps(value)
    return json.dumps(marked).replace('"put it here"', written)


@pytest.mark.parametrize("name", HOSTILE)
def test_numbers_and_lists_beyond_all_others(name: str):
    assert checked("market", hostile(name).encode()) in ((True,) if name == "notes" else (False, None))


@pytest.mark.parametrize("name", ["negative seed", "deep", "certificate"])
def test_the_command_line_says_what_is_wrong(name: str, tmp_path: Path):
    round_, plan = tmp_path / "round.json", tmp_path / "plan.json"
    round_.write_text(json.dumps(KINDS["market"][0]()))
    plan.write_text(hostile(name))
    command = [sys.executable, "-m", "bondwork", "verify", str(round_), str(plan)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout or done.stderr


def test_an_object_where_only_numbers_and_text_may_be_is_a_fault_that_is_named():
    plan = json.loads(plan_of("market").to_json())
    plan["provenance"]["options"]["threads"] = {}
    with pytest.raises(bondwork.InvalidInput, match=r"provenance\.options\.threads"):
        bondwork.verify(instance_of("market"), plan)
