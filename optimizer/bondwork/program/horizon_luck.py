"""What perfect information sees of a round with later periods: the outcomes, not their probabilities.

The program values an offer at its success probability, wherever it is chosen: nobody who decides knows more.
Someone who knew the scenario beforehand would earn what comes of it. So every node gets a column for what
the outcomes that are seen there bring, less what they bring on average. Its expectation is 0, whatever is
chosen, so that neither the optimum nor any policy's value changes; but in a scenario by itself it counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.room import collateral_room, stake_room
from bondwork.problem.teams import distribution
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray
    from bondwork.problem.instance import Instance
    from bondwork.program.horizon import HorizonProgram


def with_luck(made: HorizonProgram) -> StochasticProgram:
    """Return the program whose scenarios earn what the outcomes seen in them bring.

    Outcomes that the tree does not hold, as they decide over nothing later, keep their success probability.

    Examples
    --------
    A coin that takes collateral with it: its node of failure knows that nothing comes of it.

    >>> import bondwork
    >>> from bondwork.program.horizon import horizon_program
    >>> from bondwork.uncertainty.horizon import horizon_tree
    >>> offer = {"task": "t", "coprocessor": "cp", "collateral": 2, "success_probability": 0.5}
    >>> instance = bondwork.load({
    ...     "format": "bondwork.round/1", "operators": [{"id": "op"}],
    ...     "coprocessors": [{"id": "cp", "free_collateral": 2}],
    ...     "tasks": [{"id": "t", "operator": "op", "reward": 4}], "offers": [offer],
    ...     "periods": [{"id": "next", "at": 60, "tasks": [{"id": "t", "operator": "op", "reward": 8}],
    ...                  "offers": [offer]}]})
    >>> program = with_luck(horizon_program(horizon_tree(instance)))
    >>> program.template_of(1).columns, program.node(1).to_ancestors[0].toarray().tolist()[-1]
    (('t/cp for op', 'luck'), [2.0])
    """
    program, tree = made.program, made.tree
    templates, lucky = list(program.templates), dict[int, _Luck]()
    for number, template in enumerate(program.templates):
        nodes = np.flatnonzero(program.template == number)
        seen = tree.seen.get(int(tree.period[nodes[0]])) if len(nodes) else None
        if seen is not None and not seen.is_commitment.all():
            lucky[number] = _Luck(made, int(tree.period[nodes[0]]))
            templates[number] = _widened(made, template, lucky[number].choices)
    counts, positions, changed = [0], [], []
    for node, kind in enumerate(program.template.tolist()):
        values = program.values(node)
        if kind in lucky:
            values = _values(program.templates[kind], values, lucky[kind].at(node))
        where = np.flatnonzero(values != templates[kind].values)
        counts.append(len(where))
        positions.append(where)
        changed.append(values[where])
    return StochasticProgram(
        name=program.name,
        sense=program.sense,
        stages=program.stages,
        templates=tuple(templates),
        template=program.template,
        parent=program.parent,
        conditional=program.conditional,
        nodes=program.nodes,
        change_start=np.cumsum(counts, dtype=np.int64),
        change_position=np.concatenate(positions).astype(np.int64),
        change_value=np.concatenate(changed),
        linking=program.linking,
    )


def _widened(
    made: HorizonProgram, template: NodeTemplate, choices: Sequence[tuple[int, int]]
) -> NodeTemplate:
    """The template with a free column, and a row that says what it is worth."""
    depth = [len(made.tree.horizon.path(point)) - 1 for point, _ in choices]
    place = [column for _, column in choices]
    n, m = len(template.columns), len(template.rows)
    return NodeTemplate(
        template.stage,
        (*template.columns, _new_name("luck", template.columns)),
        (*template.rows, _new_name("luck", template.rows)),
        np.append(template.integer, False),
        np.concatenate([template.entry_row, np.full(1 + len(choices), m)]),
        np.concatenate([template.entry_stage, [template.stage], depth]).astype(np.int64),
        np.concatenate([template.entry_column, [n], place]).astype(np.int64),
        _values(template, template.values, np.zeros(len(choices))),
    )


def _values(template: NodeTemplate, values: FloatArray, luck: FloatArray) -> FloatArray:
    """Numbers of a node, those of its further column, row and entries put in."""
    more = {
        "cost": [1.0],
        "lower": [-np.inf],
        "upper": [np.inf],
        "row_lower": [0.0],
        "row_upper": [0.0],
        "entries": [1.0, *(-luck).tolist()],
    }
    parts = [np.append(values[span], more.get(name, [])) for name, span in template.spans.items()]
    found: FloatArray = np.concatenate(parts)
    return found


class _Luck:
    """What the outcomes seen at a period's nodes add to what teams were valued at, in units of the program.

    Attributes
    ----------
    choices
        Teams of which outcomes are seen: decision point and column.
    """

    def __init__(self, made: HorizonProgram, period: int) -> None:
        self.made = made
        self.tree = made.tree
        self.seen = made.tree.seen[period]
        self.choices: list[tuple[int, int]] = []
        #: Of each choice, which of its members are seen and their places among what is.
        self.places: list[list[tuple[int, int]]] = []
        number: dict[tuple[int, int], int] = {}
        for k in np.flatnonzero(~self.seen.is_commitment).tolist():
            point, item = int(self.seen.point[k]), int(self.seen.item[k])
            teams = made.teams[point]
            for column in teams.team[teams.member == item].tolist():
                if (point, column) not in number:
                    number[point, column] = len(self.choices)
                    self.choices.append((point, column))
                    self.places.append([])
                self.places[number[point, column]].append((item, k))

    def at(self, node: int) -> FloatArray:
        """What they add at a node, by choice."""
        path = [int(each) for each in self.made.program.ancestors[node].tolist() if each >= 0]
        at = {int(self.tree.period[each]): each for each in path}
        found = []
        for (point, column), places in zip(self.choices, self.places, strict=True):
            decided = self.tree.round_at(point, int(self.tree.realisation[at[point]]))
            teams, stake = self.made.teams[point], stake_room(decided)
            members = teams.member[teams.start[column] : teams.start[column + 1]].tolist()
            claim = int(teams.claim[column])
            at_stake = float(decided.claims.reward[claim] + decided.claims.slashing[claim] + stake[claim])
            if len(members) == 1:
                worth = at_stake + _by_outcome(decided, members[0])
                found.append(self._single(node, places[0][1], worth))
                continue
            together = self._chances(path, point, members, int(teams.quorum[column]), places)
            luck = at_stake * self._above(node, together)
            for item, k in places:
                luck += self._above(node, self.seen.outcomes[:, k].astype(float)) * _by_outcome(decided, item)
            found.append(luck / self.made.unit)
        return np.array(found)

    def _single(self, node: int, k: int, at_stake: float) -> float:
        usual = float(self.seen.probability @ self.seen.outcomes[:, k])
        outcome = float(self.seen.outcomes[int(self.tree.realisation[node]), k])
        return (outcome - usual) * at_stake / self.made.unit

    def _above(self, node: int, value: FloatArray) -> float:
        """What a value of every realisation is at a node above its mean."""
        return float(value[int(self.tree.realisation[node])] - self.seen.probability @ value)

    def _chances(
        self, path: list[int], point: int, members: list[int], needed: int, places: list[tuple[int, int]]
    ) -> FloatArray:
        """How likely a team succeeds by what may be seen at the period, the rest independent of it."""
        wins = self.seen.outcomes[:, [k for _, k in places]].sum(axis=1)
        left = set(members) - {item for item, _ in places}
        for each in path[1:-1]:
            seen = self.tree.seen[int(self.tree.period[each])]
            for k in np.flatnonzero((seen.point == point) & ~seen.is_commitment).tolist():
                if int(seen.item[k]) in left:
                    left.remove(int(seen.item[k]))
                    wins = wins + seen.outcomes[int(self.tree.realisation[each]), k]
        p = self.tree.horizon.rounds[point].offers.success_probability[sorted(left)]
        counts = distribution(p[None])[0]
        missing = np.clip(needed - wins, 0, len(counts))
        tail: FloatArray = np.append(np.cumsum(counts[::-1])[::-1], 0.0)[missing]
        return tail


def _by_outcome(decided: Instance, o: int) -> float:
    """What an offer's own success changes: a bid is paid then, and collateral comes back to who posted it."""
    offers, terms = decided.offers, decided.terms
    change = -terms.operator * terms.collateral_rate * float(offers.collateral[o])
    if terms.bid_paid == "on_success" and not offers.is_self[o]:
        change -= float(offers.bid[o])
    return change + float(collateral_room(decided)[o])


def _new_name(name: str, taken: tuple[str, ...]) -> str:
    while name in taken:
        name += "'"
    return name
