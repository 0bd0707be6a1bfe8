"""The command line: it parses, calls and prints. What it calls is the Python API.

One file for each group of commands; each adds its commands to the application when it is imported, here.

Exit codes: 0 a usable solution; 2 bad input or usage; 3 proven infeasible or unbounded; 4 a limit reached
without a solution; 5 the solver failed; 130 interrupted, with the best plan found so far written out.
"""

from bondwork import console
from bondwork.cli import (
    cluster,
    comparing,
    exporting,
    importing,
    listing,
    making,
    markets,
    replaying,
    reporting,
    reputation,
    rolling,
    saa,
    serving,
    simulating,
    solving,
    streaming,
    tree,
    verifying,
    warming,
)
from bondwork.cli.app import app

__all__ = [
    "app",
    "cluster",
    "comparing",
    "exporting",
    "importing",
    "listing",
    "main",
    "making",
    "markets",
    "replaying",
    "reporting",
    "reputation",
    "rolling",
    "saa",
    "serving",
    "simulating",
    "solving",
    "streaming",
    "tree",
    "verifying",
    "warming",
]


def main() -> None:
    """Entry point of the ``bondwork`` command."""
    console.prepare_streams()
    with console.exit_codes():
        app()
