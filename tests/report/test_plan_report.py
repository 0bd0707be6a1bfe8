from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import bondwork
from bondwork.plan.plan import NodeDecision, load_plan
from bondwork.report.page import shorten
from bondwork.report.plan_numbers import collateral_usage, fresh_loss, resource_usage, stake_usage
from bondwork.report.plan_report import report_plan
from bondwork.report.plan_stages import parents
from report.pages import cells, check_page, facts, headings, table

ROUNDS = Path(__file__).resolve().parents[2] / "data" / "rounds"

#: Ids that a page must show and never obey.
NASTY = [
    "<script>alert(1)</script>",
    "</svg><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "--> &amp; {{ 7 * 7 }} $x^2$ \\alpha",
    "日本語 😀 עברית",
    "line\nbreak\ttab\u202e",
    '#0a0001; url(#x) id="y" ' + "long " * 40,
]


def nasty_round() -> dict[str, object]:
    return {
        "format": "bondwork.round/1",
        "name": NASTY[0],
        "currency": "<b>ETH</b>",
        "operators": [{"id": f"op {NASTY[2]}", "stake": 500}],
        "coprocessors": [
            {"id": each, "capacity": {NASTY[1]: 2}, "free_collateral": 40, "outage_probability": 0.01}
            for each in NASTY
        ],
        "tasks": [
            {
                "id": f"t {each}",
                "operator": f"op {NASTY[2]}",
                "reward": 8,
                "slashing": 20,
                "work": {NASTY[1]: 1},
            }
            for each in NASTY * 1
        ]
        + [{"id": "nobody", "operator": f"op {NASTY[2]}", "reward": 1, "slashing": 1}],
        "offers": [
            {
                "task": f"t {a}",
                "coprocessor": b,
                "bid": 1 + 0.1 * k,
                "collateral": 20,
                "success_probability": 0.9,
            }
            for k, a in enumerate(NASTY)
            for b in NASTY[:3]
        ],
        "risk": [{"measure": "cvar", "level": 0.9, "budget": 120.0, "of": "network"}],
        "uncertainty": {"scenarios": 64},
    }


@pytest.fixture(scope="module")
def nasty() -> tuple[bondwork.Instance, bondwork.Plan, str]:
    instance = bondwork.load(nasty_round())
    plan = bondwork.solve(instance, strategy="extensive", mip_rel_gap=0)
    return instance, plan, report_plan(instance, plan, scenarios=2000)


def test_ids_are_shown_and_never_obeyed(nasty: tuple[bondwork.Instance, bondwork.Plan, str]):
    _, plan, html = nasty
    page = check_page(html)
    assert page.all("h1")[0].text == NASTY[0]
    assert not page.all("img")
    assert not page.all("b")
    shown = {row[0] for row in cells(table(page, f"{len(plan.assignments)} assign"))}
    assert "t <script>alert(1)</script>" in shown
    assert "t --> &amp; {{ 7 * 7 }} $x^2$ \\alpha" in shown
    assert r"t line\nbreak\ttab\u202e" in shown
    drawn = {each.words() for figure in page.all("figure") for each in figure.all("text")}
    assert shorten(NASTY[0]) == "<script>alert(1)</scr…"
    assert {shorten(each) for each in NASTY} <= drawn
    assert "<b>ETH</b>" in facts(page)["objective"]


def test_the_same_plan_gives_the_same_bytes(nasty: tuple[bondwork.Instance, bondwork.Plan, str]):
    import matplotlib as mpl

    instance, plan, html = nasty
    again = load_plan(plan.to_json().encode())
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
        assert report_plan(instance, again, scenarios=2000) == html


