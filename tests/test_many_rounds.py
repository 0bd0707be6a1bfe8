"""Work over processes: all of it is done, a death is told, and the time is kept inside of an item."""

from __future__ import annotations

import os
import time

from many_rounds import Done, spread


def work(item: int) -> int:
    if item == 13:
        os._exit(7)
    if item < 0:
        time.sleep(600.0)
    return item * item


def test_everything_is_done_and_a_death_is_told():
    found = sorted(spread(work, iter([1, 13, 2, 3]), 2, float("inf")))
    assert [each for each in found if each.died is None] == [Done(k, k * k) for k in (1, 2, 3)]
    assert [(each.item, each.died) for each in found if each.died is not None] == [(13, 7)]


def test_what_is_under_way_when_time_is_up_is_ended():
    told: list[list[int]] = []
    began = time.monotonic()
    assert list(spread(work, iter([-1, -2]), 1, began + 1.0, told.append, 0.1)) == []
    assert time.monotonic() - began < 300.0
    assert told[-1] == [-1]
