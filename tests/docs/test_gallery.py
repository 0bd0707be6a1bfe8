"""Notebooks of the gallery run, and say what they are shown to say.

A notebook that says something else now: look at why, then ``make gallery``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

GALLERY = Path(__file__).resolve().parents[2] / "docs" / "gallery"
NUMBER = re.compile(r"-?\d+\.\d+")


def _shown(cell: Any) -> str:
    """Text that a cell prints and returns; of pictures only that there is one."""
    parts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell["outputs"]]
    return "".join(parts)


@pytest.mark.parametrize("path", sorted(GALLERY.glob("*.ipynb")), ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::ResourceWarning")
def test_notebook_says_what_it_shows(path: Path):
    kept = nbformat.read(path, as_version=4)
    fresh = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        fresh, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    for before, after in zip(kept.cells, fresh.cells, strict=True):
        if before.cell_type != "code":
            continue
        assert NUMBER.sub("#", _shown(after)) == NUMBER.sub("#", _shown(before)), before.source
        found, shown = ([float(each) for each in NUMBER.findall(_shown(cell))] for cell in (after, before))
        # Gaps are left open on purpose, so other versions of a solver may end a little elsewhere.
        assert found == pytest.approx(shown, rel=0.02, abs=0.05)


def test_notebooks_have_their_outputs():
    for path in GALLERY.glob("*.ipynb"):
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in cells), f"{path.name}: make gallery"
