from __future__ import annotations

import base64
import hashlib
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bondwork.console import printable
from bondwork.report.drawing import COLOUR, draw, line_style
from bondwork.report.page import Cell, Facts, Page, Section, make_table, number, render, share, shorten, words
from report.pages import check_page, read_page


@settings(max_examples=15)
@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_comes_back_as_text(one: str, other: str):
    table = make_table(printable(one), ["a", ("b",)], [(words(other), number(1.5))])
    page = read_page(render(Page(printable(one), "", Facts(()), (Section("s", (table,)),))))
    assert page.all("h1")[0].text == printable(one)
    assert page.all("tbody")[0].all("th")[0].text == printable(other)
    assert page.all("table")[0].attributes["aria-label"] == printable(one)


def test_the_policy_allows_the_script_of_the_page_and_no_other():
    page = read_page(render(Page("a", "", Facts(()), ())))
    script = page.all("script")[0].text
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(e.attributes["content"] for e in page.all("meta") if "http-equiv" in e.attributes)
    assert f"script-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize(
    ("cell", "text", "key"),
    [
        (number(None), "–", None),
        (number(math.nan), "–", None),
        (number(math.inf), "not limited", "Infinity"),
        (number(1234567.0), "1.23457e+06", "1234567.0"),
        (number(3), "3", "3.0"),
        (share(0.123456), "12.35%", "0.123456"),
        (share(0.00001234), "0.0012%", "1.234e-05"),
        (share(0.0), "0.00%", "0.0"),
        (Cell("x"), "x", None),
    ],
)
def test_cells_show_numbers_and_sort_by_them(cell: Cell, text: str, key: str | None):
    assert (cell.text, cell.sort_key) == (text, key)


def test_long_names_are_cut():
    assert shorten("a" * 22) == "a" * 22
    assert shorten("a" * 23) == "a" * 21 + "…"


def test_thirty_two_lines_look_different():
    assert len({line_style(number) for number in range(32)}) == 32


def test_two_drawings_alike_have_unlike_ids():
    def paint(axes: object) -> None:
        axes.plot([0, 1], [0, 1], color=COLOUR["c0"], marker="o")  # type: ignore[attr-defined]

    drawings = [
        draw(paint, key=key, title="t", alt="a line from one corner to the other") for key in ("one", "two")
    ]
    check_page(render(Page("a", "", Facts(()), (Section("s", tuple(drawings)),))))
