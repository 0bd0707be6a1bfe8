"""What the site has beyond the pages of this folder: contents, reference, README and CHANGELOG.

Nothing here imports Sphinx, so tests can ask what the site will hold without building it.
"""

from __future__ import annotations

import ast
import posixpath
import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: Folder of generated pages, below the sources; git does not know it.
GENERATED = "_generated"

#: Captions of the contents and the pages below each. Pages that are not there are left out, pages that nobody
#: names come last: writing a page is enough to have it on the site.
CONTENTS: dict[str, tuple[str, ...]] = {
    "Begin": (f"{GENERATED}/readme", "concepts", "numbers", "glossary"),
    "How to": ("howto/install", "howto/solve", "howto/compare", "howto/embed"),
    "Gallery": (
        "gallery/first-round",
        "gallery/risk-limits",
        "gallery/replicas-rescues",
        "gallery/reputation",
    ),
    "Models": ("choosing", "model", "risk", "replicas", "load", "recourse", "horizon", "programs"),
    "What is known": ("uncertainty", "reputation"),
    "Deciding": (
        "strategies",
        "lagrangian",
        "constraints",
        "formulations",
        "certificates",
        "saa",
        "cluster",
        "auctions",
    ),
    "Comparing": ("comparison", "reports", "experiment"),
    "Round after round": ("planner", "stream", "service", "markets", "replay"),
    "Examples": (
        "examples/three-tasks",
        "examples/prover-market",
        "examples/busy-provers",
        "examples/restaking",
        "examples/replicas",
        "examples/second-chances",
        "examples/epochs",
    ),
    "Reference": (
        "format",
        f"{GENERATED}/reference/index",
        "architecture",
        "design",
        f"{GENERATED}/changelog",
    ),
}

#: Rooms of the reference: page, title, packages or modules below the package, what the page says first.
ROOMS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    (
        "contracts",
        "Contracts",
        ("contracts", "settings", "registry"),
        "What every part of the house promises.",
    ),
    ("base", "The base", ("base",), "What every room needs: tolerances."),
    (
        "road",
        "The road",
        ("solving", "road", "rolling", "two_stages", "horizon_solving"),
        "From a round to a plan, and from a round to the next.",
    ),
    (
        "problem",
        "The problem",
        ("problem",),
        "What is asked: a round, checked at the boundary, arrays behind it.",
    ),
    (
        "uncertainty",
        "Uncertainty",
        ("uncertainty",),
        "What may happen: laws, samples, trees, fewer scenarios.",
    ),
    ("risk", "Risk", ("risk",), "What it may cost: one measure a file."),
    ("program", "Programs", ("program",), "The problem in matrices, by node of the scenario tree."),
    ("solver", "The solver", ("solver",), "The only door to HiGHS."),
    ("strategies", "Strategies", ("strategies",), "How to decide: one strategy a file."),
    ("plan", "Plans", ("plan",), "What is decided, why, and whether it is what it says."),
    ("reputation", "Reputation", ("reputation",), "What the past says about executors."),
    ("market", "The market", ("market",), "Auctions, load incentives, settlement, when to lock."),
    ("simulation", "Simulation", ("simulation",), "Many rounds of a whole network under any policy."),
    ("comparison", "Comparison", ("comparison",), "Strategies side by side, with statistics."),
    ("desk", "At a desk", ("desk",), "The next best plans, and plans of what somebody else chose."),
    ("planner", "The planner", ("planner",), "The road held open, inside somebody else's program."),
    ("service", "The service", ("service",), "The same over HTTP, and its client."),
    ("report", "Reports", ("report",), "Pages for people."),
    ("replay", "Replay", ("replay",), "What a policy would have done on a log."),
    ("files", "Importers and exporters", ("importers", "exporters"), "Foreign files in and out."),
    ("models", "Formulations", ("bondwork_models",), "The model of a round in three modelling languages."),
)

_SECTION = re.compile(r"^(Parameters|Attributes|Returns|Yields|Raises|Notes|Examples)\n-{3,}$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")


# --- the contents -------------------------------------------------------------------------------------------


def page_names(folder: Path) -> set[str]:
    """Names of the written pages below a folder of sources, as Sphinx has them: without a suffix."""
    found = [*folder.rglob("*.md"), *folder.rglob("*.ipynb")]
    names = (path.relative_to(folder) for path in found if ".ipynb_checkpoints" not in path.parts)
    return {name.with_suffix("").as_posix() for name in names} - {"index"}


def contents(folder: Path) -> dict[str, list[str]]:
    """What the contents list: every page that is there once, below its caption.

    Examples
    --------
    >>> listed = contents(Path(__file__).parent)
    >>> listed["Begin"][1]
    'concepts'
    >>> sum(pages.count("model") for pages in listed.values())
    1
    """
    there = page_names(folder)
    listed = {
        caption: [name for name in names if name in there or name.startswith(GENERATED)]
        for caption, names in CONTENTS.items()
    }
    rest = sorted(there.difference(*listed.values()))
    return listed | ({"More": rest} if rest else {})


def _toctrees(folder: Path) -> str:
    # Fenced by tildes: contents are no part of the page for whoever reads it on a git host.
    return "".join(
        f"\n~~~{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(names) + "\n~~~\n"
        for caption, names in contents(folder).items()
        if names
    )


# --- pages as they are read ---------------------------------------------------------------------------------


