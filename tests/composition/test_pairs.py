"""Every feature with every other: refused where the table says so, else solved as brute force does."""

from __future__ import annotations

import itertools
import random
from functools import cache
from typing import TYPE_CHECKING

import pytest

from composition.features import FEATURES, make, present
from composition.judging import CLOSE, OTHERS, judge, solved
from composition.refused import REFUSED, Refused, reasons

if TYPE_CHECKING:
    from bondwork.plan.plan import Plan

NAMES = tuple(FEATURES)
PAIRS = tuple(itertools.combinations(NAMES, 2))
TRIPLES = tuple(random.Random(12).sample(tuple(itertools.combinations(NAMES, 3)), 300))


def _label(names: tuple[str, ...]) -> str:
    return "+".join(names)


@pytest.mark.parametrize("name", NAMES)
def test_a_feature_by_itself(name: str) -> None:
    judge((name,))


@pytest.mark.parametrize("names", PAIRS, ids=_label)
def test_pair(names: tuple[str, str]) -> None:
    judge(names)


@pytest.mark.parametrize("names", TRIPLES, ids=_label)
def test_triple(names: tuple[str, str, str]) -> None:
    judge(names)


@pytest.mark.parametrize("entry", REFUSED, ids=lambda entry: _label(tuple(sorted(entry.features))))
def test_an_entry_of_the_table_is_refused(entry: Refused) -> None:
    """Of more than two features, too, which no pair would notice."""
    assert judge(sorted(entry.features, key=NAMES.index)) == "refused"


#: Pairs of all kinds that are solved, for the formulations that are slow.
SAMPLE = tuple(random.Random(3).sample([names for names in PAIRS if not reasons(present(names))], 20))


@cache
def _by_highs(names: tuple[str, ...]) -> Plan:
    _, plan = solved(make(names, 0))
    return plan


@pytest.mark.parametrize("formulation", OTHERS)
@pytest.mark.parametrize("names", SAMPLE, ids=_label)
def test_formulations_agree(names: tuple[str, str], formulation: str) -> None:
    plan = _by_highs(names)
    _, other = solved(make(names, 0), formulation)
    assert other.verified
    assert other.status == plan.status
    if plan.objective is not None:
        assert other.objective == pytest.approx(plan.objective, rel=CLOSE, abs=CLOSE)
