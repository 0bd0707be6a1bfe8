"""The load incentive f(x): what a coprocessor earns, or loses, for how loaded it is.

G. Rodikov, "Model of an Open, Decentralized Computational Network with Incentive-Based Load Balancing", arXiv
2501.01219 (2025), section 5. The paper means the first branch as a reward for low load and the last one as a
slashing that grows; its f rises up to B all the same. The parameters are the user's.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bondwork.arrays import FloatArray

#: Branches that differ by more than this share of their size where they meet make a jump.
JUMP_TOLERANCE = 1e-9

#: The linear program may be above the incentives that it stands for by this share of the range which each of
#: them has over the loads that can be reached.
LOAD_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Jump:
    """Where the branches of a curve do not meet: at the parameter ``name``, from ``left`` to ``right``."""

    name: str
    at: float
    left: float
    right: float


@dataclass(frozen=True, slots=True)
class LoadIncentive:
    """The curve f of the load x, with nine parameters; those left out make a continuous curve.

        f(x) = A*exp(-((x-B)/B)**2) - C     x < B
               D + (x-B)*E                  B <= x <= F
               max(G*(x-H)**2 + I, 0)       x > F

    x is expected work over capacity of one resource, at least 0; f has no unit.

    Examples
    --------
    >>> curve = LoadIncentive()
    >>> curve([0.0, 0.5, 0.8, 1.0]).round(3).tolist()
    [0.168, 0.8, 0.68, 0.6]
    >>> curve.jumps()
    ()
    >>> [jump.name for jump in curve.with_parameters(D=0.9).jumps()]
    ['B', 'F']
    """

    A: float = 1.0
    B: float = 0.5
    C: float = 0.2
    D: float = 0.8
    E: float = -0.4
    F: float = 0.8
    G: float = -2.0
    H: float = 0.8
    I: float = 0.68  # noqa: E741 - the letter of the paper

    def with_parameters(self, **changes: float) -> LoadIncentive:
        """Return the curve with other values of some parameters: of a state that has moved on, say."""
        return dataclasses.replace(self, **changes)

    def __call__(self, load: ArrayLike) -> FloatArray:
        """Return f at each load, in the shape of ``load``."""
        x = np.asarray(load, dtype=np.float64)
        near = np.minimum(x, self.B)  # where another branch holds, a value that nobody reads
        low = self.A * np.exp(-np.square((near - self.B) / (self.B or 1.0))) - self.C
        middle = self.D + (x - self.B) * self.E
        high = np.maximum(self.G * np.square(x - self.H) + self.I, 0.0)
        value: FloatArray = np.where(x < self.B, low, np.where(x <= self.F, middle, high))
        return value

    def derivative(self, load: ArrayLike) -> FloatArray:
        """Return the slope at each load, of the branch that holds there; 0 where the last one is cut off."""
        x = np.asarray(load, dtype=np.float64)
        width = self.B or 1.0
        u = (np.minimum(x, self.B) - self.B) / width
        low = -2.0 * self.A * u / width * np.exp(-np.square(u))
        raised = self.G * np.square(x - self.H) + self.I > 0.0
        high = np.where(raised, 2.0 * self.G * (x - self.H), 0.0)
        value: FloatArray = np.where(x < self.B, low, np.where(x <= self.F, self.E, high))
        return value

    def at(self, load: float) -> float:
        """Return f at one load; the same numbers as for an array, without the array."""
        if load < self.B:
            return self.A * math.exp(-(((load - self.B) / self.B) ** 2)) - self.C
        if load <= self.F:
            return self.D + (load - self.B) * self.E
        return max(self.G * (load - self.H) ** 2 + self.I, 0.0)

    def is_sound(self) -> bool:
        """Whether the branches follow one another: B other than 0 and F not below B."""
        return self.B != 0.0 and self.F >= self.B

    def jumps(self) -> tuple[Jump, ...]:
        """Where branches do not meet; none for a continuous curve. For curves that are `is_sound`."""
        # the last branch is open at F: its limit from above
        last = max(self.G * (self.F - self.H) ** 2 + self.I, 0.0)
        ends = (
            Jump("B", self.B, self.A - self.C, self.D),
            Jump("F", self.F, self.D + (self.F - self.B) * self.E, last),
        )
        return tuple(
            each
            for each in ends
            if abs(each.left - each.right) > JUMP_TOLERANCE * max(1.0, abs(each.left), abs(each.right))
        )

    def breakpoints(self) -> tuple[float, ...]:
        """Loads between which f is smooth and bends one way only, ascending.

        B and F, the turn of the first branch from convex to concave at ``B*(1 - 1/sqrt(2))``, and where the
        last branch is cut off at 0.
        """
        found = {self.B, self.F}
        if self.B > 0.0:
            found.add(self.B * (1.0 - math.sqrt(0.5)))
        if self.G != 0.0 and self.I / self.G < 0.0:
            reach = math.sqrt(-self.I / self.G)
            found |= {root for root in (self.H - reach, self.H + reach) if root > self.F}
        return tuple(sorted(found))
