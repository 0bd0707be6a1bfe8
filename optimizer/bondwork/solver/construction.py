"""HiGHS itself: the one module that imports highspy, and the one way to make a solver.

Import it where it is used: loading HiGHS takes a tenth of a second that ``bondwork --help`` does not have.
"""

from __future__ import annotations

import highspy


class QuietHighs(highspy.Highs):  # type: ignore[misc]
    """HiGHS that prints nothing, from its first moment on.

    The first call that may log prints a banner to the standard output of the process, and from 1.16 on
    highspy's own constructor makes one: it registers callbacks before anybody could turn the output off.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setOptionValue("output_flag", False)

    def enableCallbacks(self) -> None:  # noqa: N802 (highspy's name)
        """Turn the output off before the constructor's first call that may log."""
        self.setOptionValue("output_flag", False)
        super().enableCallbacks()


def make_highs() -> highspy.Highs:
    """Make a solver with no program and HiGHS's default options, except that it is silent."""
    return QuietHighs()


def silence_others() -> None:
    """Have whatever makes a solver in this process through highspy make a silent one.

    For processes that belong to us but in which a library talks to HiGHS by itself (mpi-sppy, through
    Pyomo). Never for a process that somebody else began.
    """
    highspy.Highs = QuietHighs