def test_a_page_tells_what_the_plan_tells(nasty: tuple[bondwork.Instance, bondwork.Plan, str]):
    instance, plan, html = nasty
    page = check_page(html)
    assert headings(page)[0] == "Who does what"
    assert "Tasks that are left" in headings(page)
    left = cells(table(page, f"{len(plan.unassigned)} task"))
    assert ["nobody", "no offer that could be chosen", ""] in left
    assert facts(page)["tasks done"] == f"{len(plan.assignments)} of {len(instance.tasks)}"
    assert facts(page)["sha256 of the round"] == instance.sha256
    risk = cells(table(page, "1 limit"))
    assert risk[0][:2] == ["cvar", "network"]
    assert risk[0][-1] == ("yes" if plan.risk[0].holds else "no")
    by_executor = cells(table(page, f"{len({a.executor for a in plan.assignments})} executor"))
    assert sum(int(row[1]) for row in by_executor) == len(plan.assignments)


def test_the_drawn_loss_is_the_one_that_the_limits_were_measured_on():
    document = nasty_round()
    instance = bondwork.load(document)
    plan = bondwork.solve(instance, strategy="extensive", mip_rel_gap=0)
    loss = fresh_loss(instance, plan, 20_000)
    assert loss is not None
    assert loss.level == 0.9
    assert loss.budget == 120.0
    # the limit is measured exactly, and so is what is drawn
    assert plan.risk[0].standard_error == 0.0
    assert loss.scenarios == 0
    assert loss.cvar == plan.risk[0].out_of_sample
    # where outcomes hang together, both come of the same fresh scenarios
    document["uncertainty"] = {"dependence": {"common": 0.2}}
    tied = bondwork.load(document)
    plan = bondwork.solve(tied, strategy="greedy")
    drawn = fresh_loss(tied, plan, 20_000)
    assert drawn is not None
    assert drawn.scenarios == 20_000
    assert plan.risk[0].standard_error
    assert drawn.cvar == pytest.approx(plan.risk[0].out_of_sample, rel=1e-12)
    # the quantile is below the mean of what is beyond it, and is exceeded no more often than it may be
    assert loss.var <= loss.cvar
    assert float(loss.probability[loss.losses > loss.var].sum()) <= 1 - loss.level + 1e-9
    assert float(loss.probability[loss.losses >= loss.var].sum()) >= 1 - loss.level - 1e-9


def test_what_is_used_agrees_with_sums_over_the_assignments():
    instance = bondwork.load(ROUNDS / "restaking.json")
    plan = bondwork.solve(instance, strategy="greedy")
    collateral = collateral_usage(instance, plan)
    posted = dict.fromkeys(instance.coprocessors.ids, 0.0)
    for each in plan.assignments:
        if each.kind == "delegated":
            posted[each.executor] += each.collateral
    assert dict(zip(collateral.names, collateral.used.tolist(), strict=True)) == pytest.approx(posted)
    free = instance.coprocessors.free_collateral
    assert collateral.used + collateral.free == pytest.approx(free)
    document = json.loads((ROUNDS / "restaking.json").read_bytes())
    held = [each for each in document["commitments"] if each["executor"] in collateral.names]
    assert collateral.committed.sum() == pytest.approx(sum(each["collateral"] for each in held))
    work = {each["id"]: each.get("work", {}) for each in document["tasks"]}
    own = {(each["task"], each["coprocessor"]): each["work"] for each in document["offers"] if "work" in each}
    for k, resource in enumerate(instance.resources):
        done = sum(
            own.get((each.task, each.executor), work[each.task]).get(resource, 0.0)
            for each in plan.assignments
            if each.kind == "delegated"
        )
        assert resource_usage(instance, plan, k).used.sum() == pytest.approx(done)
    stake = stake_usage(instance, plan)
    assert stake.total == pytest.approx(instance.operators.stake)
    assert np.all(stake.free >= -1e-9)


def test_replicas_are_slashed_once():
    instance = bondwork.load(ROUNDS / "replicas.json")
    plan = bondwork.solve(instance, strategy="extensive")
    assert len(plan.assignments) > len({each.task for each in plan.assignments})
    slashing = {
        instance.tasks.ids[task]: float(amount)
        for task, amount in zip(instance.claims.task.tolist(), instance.claims.slashing.tolist(), strict=True)
    }
    expected = sum(slashing[task] for task in {each.task for each in plan.assignments})
    assert stake_usage(instance, plan).used.sum() == pytest.approx(expected)
    page = check_page(report_plan(instance, plan, scenarios=500))
    assert "One more executor" in headings(page)


