"""From bytes to a JSON document, refusing what JSON readers usually let through."""

from __future__ import annotations

import gc
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bondwork.problem.faults import Fault, InvalidInput, LongNumber, json_path, preview

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Repeating(dict[str, Any]):
    """An object in which keys occur more than once; ``repeated`` names them."""

    repeated: tuple[str, ...] = ()


def parse_document(data: bytes) -> Any:
    """Parse one JSON document from bytes.

    Numbers become ``int`` or ``float``; ``NaN``, ``Infinity`` and whole numbers of thousands of digits come
    through as floats that are not finite, for the schema to refuse with their path.

    Raises
    ------
    InvalidInput
        Not UTF-8, not JSON, nested too deeply, or with a key twice in one object (every such key is listed).

    Examples
    --------
    >>> parse_document(b'{"tasks": []}')
    {'tasks': []}
    """
    text = _decode(data)
    found_repeated = False

    def make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found_repeated
        result = dict(pairs)
        if len(result) != len(pairs):
            found_repeated = True
            result = _Repeating(result)
            seen: set[str] = set()
            result.repeated = tuple(dict.fromkeys(k for k, _ in pairs if k in seen or seen.add(k)))  # type: ignore[func-returns-value]
        return result

    try:
        with collection_paused():
            try:
                document = json.loads(text, object_pairs_hook=make_object)
            except json.JSONDecodeError:
                raise
            except ValueError:  # a whole number of more digits than Python reads, which takes a slower way
                document = json.loads(text, object_pairs_hook=make_object, parse_int=_whole_number)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        near = preview(text[error.pos : error.pos + 20]) if error.pos < len(text) else "the end"
        raise InvalidInput([Fault(where, near, f"JSON: {error.msg}")]) from None
    except RecursionError:
        raise InvalidInput([Fault("$", "deep nesting", "at most a few hundred levels of nesting")]) from None
    if found_repeated:
        raise InvalidInput(_repeated_keys(document))
    return document


@contextmanager
def collection_paused() -> Iterator[None]:
    """Keep the cyclic garbage collector from scanning a large document again and again while it is built.

    Reading makes many objects and no cycles; with the collector on, 100,000 offers take twice as long.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _whole_number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return LongNumber(text)


def _decode(data: bytes) -> str:
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise InvalidInput([Fault("byte 0", "a byte order mark", "UTF-8 without a byte order mark")])
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"byte 0x{data[error.start]:02x}"
        raise InvalidInput([Fault(f"byte {error.start}", found, f"UTF-8 ({error.reason})")]) from None


def _repeated_keys(document: Any) -> Iterator[Fault]:
    pending: list[tuple[tuple[int | str, ...], Any]] = [((), document)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, _Repeating):
            for key in value.repeated:
                yield Fault(json_path((*path, key)), "the key more than once", "each key once in an object")
        children: Iterator[tuple[int | str, Any]] = iter(())
        if isinstance(value, dict):
            children = iter(value.items())
        elif isinstance(value, list):
            children = iter(enumerate(value))
        pending.extend(((*path, step), child) for step, child in children if isinstance(child, dict | list))
