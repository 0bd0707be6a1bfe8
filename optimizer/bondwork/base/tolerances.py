"""Every tolerance by which a plan is made and judged, and why it has its size.

Planner, explanation and verifier read the same numbers: a definition is not shared code. A tolerance of a
single algorithm (when a line search stops) stays with the algorithm.

Money has no tolerance. Collateral and stake are compared as a ledger counts them, in whole units of
10^-decimals: an amount is its shortest decimal text, rounded half to even.
"""

from __future__ import annotations

from typing import Final

#: A row of a round that is no money (work, durations, losses weighted by probabilities or scenarios) may be
#: exceeded by this share of its largest term: decimals that add up exactly on paper need not do so in binary,
#: and a million terms of 1e-16 each stay far below it.
ROW: Final = 1e-9

#: A row of a stochastic program (``bondwork.program/1``) may be exceeded by this share of its largest term:
#: its numbers are anybody's, and this is what solvers call feasible.
PROGRAM_ROW: Final = 1e-6

#: Rows of later stages of a round, which a solver sees as they are, are solved again where a whole solution
#: breaks them by more than this share of their size: what adding in binary may lose.
STAGED_ROW: Final = 1e-12

#: A sum that a plan states may differ from the sum of its terms by this share of the sum of their sizes: far
#: more than adding in another order costs, far less than anything anybody would tamper with.
SUM: Final = 1e-9

#: What a choice earns is nothing where it is within this share of the sum of the sizes of its terms: rewards,
#: costs and slashing that cancel on paper leave about 1e-16 of their size in binary.
WORTH_NOISE: Final = 1e-9

#: The largest relative gap that a solve may be asked for: one of this size asks for nothing.
LARGEST_GAP: Final = 1e6