def test_a_second_stage_is_told():
    instance = bondwork.load(ROUNDS / "second-chances.json")
    plan = bondwork.solve(instance, strategy="extensive", value=True)
    page = check_page(report_plan(instance, plan))
    assert {"What happens later", "What planning ahead is worth"} <= set(headings(page))
    assert "Risk" not in headings(page)  # the loss depends on what is done later
    rows = cells(table(page, "Second stage"))
    assert {row[0] for row in rows} == {a.task for node in plan.recourse for a in node.assignments}
    assert facts(page)["EVPI: worth of perfect information"].endswith("ETH")


def test_nodes_of_later_periods_hang_below_each_other():
    names = ["a", "b", "a > c", "a > c > d", "e > f"]
    nodes = [NodeDecision(node=name, stage=1, probability=0.1) for name in names]
    assert parents(nodes).tolist() == [0, 0, 1, 3, 0]


def test_a_round_without_a_plan_is_told_as_such():
    document = {
        "format": "bondwork.round/1",
        "name": "",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp", "capacity": {"<i>": 1}}],
        "tasks": [
            {"id": name, "operator": "op", "reward": 8, "slashing": 4, "work": {"<i>": 1}, "required": True}
            for name in ("a", "b")
        ],
        "offers": [
            {"task": name, "coprocessor": "cp", "bid": 1, "success_probability": 0.9} for name in ("a", "b")
        ],
    }
    instance = bondwork.load(document)
    plan = bondwork.solve(instance, strategy="extensive")
    assert plan.solution == "none"
    page = check_page(report_plan(instance, plan))
    assert page.all("h1")[0].text == "Plan"
    assert headings(page)[0] == "Why there is no plan"
    assert len(cells(table(page, "These limits"))) == len(plan.conflict.limits)
    assert facts(page)["objective"] == "none"


def test_an_empty_round_has_a_page():
    instance = bondwork.load({"format": "bondwork.round/1", "tasks": []})
    page = check_page(report_plan(instance, bondwork.solve(instance)))
    assert facts(page)["tasks done"] == "0 of 0"


def test_long_plans_are_cut_and_say_so():
    from bondwork.problem.generate import generate_round

    instance = bondwork.load(generate_round(420, 60, 4, 1, tightness=2.0))
    plan = bondwork.solve(instance, strategy="greedy")
    assert len(plan.assignments) > 300
    html = report_plan(instance, plan, scenarios=200)
    page = check_page(html)
    assert len(cells(table(page, f"{len(plan.assignments)} assignments"))) == 300
    assert f"and {len(plan.assignments) - 300} more rows in the JSON" in html
    assert "the 20 fullest of 60 coprocessors are drawn" in html


def test_a_plan_of_another_round_is_refused(nasty: tuple[bondwork.Instance, bondwork.Plan, str]):
    other = bondwork.load(ROUNDS / "three-tasks.json")
    with pytest.raises(bondwork.InvalidInput) as raised:
        report_plan(other, nasty[1])
    assert [fault.path for fault in raised.value.faults] == ["$.provenance.input_sha256"]


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_without_the_extra_the_message_says_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch):
    from importlib import util

    from bondwork.report import extra

    monkeypatch.setattr(extra, "find_spec", lambda name: None if name == missing else util.find_spec(name))
    instance = bondwork.load({"format": "bondwork.round/1", "tasks": []})
    with pytest.raises(ModuleNotFoundError, match=rf"needs {missing}: pip install 'bondwork\[report\]'"):
        report_plan(instance, bondwork.solve(instance))


def test_the_package_of_reports_loads_nothing_heavy():
    import subprocess

    code = (
        "import sys, bondwork.cli, bondwork.report.extra, bondwork.report.page, bondwork.report.drawing;"
        "assert not {'matplotlib', 'jinja2', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