def adapt(text: str, docname: str, folder: Path) -> str:
    """Adapt a page to the site: the first page gets the contents, links out of ``docs`` go where they can.

    Parameters
    ----------
    text
        Source of the page.
    docname
        Its name, as Sphinx has it.
    folder
        Folder of the sources.

    Returns
    -------
    str
        The source that is read instead. Links to README and CHANGELOG lead to their copies. Other files of
        the project stay links that download the file; folders, which a site cannot show, become plain text.
    """
    if docname.startswith(f"{GENERATED}/reference"):
        return text
    here = (folder / docname).parent

    def follow(match: re.Match[str]) -> str:
        words, target = match.groups()
        path, _, anchor = target.partition("#")
        if "://" in target or not path:
            return match[0]
        aim = (here / path).resolve()
        copy = (
            {"README.md": "readme", "CHANGELOG.md": "changelog"}.get(aim.name) if aim.parent == ROOT else None
        )
        if copy:
            to = posixpath.relpath(f"{GENERATED}/{copy}.markdown", posixpath.dirname(docname) or ".")
            return f"[{words}]({to}{'#' * bool(anchor)}{anchor})"
        return words if aim.is_dir() else match[0]

    adapted = _LINK.sub(follow, text) if not docname.startswith("gallery/") else text
    return adapted + _toctrees(folder) if docname == "index" else adapted


# --- generated pages ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Documented:
    """A public class or function with a numpydoc docstring."""

    module: str
    name: str
    is_class: bool
    says: str

    @property
    def full_name(self) -> str:
        """With its module."""
        return f"{self.module}.{self.name}"


@cache
def documented(packages: tuple[str, ...]) -> tuple[Documented, ...]:
    """Public names of packages or modules whose docstrings have sections, module by module.

    Names without parameters, attributes or examples to tell of are the rooms' own business.

    Examples
    --------
    >>> [each.name for each in documented(("registry", "rolling")) if each.name == "roll"]
    ['roll']
    """
    found = []
    for package in packages:
        outside = ROOT / "models" / package
        base = outside if outside.exists() else ROOT / "optimizer" / "bondwork" / package
        files = sorted(base.rglob("*.py")) if base.is_dir() else [base.with_suffix(".py")]
        top = ROOT / ("models" if outside.exists() else "optimizer")
        for file in files:
            parts = file.relative_to(top).with_suffix("").parts
            if any(part.startswith("_") and part != "__init__" for part in parts):
                continue
            module = ".".join(part for part in parts if part != "__init__")
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith("_"):
                    continue
                text = ast.get_docstring(node) or ""
                if _SECTION.search(text):
                    found.append(Documented(module, node.name, isinstance(node, ast.ClassDef), _first(text)))
    return tuple(found)


def public_names() -> tuple[Documented, ...]:
    """Names of ``bondwork.__all__``."""
    import bondwork

    return tuple(
        Documented("bondwork", name, isinstance(value, type), _first(value.__doc__ or ""))
        for name, value in ((name, getattr(bondwork, name)) for name in bondwork.__all__)
    )


def _first(docstring: str) -> str:
    return " ".join(docstring.strip().split("\n\n")[0].split())


def _entry(each: Documented) -> str:
    if each.is_class:
        return f".. autoclass:: {each.full_name}\n   :members:\n\n"
    return f".. autofunction:: {each.full_name}\n\n"


def _heading(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n\n"


def _summary(entries: tuple[Documented, ...]) -> str:
    # What autosummary makes, of what is known already: it would parse every docstring once more.
    rows = "".join(
        f"   * - :py:obj:`{each.name} <{each.full_name}>`\n     - {each.says}\n" for each in entries
    )
    return ".. list-table::\n   :widths: 30 70\n\n" + rows + "\n"


def room_page(title: str, packages: tuple[str, ...], says: str) -> str:
    """Page of a room in reStructuredText: what it holds at a glance, then each name with its docstring."""
    entries = documented(packages)
    page = _heading(title, "=") + says + "\n\n" + _summary(entries)
    for module, inside in groupby(entries, key=lambda each: each.module):
        page += _heading(module, "-") + "".join(map(_entry, inside))
    return page


def public_page() -> str:
    """Page of the names of ``import bondwork``."""
    entries = public_names()
    page = _heading("import bondwork", "=") + "The public names. Each is loaded when it is first used.\n\n"
    return page + _summary(entries) + "".join(map(_entry, entries))


def _reference_index() -> str:
    listed = "".join(f"   {page}\n" for page in ("public", *(room[0] for room in ROOMS)))
    return (
        _heading("Reference", "=")
        + "Every public name whose docstring says more than what it is, a page a room. Semantic versioning\n"
        + "covers the names of :doc:`import bondwork <public>`, the documents of :doc:`/format` and the\n"
        + "command line; what lies deeper may move.\n\n.. toctree::\n   :maxdepth: 1\n\n"
        + listed
    )


def _copied(name: str) -> str:
    """Text of a file at the top of the project, its links as seen from the folder of generated pages."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return _LINK.sub(lambda link: f"[{link[1]}]({_from_generated(link[2])})", text)


def _from_generated(target: str) -> str:
    if "://" in target or target.startswith("#"):
        return target
    return f"../{target.removeprefix('docs/')}" if target.startswith("docs/") else f"../../{target}"


def write_generated(folder: Path) -> None:
    """Write the generated pages below a folder of sources; files that would not change keep their times."""
    made = {"readme.markdown": _copied("README.md"), "changelog.markdown": _copied("CHANGELOG.md")}
    made["reference/index.rst"] = _reference_index()
    made["reference/public.rst"] = public_page()
    for page, title, packages, says in ROOMS:
        made[f"reference/{page}.rst"] = room_page(title, packages, says)
    for package in {each.module for room in ROOMS for each in documented(room[2])}:
        import_module(package)  # as users import it: autodoc would first try it as type checkers do
    for path in (folder / GENERATED).rglob("*.*"):
        if path.relative_to(folder / GENERATED).as_posix() not in made:
            path.unlink()  # of a room that moved
    for name, text in made.items():
        path = folder / GENERATED / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
