"""Reading what members say their room is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.problem import schema
from bondwork.problem.columns import amounts_by_resource
from bondwork.problem.faults import Fault, preview
from bondwork.problem.instance import RoomWorth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.problem.sections import Section, Sections


def read_room_worth(sections: Sections, resources: Sequence[str], faults: list[Fault]) -> RoomWorth | None:
    """Gather what members state; ``None`` where nobody states anything above 0.

    Parameters
    ----------
    sections
        The round's.
    resources
        Names of those that some work or capacity is stated of.
    faults
        Taken note of here: resources that nothing uses, seconds of a coprocessor that is not serial.
    """
    known = set(resources)
    both: tuple[Section[Any], ...] = (sections.operators, sections.coprocessors)
    for section in both:
        for number, member in enumerate(section.entries):
            for name in member.worth.capacity if member.worth else ():
                if name not in known:
                    expected = (
                        f"a resource that some work or capacity names: {', '.join(resources) or 'none is'}"
                    )
                    faults.append(Fault(section.at(number, "worth", "capacity"), preview(name), expected))
    for number, each in enumerate(sections.coprocessors.entries):
        if each.worth and each.worth.second > 0.0 and not each.serial:
            path = sections.coprocessors.at(number, "worth", "second")
            faults.append(Fault(path, preview(each.worth.second), "0 or absent where serial is not true"))
    of_operators = [each.worth or schema.OperatorWorth() for each in sections.operators.entries]
    of_coprocessors = [each.worth or schema.CoprocessorWorth() for each in sections.coprocessors.entries]
    stated = [each.capacity for each in of_operators] + [each.capacity for each in of_coprocessors]
    used = [{name: price for name, price in each.items() if name in known} for each in stated]
    capacity = amounts_by_resource(used, tuple(resources), 0.0)
    found = RoomWorth(
        collateral=np.array([each.collateral for each in of_coprocessors], dtype=float),
        second=np.array([each.second for each in of_coprocessors], dtype=float),
        capacity=capacity[len(of_operators) :],
        stake=np.array([each.stake for each in of_operators], dtype=float),
        own_capacity=capacity[: len(of_operators)],
    )
    parts = (found.collateral, found.second, found.capacity, found.stake, found.own_capacity)
    return found if any(np.any(each > 0.0) for each in parts) else None
