"""What is installed is what was tried: locks with hashes, ranges around them, no address of an index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "locks"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NAMES = ["demo.txt", "dev.txt", "lowest.txt", "lock.txt"]

#: A requirement with its hashes, continued over lines.
ENTRY = re.compile(
    r"^(?P<what>[^\s#].*?) \\\n(?P<hashes>(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)


def entries(name: str) -> list[Requirement]:
    return [
        Requirement(match["what"]) for match in ENTRY.finditer((LOCKS / name).read_text(encoding="utf-8"))
    ]


def ranges(*extras: str) -> list[Requirement]:
    """Direct requirements, extras of our own followed."""
    wanted = list(PROJECT["project"]["dependencies"])
    for extra in extras:
        for each in PROJECT["project"]["optional-dependencies"][extra]:
            requirement = Requirement(each)
            wanted += map(str, ranges(*requirement.extras)) if requirement.name == "bondwork" else [each]
    return [Requirement(each) for each in wanted]


@pytest.mark.parametrize("name", NAMES)
def test_every_line_is_a_version_with_hashes(name):
    text = (LOCKS / name).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith(("#", "--hash="))]
    found = entries(name)
    assert len(found) == len(lines) > 0
    assert all(re.fullmatch(r"==[\w.]+", str(each.specifier)) for each in found)


@pytest.mark.parametrize("name", NAMES)
def test_no_lock_names_an_index(name):
    text = (LOCKS / name).read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(
        r"^\s*(-i|-f|--(extra-)?index-url|--find-links|--trusted-host)\b", text, re.MULTILINE
    )


@pytest.mark.parametrize(
    ("name", "extras"), [("demo.txt", ()), ("dev.txt", ("dev",)), ("lowest.txt", ("test",))]
)
def test_what_is_locked_lies_in_the_ranges(name, extras):
    locked = entries(name)
    for wanted in ranges(*extras):
        versions = [e for e in locked if canonicalize_name(e.name) == canonicalize_name(wanted.name)]
        assert versions, f"{wanted.name} is not in {name}: make lock"
        for each in versions:
            version = str(each.specifier).removeprefix("==")
            assert wanted.specifier.contains(version), (
                f"{name} has {each}, pyproject.toml {wanted}: make lock"
            )


def test_the_lowest_lock_is_the_lower_ends_of_the_ranges():
    locked = {canonicalize_name(e.name): str(e.specifier).removeprefix("==") for e in entries("lowest.txt")}
    for wanted in ranges("test"):
        lower = next(s.version for s in wanted.specifier if s.operator == ">=")
        version = locked[canonicalize_name(wanted.name)]
        # another package may ask for more than we do: then the range promises what no run has shown
        assert version == lower or version.startswith(f"{lower}."), f"{wanted} but a run uses {version}"


def test_versions_that_answer_wrongly_are_excluded():
    [highs] = [each for each in ranges() if each.name == "highspy"]
    assert not highs.specifier.contains("1.12.0")
    assert not highs.specifier.contains("1.14.0")


def test_what_builds_the_package_is_locked():
    build = [Requirement(each) for each in PROJECT["build-system"]["requires"]]
    for name in ("demo.txt", "dev.txt", "lowest.txt"):
        locked = {canonicalize_name(e.name): str(e.specifier).removeprefix("==") for e in entries(name)}
        assert all(each.specifier.contains(locked[canonicalize_name(each.name)]) for each in build)
