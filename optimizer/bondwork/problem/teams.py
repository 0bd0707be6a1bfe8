"""Teams: the sets of executors that a task may be given to (MODEL 2.6).

A task with replicas is done by several executors of one operator, and done when a quorum of them succeeds.
What such a set is worth is no sum over its members, but it is a number: deciding about teams instead of
offers keeps objective and limits linear, and every strategy picks at most one team a task. A task without
replicas has teams of one: its offers.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, combinations, product
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields
from bondwork.problem.room import executor_room, stake_room
from bondwork.problem.values import cost_size, expected_cost, is_eligible, net_reward

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.problem.instance import Instance
    from bondwork.uncertainty.outcomes import OutcomeLaw

#: Success, shape (n,), and blame, shape (n, k), of n sets of k.
TeamChances = tuple["FloatArray", "FloatArray"]

#: Teams of two and more that a round may have: a column of the program each.
MOST_TEAMS = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Teams:
    """Sets of executors, n of them with m members in all, each for one claim.

    Attributes
    ----------
    start
        Shape (n + 1,). The members of team j are ``member[start[j]:start[j + 1]]``.
    member
        Shape (m,). Offers of the instance (or commitments, for teams of earlier rounds), ascending in a team.
    claim
        Shape (n,). The pair (operator, task) that the team works for.
    quorum
        Shape (n,). How many members must succeed.
    success
        Shape (n,). Probability that they do.
    blame
        Shape (m,). Probability that the task fails and this member with it, and none before it that is at
        the same executor (as commitments of one task may be, and offers are not): times the slashing, the
        loss of the work that was given to the member. Sums over an executor's members count each loss once.
    """

    start: IntArray
    member: IntArray
    claim: IntArray
    quorum: IntArray
    success: FloatArray
    blame: FloatArray

    def __post_init__(self) -> None:
        freeze_fields(self, *self.__slots__)

    def __len__(self) -> int:
        return len(self.claim)

    @property
    def sizes(self) -> IntArray:
        """Number of members of each team. Shape (n,)."""
        return np.diff(self.start)

    @property
    def first(self) -> IntArray:
        """First member of each team: it tells the team's task and operator. Shape (n,)."""
        return self.member[self.start[:-1]]

    @property
    def team(self) -> IntArray:
        """Team of each member. Shape (m,)."""
        return np.repeat(np.arange(len(self)), self.sizes)

    @property
    def is_single(self) -> bool:
        """Whether no team has more than one member."""
        return len(self.member) == len(self)

    def select(self, teams: ArrayLike) -> Teams:
        """Return some of the teams, by index (in that order) or mask."""
        chosen = np.arange(len(self))[np.asarray(teams)]
        sizes = self.sizes[chosen]
        start = np.concatenate([[0], np.cumsum(sizes)])
        places = np.arange(start[-1]) + np.repeat(self.start[chosen] - start[:-1], sizes)
        return Teams(
            start=start,
            member=self.member[places],
            claim=self.claim[chosen],
            quorum=self.quorum[chosen],
            success=self.success[chosen],
            blame=self.blame[places],
        )


def enumerate_teams(instance: Instance) -> Teams:
    """List all teams that a round can choose from.

    First the teams of one, in the order of their offers; then the larger ones by claim, size and members. A
    team has between ``quorum`` and ``replicas`` members, each another executor (an operator that executes the
    task itself is one); of an executor's several offers for a claim it has one at most.

    Raises
    ------
    ValueError
        More than `MOST_TEAMS` teams of two and more: ask `count_teams` before.

    Examples
    --------
    >>> import bondwork
    >>> instance = bondwork.load({
    ...     "format": "bondwork.round/1",
    ...     "operators": [{"id": "op"}],
    ...     "coprocessors": [{"id": "a"}, {"id": "b"}],
    ...     "tasks": [{"id": "t", "operator": "op", "reward": 8, "slashing": 8, "replicas": 2}],
    ...     "offers": [
    ...         {"task": "t", "coprocessor": "a", "bid": 1, "success_probability": 0.5},
    ...         {"task": "t", "coprocessor": "b", "bid": 1, "success_probability": 0.75},
    ...     ],
    ... })
    >>> teams = enumerate_teams(instance)
    >>> [teams.member[a:b].tolist() for a, b in zip(teams.start[:-1], teams.start[1:], strict=True)]
    [[0], [1], [0, 1]]
    >>> teams.success.tolist()
    [0.5, 0.75, 0.875]
    """
    eligible = is_eligible(instance)
    alone = np.flatnonzero(eligible & (instance.tasks.quorum[instance.offers.task] <= 1))
    sets = [*_sets(instance, np.flatnonzero(eligible))]
    return teams_of(instance, [alone[:, np.newaxis], *sets])


