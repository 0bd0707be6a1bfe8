"""Small networks in which much happens."""

from __future__ import annotations

import dataclasses
from typing import Any

from bondwork.simulation.rules import (
    Adaptive,
    Collateral,
    Coprocessors,
    LoadCurve,
    Operators,
    Rules,
    Slashing,
    Tasks,
)

#: Everybody may fail, misbehave, run out of stake, collateral or capacity.
BUSY = Rules(
    periods=25,
    seed=3,
    operators=Operators(number=8, stake=300.0, least_stake=120.0),
    coprocessors=Coprocessors(
        number=7, collateral=60.0, capacity=6.0, quality=0.93, misbehaving=0.4, cheat=0.5, outage=0.05
    ),
    tasks=Tasks(per_period=60.0, offers=4),
    slashing=Slashing(0.25),
    collateral=Collateral(multiple=1.5, burned=0.35, operator=0.25, rescuer=0.1, treasury=0.3),
)


def busy(**changes: Any) -> Rules:
    """The busy network with sections replaced, or fields of sections: ``tasks={"replicas": 2}``."""
    made = {
        name: dataclasses.replace(getattr(BUSY, name), **value) if isinstance(value, dict) else value
        for name, value in changes.items()
    }
    return dataclasses.replace(BUSY, **made)


#: The same, with all that comes and goes besides.
EVERYTHING = busy(
    operators={"slots": 12, "entry": 0.4, "exit": 0.02, "stake_limit": True},
    coprocessors={"slots": 9, "entry": 0.3, "exit": 0.03, "rational": True, "top_up": 0.5},
    tasks={"arrivals": "poisson", "replicas": 3, "quorum": 2, "follow": "network"},
    collateral={"bid_paid": "on_success"},
    load_curve=LoadCurve(
        adaptive=Adaptive(), parameters={"A": 0.5, "C": 0.9, "D": -0.4, "I": -0.52, "G": -2.0}
    ),
)
