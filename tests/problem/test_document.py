"""From bytes to a document: what JSON readers let through and this one does not."""

from __future__ import annotations

import gc
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bondwork.problem.document import collection_paused, parse_document
from bondwork.problem.faults import InvalidInput, LongNumber

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def refused(data: bytes) -> list[tuple[str, str]]:
    with pytest.raises(InvalidInput) as caught:
        parse_document(data)
    return [(fault.path, fault.found) for fault in caught.value.faults]


@given(VALUES)
def test_every_document_comes_back(value):
    assert parse_document(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    try:
        parse_document(data)
    except InvalidInput as error:
        assert error.faults
        assert all(fault.path and fault.found and fault.expected for fault in error.faults)


def test_whole_numbers_are_exact_and_decimals_are_nearest():
    assert parse_document(b"123456789012345678901234567890") == 123456789012345678901234567890
    assert parse_document(b"0.1") == 0.1
    assert parse_document(b"1e400") == float("inf")
    assert parse_document(b"-0.0").hex() == "-0x0.0p+0"


@pytest.mark.parametrize("digits", [4_301, 100_000])
def test_numbers_of_thousands_of_digits_are_left_to_the_schema(digits):
    number, small = parse_document(b"[" + b"9" * digits + b", 7]")
    assert isinstance(number, LongNumber)
    assert number == float("inf")
    assert small == 7
    assert parse_document(b"-" + b"9" * digits) == float("-inf")


def test_every_repeated_key_is_listed_with_its_path():
    text = (
        b'{"a": [{"b": 1, "b": 2}, {"c d": {"e": 1, "f": 2, "e": 3, "e": 4}}], "g": 1, "g": {"h": 1, "h": 2}}'
    )
    assert sorted(refused(text)) == [
        ("$.a[0].b", "the key more than once"),
        ('$.a[1]["c d"].e', "the key more than once"),
        ("$.g", "the key more than once"),
        ("$.g.h", "the key more than once"),
    ]


@pytest.mark.parametrize(
    ("data", "path", "found"),
    [
        (b"", "line 1, column 1", "the end"),
        (b'{"a": 1,\n "b" 2}', "line 2, column 6", '"2}"'),
        (b"{} {}", "line 1, column 4", '"{}"'),
        (b"[1, 2", "line 1, column 6", "the end"),
        (b"\xef\xbb\xbf{}", "byte 0", "a byte order mark"),
        (b"\xff\xfe{\x00}\x00", "byte 0", "a byte order mark"),
        (b'{"a": "\xe9"}', "byte 7", "byte 0xe9"),
        (b'"\xc3\xa9\xc3"', "byte 3", "byte 0xc3"),
        (b"[" * 100_000, "$", "deep nesting"),
        (b'{"a":' * 100_000, "$", "deep nesting"),
        (b"[" * 100_000 + b"]" * 100_000, "$", "deep nesting"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(data, path, found):
    assert refused(data) == [(path, found)]


def test_hundreds_of_levels_are_no_fault():
    assert parse_document(b"[" * 300 + b"]" * 300)


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_was(enabled):
    was = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with pytest.raises(ZeroDivisionError), collection_paused():
            assert not gc.isenabled()
            raise ZeroDivisionError
        assert gc.isenabled() is enabled
        refused(b"{")
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was else gc.disable)()
