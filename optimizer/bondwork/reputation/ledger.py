"""Reputations of named executors, kept from round to round, and what they make of a round's probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.problem.faults import Fault, InvalidInput
from bondwork.reputation.models import MODELS, Reputation, counts, one_step_forecasts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.arrays import FloatArray
    from bondwork.reputation.models import Forecast
    from bondwork.uncertainty.history import OutcomeHistory


@dataclass(slots=True, eq=False)
class ReputationLedger:
    """A fitted model with the state of every executor that it has seen. Mutable: `update` works in place.

    Attributes
    ----------
    reputation
        The fitted model.
    executors
        U ids.
    state
        Shape (U, k).
    rounds
        How many rounds the states have seen.

    Examples
    --------
    >>> from bondwork.uncertainty.history import OutcomeHistory
    >>> rows = [(str(t), name, 10, int(name == "bad") * 3) for t in range(9) for name in ("good", "bad")]
    >>> ledger = fit_reputation(OutcomeHistory.from_rows(rows), "forgetting")
    >>> good, bad = ledger.forecast(["good", "bad"]).mean
    >>> bool(good > 0.9 > 0.8 > bad)
    True
    """

    reputation: Reputation
    executors: tuple[str, ...]
    state: FloatArray
    rounds: int

    def update(self, history: OutcomeHistory) -> None:
        """Take in further rounds, in their order, in place; executors not seen before join."""
        known = set(self.executors)
        new = tuple(name for name in history.executors if name not in known)
        if new:
            self.executors += new
            self.state = np.concatenate([self.state, self.reputation.start(len(new))])
        number = {name: u for u, name in enumerate(self.executors)}
        places = np.array([number[name] for name in history.executors], dtype=np.int64)
        successes, trials = counts(history.done, history.failed)
        for t in range(trials.shape[1]):
            k, n = np.zeros(len(self.executors)), np.zeros(len(self.executors))
            k[places], n[places] = successes[:, t], trials[:, t]
            self.reputation.update(self.state, k, n)
        self.rounds += trials.shape[1]

    def forecast(self, executors: list[str] | tuple[str, ...] | None = None) -> Forecast:
        """Forecast the next round; executors never seen get the start's. All of them if left out."""
        if executors is None:
            return self.reputation.forecast(self.state)
        number = {name: u for u, name in enumerate(self.executors)}
        state = self.reputation.start(len(executors))
        for place, name in enumerate(executors):
            if name in number:
                state[place] = self.state[number[name]]
        return self.reputation.forecast(state)

    def apply(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Put the forecasts into a round: each offer's ``success_probability`` becomes its coprocessor's.

        Parameters
        ----------
        document
            A ``bondwork.round/1``. It is not changed.

        Returns
        -------
        dict
            A copy whose offers have ``{"mean": m, "concentration": nu}``, the mean cut to what the
            coprocessor's outage probability leaves. Self-executions keep theirs: an operator has no
            reputation here.

        Notes
        -----
        The forecast is about work of the kind that the history holds. Where tasks differ much in difficulty,
        fit one reputation a class of tasks.
        """
        offers = [dict(offer) for offer in document.get("offers", [])]
        outage = {c["id"]: c.get("outage_probability", 0.0) for c in document.get("coprocessors", [])}
        names = [str(offer.get("coprocessor")) for offer in offers]
        forecast = self.forecast(names)
        for offer, name, mean, size in zip(
            offers, names, forecast.mean.tolist(), forecast.concentration.tolist(), strict=True
        ):
            most = 1.0 - float(outage.get(name, 0.0))
            offer["success_probability"] = {"mean": min(mean, most), "concentration": size}
        return {**document, "offers": offers}


def fit_reputation(history: OutcomeHistory, model: str = "gas") -> ReputationLedger:
    """Fit a model to a history and filter through it.

    Parameters
    ----------
    history
        From `bondwork.uncertainty.history.read_history`.
    model
        Name in `bondwork.reputation.models.MODELS`.

    Raises
    ------
    InvalidInput
        No model of that name.
    """
    if model not in MODELS:
        raise InvalidInput([Fault("model", f'"{model}"', f"one of {', '.join(MODELS)}")])
    successes, trials = counts(history.done, history.failed)
    if not trials.any():
        raise InvalidInput([Fault("history", "no outcome", "at least one")])
    reputation = MODELS[model](successes, trials)
    _, state = one_step_forecasts(reputation, successes, trials)
    return ReputationLedger(reputation, history.executors, state, trials.shape[1])
