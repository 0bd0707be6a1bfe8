"""One solve of a comparison: one contender on one subject in one replication."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from bondwork.comparison.realised import OutOfSample  # noqa: TC001 - read where rows are read from files

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A row's own words for what came of a solve, beside the statuses of plans.
REFUSED, FAILED = "refused", "failed"

#: Seconds, incumbent, bound.
Point: TypeAlias = tuple[float, float | None, float | None]


@dataclass(frozen=True, slots=True)
class Worth:
    """What the stochastic model is worth, in the sense of the subject; ``None`` where not defined."""

    ws: float | None = None
    rp: float | None = None
    eev: float | None = None
    evpi: float | None = None
    vss: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One contender on one subject in one replication.

    Objective and bound are in currency, times in seconds, memory in MiB above what the process held before.

    Attributes
    ----------
    round
        Name of the round or stochastic program.
    contender, strategy, formulation
        Name in the table, and what it stands for.
    replication, seed
        Number from 0, and the seed that all contenders of the round and replication share.
    sense
        Whether the objective is to be large or small.
    status, solution, objective, bound, gap, verified
        As in the plan; a status of ``refused`` or ``failed`` beside them.
    refusal
        Why there is no plan, where there is none: a result like any other.
    memory
        ``None`` where the system does not tell.
    to_gap
        Pairs of a gap and the seconds after which the contender had proved it; ``None``: never.
    trajectory
        Seconds, incumbent and bound, whenever one of them became better.
    out_of_sample
        The plan on fresh scenarios; rounds of one stage only.
    worth
        When asked for.
    """

    round: str
    contender: str
    strategy: str
    formulation: str
    status: str
    solution: str
    objective: float | None = None
    bound: float | None = None
    gap: float | None = None
    build: float = 0.0
    solve: float = 0.0
    verified: bool = False
    refusal: str | None = None
    replication: int = 0
    seed: int = 0
    sense: Literal["max", "min"] = "max"
    memory: float | None = None
    to_gap: tuple[tuple[float, float | None], ...] = ()
    trajectory: tuple[Point, ...] = ()
    out_of_sample: OutOfSample | None = None
    worth: Worth | None = None

    @property
    def sign(self) -> float:
        """1 when maximising, else -1."""
        return 1.0 if self.sense == "max" else -1.0

    @property
    def problem(self) -> tuple[str, int]:
        """What rows must share to be compared: the round and the replication."""
        return self.round, self.replication

    def seconds_to_value(self, value: float) -> float | None:
        """Seconds until the incumbent was at least as good as ``value``; ``None``: never."""
        if self.objective is None:
            return None
        for seconds, objective, _ in self.trajectory:
            if objective is not None and self.sign * objective >= self.sign * value:
                return seconds
        return self.solve if self.sign * self.objective >= self.sign * value else None


def problems(rows: tuple[Row, ...]) -> Iterator[tuple[tuple[str, int], dict[str, Row]]]:
    """Rows by problem, and in each by contender, in the order of the table."""
    found: dict[tuple[str, int], dict[str, Row]] = {}
    for row in rows:
        found.setdefault(row.problem, {})[row.contender] = row
    yield from found.items()
