"""The time limit of a call: it counts from the call on, whatever is done in it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Clock:
    """What a time limit leaves, at any moment.

    Attributes
    ----------
    limit
        Seconds; infinite where there is none.
    begun
        Moment, of `time.perf_counter`, from which they count.
    """

    limit: float = math.inf
    begun: float = field(default_factory=time.perf_counter)

    @property
    def limited(self) -> bool:
        """Whether there is a limit."""
        return math.isfinite(self.limit)

    @property
    def ends(self) -> float:
        """Moment at which the time is up."""
        return self.begun + self.limit

    @property
    def elapsed(self) -> float:
        """Seconds gone."""
        return time.perf_counter() - self.begun

    def left(self, reserve: float = 0.0) -> float:
        """Seconds left, at least 0, for what must end so many seconds before the time is up."""
        return max(self.limit - self.elapsed - reserve, 0.0)