def teams_of(instance: Instance, tables: list[IntArray]) -> Teams:
    """Make teams of tables of offers, shape (teams, members) each, a row's offers ascending."""
    sizes = np.concatenate([np.zeros(0, dtype=np.int64), *(np.full(len(t), t.shape[1]) for t in tables)])
    member = np.concatenate([np.zeros(0, dtype=np.int64), *(table.ravel() for table in tables)])
    start = np.concatenate([[0], np.cumsum(sizes)])
    claim = instance.offers.claim[member[start[:-1]]]
    # a team of one that a heuristic left behind may be short of its quorum: it then cannot succeed
    quorum = instance.tasks.quorum[instance.claims.task[claim]]
    return _with_chances(instance, start, member, claim, quorum, held=False)


def teams_of_offers(instance: Instance, chosen: IntArray) -> Teams:
    """Return the teams that chosen offers form: those of one claim are one team, claims in order."""
    offers = instance.offers
    order = np.lexsort((chosen, offers.claim[chosen]))
    claims, first = np.unique(offers.claim[chosen][order], return_index=True)
    rows = np.split(chosen[order], first[1:]) if len(claims) else []
    return teams_of(instance, [row[np.newaxis] for row in rows])


def teams_of_single_offers(instance: Instance, offers: IntArray) -> Teams:
    """Return the teams of one of offers, in their order, whatever the quorum of their tasks."""
    return teams_of(instance, [offers[:, np.newaxis]])


def held_teams(instance: Instance) -> Teams:
    """Return the teams that commitments form: those of one claim, with the members still at work.

    The task is slashed once, if fewer than its quorum of them succeed; where fewer are still held than the
    quorum asks for, all of them have to.
    """
    held = instance.commitments
    order = np.argsort(held.claim, kind="stable")
    claims, first = np.unique(held.claim[order], return_index=True)
    start = np.append(first, len(order))
    quorum = np.minimum(instance.tasks.quorum[instance.claims.task[claims]], np.diff(start))
    return _with_chances(instance, start, order, claims, quorum, held=True)


def chances_of(instance: Instance, table: IntArray, needed: int, *, held: bool = False) -> TeamChances:
    """Chances that at least ``needed`` of some offers, or of commitments that are ``held``, succeed.

    Parameters
    ----------
    table
        Shape (n, k). Each row is a set of offers, or of commitments.
    needed
        At least 1.

    Returns
    -------
    tuple
        How often they do, shape (n,), and how often they do not and a member fails, shape (n, k), as
        `Teams.blame` counts it.

    Examples
    --------
    >>> import bondwork
    >>> offers = [{"task": "t", "coprocessor": c, "success_probability": 0.5} for c in "ab"]
    >>> instance = bondwork.load({
    ...     "format": "bondwork.round/1", "operators": [{"id": "op"}],
    ...     "coprocessors": [{"id": "a"}, {"id": "b"}],
    ...     "tasks": [{"id": "t", "operator": "op", "reward": 8, "replicas": 2}], "offers": offers})
    >>> chances_of(instance, np.array([[0, 1]]), 1)[0].tolist()
    [0.75]
    """
    count, size = table.shape
    start = np.arange(count + 1) * size
    zeros, quorum = np.zeros(count, dtype=np.int64), np.full(count, needed)
    made = _with_chances(instance, start, table.ravel(), zeros, quorum, held=held)
    return made.success, made.blame.reshape(table.shape)


def count_teams(instance: Instance) -> dict[int, int]:
    """Count the teams of two and more of each claim that has any, without listing them."""
    return {
        claim: sum(_ways(groups)[least : most + 1])
        for claim, groups, least, most in _groups(instance, np.flatnonzero(is_eligible(instance)))
    }


def has_tied_outcomes(instance: Instance) -> bool:
    """Whether outcomes of different executors depend on each other.

    Their own factors, outages and uncertain probabilities do not tie them: only the common factor does, or
    the rounds of a history.
    """
    return instance.uncertainty.common > 0.0 or instance.uncertainty.sampling == "bootstrap"


def has_teams(instance: Instance) -> bool:
    """Whether there is a team of two and more to choose, or two commitments of one claim."""
    held = instance.commitments.claim
    several = len(np.unique(held)) < len(held)
    return several or len(_groups(instance, np.flatnonzero(is_eligible(instance)))) > 0


def team_value(instance: Instance, teams: Teams) -> FloatArray:
    """What each team adds to the objective of a round of one stage, in currency. Shape (n,).

    Its expected net reward, less what the room is worth that it takes.
    """
    value = team_net_reward(instance, teams)
    return value if instance.worth is None else value - team_room(instance, teams)


