"""What all tests share: markers, hypothesis profiles, the folder of published data."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import none

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).resolve().parents[1]

#: Data and scripts that others published, beside the project and not part of it.
SHARED = ROOT.parent / "shared"

# "ci" tries the same examples every time; HYPOTHESIS_PROFILE=explore tries many others.
settings.register_profile(
    "ci", deadline=None, derandomize=True, max_examples=100, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("ci"), derandomize=False, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "published: solves instances with published optima (minutes)")
    # A shell that runs the suite in the background has it ignore Ctrl-C, and all that the suite starts, too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@given(none())
def _use_hypothesis(nothing: None) -> None:
    """Have Hypothesis make its generator of random numbers, as it does where it is first used.

    It warns where it finds nobody who refers to that generator, and does not find who was frozen.
    """
    assert nothing is None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among thousands of tests, neither while they are collected nor ever after."""
    gc.disable()
    try:
        return (yield)
    finally:
        _use_hypothesis()
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of published data; skip where it is not there."""
    if not SHARED.is_dir():
        pytest.skip(f"published data is not at {SHARED}: it is no part of the project")
    return SHARED


@pytest.fixture(scope="session")
def mpi() -> None:
    """Skip where processes of MPI cannot meet."""
    memory = Path("/dev/shm")
    if memory.is_dir() and not os.access(memory, os.W_OK):
        pytest.skip(f"MPI needs shared memory, and {memory} cannot be written to")
