"""Which HiGHS is installed, for the provenance of a plan."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version


@cache
def highs_version() -> str:
    """Version of the package, read without loading it."""
    return version("highspy")
