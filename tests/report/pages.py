"""A page taken apart the way a browser does it, and what must be so of every one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "input", "hr"}
#: Names that point somewhere; a page may point into itself and to nothing else.
POINTERS = {"href", "src", "xlink:href", "action", "srcset", "poster", "data"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: Element | None = None
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def all(self, tag: str) -> list[Element]:
        found = [each for each in self.children if each.tag == tag]
        for each in self.children:
            found += each.all(tag)
        return found

    def words(self) -> str:
        return self.text + "".join(each.words() for each in self.children)

    @property
    def classes(self) -> set[str]:
        return set(self.attributes.get("class", "").split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("#root", {})
        self.here = self.root

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs}, self.here)
        self.here.children.append(element)
        if tag not in VOID:
            self.here = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.here.tag == tag, f"</{tag}> ends <{self.here.tag}>"
        assert self.here.parent is not None
        self.here = self.here.parent

    def handle_data(self, data: str) -> None:
        self.here.text += data


def read_page(html: str) -> Element:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.here is reader.root, f"<{reader.here.tag}> has no end"
    return reader.root


def elements(page: Element) -> list[Element]:
    return [page, *(deep for each in page.children for deep in elements(each))]


def check_page(html: str) -> Element:
    """Assert what must be so of every page; return it taken apart."""
    page = read_page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert page.children[0].attributes["lang"] == "en"
    every = elements(page)
    _loads_nothing(html, every)
    _ids_are_unlike(every)
    _drawings_have_words(page)
    _tables_sort(page)
    assert [each.tag for each in every].count("h1") == 1
    assert len(page.all("script")) == 1
    assert any(each.attributes.get("name") == "viewport" for each in page.all("meta"))
    style = page.all("style")[0].text
    for wanted in ("prefers-color-scheme: dark", "@media print", "max-width: 40rem"):
        assert wanted in style
    return page


def _loads_nothing(html: str, every: list[Element]) -> None:
    for each in every:
        for name, value in each.attributes.items():
            assert not name.startswith("on"), f"<{each.tag}> has a handler: {name}"
            if name in POINTERS:
                assert value.startswith("#") or value == "data:,", f"<{each.tag} {name}={value}>"
    assert not re.search(r"https?://|@import|@font-face|url\((?!#)", html)
    policy = next(each.attributes["content"] for each in every if "http-equiv" in each.attributes)
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1]


def _ids_are_unlike(every: list[Element]) -> None:
    ids = [each.attributes["id"] for each in every if "id" in each.attributes]
    assert len(ids) == len(set(ids))
    pointed = {
        each.attributes["href"][1:] for each in every if each.attributes.get("href", "").startswith("#")
    }
    for each in every:
        for name in ("clip-path", "style"):
            pointed |= set(re.findall(r"url\(#([^)]+)\)", each.attributes.get(name, "")))
    assert pointed <= set(ids)


def _drawings_have_words(page: Element) -> None:
    for figure in page.all("figure"):
        plots = [each for each in figure.all("svg") if "plot" in each.classes]
        assert len(plots) == 1
        assert plots[0].attributes["role"] == "img"
        assert len(plots[0].attributes["aria-label"]) > 20
        assert plots[0].all("title")[0].text == plots[0].attributes["aria-label"]
        assert figure.all("h3")[0].text.strip()
        for each in elements(plots[0]):
            style = each.attributes.get("style", "")
            assert not re.search(r"#[0-9a-f]{3,8}\b(?![^(]*\))", style), f"a colour of its own: {style}"
            assert "font-family" not in style


def _tables_sort(page: Element) -> None:
    for table in page.all("table"):
        assert "sortable" in table.classes
        assert table.attributes["aria-label"]
        heads = table.all("thead")[0].all("th")
        assert all(head.attributes["scope"] == "col" for head in heads)
        for row in table.all("tbody")[0].all("tr"):
            assert len(row.children) == len(heads)
            for head, cell in zip(heads, row.children, strict=True):
                assert ("n" in head.classes) == ("n" in cell.classes)
                if "data-v" in cell.attributes:
                    float(cell.attributes["data-v"])
                    assert "n" in head.classes


def table(page: Element, start: str) -> Element:
    """Table whose caption starts so."""
    found = [each for each in page.all("table") if each.attributes["aria-label"].startswith(start)]
    assert len(found) == 1, [each.attributes["aria-label"] for each in page.all("table")]
    return found[0]


def cells(found: Element) -> list[list[str]]:
    return [[cell.words() for cell in row.children] for row in found.all("tbody")[0].all("tr")]


def headings(page: Element) -> list[str]:
    return [each.text for each in page.all("h2")]


def facts(page: Element) -> dict[str, str]:
    return {each.all("dt")[0].text: each.all("dd")[0].text for each in page.all("div") if each.all("dt")}
