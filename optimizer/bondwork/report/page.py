"""A page: what it says, apart from how it looks; and the template that turns it into HTML.

Everything that comes from input is text here. Jinja2 escapes it; only drawings, which
`bondwork.report.drawing` makes, and the page's own script go in as they are. The page loads nothing: its
policy forbids it.
"""

from __future__ import annotations

import base64
import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from bondwork.console import printable
from bondwork.report.extra import require_extra
from bondwork.tables import show_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Rows of a table that a page shows; the JSON has them all.
MOST_ROWS = 300

#: How a cell is to be looked at.
Mark: TypeAlias = Literal["", "good", "bad"]


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a table: its text, and the number to sort by where it is one."""

    text: str
    value: float | None = None
    mark: Mark = ""

    @property
    def sort_key(self) -> str | None:
        """The number as JavaScript reads it; ``None`` where there is none."""
        if self.value is None or math.isnan(self.value):
            return None
        if math.isinf(self.value):
            return "Infinity" if self.value > 0 else "-Infinity"
        return repr(float(self.value))


@dataclass(frozen=True, slots=True)
class Column:
    """Head of a column; numbers stand right, and sort as numbers."""

    name: str
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns; ``left_out`` rows are not shown."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """What a line or a patch of a drawing stands for: name of its colour, and its dashes (none: a patch)."""

    label: str
    colour: str
    dashes: str | None = None


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure: SVG to go into a page, and its words for those who do not see it."""

    kind: ClassVar[str] = "drawing"
    key: str
    title: str
    svg: str
    alt: str
    caption: str = ""
    legend: tuple[LegendEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Gallery:
    """Drawings side by side where there is room, with one legend for all of them."""

    kind: ClassVar[str] = "gallery"
    drawings: tuple[Drawing, ...]
    legend: tuple[LegendEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and what they are."""

    kind: ClassVar[str] = "facts"
    entries: tuple[tuple[str, str, Mark], ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


Part: TypeAlias = Table | Drawing | Gallery | Facts | Text


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it."""

    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report."""

    title: str
    subtitle: str
    facts: Facts
    sections: tuple[Section, ...]
    footer: str = ""


def fact(name: str, value: str, mark: Mark = "") -> tuple[str, str, Mark]:
    """Make an entry of `Facts`."""
    return printable(name), printable(value), mark


def words(text: str, mark: Mark = "") -> Cell:
    """Make a cell of text; what a screen would obey instead of show is written out."""
    return Cell(printable(text), None, mark)


def number(value: float | None, mark: Mark = "") -> Cell:
    """Make a cell of a number, six digits."""
    return Cell(_or_dash(value, show_number), value, mark)


def share(value: float | None, mark: Mark = "") -> Cell:
    """Make a cell of a share, in per cent."""
    return Cell(_or_dash(value, _percent), value, mark)


def seconds(value: float | None) -> Cell:
    """Make a cell of seconds or MiB, three digits: a second run gives others."""
    return Cell(_or_dash(value, lambda shown: f"{shown:.3g}" if shown < 100.0 else f"{shown:,.0f}"), value)


def uncertain(value: float | None, error: float | None) -> Cell:
    """Make a cell of an estimate with its standard error."""
    text = _or_dash(value, show_number)
    return Cell(text if value is None or error is None else f"{text} ± {error:.2g}", value)


def in_unit(name: str, unit: str) -> str:
    """Put a unit behind a name, where there is one."""
    return f"{name} ({printable(unit)})" if unit else name


def make_table(
    caption: str,
    columns: Sequence[str | tuple[str]],
    rows: Iterable[tuple[Cell, ...]],
    *,
    most: int = MOST_ROWS,
) -> Table:
    """Make a table; a name in a tuple is the head of a column of numbers, a plain one of text."""
    every = list(rows)
    heads = tuple(
        Column(each) if isinstance(each, str) else Column(each[0], numeric=True) for each in columns
    )
    return Table(caption, heads, tuple(every[:most]), max(0, len(every) - most))


def shorten(text: str, most: int = 22) -> str:
    """Cut a name that is too long for a drawing; tables have it whole."""
    shown = printable(text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def render(page: Page) -> str:
    """Write a page as HTML: one document that needs nothing else. The same page gives the same text.

    Raises
    ------
    ModuleNotFoundError
        The extra ``report`` is not installed.

    Examples
    --------
    >>> page = Page("a <b>", "", Facts(()), (Section("s", (Text("1 < 2"),)),))
    >>> html = render(page)
    >>> "<h1>a &lt;b&gt;</h1>" in html, "1 &lt; 2" in html
    (True, True)
    """
    require_extra()
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    templates = Environment(
        loader=PackageLoader("bondwork.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    script = _read(templates, "sort.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = templates.get_template("page.html.j2").render(
        page=page,
        style=Markup(_read(templates, "page.css")),
        script=Markup(script),
        script_digest=digest,
        svg=lambda drawing: Markup(drawing.svg),
    )
    return str(text)


def _read(templates: Any, name: str) -> str:
    source, _, _ = templates.loader.get_source(templates, name)
    return f"\n{source}"


def _percent(value: float) -> str:
    percent = 100.0 * value
    # small gaps are what proofs are about
    return f"{percent:.2f}%" if percent == 0.0 or abs(percent) >= 0.1 else f"{percent:.2g}%"


def _or_dash(value: float | None, show: Any) -> str:
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "not limited" if value > 0 else "−∞"
    return str(show(value))
