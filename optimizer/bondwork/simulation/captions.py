"""What each figure shows, in words with numbers from the same data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.simulation.findings import curve, dispersion, load_spread, window
from bondwork.simulation.rules import UNITS

if TYPE_CHECKING:
    from bondwork.simulation.findings import Findings


def captions(findings: Findings) -> dict[str, str]:
    """Captions by figure: ``figure-2`` to ``figure-9``."""
    made = (_survival, _rewards, _reputation, _network, _load, _tasks, _curve, _incentive)
    return {f"figure-{number}": caption(findings) for number, caption in enumerate(made, start=2)}


def _whose(findings: Findings) -> str:
    return f"{findings.variant}, first replication"


def _survival(findings: Findings) -> str:
    parts = []
    for name in findings.experiment.variants:
        stay, reward = findings.told("survivors", name), findings.told("reward", name)
        parts.append(f"{name}: share of the first operators that stays {stay}, reward {reward}")
    return (
        "Active operators (left) and cumulative reward of the network (right) over time, mean of "
        f"{findings.experiment.replications} replications with their range. {'; '.join(parts)}."
    )


def _rewards(findings: Findings) -> str:
    early, late = dispersion(findings)
    verdict = "converge" if late < 0.9 * early else "do not converge"
    return (
        f"Reward per period of ten operators, moving mean of {window(findings)} periods "
        f"({_whose(findings)}). Across all operators who are there, the standard deviation of that mean is "
        f"{early:.0%} of its mean at first and {late:.0%} at the end: rewards {verdict}."
    )


def _reputation(findings: Findings) -> str:
    return (
        f"Last reputation of each operator against its total reward ({_whose(findings)}). "
        f"Correlation over all replications: {findings.told('reputation_reward')}; among those who stay "
        f"{findings.told('reputation_reward_survivors')}; with mean reputation "
        f"{findings.told('mean_reputation_reward')}."
    )


def _network(findings: Findings) -> str:
    trade = findings.records.trade
    share = np.sort(trade.sum(axis=0))[::-1][:10].sum() / max(trade.sum(), 1)
    return (
        f"The 5 operators that delegate most and the 10 coprocessors that do most ({_whose(findings)}); "
        "lines are as wide as pieces of work between two are many. These coprocessors do "
        f"{share:.0%} of all delegated work."
    )


def _load(findings: Findings) -> str:
    _, _, spread = load_spread(findings)
    verdict = "grows" if len(spread) > 1 and spread[-1] > spread[0] else "does not grow"
    low, middle, high = (findings.told(f"income_spread_{each}") for each in ("low", "middle", "high"))
    return (
        f"Load of each coprocessor in each period against what it is paid ({_whose(findings)}), with the "
        "mean and one standard deviation by load. Standard deviation of income, over all replications: "
        f"{low} at loads up to 1/3, {middle} up to 2/3, {high} above: the spread {verdict} with load."
    )


def _tasks(findings: Findings) -> str:
    pieces = findings.records.pieces
    means = pieces.mean(axis=0)
    return (
        f"Pieces of work per period of ten coprocessors, moving mean of {window(findings)} periods "
        f"({_whose(findings)}). Mean {pieces.mean():.2f}; from coprocessor to coprocessor the means range "
        f"from {means.min():.2f} to {means.max():.2f}."
    )


def _curve(findings: Findings) -> str:
    base = curve(findings)
    jumps = " and ".join(jump.name for jump in base.jumps())
    text = (
        f"The load curve f: rising to {base.A - base.C:.2f} at B = {base.B:g}, linear to F = {base.F:g}, "
        f"{float(base(1.0)):.2f} at full load; {f'it jumps at {jumps}' if jumps else 'continuous'}."
    )
    if findings.rules.load_curve.adaptive is not None:
        low, high = np.quantile(findings.records.amplitude, [0.05, 0.95])
        text += (
            " Its parameter A moves with the score-driven state: 90% of the time between "
            f"{low:.2f} and {high:.2f}."
        )
    return text


def _incentive(findings: Findings) -> str:
    incentive = findings.records.incentive / UNITS
    return (
        "Load of each coprocessor in each period against the load incentive that it earns; the colour is A, "
        f"the curve's parameter that follows the coprocessor's score-driven state ({_whose(findings)}). "
        f"Incentives range from {incentive.min():.2f} to {incentive.max():.2f}, mean {incentive.mean():.2f}."
    )
