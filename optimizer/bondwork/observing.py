"""Observers that need no terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bondwork.contracts import Progress


class Silence:
    """The observer that watches nothing and stops nothing."""

    def report(self, progress: Progress) -> None:
        """Take no note."""

    def should_stop(self) -> bool:
        """Never."""
        return False