def team_net_reward(instance: Instance, teams: Teams) -> FloatArray:
    """Expected net reward of each team, in currency. Shape (n,).

    ``r*P - s*(1-P)``, P the probability that the quorum succeeds, less what each member costs by its own
    payment terms (MODEL 2.5, 2.6).
    """
    alone = net_reward(instance)[teams.first]
    if teams.is_single:
        return alone
    costs = np.bincount(teams.team, expected_cost(instance)[teams.member], minlength=len(teams))
    together: FloatArray = team_benefit(instance, teams) - costs
    return np.where(teams.sizes == 1, alone, together)


def team_room(instance: Instance, teams: Teams) -> FloatArray:
    """Worth of the room that each team takes: its claim's stake, and what each member takes. Shape (n,)."""
    members = np.bincount(teams.team, executor_room(instance)[teams.member], minlength=len(teams))
    room: FloatArray = stake_room(instance)[teams.claim] + members
    return room


def team_size(instance: Instance, teams: Teams) -> FloatArray:
    """Sum of the sizes of the terms of what each team adds to the objective, in currency. Shape (n,)."""
    costs = np.zeros(len(teams))
    costs += np.bincount(teams.team, cost_size(instance)[teams.member], minlength=len(teams))
    if instance.worth is not None:
        costs += team_room(instance, teams)
    size: FloatArray = (
        np.abs(instance.claims.reward[teams.claim] * teams.success)
        + np.abs(team_slashing(instance, teams))
        + costs
    )
    return size


def team_benefit(instance: Instance, teams: Teams) -> FloatArray:
    """Share of each team in B[v], ``r*P - s*(1-P)``, bids not deducted. Shape (n,)."""
    benefit: FloatArray = instance.claims.reward[teams.claim] * teams.success - team_slashing(instance, teams)
    return benefit


def team_slashing(instance: Instance, teams: Teams) -> FloatArray:
    """Expected amount slashed, ``s*(1-P)``: once a task. Shape (n,)."""
    slashing: FloatArray = instance.claims.slashing[teams.claim] * (1.0 - teams.success)
    return slashing


def member_slashing(instance: Instance, teams: Teams) -> FloatArray:
    """Expected slashing of the work given to each member: that of tasks it failed in. Shape (m,).

    Of an executor that holds several commitments of a task the first that fails has it all.
    """
    slashing: FloatArray = np.repeat(instance.claims.slashing[teams.claim], teams.sizes) * teams.blame
    return slashing


def distribution(p: FloatArray) -> FloatArray:
    """Probabilities of 0 to k successes of independent trials (Poisson binomial).

    Parameters
    ----------
    p
        Shape (n, k). Success probabilities of each row's trials.

    Returns
    -------
    numpy.ndarray
        Shape (n, k + 1).

    Examples
    --------
    >>> distribution(np.array([[0.5, 0.75]])).tolist()
    [[0.125, 0.5, 0.375]]
    """
    rows, trials = p.shape
    counts = np.zeros((rows, trials + 1))
    counts[:, 0] = 1.0
    for trial in range(trials):
        hit = p[:, trial, np.newaxis]
        counts[:, 1 : trial + 2] = counts[:, 1 : trial + 2] * (1.0 - hit) + counts[:, : trial + 1] * hit
        counts[:, 0] *= 1.0 - hit[:, 0]
    return counts


_Group = tuple[int, "list[list[int]]", int, int]


def _groups(instance: Instance, eligible: IntArray) -> list[_Group]:
    """Claims with teams of two and more: claim, offers by executor, fewest and most members."""
    offers, tasks = instance.offers, instance.tasks
    several = eligible[tasks.replicas[offers.task[eligible]] > 1]
    by_claim: dict[int, dict[int, list[int]]] = {}
    claim, executor = offers.claim[several].tolist(), offers.coprocessor[several].tolist()
    for c, e, offer in zip(claim, executor, several.tolist(), strict=True):
        by_claim.setdefault(c, {}).setdefault(e, []).append(offer)
    found: list[_Group] = []
    for c, by_executor in sorted(by_claim.items()):
        task = instance.claims.task[c]
        least = max(int(tasks.quorum[task]), 2)
        most = min(int(tasks.replicas[task]), len(by_executor))
        if least <= most:
            found.append((c, list(by_executor.values()), least, most))
    return found


def _ways(groups: list[list[int]]) -> list[int]:
    """How many teams of each size there are: elementary symmetric polynomials of the group sizes."""
    ways = [1]
    for group in groups:
        longer = [*ways, 0]
        for size in range(len(ways)):
            longer[size + 1] += ways[size] * len(group)
        ways = longer
    return ways


