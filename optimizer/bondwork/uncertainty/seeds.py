"""Where randomness comes from: a seed or a Generator, turned into independent, named streams.

A stream is found by its key alone, so the draws of one consumer depend neither on how many threads run nor on
what other consumers draw.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

#: What every draw accepts. A Generator is advanced by one small draw; a seed is never consumed.
Seed: TypeAlias = int | np.random.SeedSequence | np.random.Generator


def seed_sequence(seed: Seed) -> np.random.SeedSequence:
    """Return the root of the streams of one consumer.

    Parameters
    ----------
    seed
        A whole number >= 0 or a SeedSequence: the same one gives the same streams each time. A Generator:
        entropy is drawn from it, so a second call gives other streams.

    Raises
    ------
    TypeError
        For anything else, ``None`` among it: results nobody can repeat are not made by accident.
    ValueError
        For a negative seed.

    Examples
    --------
    >>> stream(seed_sequence(7), 0).random() == stream(seed_sequence(7), 0).random()
    True
    """
    if isinstance(seed, np.random.SeedSequence):
        return seed
    if isinstance(seed, np.random.Generator):
        return np.random.SeedSequence(seed.integers(0, 2**32, size=4, dtype=np.uint32).tolist())
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed is {seed!r}, expected a whole number, a SeedSequence or a numpy Generator")
    if seed < 0:
        raise ValueError(f"seed is {seed}, expected a whole number >= 0")
    return np.random.SeedSequence(int(seed))


def stream(root: np.random.SeedSequence, *key: int) -> np.random.Generator:
    """Return the generator of stream ``key`` under ``root``; different keys give independent streams."""
    return np.random.default_rng(child(root, *key))


def child(root: np.random.SeedSequence, *key: int) -> np.random.SeedSequence:
    """Return the seed sequence ``key`` under ``root``, without the counter that ``spawn`` would advance."""
    return np.random.SeedSequence(root.entropy, spawn_key=(*root.spawn_key, *key), pool_size=root.pool_size)
