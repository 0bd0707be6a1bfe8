"""Every protocol of the house. Implementations are found through entry points, ours and other people's alike.

A `Formulation` turns an instance into matrices; a `Strategy` turns matrices into a decision, a
`ProgramStrategy` does so with a stochastic program; an `Observer` watches and may stop it. Register yours
under ``bondwork.formulations`` or ``bondwork.strategies``; one class may be both kinds of strategy. A
`Sampler` places the points that scenarios are made from, a `Reduction` chooses few of many.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.problem.instance import Instance
    from bondwork.problem.teams import Teams
    from bondwork.program.program import Program
    from bondwork.program.proof import Proof
    from bondwork.program.stochastic import StochasticProgram
    from bondwork.risk.measure import Measure

#: Why a solve stopped: MathOptInterface's termination statuses, in lower case.
Status = Literal[
    "optimal",
    "infeasible",
    "dual_infeasible",
    "infeasible_or_unbounded",
    "locally_solved",
    "locally_infeasible",
    "time_limit",
    "iteration_limit",
    "node_limit",
    "solution_limit",
    "objective_limit",
    "memory_limit",
    "interrupted",
    "numerical_error",
    "other_error",
]

#: Who says that a bound holds where multipliers alone do not prove it. ``strategy``: the one that the plan
#: names, in a way of its own.
Voucher = Literal["branch_and_bound", "knapsack", "linear_relaxation", "strategy"]


@dataclass(frozen=True, slots=True, eq=False)
class WarmStart:
    """What an earlier solve left, in the numbering of the program to be solved; either may be absent.

    Attributes
    ----------
    x
        Shape (choices,). A choice, feasible or not: what fits of it is used.
    row_duals
        Shape (m,), of the limits. As in `Solution`; ``nan`` for rows of which nothing is known.
    """

    x: FloatArray | None = None
    row_duals: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """How long and how exactly to solve, in HiGHS's names.

    Attributes
    ----------
    time_limit
        Seconds for the strategy, from its start: what is left of the limit of the whole call.
    mip_rel_gap
        Stop when ``(bound - objective) / |objective|`` is at most this.
    threads
        Of HiGHS; 0: half of the CPUs that this process may use, rounded up.
    random_seed
        Seed of HiGHS and of every random choice of a strategy.
    highs
        Any further HiGHS options by name; they reach HiGHS as they are.
    settings
        Settings of the strategy itself by name, all text; see `bondwork.settings`.
    warm_start
        What an earlier round's plan says about this one; strategies that cannot start from it ignore it.
    """

    time_limit: float = np.inf
    mip_rel_gap: float = 1e-4
    threads: int = 0
    random_seed: int = 0
    highs: Mapping[str, bool | int | float | str] = field(default_factory=lambda: MappingProxyType({}))
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    warm_start: WarmStart | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a solve stands: seconds since the strategy's start, incumbent and dual bound in currency.

    Incumbents keep every limit, and bounds hold: what only solves a part tells neither. Strategies report of
    the maximisation; `bondwork.observing.Told` passes on what the round or program itself says.
    """

    seconds: float
    objective: float | None
    bound: float | None
    phase: str = ""
    sense: Literal["max", "min"] = "max"


