"""Progressive hedging by mpi-sppy: penalties make the parts of a program agree about its root.

References
----------
R. T. Rockafellar & R. J.-B. Wets, Scenarios and policy aggregation in optimization under uncertainty,
Mathematics of Operations Research 16 (1991) 119-147. D. Gade et al., Obtaining lower bounds from the
progressive hedging algorithm for stochastic mixed-integer programs, Mathematical Programming 157 (2016)
47-67. B. Knueven et al., A parallel hub-and-spoke system for large-scale scenario-based optimization under
uncertainty, Mathematical Programming Computation 15 (2023) 591-619.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bondwork.strategies.hedging.run import Run
from bondwork.strategies.hedging.running import check_installed
from bondwork.strategies.hedging.settings import SETTINGS, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.contracts import Observer, Options, ProgramDecision
    from bondwork.program.stochastic import StochasticProgram
    from bondwork.settings import Setting


class Hedging:
    """Decide by progressive hedging, on as many processes as there are ranks, on one machine or many.

    The tree is cut behind the root. Every part decides alone; penalties on how far each is from the mean of
    all are raised until they agree (the hub of mpi-sppy). Meanwhile a second cylinder turns the penalties'
    prices into bounds, and a third tries the parts' decisions as everybody's. Bounds are the Lagrangian ones;
    the incumbent is worked out again here, part by part, with the root held fixed.

    When not to use it: where the extensive form fits into one machine's memory it is nearly always faster
    there. Which cylinder sees what first depends on the machine: with the same input and seed, two runs may
    end with different incumbents and bounds, all of them right.
    """

    summary: ClassVar[str] = (
        "Progressive hedging by mpi-sppy over MPI: for programs too large for one machine; extra `cluster`."
    )
    settings: ClassVar[Mapping[str, Setting]] = SETTINGS
    takes_linking: ClassVar[bool] = False

    def solve_program(
        self, program: StochasticProgram, options: Options, observer: Observer
    ) -> ProgramDecision:
        """Decide; see `bondwork.contracts.ProgramStrategy`.

        Raises
        ------
        Refusal
            Something of the extra ``cluster`` is not installed; rows link what would be in different parts; a
            part has no finite optimum by itself.
        """
        settings = Settings.read(self, options.settings)
        launcher = check_installed(settings.launcher)
        return Run(program, options, settings, observer).run(launcher)
