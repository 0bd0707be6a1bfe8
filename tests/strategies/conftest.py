"""What tests of strategies share: compiled code is loaded before any clock of theirs runs."""

from __future__ import annotations

import pytest

from bondwork.strategies.lagrangian import Lagrangian


@pytest.fixture(scope="session", autouse=True)
def compiled():
    """Load compiled code; what happens without it has tests of its own."""
    Lagrangian.prepare()
