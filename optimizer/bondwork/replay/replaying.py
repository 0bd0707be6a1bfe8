"""Backtests: a log of rounds and outcomes, and what each of several policies would have made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.problem.faults import Fault, InvalidInput, preview
from bondwork.replay.intervals import Estimate, cvar, total
from bondwork.replay.log import Log, read_log
from bondwork.replay.replay_schema import Interval, PolicyDifference, PolicyResult, Replay
from bondwork.replay.running import PolicyRun, Unknown, policy_names, run_policy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Observer


def replay(
    log: Log | str | Path | bytes,
    policies: Sequence[str] = ("planner", "broker-cycle-price"),
    *,
    unknown: Unknown = "model",
    seed: int = 0,
    level: float = 0.95,
    confidence: float = 0.95,
    reference: str | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> Replay:
    """Play a log of rounds again with other policies.

    Each policy begins with nothing at work and the collateral of the log's first rounds, decides round after
    round, and learns of outcomes when the log (or the work's duration) says. A task that it gave away is not
    given away again when later rounds list it still.

    Parameters
    ----------
    log
        From `read_log`, or where to read it.
    policies
        Names; see `policy_names`.
    unknown
        ``model``: outcomes that the log does not know are drawn by the law that its rounds state, once for
        all policies. ``skip``: such work counts as never given away.
    seed
        Of what is drawn.
    level
        Of the CVaR of a round's slashing.
    confidence
        Of the intervals.
    reference
        Policy that the others are compared with; the last one where left out.
    observer, options
        For every solve: ``time_limit``, ``mip_rel_gap``, ``threads``, ...

    Raises
    ------
    InvalidInput
        With every fault of the log, or of what was asked.

    Notes
    -----
    A log cannot tell what other decisions would have changed in the world: whom rivals would have left
    orders to, which tasks would still have been open, how busy provers would have been. When not to use it:
    to prove that a policy earns so much; it shows whether one is worth a trial.

    Examples
    --------
    >>> import json
    >>> round_ = {
    ...     "format": "bondwork.round/1", "operators": [{"id": "op"}],
    ...     "coprocessors": [{"id": "a"}, {"id": "b"}],
    ...     "tasks": [{"id": "t", "operator": "op", "reward": 8, "slashing": 40}],
    ...     "offers": [
    ...         {"task": "t", "coprocessor": "a", "bid": 1, "success_probability": 0.7, "duration": 1},
    ...         {"task": "t", "coprocessor": "b", "bid": 2, "success_probability": 0.99, "duration": 9}]}
    >>> line = {"format": "bondwork.log/1", "id": "1", "round": round_,
    ...         "outcomes": [{"offer": "t/a", "outcome": "failed"}],
    ...         "potential": [{"offer": "t/b", "outcome": "succeeded"}]}
    >>> found = replay(json.dumps(line).encode(), ["extensive", "broker-price"])
    >>> [(each.name, each.profit.value) for each in found.policies]
    [('extensive', 6.0), ('broker-price', -41.0)]
    """
    _check(policies, level, confidence, reference)
    read = log if isinstance(log, Log) else read_log(log)
    runs = [
        run_policy(read, name, unknown=unknown, seed=seed, observer=observer, **options) for name in policies
    ]
    compared = reference or policies[-1]
    base = next(each for each in runs if each.name == compared)
    currencies = {entry.instance.currency for entry in read.entries}
    return Replay(
        log_sha256=read.sha256,
        rounds=len(read.entries),
        tasks=len({task for entry in read.entries for task in entry.instance.tasks.ids}),
        currency=currencies.pop() if len(currencies) == 1 else "",
        unknown=unknown,
        seed=seed,
        level=level,
        confidence=confidence,
        reference=compared,
        policies=[_result(each, level, confidence, seed) for each in runs],
        differences=[_difference(each, base, confidence) for each in runs if each is not base],
    )


def _check(policies: Sequence[str], level: float, confidence: float, reference: str | None) -> None:
    known = policy_names()
    faults = [
        Fault(f"policies[{number}]", preview(name), f"one of {', '.join(known)}")
        for number, name in enumerate(policies)
        if name not in known
    ]
    if not policies or len(set(policies)) < len(policies):
        faults.append(Fault("policies", ", ".join(policies) or "none", "at least one, each once"))
    for name, value in (("level", level), ("confidence", confidence)):
        if not 0.0 < value < 1.0:
            faults.append(Fault(name, f"{value:g}", "more than 0 and less than 1"))
    if reference is not None and reference not in policies:
        faults.append(Fault("reference", preview(reference), f"one of {', '.join(policies)}"))
    if faults:
        raise InvalidInput(faults)


def _by_round(run: PolicyRun, name: str) -> FloatArray:
    return np.array([getattr(each, name) for each in run.accounts], dtype=float)


def _interval(estimate: Estimate) -> Interval:
    return Interval(value=estimate.value, low=estimate.low, high=estimate.high)


def _result(run: PolicyRun, level: float, confidence: float, seed: int) -> PolicyResult:
    profit, slashed = _by_round(run, "profit"), _by_round(run, "slashed")
    endings = ("succeeded", "failed", "released")
    counts = {name: sum(getattr(each, name) for each in run.accounts) for name in endings}
    made = sum(counts.values())
    return PolicyResult(
        name=run.name,
        profit=_interval(total(profit, confidence)),
        slashed=_interval(total(slashed, confidence)),
        cvar=_interval(cvar(slashed, level, confidence, seed)),
        forfeited=float(_by_round(run, "forfeited").sum()),
        utilisation=run.utilisation,
        tasks=run.tasks,
        **counts,
        known=sum(each.known for each in run.accounts) / made if made else None,
        unusable=run.unusable,
        seconds=run.seconds,
        profit_by_round=profit.tolist(),
        slashed_by_round=slashed.tolist(),
    )


def _difference(run: PolicyRun, base: PolicyRun, confidence: float) -> PolicyDifference:
    profit, slashed = (_by_round(run, name) - _by_round(base, name) for name in ("profit", "slashed"))
    return PolicyDifference(
        name=run.name,
        profit=_interval(total(profit, confidence)),
        slashed=_interval(total(slashed, confidence)),
    )
