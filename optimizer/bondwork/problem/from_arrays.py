"""A round straight from arrays, for planners that have them: no JSON, no files, no ids needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.problem.document import collection_paused
from bondwork.problem.faults import Fault, InvalidInput
from bondwork.problem.reading import read_document
from bondwork.problem.schema import ROUND_FORMAT

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bondwork.problem.instance import Instance

Table = Mapping[str, "ArrayLike"]

#: What refers to which table: such columns may hold positions instead of ids.
_REFERENCES = {"task": "tasks", "operator": "operators", "coprocessor": "coprocessors"}

#: Ids of members that have none, by table: op-0, cp-0, t-0.
_PREFIXES = {"operators": "op", "coprocessors": "cp", "tasks": "t"}

#: Columns of one number for each resource.
_BY_RESOURCE = ("work", "capacity")

#: Columns in which nan and inf mean "not limited", as an absent field does in JSON.
_UNLIMITED = ("stake", "free_collateral", "deadline", "free_at", "capacity")


def from_arrays(
    *,
    tasks: Table,
    offers: Table,
    coprocessors: Table | None = None,
    operators: Table | None = None,
    self_execution: Table | None = None,
    resources: Sequence[str] = (),
    **fields: Any,
) -> Instance:
    """Make a round from arrays.

    Each table maps fields of the JSON format to arrays, one entry for each member, or to one value for all.
    Everything is checked as if it had come as JSON; faults name the table and the position.

    Parameters
    ----------
    tasks
        Such as ``reward`` (A,), ``slashing``, ``operator``, ``minimum_collateral``, ``deadline``,
        ``required``, ``unassigned_cost``, and ``work`` (A, R). ``operator`` left out: the first one.
    offers
        ``task``, ``coprocessor``, ``success_probability`` (O,), and such as ``bid``, ``collateral``,
        ``duration``, ``operator``, and ``work`` (O, R).
    coprocessors
        Such as ``capacity`` (C, R), ``free_collateral``, ``outage_probability``, ``serial``, ``free_at``.
        Left out: as many as the offers refer to, without limits.
    operators
        ``stake`` (V,) and ``capacity`` (V, R). Left out: as many as the tasks refer to, without limits.
    self_execution
        ``task``, ``operator``, ``success_probability``, ``cost``.
    resources
        R names of resources: the columns of every ``work`` and ``capacity``.
    **fields
        Other fields of the format as JSON has them, such as ``terms``, ``risk``, ``commitments``, ``now``.

    Returns
    -------
    Instance
        The same as `bondwork.load` makes of the corresponding JSON. Members without an ``id`` are called
        ``op-0``, ``cp-0``, ``t-0`` and so on; columns that refer to members may hold their positions, from 0
        on, or their ids. ``nan`` and ``inf`` in ``stake``, ``capacity``, ``free_collateral``,
        ``deadline`` and ``free_at`` mean "not limited".

    Raises
    ------
    InvalidInput
        With every fault.

    Examples
    --------
    >>> import bondwork
    >>> instance = bondwork.from_arrays(
    ...     tasks={"reward": [8.0, 6.0], "slashing": [4.0, 4.0]},
    ...     coprocessors={"free_collateral": [10.0]},
    ...     offers={"task": [0, 1], "coprocessor": [0, 0], "bid": [1.0, 1.0], "collateral": [6.0, 6.0],
    ...             "success_probability": [0.75, 0.75]},
    ... )
    >>> [each.task for each in bondwork.solve(instance).assignments]
    ['t-0']
    """
    tables = {
        "tasks": {"operator": 0, **tasks} if "claims" not in tasks else tasks,
        "offers": offers,
        "coprocessors": _described(coprocessors, offers.get("coprocessor")),
        "operators": _described(operators, tasks.get("operator", 0)),
        "self_execution": self_execution or {},
    }
    with collection_paused():
        records = {name: _records(name, table, resources) for name, table in tables.items()}
        for name, prefix in _PREFIXES.items():
            for number, record in enumerate(records[name]):
                record.setdefault("id", f"{prefix}-{number}")
        for table in records.values():
            _name_references(table, records)
        return read_document({"format": ROUND_FORMAT, **fields, **records})


def _described(table: Table | None, referred: ArrayLike | None) -> Table:
    """Return the table, or one of as many members as positions refer to."""
    if table is not None:
        return table
    positions = np.asarray([] if referred is None else referred)
    size = int(positions.max(initial=-1)) + 1 if positions.dtype.kind in "iu" else 0
    return {"id": np.full(size, None)}


def _records(name: str, table: Table, resources: Sequence[str]) -> list[dict[str, Any]]:
    """Turn columns into one record for each member, leaving out what is not given."""
    columns = {field: np.asarray(values) for field, values in table.items()}
    sizes = {field: len(values) for field, values in columns.items() if values.ndim}
    size = max(sizes.values(), default=0)
    records: list[dict[str, Any]] = [{} for _ in range(size)]
    faults = [
        Fault(f"$.{name}.{field}", f"{length} entries", f"{size}, as in the longest column")
        for field, length in sizes.items()
        if length != size
    ]
    for field, values in columns.items():
        wanted = (size, len(resources))
        if field in _BY_RESOURCE and values.shape not in ((), wanted):
            found = f"an array of shape {values.shape}"
            faults.append(Fault(f"$.{name}.{field}", found, f"shape {wanted}, one column a resource"))
    if faults:
        raise InvalidInput(faults)
    for field, values in columns.items():
        entries = np.broadcast_to(values, (size, *values.shape[1:])).tolist()
        if field in _BY_RESOURCE:
            entries = [_by_resource(row, resources, field in _UNLIMITED) for row in entries]
        for record, entry in zip(records, entries, strict=True):
            unlimited = field in _UNLIMITED and isinstance(entry, float) and not entry < np.inf
            if entry is not None and not unlimited:
                record[field] = entry
    return records


def _by_resource(row: list[float], resources: Sequence[str], unlimited: bool) -> dict[str, float]:
    named = zip(resources, row, strict=True)
    return {each: amount for each, amount in named if amount < np.inf or not unlimited}


def _name_references(table: list[dict[str, Any]], records: dict[str, list[dict[str, Any]]]) -> None:
    """Replace positions by ids; one beyond its table becomes an id that the check will not find."""
    for field, of in _REFERENCES.items():
        members = records[of]
        for record in table:
            position = record.get(field)
            if isinstance(position, float) and position.is_integer():
                position = int(position)  # positions out of a data frame with gaps are floats
            if isinstance(position, int) and not isinstance(position, bool):
                inside = 0 <= position < len(members)
                record[field] = members[position]["id"] if inside else f"position {position}"
