"""From matplotlib to SVG that belongs in a page: its text is text, its colours are those of the page.

Figures are painted with stand-in colours, which become CSS variables, so that one drawing serves light, dark
and paper. Text stays text: it is read aloud, searched, and set in a font that has its characters. Bytes
depend on what is painted alone: no date, no random ids, none of the user's settings of matplotlib.
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

from bondwork.console import printable
from bondwork.report.extra import require_extra
from bondwork.report.page import Drawing, LegendEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches: narrow, so that text stays readable where the drawing is as wide as a telephone.
WIDTH = 5.0

#: Most bars of one drawing.
MOST_BARS = 20

_NAMES = (
    *("ink", "muted", "grid", "paper", "raised", "good", "bad", "free", "edge"),
    *(f"c{k}" for k in range(8)),
)
#: Stand-in for each colour of the page.
COLOUR = {name: f"#0a00{number:02x}" for number, name in enumerate(_NAMES, start=1)}
_VARIABLE = {value: f"var(--{name})" for name, value in COLOUR.items()}

#: Dashes that tell lines of one colour apart, as SVG writes them; with 8 colours, 32 lines differ.
DASHES = ("", "6 2", "2 2", "8 2 2 2")

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_HEX = re.compile(r"#[0-9a-f]{6}\b")
_SHORTHAND = re.compile(r"(font:[^;]*?\d(?:\.\d+)?px)[^;]*")
_FAMILY = re.compile(r"font-family:[^;]*;?\s*")
_FINE = re.compile(r"-?\d+\.\d{3,}")
_REFERENCE = re.compile(r"url\(#([^)]*)\)")


def line_style(number: int) -> tuple[str, str]:
    """Colour's name and dashes of the line with a number; the same in every drawing of a page."""
    return f"c{number % 8}", DASHES[number // 8 % len(DASHES)]


def line_options(number: int) -> dict[str, Any]:
    """The same as options of matplotlib's lines."""
    colour, dashes = line_style(number)
    # matplotlib counts dashes in widths of the line
    pattern = tuple(float(each) / 1.6 for each in dashes.split())
    return {"color": COLOUR[colour], "linestyle": (0, pattern) if pattern else "solid", "linewidth": 1.6}


def line_legend(names: Sequence[str]) -> tuple[LegendEntry, ...]:
    """Legend of numbered lines."""
    return tuple(LegendEntry(printable(name), *line_style(number)) for number, name in enumerate(names))


def draw(
    paint: Callable[[Axes], None],
    *,
    key: str,
    title: str,
    alt: str,
    height: float = 3.0,
    caption: str = "",
    legend: Sequence[LegendEntry] = (),
) -> Drawing:
    """Paint a drawing of one pair of axes.

    Parameters
    ----------
    paint
        Paints, in the colours of `COLOUR`.
    key
        Unlike that of any other drawing of the page: a word of letters, digits and ``-``.
    title, alt, caption
        Words: the heading, what there is to see, and how to read it.
    height
        Inches, beside a width of `WIDTH`.
    legend
        What colours stand for; it stands outside the drawing, where it can wrap.

    Raises
    ------
    ModuleNotFoundError
        The extra ``report`` is not installed.
    """
    require_extra()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with warnings.catch_warnings(), mpl.rc_context(_settings(mpl.rcParamsDefault)):
        # sizes are guessed with a font that lacks some characters; the reader's browser has others
        warnings.filterwarnings("ignore", message=r"Glyph \d+")
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        paint(figure.subplots())
        svg = _svg(figure, key, alt)
    return Drawing(key, title, svg, alt, caption, tuple(legend))


def bar_height(bars: int) -> float:
    """Inches that horizontal bars need, with their axis."""
    return 0.85 + 0.27 * max(bars, 1)


def name_bars(axes: Axes, names: Sequence[str]) -> None:
    """Name horizontal bars, the first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def log_axis(axis: Any, show: Callable[[float], str]) -> None:
    """Number a logarithmic axis in plain figures: powers would need a second font."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    if high / max(low, 1e-300) < 30.0:
        axis.set_major_locator(LogLocator(base=10.0, subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: show(value)))
    axis.set_minor_formatter(NullFormatter())


def _settings(default: Any) -> Any:
    # a user's own settings of matplotlib must not change a report
    kept = {name: value for name, value in default.items() if not name.startswith("backend")}
    return kept | {
        "svg.fonttype": "none",
        "svg.hashsalt": "bondwork",
        "text.parse_math": False,  # ids may hold dollars
        "axes.formatter.useoffset": False,
        "font.size": 10.0,
        "axes.labelsize": 10.0,
        "xtick.labelsize": 9.5,
        "ytick.labelsize": 9.5,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "text.color": COLOUR["ink"],
        "axes.labelcolor": COLOUR["ink"],
        "axes.edgecolor": COLOUR["edge"],
        "xtick.color": COLOUR["edge"],
        "ytick.color": COLOUR["edge"],
        "xtick.labelcolor": COLOUR["ink"],
        "ytick.labelcolor": COLOUR["ink"],
        "lines.color": COLOUR["c0"],
        "patch.edgecolor": COLOUR["edge"],
        "grid.color": COLOUR["grid"],
        "grid.linewidth": 0.6,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }


def _svg(figure: Figure, key: str, alt: str) -> str:
    buffer = io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=nothing)
    root = ET.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            # its style would be that of the whole page, its metadata is nobody's business
            if child.tag.removeprefix(_SVG) in ("style", "metadata"):
                parent.remove(child)
    used = _references(root)
    for element in root.iter():
        _settle(element, key, used)
    box = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update({"class": "plot", "viewBox": box, "role": "img", "aria-label": alt})
    name = ET.Element("title")
    name.text = alt
    root.insert(0, name)
    return ET.tostring(root, encoding="unicode")


def _references(root: ET.Element) -> set[str]:
    """Ids that something refers to; the others only name what matplotlib painted."""
    found: set[str] = set()
    for element in root.iter():
        link = element.attrib.get(_XLINK)
        if link is not None:
            found.add(link.removeprefix("#"))
        for name in ("clip-path", "style"):
            found.update(_REFERENCE.findall(element.attrib.get(name, "")))
    return found


def _settle(element: ET.Element, key: str, used: set[str]) -> None:
    """Make an element one of the page: its ids unlike all others, its colours and fonts the page's."""
    element.tag = element.tag.removeprefix(_SVG)
    if not (element.text or "").strip():
        element.text = None
    element.tail = None
    attributes = element.attrib
    own = attributes.pop("id", None)
    if own in used:
        attributes["id"] = f"{key}-{own}"
    link = attributes.pop(_XLINK, None)
    if link is not None:
        attributes["href"] = f"#{key}-{link.removeprefix('#')}"
    if "clip-path" in attributes:
        attributes["clip-path"] = attributes["clip-path"].replace("url(#", f"url(#{key}-")
    for name in ("d", "x", "y", "transform", "points"):
        if name in attributes:  # hundredths of a point are finer than any screen
            coarse = _FINE.sub(lambda found: f"{float(found[0]):.2f}", attributes[name])
            attributes[name] = " ".join(coarse.split())
    if "style" in attributes:
        style = attributes["style"].replace("url(#", f"url(#{key}-")
        style = _FAMILY.sub("", _SHORTHAND.sub(r"\1 sans-serif", style))
        attributes["style"] = _HEX.sub(lambda found: _VARIABLE.get(found[0], found[0]), style)
