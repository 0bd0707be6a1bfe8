"""What one more replica would be worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.plan.plan import ReplicaValue
from bondwork.problem.teams import team_value, teams_of, teams_of_offers
from bondwork.problem.values import is_eligible

if TYPE_CHECKING:
    from bondwork.arrays import IntArray
    from bondwork.problem.instance import Instance
    from bondwork.problem.teams import Teams


def value_replicas(instance: Instance, chosen: IntArray) -> list[ReplicaValue]:
    """Say for each assigned task with replicas what the best further executor would add.

    Its value is that of the team with one more less that of the team: ``(r+s)`` times what the probability of
    success gains, less what the newcomer costs. Limits, the bound on replicas among them, and the price of
    risk are left aside: a positive value beside a full team is what one more replica allowed would earn.
    Tasks without another executor for the operator who holds them are left out.

    Parameters
    ----------
    instance
        The round.
    chosen
        Offers that are chosen.
    """
    if np.all(instance.tasks.replicas <= 1):
        return []
    teams = teams_of_offers(instance, chosen)
    owner, newcomer = _candidates(instance, teams)
    if not len(owner):
        return []
    grown = teams_of(
        instance,
        [
            np.sort(np.append(_members(teams, t), o))[np.newaxis]
            for t, o in zip(owner.tolist(), newcomer.tolist(), strict=True)
        ],
    )
    gain = team_value(instance, grown) - team_value(instance, teams)[owner]
    order = np.lexsort((newcomer, -gain, owner))
    best = order[np.unique(owner[order], return_index=True)[1]]
    best = best[np.argsort(instance.claims.task[teams.claim[owner[best]]], kind="stable")]
    return [_said(instance, teams, int(owner[i]), int(newcomer[i]), float(gain[i])) for i in best.tolist()]


def _candidates(instance: Instance, teams: Teams) -> tuple[IntArray, IntArray]:
    """Pairs of a team of a task with replicas and an eligible offer of another executor for its claim."""
    offers = instance.offers
    team_of_claim = np.full(len(instance.claims), -1)
    replicated = np.flatnonzero(instance.tasks.replicas[instance.claims.task[teams.claim]] > 1)
    team_of_claim[teams.claim[replicated]] = replicated
    possible = np.flatnonzero(is_eligible(instance) & (team_of_claim[offers.claim] >= 0))
    owner = team_of_claim[offers.claim[possible]]
    base = np.int64(len(instance.coprocessors) + 1)
    taken = teams.team * base + offers.coprocessor[teams.member] + 1
    free = ~np.isin(owner * base + offers.coprocessor[possible] + 1, taken)
    return owner[free], possible[free]


def _members(teams: Teams, team: int) -> IntArray:
    return teams.member[teams.start[team] : teams.start[team + 1]]


def _said(instance: Instance, teams: Teams, team: int, offer: int, value: float) -> ReplicaValue:
    offers = instance.offers
    return ReplicaValue(
        task=instance.tasks.ids[offers.task[offer]],
        executors=len(_members(teams, team)),
        offer=offers.ids[offer],
        executor=instance.executor_id(int(offers.operator[offer]), int(offers.coprocessor[offer])),
        value_of_one_more=value,
    )
