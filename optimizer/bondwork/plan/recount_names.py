"""The limits of a round as plans name them, and as certificates do."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from bondwork.plan.certificate import WEIGHTED
from bondwork.plan.recount import label

if TYPE_CHECKING:
    from bondwork.plan.recount import Key, Recount

#: Word of a limit in a certificate, and whose it is by positions.
Place = tuple[str, tuple[int | float, ...]]


def places_by_name(recount: Recount) -> dict[str, list[Place]]:
    """What certificates call the limits that plans name; several where limits print alike."""
    instance = recount.instance
    found: dict[str, list[Place]] = defaultdict(list)
    for word, owners, alone in (
        ("capacity", instance.coprocessors, "collateral"),
        ("own_capacity", instance.operators, "stake"),
    ):
        for who, name in enumerate(owners.ids):
            for k, resource in enumerate(instance.resources):
                found[label(("capacity", resource, name))].append((word, (who, k)))
            found[label((alone, "", name))].append((alone, (who,)))
    for c, deadlines in recount.deadlines.items():
        for each in deadlines:
            key: Key = ("deadline", each, instance.coprocessors.ids[c])
            found[label(key)].append(("deadline", (c, each)))
    for number, limit in enumerate(instance.risk):
        for place, name in enumerate(recount.members(limit.scope, limit.member)):
            about = (number, place if limit.member is None else limit.member)
            what = "expected loss" if limit.measure == "expected" else limit.measure
            found[f"{what} of {name}"].append((limit.measure, about))
    return found


def is_on_tail(place: Place) -> bool:
    """Whether a limit's multiplier comes with weights of scenarios."""
    return place[0] in WEIGHTED
