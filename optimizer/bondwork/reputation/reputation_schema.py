"""Reputations as files: ``bondwork.reputation/1``, where they come in and go out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from bondwork.problem.faults import Fault, InvalidInput, preview
from bondwork.problem.records import Record, Source, read_record
from bondwork.reputation.ledger import ReputationLedger
from bondwork.reputation.models import make_reputation

if TYPE_CHECKING:
    from collections.abc import Callable

#: What parameters may be, and how it is said; all others are finite.
_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    **dict.fromkeys(
        ("keep", "prior_mean", "weight", "initial"), (lambda value: 0.0 <= value <= 1.0, "0 to 1")
    ),
    **dict.fromkeys(("prior_size", "concentration"), (lambda value: 0.0 < value < math.inf, "above 0")),
}


class ExecutorReputation(Record):
    """One executor: what the model holds of it, and what that says of its next outcomes."""

    id: str
    state: list[float]
    mean: float = Field(ge=0.0, le=1.0, description="Forecast success probability.")
    concentration: float = Field(gt=0.0, description="nu of Beta(mean * nu, (1 - mean) * nu).")


class ReputationFile(Record):
    """A fitted model with the states of all executors."""

    format: Literal["bondwork.reputation/1"]
    model: Literal["gas", "forgetting", "ewma", "smoothed"]
    parameters: dict[str, float]
    rounds: int = Field(ge=0, description="How many rounds the states have seen.")
    executors: list[ExecutorReputation]


def ledger_to_json(ledger: ReputationLedger) -> str:
    """Write reputations as one JSON document."""
    forecast = ledger.forecast()
    file = ReputationFile(
        format="bondwork.reputation/1",
        model=ledger.reputation.name,  # type: ignore[arg-type]  # checked when the file is made
        parameters=ledger.reputation.parameters(),
        rounds=ledger.rounds,
        executors=[
            ExecutorReputation(id=name, state=state, mean=mean, concentration=concentration)
            for name, state, mean, concentration in zip(
                ledger.executors,
                ledger.state.tolist(),
                forecast.mean.tolist(),
                forecast.concentration.tolist(),
                strict=True,
            )
        ],
    )
    return file.model_dump_json(indent=2) + "\n"


def load_ledger(source: Source) -> ReputationLedger:
    """Read reputations from a path or from bytes.

    Raises
    ------
    InvalidInput
        With every fault.
    """
    file = read_record(ReputationFile, source)
    try:
        reputation = make_reputation(file.model, file.parameters)
        width = reputation.start(1).shape[1]
    except (KeyError, TypeError):
        found = preview(file.parameters)
        raise InvalidInput([Fault("$.parameters", found, f"the parameters of {file.model}")]) from None
    faults = [
        Fault(f"$.parameters.{name}", preview(value), expected)
        for name, value in file.parameters.items()
        for holds, expected in [_RANGES.get(name, (math.isfinite, "a finite number"))]
        if not holds(value)
    ]
    faults += [
        Fault(f"$.executors[{i}].state", f"{len(each.state)} numbers", str(width))
        for i, each in enumerate(file.executors)
        if len(each.state) != width
    ]
    seen: set[str] = set()
    for i, each in enumerate(file.executors):
        if each.id in seen:
            faults.append(Fault(f"$.executors[{i}].id", preview(each.id), "an id that no other has"))
        seen.add(each.id)
    if faults:
        raise InvalidInput(faults)
    state = np.array([each.state for each in file.executors], dtype=np.float64).reshape(-1, width)
    with np.errstate(all="ignore"):
        forecast = reputation.forecast(state)
    sound = (forecast.mean >= 0.0) & (forecast.mean <= 1.0)
    sound &= (forecast.concentration > 0.0) & np.isfinite(forecast.concentration)
    if not sound.all():
        raise InvalidInput(
            Fault(f"$.executors[{i}].state", preview(file.executors[i].state), f"a state of {file.model}")
            for i in np.flatnonzero(~sound).tolist()
        )
    return ReputationLedger(reputation, tuple(each.id for each in file.executors), state, file.rounds)
