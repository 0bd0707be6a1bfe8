"""The farmer of Birge & Louveaux (Introduction to Stochastic Programming, section 1.1): optimum -108390."""

from __future__ import annotations

import numpy as np

from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate

OPTIMUM = -108390.0

#: Tons an acre of wheat, corn and beets in an average year; it is a fifth less in a bad year, more in a good.
YIELDS = np.array([2.5, 3.0, 20.0])


def farmer() -> StochasticProgram:
    """500 acres; 200 tons of wheat and 240 of corn are needed; more than 6000 tons of beets sell badly."""
    land = NodeTemplate.make(
        0,
        ["wheat", "corn", "beets"],
        ["land"],
        cost=[150.0, 230.0, 260.0],
        row_upper=[500.0],
        entries=[(0, 0, k, 1.0) for k in range(3)],
    )
    columns = ["buy wheat", "buy corn", "sell wheat", "sell corn", "sell beets", "dump beets"]
    used = [(0, 0, 1.0), (1, 1, 1.0), (0, 2, -1.0), (1, 3, -1.0), (2, 4, -1.0), (2, 5, -1.0)]
    harvest = NodeTemplate.make(
        1,
        columns,
        ["wheat", "corn", "beets"],
        cost=[238.0, 210.0, -170.0, -150.0, -36.0, -10.0],
        upper=[np.inf, np.inf, np.inf, np.inf, 6000.0, np.inf],
        row_lower=[200.0, 240.0, 0.0],
        entries=[(k, 0, k, YIELDS[k]) for k in range(3)] + [(row, 1, at, each) for row, at, each in used],
    )
    changes = [{}] + [{("entries", k): YIELDS[k] * factor for k in range(3)} for factor in (0.8, 1.0, 1.2)]
    return StochasticProgram.from_changes(
        "farmer",
        "min",
        [land, harvest],
        parent=[-1, 0, 0, 0],
        template=[0, 1, 1, 1],
        conditional=[1.0, 1 / 3, 1 / 3, 1 / 3],
        changes=changes,
    )


def depots(scenarios: int = 6, seed: int = 0) -> StochasticProgram:
    """Which of four depots to open before it is known who asks; whole columns in both stages, profit."""
    random = np.random.default_rng(seed)
    sites, customers = 4, 5
    opening = NodeTemplate.make(
        0,
        [f"open {k}" for k in range(sites)],
        ["at least one"],
        cost=-random.integers(20, 40, sites).astype(float),
        upper=1.0,
        integer=True,
        row_lower=[1.0],
        entries=[(0, 0, k, 1.0) for k in range(sites)],
        constant=5.0,
    )
    serve = [(k, c) for k in range(sites) for c in range(customers)]
    entries = [(k, 1, at, float(3 + c % 3)) for at, (k, c) in enumerate(serve)]
    entries += [(k, 0, k, -10.0) for k in range(sites)]
    entries += [(sites + c, 1, at, 1.0) for at, (_, c) in enumerate(serve)]
    serving = NodeTemplate.make(
        1,
        [f"serve {c} from {k}" for k, c in serve],
        [f"room of {k}" for k in range(sites)] + [f"customer {c}" for c in range(customers)],
        cost=random.integers(15, 40, len(serve)).astype(float),
        upper=1.0,
        integer=True,
        row_upper=[0.0] * sites + [1.0] * customers,
        entries=entries,
    )
    present = random.random((scenarios, customers)) < 0.6
    changes = [{}]
    changes += [{("row_upper", sites + c): float(there) for c, there in enumerate(each)} for each in present]
    return StochasticProgram.from_changes(
        "depots",
        "max",
        [opening, serving],
        parent=[-1] + [0] * scenarios,
        template=[0] + [1] * scenarios,
        conditional=[1.0] + [1.0 / scenarios] * scenarios,
        changes=changes,
    )
