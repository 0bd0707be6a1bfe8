"""Studies: what is compared, read from one file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from bondwork import InvalidInput
from bondwork.comparison.study import make_study, read_study
from hand_made import make_round, market

if TYPE_CHECKING:
    from pathlib import Path


def study(**changes: Any) -> dict[str, Any]:
    """Return the document of a small study."""
    return {
        "format": "bondwork.study/1",
        "rounds": [{"generate": {"tasks": 12, "coprocessors": 3, "offers": 2}}],
        "strategies": ["greedy", {"strategy": "extensive", "mip_rel_gap": 0.0, "settings": {"a": True}}],
        "seed": 5,
    } | changes


def faults_of(document: dict[str, Any], folder: Path | None = None) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        read_study(document, folder)
    return [f"{each.path}: {each.expected}" for each in caught.value.faults]


def test_what_a_study_leaves_out_is_its_own():
    read = read_study(study(time_limit=7.0, mip_rel_gap=0.5))
    greedy, extensive = read.contenders
    assert (greedy.time_limit, greedy.mip_rel_gap, greedy.formulation) == (7.0, 0.5, "highs")
    assert (extensive.mip_rel_gap, dict(extensive.settings)) == (0.0, {"a": "true"})
    assert read.subjects[0].name == "12 x 3 x 2, seed 0"


def test_files_stand_beside_the_study(tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps(market()), encoding="utf-8")
    path = tmp_path / "study.json"
    path.write_text(json.dumps(study(rounds=[{"file": "a.json"}, {"file": "a.json"}])), encoding="utf-8")
    assert [each.name for each in read_study(path).subjects] == ["market", "market (2)"]


def test_contenders_share_seeds_and_replications_do_not():
    read = read_study(study(replications=3))
    seeds = [read.seed_of(0, replication) for replication in range(3)]
    assert seeds[0] == 5
    assert len(set(seeds)) == 3
    assert read.cells()[:3] == [(0, 0, 0), (0, 0, 1), (0, 1, 0)]


def test_without_a_seed_rounds_keep_their_own():
    round_ = make_round(tasks=[], uncertainty={"seed": 11})
    assert make_study(round_, strategies=["greedy"]).seed_of(0, 0) == 11


def test_the_digest_tells_studies_apart():
    digests = {
        read_study(study(**changes)).digest()
        for changes in ({}, {"seed": 6}, {"replications": 2}, {"time_limit": 1.0}, {"strategies": ["greedy"]})
    }
    assert len(digests) == 5
    assert read_study(study()).digest() in digests


def test_every_fault_is_listed(tmp_path: Path):
    found = faults_of(study(replications=0, seed=-1, strategy="x", mip_rel_gap=float("nan")))
    assert len(found) == 4
    assert {each.split(":")[0] for each in found} == {
        "$.replications",
        "$.seed",
        "$.strategy",
        "$.mip_rel_gap",
    }
    assert faults_of(study(rounds=[{}])) == ["$.rounds[0]: either file or generate"]
    assert "$.rounds[0].file: a file" in faults_of(study(rounds=[{"file": "nowhere.json"}]), tmp_path)[0]
    (tmp_path / "bad.json").write_text('{"format": "bondwork.round/1"}', encoding="utf-8")
    assert faults_of(study(rounds=[{"file": "bad.json"}]), tmp_path)[0].startswith("bad.json: $")
    assert "no other strategy" in faults_of(study(strategies=["greedy", "greedy"]))[0]
    too_many = {"generate": {"tasks": 5, "coprocessors": 2, "offers": 3}}
    assert faults_of(study(rounds=[too_many]))[0].startswith("$.rounds[0].generate")