def _sets(instance: Instance, eligible: IntArray) -> list[IntArray]:
    """Teams of two and more, a table (teams, members) for each claim and size."""
    tables, total = [], 0
    for _, groups, least, most in _groups(instance, eligible):
        ways = _ways(groups)
        total += sum(ways[least : most + 1])
        if total > MOST_TEAMS:
            raise ValueError(f"more than {MOST_TEAMS:,} teams")
        for size in range(least, most + 1):
            teams = chain.from_iterable(product(*some) for some in combinations(groups, size))
            flat = np.fromiter(chain.from_iterable(teams), dtype=np.int64, count=ways[size] * size)
            tables.append(np.sort(flat.reshape(-1, size), axis=1))
    return tables


def _with_chances(
    instance: Instance, start: IntArray, member: IntArray, claim: IntArray, quorum: IntArray, *, held: bool
) -> Teams:
    """Teams of offers, or of what is ``held``, with their chances; one kind after the other."""
    sizes = np.diff(start)
    success = np.zeros(len(claim))
    blame = np.zeros(len(member))
    p = (instance.commitments if held else instance.offers).success_probability
    tied = _Tied.of(instance, held) if np.any(sizes > 1) else None
    kind = sizes * (int(quorum.max(initial=0)) + 1) + quorum
    for each in np.unique(kind):
        chosen = np.flatnonzero(kind == each)
        size, needed = int(sizes[chosen[0]]), int(quorum[chosen[0]])
        places = start[chosen, np.newaxis] + np.arange(size)
        if size > 1 and tied is not None:
            success[chosen], blame[places] = tied.chances(member[places], needed)
        else:
            success[chosen], blame[places] = _independent(p[member[places]], needed)
    return Teams(start=start, member=member, claim=claim, quorum=quorum, success=success, blame=blame)


def _independent(p: FloatArray, needed: int) -> tuple[FloatArray, FloatArray]:
    """Chances of teams of one size, shape (n, k), whose members' outcomes are independent."""
    if p.shape[1] == needed == 1:
        return p[:, 0], 1.0 - p
    blame = np.empty_like(p)
    for position in range(p.shape[1]):
        others = distribution(np.delete(p, position, axis=1))
        blame[:, position] = (1.0 - p[:, position]) * others[:, :needed].sum(axis=1)
    return np.minimum(distribution(p)[:, needed:].sum(axis=1), 1.0), blame


@dataclass(frozen=True, slots=True, eq=False)
class _Tied:
    """Outcomes that depend on each other: by the common factor, a history, or an executor that has several.

    Attributes
    ----------
    law
        Joint law of offers or of commitments.
    rates
        Failure rates of the rounds of a history, where these are resampled.
    """

    law: OutcomeLaw
    rates: FloatArray | None

    @classmethod
    def of(cls, instance: Instance, held: bool) -> _Tied | None:
        """``None`` where outcomes are independent, or nothing is known of how they depend on each other."""
        uncertainty = instance.uncertainty
        if uncertainty.sampling == "bootstrap" and uncertainty.history is None:
            return None  # such a round is not solved
        if not (has_tied_outcomes(instance) or held):
            return None
        from bondwork.uncertainty.sampling import outcome_law  # scipy, which most rounds do not need

        law, offers = outcome_law(instance), len(instance.offers)
        mine = np.arange(offers, len(law)) if held else np.arange(offers)
        past = uncertainty.history if uncertainty.sampling == "bootstrap" else None
        return cls(law.select(mine), None if past is None else past.rates)

    def chances(self, teams: IntArray, needed: int) -> tuple[FloatArray, FloatArray]:
        """Chances of teams of one size, shape (n, k)."""
        from bondwork.uncertainty.crowded_teams import crowded_chances, crowded_past_chances
        from bondwork.uncertainty.team_chances import team_chances

        dependence = self.law.dependence
        if self.rates is not None or dependence.common > 0.0:
            found = team_chances(self.law, teams, needed, self.rates)
            success, blame = found.success, found.blame
        else:
            success, blame = _independent(self.law.success_probability[teams], needed)
        executor = np.sort(self.law.executor[teams], axis=1)
        for row in np.flatnonzero(np.any(executor[:, 1:] == executor[:, :-1], axis=1)).tolist():
            if self.rates is None:
                crowd = crowded_chances(self.law, teams[row], needed)
            else:
                crowd = crowded_past_chances(self.law, teams[row], needed, self.rates)
            success[row], blame[row] = crowd.success[0], crowd.blame[0]
        return success, blame
