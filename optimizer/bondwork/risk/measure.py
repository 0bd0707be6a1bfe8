"""What every risk measure can do, and the forms in which it enters a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.risk.losses import ScopeLoss


#: A limit counts as exceeded when its value is above it by more than this share of it.
REACH_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A linear inequality ``normal @ x <= upper`` that every point within the limit satisfies.

    ``normal`` has the shape (n,); units are those of the measure. ``weights`` say where it comes from: those
    of the scenarios, or how much more often each column of a Wasserstein ball's scope fails.
    """

    normal: FloatArray
    upper: float
    weights: FloatArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A measure's rows of the extensive form, over the program's n columns and a auxiliary ones of its own.

    Attributes
    ----------
    matrix
        Shape (r, n + a), CSR.
    row_lower, row_upper
        Shape (r,).
    lower, upper, integer
        Shape (a,). Of the auxiliary columns.
    measured
        Shape (a,). The measure's value as a function of the auxiliary columns at their best, for measures
        that can enter the objective; else empty.
    unit
        What one unit of the limit's own rows is in the unit of the measure: multipliers over it are prices.
    scenarios
        Scenario of each of the first rows; ``None`` where rows are no scenarios.
    """

    matrix: csr_array
    row_lower: FloatArray
    row_upper: FloatArray
    lower: FloatArray
    upper: FloatArray
    integer: BoolArray
    measured: FloatArray
    unit: float = 1.0
    scenarios: IntArray | None = None


class Measure(Protocol):
    """A risk measure of one scope's loss, with its limit: ``value(x) <= ceiling``.

    ``label`` names the limit in plans, such as ``cvar of network``. ``convex`` says whether cuts can enforce
    the limit; where not, only its rows (with whole auxiliary columns) can.
    """

    @property
    def label(self) -> str:
        """Name of the limit."""
        ...

    @property
    def ceiling(self) -> float:
        """What the value may be at most."""
        ...

    @property
    def convex(self) -> bool:
        """Whether the value is convex in x."""
        ...

    def value(self, x: FloatArray) -> float:
        """Exact value of the measure on the sample."""
        ...

    @property
    def loss(self) -> ScopeLoss:
        """The loss that is measured."""
        ...

    @property
    def is_of_losses(self) -> bool:
        """Whether the losses by scenario are all that the value depends on."""
        ...

    @property
    def block_has_total(self) -> bool:
        """Whether the last row of the block is the limit itself; where not, every row is."""
        ...

    def of_losses(self, losses: FloatArray) -> float:
        """Value of the measure for given losses by scenario, shape (S,), where `is_of_losses`."""
        ...

    def cut(self, x: FloatArray) -> Cut:
        """Linear inequality that says at ``x`` just what the limit says there; convex measures only."""
        ...

    def block(self, scenarios: IntArray | None = None) -> Block:
        """Rows for the extensive form; of the given scenarios only, which is a relaxation."""
        ...

    def critical(self, x: FloatArray) -> IntArray | None:
        """Scenarios whose rows say at ``x`` what all rows say; ``None`` where the rows are no scenarios."""
        ...

    def standard_error(self, x: FloatArray) -> float:
        """Standard error of the value as an estimate from independent, equally likely scenarios."""
        ...
