"""Foreign configuration files: YAML and TOML, refused with places like everything else."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from bondwork.problem.document import parse_document
from bondwork.problem.faults import Fault, InvalidInput, Refusal, preview

if TYPE_CHECKING:
    from collections.abc import Callable

#: How deep YAML may nest: what comes from a market is flat, and a bomb is not.
DEEPEST = 100


def parse_toml(data: bytes, name: str) -> dict[str, Any]:
    """Parse TOML.

    Raises
    ------
    InvalidInput
        It is none; with the line.
    """
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, deep nesting among them
        raise InvalidInput([Fault(name, str(error), "TOML")]) from None


def parse_yaml(data: bytes, name: str) -> list[Any]:
    """Parse the documents of a YAML stream; needs PyYAML, ``pip install 'bondwork[markets]'``.

    JSON needs nothing: what begins with a bracket is tried as JSON first.

    Raises
    ------
    InvalidInput
        It is no YAML, has a key twice, uses aliases, or nests too deeply; with line and column.
    Refusal
        PyYAML is not installed, and it is no JSON.

    Examples
    --------
    >>> parse_yaml(b'{"id": 1}', "orders.json")
    [{'id': 1}]
    """
    if data.lstrip()[:1] in (b"{", b"["):
        try:
            return [parse_document(data)]
        except InvalidInput as error:
            if any(fault.expected.startswith("each key once") for fault in error.faults):
                raise
    try:
        import yaml  # an extra
    except ModuleNotFoundError:
        raise Refusal([f"{name} as YAML without PyYAML: pip install 'bondwork[markets]'"]) from None
    text = _decode(data, name)
    nodes = _guarded(yaml, name, lambda: list(yaml.compose_all(text, Loader=yaml.SafeLoader)))
    faults: list[Fault] = []
    for node in nodes:
        _check(yaml, node, name, faults, set(), 0)
    if faults:
        raise InvalidInput(faults)
    return _guarded(yaml, name, lambda: list(yaml.safe_load_all(text)))


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput([Fault(name, f"byte 0x{data[error.start]:02x}", "UTF-8")]) from None


def _guarded(yaml: Any, name: str, read: Callable[[], list[Any]]) -> list[Any]:
    """Read, and say where it is no YAML."""
    try:
        return read()
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # a 13th month, thousands of digits
        mark = getattr(error, "problem_mark", None)
        where = name if mark is None else f"{name}, line {mark.line + 1}, column {mark.column + 1}"
        found = getattr(error, "problem", None) or type(error).__name__
        raise InvalidInput([Fault(where, str(found), "plain YAML")]) from None


def _check(yaml: Any, node: Any, name: str, faults: list[Fault], seen: set[int], depth: int) -> None:
    """Find keys that stand twice in a mapping, aliases and deep nesting: PyYAML lets all of them through."""
    where = f"{name}, line {node.start_mark.line + 1}"
    if isinstance(node, yaml.ScalarNode):
        return
    if id(node) in seen or depth > DEEPEST:
        found = "an alias" if id(node) in seen else f"more than {DEEPEST} levels of nesting"
        faults.append(Fault(where, found, "plain YAML"))
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for each in node.value:
            _check(yaml, each, name, faults, seen, depth + 1)
        return
    keys: set[str] = set()
    for key, value in node.value:
        text = str(key.value)
        if text in keys:
            line = f"{name}, line {key.start_mark.line + 1}"
            faults.append(Fault(line, f"the key {preview(text)} again", "each key once in a mapping"))
        keys.add(text)
        _check(yaml, value, name, faults, seen, depth + 1)
