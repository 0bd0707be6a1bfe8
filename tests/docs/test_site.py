"""The site: every page is in its contents once, every public name in its reference, anchors are headings.

Building it is ``make docs``, a minute of a busy machine; what usually breaks is seen here without it.
"""

from __future__ import annotations

import doctest
import importlib.util
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bondwork

if TYPE_CHECKING:
    from types import ModuleType

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bondwork_site_pages", DOCS / "pages.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_examples_of_the_module_hold(pages: ModuleType):
    assert doctest.testmod(pages).failed == 0


def test_every_page_is_in_the_contents_once(pages: ModuleType):
    listed = Counter(name for names in pages.contents(DOCS).values() for name in names)
    assert set(listed.values()) == {1}
    written = {name for name in listed if not name.startswith(pages.GENERATED)}
    assert written == pages.page_names(DOCS)


def test_pages_that_nobody_named_are_listed_last(pages: ModuleType, tmp_path: Path):
    (tmp_path / "concepts.md").write_text("# Concepts\n")
    (tmp_path / "zebra.md").write_text("# Zebra\n")
    listed = pages.contents(tmp_path)
    assert list(listed)[-1] == "More" and listed["More"] == ["zebra"]
    assert "concepts" in listed["Begin"] and not listed["Models"]


def test_the_reference_has_every_public_name(pages: ModuleType, tmp_path: Path):
    pages.write_generated(tmp_path)
    page = (tmp_path / pages.GENERATED / "reference" / "public.rst").read_text()
    entries = re.findall(r"^\.\. auto(?:class|function):: bondwork\.(\w+)$", page, re.MULTILINE)
    assert entries == list(bondwork.__all__)


def test_every_room_of_the_package_has_a_page(pages: ModuleType):
    inside = [name for room in pages.ROOMS for name in room[2]]
    rooms = {path.parent.name for path in Path(bondwork.__file__).parent.glob("*/__init__.py")}
    assert rooms - {"cli"} <= set(inside)
    for _, title, packages, _ in pages.ROOMS:
        assert pages.documented(packages), f"{title} documents nothing"


def test_documented_names_can_be_imported(pages: ModuleType):
    for room in pages.ROOMS:
        for each in pages.documented(room[2]):
            assert hasattr(importlib.import_module(each.module), each.name), each.full_name


def test_links_are_adapted_to_the_site(pages: ModuleType):
    adapted = pages.adapt("[a](../README.md) [b](model.md#rows) [c](../data/rounds)", "risk", DOCS)
    assert adapted == "[a](_generated/readme.markdown) [b](model.md#rows) c"
    assert "{toctree}" in pages.adapt("# bondwork", "index", DOCS)


def _anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#{1,4} (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: str(path.relative_to(DOCS)))
def test_anchors_of_links_are_headings(page: Path):
    targets = re.findall(r"\]\(([^)\s]*\.md|)#([^)\s]+)\)", page.read_text(encoding="utf-8"))
    missing = [
        f"{path}#{anchor}"
        for path, anchor in targets
        if anchor not in _anchors(page.parent / path if path else page)
    ]
    assert not missing


def test_the_architecture_names_every_room_and_files_that_are_there():
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    package = Path(bondwork.__file__).parent
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    named = {
        word
        for row in re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE)
        for word in re.findall(r"`(\w+)`", row)
    }
    assert named == rooms
    files = re.findall(r"`((?:\w+/)?\w+\.py)`", page)
    missing = [name for name in files if not list(package.rglob(name))]
    assert not missing


def test_the_glossary_is_in_order_and_says_each_word_once():
    page = (DOCS / "glossary.md").read_text(encoding="utf-8")
    words = [row.lower() for row in re.findall(r"^\| ([^|]+?) \| ", page, re.MULTILINE)][1:]
    assert words == sorted(set(words))
