"""What perfect information sees of a round with later periods: the outcomes, not their probabilities.

The program values an offer at its success probability, wherever it is chosen: nobody who decides knows more.
Someone who knew the scenario beforehand would earn what comes of it. So every node gets a column for what
the outcomes that are seen there bring, less what they bring on average. Its expectation is 0, whatever is
chosen, so that neither the optimum nor any policy's value changes; but in a scenario by itself it counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
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
    templates, widened = list(program.templates), set()
    for number, template in enumerate(program.templates):
        nodes = np.flatnonzero(program.template == number)
        seen = tree.seen.get(int(tree.period[nodes[0]])) if len(nodes) else None
        if seen is not None and not seen.is_commitment.all():
            mine = np.flatnonzero(~seen.is_commitment)
            templates[number] = _widened(made, template, seen.point[mine], seen.item[mine])
            widened.add(number)
    counts, positions, changed = [0], [], []
    for node, kind in enumerate(program.template.tolist()):
        values = program.values(node)
        if kind in widened:
            values = _values(program.templates[kind], values, _luck(made, node))
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


def _widened(made: HorizonProgram, template: NodeTemplate, point: IntArray, item: IntArray) -> NodeTemplate:
    """The template with a free column, and a row that says what it is worth."""
    depth = np.array([len(made.tree.horizon.path(each)) - 1 for each in point.tolist()])
    place = [np.searchsorted(made.columns[p], o) for p, o in zip(point.tolist(), item.tolist(), strict=True)]
    n, m = len(template.columns), len(template.rows)
    return NodeTemplate(
        template.stage,
        (*template.columns, _new_name("luck", template.columns)),
        (*template.rows, _new_name("luck", template.rows)),
        np.append(template.integer, False),
        np.concatenate([template.entry_row, np.full(1 + len(item), m)]),
        np.concatenate([template.entry_stage, [template.stage], depth]).astype(np.int64),
        np.concatenate([template.entry_column, [n], place]).astype(np.int64),
        _values(template, template.values, np.zeros(len(item))),
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


def _luck(made: HorizonProgram, node: int) -> FloatArray:
    """What the outcomes seen at a node add to what their offers were valued at, in units of the program."""
    tree = made.tree
    seen, here = tree.seen[int(tree.period[node])], int(tree.realisation[node])
    path = {int(tree.period[each]): int(each) for each in made.program.ancestors[node].tolist() if each >= 0}
    luck = []
    for k in np.flatnonzero(~seen.is_commitment).tolist():
        point, o = int(seen.point[k]), int(seen.item[k])
        decided = tree.round_at(point, int(tree.realisation[path[point]]))
        offers, claims, terms = decided.offers, decided.claims, decided.terms
        claim = int(offers.claim[o])
        at_stake = float(claims.reward[claim] + claims.slashing[claim])
        at_stake -= terms.operator * terms.collateral_rate * float(offers.collateral[o])
        if terms.bid_paid == "on_success" and not offers.is_self[o]:
            at_stake -= float(offers.bid[o])
        usual = float(seen.probability @ seen.outcomes[:, k])
        luck.append((float(seen.outcomes[here, k]) - usual) * at_stake / made.unit)
    return np.array(luck)


def _new_name(name: str, taken: tuple[str, ...]) -> str:
    while name in taken:
        name += "'"
    return name
