"""The answer to a stochastic program: ``bondwork.solution/1``, in memory as on disk."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bondwork.contracts import Status  # noqa: TC001 - pydantic reads it when it makes the class
from bondwork.plan.plan import Certificate, PlanRecord, Provenance, Timing, Violation, on_one_line
from bondwork.problem.records import Source, read_record


class NodeValues(PlanRecord):
    """What is decided at one node, by the name of the column."""

    node: str
    values: dict[str, float]


class StochasticValue(PlanRecord):
    """What it is worth to model what is random. Amounts in the unit of the objective, in the file's sense.

    Each of ``ws``, ``rp`` and ``ev`` is the value of what was found; its bound, proved by the solver, is
    never on the worse side of it. Where all are optimal, ws >= rp >= eev when maximising and ws <= rp <= eev
    when minimising, and evpi and vss are >= 0 within the relative gap that was asked for.
    """

    ws: float | None = Field(description="Wait and see: expected optimum of each scenario by itself.")
    ws_bound: float | None
    rp: float | None = Field(description="Recourse problem: the stochastic program itself.")
    rp_bound: float | None
    ev: float | None = Field(description="Optimum of the mean problem.")
    eev: float | None = Field(
        description="Expected result of planning with means: at each node the mean problem of what follows "
        "is solved and the node's own part of its plan carried out."
    )
    evpi: float | None = Field(description="Expected value of perfect information: between ws and rp.")
    vss: float | None = Field(description="Value of the stochastic solution: between rp and eev.")
    notes: list[str] = Field([], description="Why something is null, or was not solved to the end.")


class ProgramSolution(PlanRecord):
    """The answer to a stochastic program.

    ``status`` says why the solve stopped, ``solution`` what it holds: two facts. ``objective`` and ``bound``
    are in the sense of the file: a minimisation's bound is below its objective. ``gap`` is their distance
    over the larger of their sizes, 0 when both are 0; null where there is no solution or no bound.
    """

    format: Literal["bondwork.solution/1"] = "bondwork.solution/1"
    name: str
    status: Status
    solution: Literal["optimal", "feasible", "none"]
    strategy: str
    sense: Literal["max", "min"]
    objective: float | None
    bound: float | None
    gap: float | None
    first_stage: dict[str, float] = Field({}, description="Decision of the root, by the name of the column.")
    nodes: list[NodeValues] | None = Field(None, description="Decision of every node, when asked for.")
    stochastic: StochasticValue | None = Field(None, description="When asked for.")
    certificate: Certificate | None = Field(
        None, description="Proof of the bound, or that nothing is feasible; see docs/certificates.md."
    )
    timing: Timing = Timing()
    provenance: Provenance
    verified: bool = Field(False, description="Whether a recount of every row agrees with the solver.")
    violations: list[Violation] = []

    def to_json(self) -> str:
        """Write the solution as one JSON document; the same solution gives the same text."""
        text = self.model_dump_json(indent=2) + "\n"
        return on_one_line(text) if self.certificate else text

    def is_usable(self) -> bool:
        """Whether there is something to carry out."""
        return self.solution != "none"


def load_solution(source: Source) -> ProgramSolution:
    """Read a solution from a path, from bytes or from a mapping.

    Raises
    ------
    InvalidInput
        With every fault of the input.
    """
    return read_record(ProgramSolution, source)
