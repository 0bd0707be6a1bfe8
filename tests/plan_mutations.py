"""Plans with one thing wrong, or several: made from real ones by a seed."""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Document = dict[str, Any]
Steps = tuple[int | str, ...]

#: What stands in the place of any value: wrong types, huge, tiny, negative, no numbers, empty, deep.
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    2**63,
    10**400,
    -(10**400),
    0.5,
    -0.0,
    -1.5,
    1e308,
    -1e308,
    5e-324,
    float("nan"),
    float("inf"),
    -float("inf"),
    "",
    "x",
    "\x00",
    "no such thing",
    "1e308",
    [],
    [[]],
    [None],
    ["x"],
    ["x"] * 1000,
    [1e308, 1e308],
    {},
    {"x": 1},
    {"x": None},
    {"": []},
)


#: Steps to a place beyond which nothing is changed: plans are less deep.
MOST_DEEP = 12


def deep(levels: int) -> Any:
    """Lists in lists."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def places(value: Any, here: Steps = ()) -> Iterator[Steps]:
    """Every place of a document, its fields and the entries of its lists, but for the deepest."""
    if here:
        yield here
    if len(here) > MOST_DEEP:
        return
    if isinstance(value, dict):
        for key, child in value.items():
            yield from places(child, (*here, key))
    elif isinstance(value, list):
        for number, child in enumerate(value):
            yield from places(child, (*here, number))


def kind_of(steps: Steps) -> Steps:
    """Places alike: the same field of any entry."""
    return tuple("*" if isinstance(step, int) else step for step in steps)


def put(document: Any, steps: Steps, value: Any) -> Any:
    """Copy of a document with another value at a place."""
    result = copy.copy(document)
    if len(steps) == 1:
        result[steps[0]] = value
    else:
        result[steps[0]] = put(document[steps[0]], steps[1:], value)
    return result


def value_at(document: Any, steps: Steps) -> Any:
    """The value at a place."""
    for step in steps:
        document = document[step]
    return document


def without(document: Any, steps: Steps) -> Any:
    """Copy of a document without what is at a place."""
    above = value_at(document, steps[:-1])
    if isinstance(above, list):
        rest: Any = [each for number, each in enumerate(above) if number != steps[-1]]
    else:
        rest = {name: each for name, each in above.items() if name != steps[-1]}
    return put(document, steps[:-1], rest) if len(steps) > 1 else rest


def changed(document: Any, steps: Steps, random_: random.Random) -> Iterator[Any]:
    """Copies of a document with what is at a place replaced by all that it may not be, or may just be."""
    for value in VALUES:
        yield put(document, steps, value)
    yield put(document, steps, deep(3000))
    yield without(document, steps)
    now = value_at(document, steps)
    if isinstance(now, (int, float)) and not isinstance(now, bool) and abs(now) < 1e300:
        for factor in (-1, 10, 1e300, 1 + 1e-6):
            yield put(document, steps, now * factor)
        yield put(document, steps, int(now))
        yield put(document, steps, str(now))
    elif isinstance(now, str):
        for text in (now + "x", now.upper(), now * 2000):
            yield put(document, steps, text)
    elif isinstance(now, list):
        yield put(document, steps, now + now)
        yield put(document, steps, now[::-1])
        yield put(document, steps, now * 200 if len(now) < 20 else now)
        yield put(document, steps, now[: len(now) // 2])
        if now:
            yield put(document, steps, [*now, random_.choice(now)])
    elif isinstance(now, dict):
        yield put(document, steps, {**now, "unknown": 1})


def one_wrong(document: Document, seed: int, each: int = 1) -> Iterator[tuple[Steps, Any]]:
    """Every field once wrong in every way, at ``each`` entries of a list."""
    random_ = random.Random(seed)
    of_kind: dict[Steps, list[Steps]] = {}
    for steps in places(document):
        of_kind.setdefault(kind_of(steps), []).append(steps)
    for alike in of_kind.values():
        for steps in random_.sample(alike, min(each, len(alike))):
            for result in changed(document, steps, random_):
                yield steps, result


def several_wrong(document: Document, seed: int, count: int) -> Iterator[tuple[int, Any]]:
    """Plans with two to six things wrong at once."""
    for number in range(count):
        random_ = random.Random(f"{seed} {number}")
        result: Any = document
        for _ in range(random_.randint(2, 6)):
            here = list(places(result)) if isinstance(result, dict) else []
            if not here:
                break
            kinds = sorted({kind_of(steps) for steps in here}, key=str)
            kind = random_.choice(kinds)
            steps = random_.choice([each for each in here if kind_of(each) == kind])
            result = random_.choice(list(changed(result, steps, random_)))
        yield number, result
