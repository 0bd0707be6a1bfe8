"""What a worker process does with a planner: opens its file, does one thing, and is gone.

The file is the planner. A process that is killed at any instant leaves in it either what was done or nothing
of it; who asked asks again with the same ids.
"""

from __future__ import annotations

import contextlib
import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bondwork.problem.faults import Fault, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.contracts import Observer

#: What SQLite keeps beside a file.
_BESIDE = ("", "-wal", "-shm", "-journal")


def create(body: bytes, options: dict[str, Any], observer: Observer) -> str:
    """Make a planner, or say the same again of one that is there."""
    from bondwork.planner.breaker import Breaker
    from bondwork.planner.planner import Planner
    from bondwork.problem.document import parse_document
    from bondwork.service.requests import parse_planner

    del observer
    told = parse_planner(parse_document(body))
    with _inside("breaker", "$.breaker"):
        breaker = None if told.breaker is None else Breaker(**told.breaker.model_dump())
    with Planner(
        options["file"],
        decimals=told.decimals,
        currency=told.currency,
        reputation=told.reputation,
        breaker=breaker,
    ) as planner:
        return planner.state.to_json()


def plan(body: bytes, options: dict[str, Any], observer: Observer) -> str:
    """Plan a round and commit to the plan."""
    from bondwork.planner.planner import Planner

    file, name = options.pop("file"), options.pop("round_id")
    with Planner(file, **options) as planner:
        return planner.plan(body, name, observer=observer).to_json()


def observe(body: bytes, options: dict[str, Any], observer: Observer) -> str:
    """Take in how commitments ended."""
    from bondwork.planner.planner import Planner
    from bondwork.problem.document import parse_document
    from bondwork.service.requests import parse_outcomes

    del observer
    told = parse_outcomes(parse_document(body))
    with Planner(options["file"]) as planner, _inside("$", "$.outcomes"):
        taken = planner.observe(told.outcomes)
    return json.dumps({"new": taken.new, "repeated": taken.repeated}) + "\n"


def state(body: bytes, options: dict[str, Any], observer: Observer) -> str:
    """Tell a planner's state."""
    from bondwork.planner.planner import Planner

    del body, observer
    with Planner(options["file"]) as planner:
        return planner.state.to_json()


def reset(body: bytes, options: dict[str, Any], observer: Observer) -> str:
    """Close a planner's breaker."""
    from bondwork.planner.planner import Planner

    del body, observer
    with Planner(options["file"]) as planner:
        return planner.reset(options["id"]).to_json()


def forget(body: bytes, options: dict[str, Any], observer: Observer) -> str:
    """Tell a planner's state for the last time, and delete it."""
    told = state(body, options, observer)
    for ending in _BESIDE:
        with contextlib.suppress(FileNotFoundError):
            Path(options["file"] + ending).unlink()
    return told


@contextmanager
def _inside(start: str, place: str) -> Iterator[None]:
    """Give faults of a part of the body the part's place in it."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(
            Fault(place + f.path.removeprefix(start), f.found, f.expected) for f in error.faults
        ) from None
