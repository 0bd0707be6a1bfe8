"""A planner's reputations: what they start with before anything was fitted, and how they are kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.problem.faults import Fault, InvalidInput, preview
from bondwork.reputation.ledger import ReputationLedger
from bondwork.reputation.models import make_reputation
from bondwork.uncertainty.history import OutcomeHistory

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Where each model starts: 95% success, worth some 20 outcomes, and a memory of about 50 rounds. Guesses, to
#: be replaced by `bondwork reputation fit` on one's own history.
PRIORS: Mapping[str, Mapping[str, float]] = {
    "smoothed": {},
    "forgetting": {"keep": 0.98, "prior_mean": 0.95, "prior_size": 20.0},
    "ewma": {"weight": 0.05, "initial": 0.95, "concentration": 40.0},
    "gas": {"omega": 0.02 * float(np.log(19.0)), "beta": 0.98, "alpha": 0.1, "concentration": 40.0},
}


def start_reputation(given: str | Path | ReputationLedger) -> ReputationLedger:
    """Make the reputations that a planner starts with.

    Parameters
    ----------
    given
        Fitted reputations; the path of a ``bondwork.reputation/1``; or the name of a model, which then starts
        from `PRIORS`.

    Raises
    ------
    InvalidInput
        No model of that name and no file either; or the file is not well-formed.
    """
    if isinstance(given, ReputationLedger):
        return given
    if given in PRIORS:
        model = make_reputation(str(given), PRIORS[str(given)])
        return ReputationLedger(model, (), model.start(0), 0)
    if not Path(given).exists():
        expected = f"one of {', '.join(PRIORS)}, or a file that `bondwork reputation fit` wrote"
        raise InvalidInput([Fault("reputation", preview(str(given)), expected)])
    from bondwork.reputation.reputation_schema import load_ledger

    return load_ledger(Path(given))


def reputation_to_dict(ledger: ReputationLedger) -> dict[str, Any]:
    """Reputations as JSON takes them, without the forecasts that follow from them."""
    return _told(ledger) | {
        "rounds": ledger.rounds,
        "executors": list(ledger.executors),
        "state": ledger.state.tolist(),
    }


def reputation_from(body: dict[str, Any]) -> ReputationLedger:
    """Make reputations again from `reputation_to_dict`."""
    reputation = make_reputation(body["model"], body["parameters"])
    width = reputation.start(0).shape[1]
    state = np.array(body["state"], dtype=np.float64).reshape(-1, width)
    return ReputationLedger(reputation, tuple(body["executors"]), state, body["rounds"])


def _told(ledger: ReputationLedger) -> dict[str, Any]:
    return {"model": ledger.reputation.name, "parameters": ledger.reputation.parameters()}


def is_same_model(ledger: ReputationLedger, body: Mapping[str, Any]) -> bool:
    """Whether reputations come from the model that a dictionary describes."""
    return _told(ledger) == {name: body[name] for name in ("model", "parameters")}


def history_of(pending: Mapping[str, tuple[int, int]]) -> OutcomeHistory:
    """Make one round of a history of successes and trials by executor."""
    return OutcomeHistory.from_rows(
        ("", name, trials, trials - good) for name, (good, trials) in pending.items()
    )
