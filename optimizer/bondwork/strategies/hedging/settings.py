"""What can be set about hedging, beyond the options that all strategies share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bondwork.problem.faults import Fault, InvalidInput
from bondwork.settings import Setting, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

#: mpi-sppy's cylinders that hedging runs: the hub, the spoke of bounds and the spoke of incumbents.
CYLINDERS = 3

SETTINGS = {
    "ranks": Setting("3", "Processes; a third each for the hub, the bounds and the incumbents.", least=3),
    "bundle": Setting("1", "Children of the root, with all that follows them, in one subproblem.", least=1),
    "iterations": Setting("100", "Most iterations of progressive hedging.", least=1),
    "rho": Setting("100", "Penalties, in per cent of those that go with the costs of the root.", least=1),
    "launcher": Setting(
        "auto",
        "What starts MPI programs; auto is MPICH's for one machine, which opens no port, or else mpiexec.",
        ("auto", "mpiexec", "mpirun", "srun"),
    ),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings as values; what they mean stands in `SETTINGS`, ``rho`` is a factor here."""

    ranks: int = CYLINDERS
    bundle: int = 1
    iterations: int = 100
    rho: float = 1.0
    launcher: str = "auto"

    @classmethod
    def read(cls, strategy: object, given: Mapping[str, str]) -> Settings:
        """Read what a caller has set.

        Raises
        ------
        InvalidInput
            A setting that is none, or a value that it does not take.
        """
        read = read_settings(strategy, given, "hedging")
        ranks = int(read["ranks"])
        if ranks % CYLINDERS:
            raise InvalidInput([Fault("settings.ranks", read["ranks"], f"a multiple of {CYLINDERS}")])
        return cls(
            ranks, int(read["bundle"]), int(read["iterations"]), int(read["rho"]) / 100, read["launcher"]
        )
