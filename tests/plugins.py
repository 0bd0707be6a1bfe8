"""Packages of other people, installed for one test: a folder with one module and its entry points."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from bondwork import registry
from bondwork.uncertainty import points, reduction

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pytest


def write_package(folder: Path, module: str, source: str, entries: Mapping[str, str]) -> None:
    """Write a module and metadata that say what it registers: ``{"bondwork.samplers:name": "Class"}``."""
    (folder / f"{module}.py").write_text(source)
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    groups: dict[str, list[str]] = {}
    for place, kind in entries.items():
        group, _, name = place.partition(":")
        groups.setdefault(group, []).append(f"{name} = {module}:{kind}")
    text = "".join(f"[{group}]\n" + "\n".join(lines) + "\n" for group, lines in groups.items())
    (about / "entry_points.txt").write_text(text)


def forget() -> None:
    """Have names looked up anew."""
    registry.look_again()
    points._sampler.cache_clear()
    reduction._heuristic.cache_clear()


@contextmanager
def installed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, module: str, source: str, entries: Mapping[str, str]
) -> Iterator[None]:
    """Let this process find a package; afterwards it is gone."""
    write_package(folder, module, source, entries)
    try:
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder))
            forget()
            yield
    finally:
        forget()