class Observer(Protocol):
    """Watches a solve. Called from the solving thread; must be quick and must not raise."""

    def report(self, progress: Progress) -> None:
        """Take note of new progress."""
        ...

    def should_stop(self) -> bool:
        """Say whether the solve should stop now and hand out what it has."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """What a strategy hands out: why it stopped, and what it holds. The two are separate facts.

    Attributes
    ----------
    status
        Why it stopped.
    x
        Shape (choices,), the incumbent (whole numbers) without auxiliary columns, or ``None``.
    bound
        Dual bound in currency: no plan earns more. ``inf`` where none was found.
    row_duals
        Shape (m,). Currency per unit of each row, >= 0 where loosening it earns; ``None`` where unknown.
    prices_from
        Where ``row_duals`` come from.
    measure_prices
        Shape (k,). Price of one unit of each lazy measure's limit; ``None`` where unknown.
    partial
        Shape (n,). What a heuristic had chosen when it could not meet every lower bound; not a plan.
    price
        Shape (choices,). What is agreed for each choice, in currency; ``None``: the bids.
    strategy
        The strategy that decided, where one chose another.
    notes
        Fallbacks and choices made on the way, for the plan's provenance.
    proofs
        Multipliers that prove a bound, for the plan's certificate: the best of them is taken. None where
        nothing is better than the best choice for each task.
    vouched_by
        Who says that the bound holds where the proofs give a weaker one.
    """

    status: Status
    x: FloatArray | None
    bound: float
    row_duals: FloatArray | None = None
    prices_from: Literal["lp_relaxation", "lagrange_multipliers"] | None = None
    measure_prices: FloatArray | None = None
    partial: FloatArray | None = None
    price: FloatArray | None = None
    strategy: str = ""
    notes: tuple[str, ...] = ()
    proofs: tuple[Proof, ...] = ()
    vouched_by: Voucher = "strategy"


class Formulation(Protocol):
    """Builds the model of a round. One class per modelling language; no arguments to make one."""

    def build(
        self,
        instance: Instance,
        measures: Sequence[Measure] = (),
        in_rows: Collection[int] = (),
        teams: Teams | None = None,
        mean_risk: tuple[float, Measure] | None = None,
    ) -> Program:
        """Write the model of ``instance`` down as a `Program`, in the units of the input.

        The columns are the ``teams``, or where these are left out what
        `bondwork.problem.teams.enumerate_teams` says they are: without replicas the eligible offers in
        ascending order. The rows are those of `bondwork.problem.limits.enumerate_limits`, in that order;
        then the rows and auxiliary columns of those ``measures`` (all tail limits of the round) whose
        numbers are ``in_rows``, and of the load incentives in the objective
        (`bondwork.program.loads.load_terms`), in any order. With ``mean_risk``, weight and measure, the
        objective is (1 - weight) times what it was, less weight times the measure.

        What offers take of collateral and stake is `bondwork.problem.values.posted` and ``at_stake``: amounts
        as a ledger counts them, as the bounds of the limits are. All else is as stated.
        """
        ...


class Strategy(Protocol):
    """Decides. One class per strategy; no arguments to make one.

    One that needs to know more than matrices hold (an auction: the bids) has a method ``at_round(instance)``,
    which returns the strategy for that round. One that follows a rule has a true ``by_rule``: where limits
    are calibrated, it is asked again under others, and plans near what it chose are not looked for.
    """

    #: One line that says what the strategy does and when to use it.
    summary: str

    def solve(self, program: Program, options: Options, observer: Observer) -> Solution:
        """Decide, within the options. Never raises for an infeasible program or a limit reached."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ProgramDecision:
    """What a strategy hands out for a stochastic program: why it stopped, and what it holds.

    Attributes
    ----------
    status
        Why it stopped.
    bound
        Dual bound of the *maximisation* (a minimisation's values negated): no policy does better. ``inf``
        where none was found.
    root
        Shape (columns of the root,). The decision to carry out now, or ``None``.
    nodes
        Decision of every node, in the order of the nodes; ``None`` where only the root's is known: whoever
        asked then solves what follows it.
    notes
        Fallbacks and choices made on the way, for the solution's provenance.
    strategy
        The strategy that decided, where one chose another.
    build
        Seconds of it all that went into writing matrices down.
    row_duals
        Multipliers of the rows of `bondwork.program.extensive.extensive_form`, in their order, where they are
        known and prove the bound: they save the certificate another solve.
    """

    status: Status
    bound: float
    root: FloatArray | None
    nodes: Sequence[FloatArray] | None = None
    notes: tuple[str, ...] = ()
    strategy: str = ""
    build: float = 0.0
    row_duals: FloatArray | None = None


class ProgramStrategy(Protocol):
    """Decides stochastic programs. One class per strategy; no arguments to make one."""

    #: One line that says what the strategy does and when to use it.
    summary: str

    def solve_program(
        self, program: StochasticProgram, options: Options, observer: Observer
    ) -> ProgramDecision:
        """Decide, within the options. Never raises for an infeasible program or a limit reached.

        Raises
        ------
        Refusal
            The program has something that the strategy cannot honour.
        """
        ...


class Points(Protocol):
    """Points in (0, 1)**dimensions, handed out one coordinate at a time."""

    def coordinate(self, dimension: int) -> FloatArray:
        """Return one coordinate of all n points, strictly inside (0, 1). Shape (n,)."""
        ...


class Sampler(Protocol):
    """Fills the unit cube; laws turn its points into values. One class per method; no arguments to make one.

    Register yours under ``bondwork.samplers``.
    """

    #: One line that says how the points lie.
    summary: str

    def points(self, n: int, dimensions: int, seed: np.random.SeedSequence) -> Points:
        """Place ``n`` >= 1 points. Each coordinate is uniform; the same seed gives the same points.

        A coordinate must not depend on which others were asked for: samples are drawn on several threads.
        """
        ...


class Reduction(Protocol):
    """Chooses the scenarios to keep. One class per heuristic; no arguments to make one.

    Register yours under ``bondwork.reductions``. Where probability goes, and how far the result is, is worked
    out for it.
    """

    #: One line that says what it does and when to use it.
    summary: str

    def select(
        self,
        cost: NDArray[np.floating[Any]],
        mass: FloatArray,
        *,
        size: int | None,
        allowed: float | None,
    ) -> IntArray:
        """Choose points. Returns their indices, each once, in any order.

        Parameters
        ----------
        cost
            Shape (n, n), symmetric, 0 on the diagonal: distance**order of all pairs. Not to be written to.
        mass
            Shape (n,). Probabilities, sum 1.
        size
            How many, 1 to n; or ``None``: as few as keep the sum of mass times the cost to the nearest point
            kept within ``allowed``.
        allowed
            ``None`` where ``size`` is given.
        """
        ...
