"""Load the compiled kernels of simulated networks: see `bondwork.base.compiled`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable


def load_kernels(tell: Callable[[str], None]) -> None:
    """Simulate two periods of a small network under a falling and under a rising clock."""
    from bondwork.simulation.engine import Simulation
    from bondwork.simulation.rules import Operators, Policy, Rules, Tasks

    clocks: tuple[Literal["falling", "rising"], ...] = ("falling", "rising")
    for clock in clocks:
        tell(f"periods under a {clock} clock")
        few, tasks = Operators(number=3), Tasks(per_period=10)
        rules = Rules(periods=2, operators=few, tasks=tasks, policy=Policy(clock=clock))
        simulation = Simulation(rules)
        while not simulation.is_over:
            simulation.step()
